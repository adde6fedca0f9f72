"""The convex combination of activations, held against the formulas of each."""

import math

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.networks.mixed_activation import MixedActivation

NAMES = ("relu", "relu6", "silu", "hard_silu", "gelu")
CHANCES = {
    "the first": [1, 0, 0, 0, 0],
    "one between": [0, 0, 1, 0, 0],
    "the last": [0, 0, 0, 0, 1],
    "by probability": [0.1, 0.3, 0.2, 0.15, 0.25],
}
X = np.linspace(-4.3, 7.7, 24)  # on no kink


def formulas(x):
    sigmoid, normal = 1 / (1 + np.exp(-x)), np.array([0.5 * (1 + math.erf(one / math.sqrt(2))) for one in x])
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    hard = np.clip(x / 6 + 0.5, 0, 1)
    values = [np.maximum(x, 0), np.clip(x, 0, 6), x * sigmoid, x * hard, x * normal]
    slopes = [
        x > 0,
        (x > 0) & (x < 6),
        sigmoid * (1 + x * (1 - sigmoid)),
        hard + x / 6 * (np.abs(x) < 3),
        normal + x * density,
    ]
    return np.array(values), np.array(slopes, float)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("chances", CHANCES.values(), ids=CHANCES)
def test_values_and_gradients_are_those_of_the_formulas(chances, graph):
    layer, up = MixedActivation(NAMES), np.random.default_rng(0).normal(size=X.shape)
    x, p = tf.constant(X.reshape(2, 3, 4), "float32"), tf.constant(chances, "float32")

    def step(x, p):
        with tf.GradientTape() as tape:
            tape.watch((x, p))
            out = layer(x, p)
            loss = tf.reduce_sum(out * tf.constant(up.reshape(2, 3, 4), "float32"))
        return out, *tape.gradient(loss, (x, p))

    out, of_maps, of_chances = (np.asarray(each) for each in (tf.function(step) if graph else step)(x, p))
    values, slopes = formulas(X)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(out.ravel(), chances @ values, **close)
    np.testing.assert_allclose(of_maps.ravel(), up * (chances @ slopes), **close)
    np.testing.assert_allclose(of_chances, values @ up, err_msg="every activation's, picked or not", **close)


def test_what_is_picked_is_all_that_is_computed():
    """An activation that would spoil everything, were it computed, is not."""
    layer, x = MixedActivation(("relu", "silu")), tf.constant([-1e30, 2.0, np.inf])
    hard = layer(x, tf.constant([1.0, 0.0])).numpy()
    np.testing.assert_array_equal(hard, [0, 2, np.inf])
    assert np.isnan(layer(tf.constant([-np.inf]), tf.constant([0.5, 0.5])).numpy()), "so this test can fail"
