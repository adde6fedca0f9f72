"""The convex combination of activations, held against the formulas of each."""

import math

import keras
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


def test_what_is_picked_is_all_that_is_computed(monkeypatch):
    """In eager mode, where a function that is called is computed."""
    called = []

    def known(name):
        return lambda x: called.append(name) or x

    monkeypatch.setattr(keras.activations, "get", known)
    layer, x = MixedActivation(("relu", "silu", "gelu")), tf.ones((1, 2))
    for chances, names in (([0, 1, 0], ["silu"]), ([0.5, 0.5, 0], ["relu", "silu", "gelu"])):
        called.clear()
        layer(x, tf.constant(chances, "float32"))
        assert called == names


def test_in_bfloat16_maps_are_rounded_and_probabilities_are_not():
    layer = MixedActivation(("relu", "silu"), dtype="mixed_bfloat16")
    x, p = tf.constant([[-2.0, 1.0, 3.0]], tf.bfloat16), tf.constant([0.999, 0.001])  # rounds to 1
    with tf.GradientTape() as tape:
        tape.watch(p)
        out = layer(x, p)
    assert out.dtype == tf.bfloat16
    assert out.numpy()[0, 0] < 0, "the second activation takes part"
    gradient = tape.gradient(out, p)
    np.testing.assert_allclose(gradient, [4, -2 / (1 + np.exp(2)) + 1 / (1 + np.exp(-1)) + 3 / (1 + np.exp(-3))], 1e-2)
