"""LARS against the formula of the papers in NumPy."""

import keras
import numpy as np
import pytest

import ssl_keras as sk


def reference(weights, gradients, rate, momentum, decay, trust, kernel):
    """G + wd·w, scaled by η‖w‖/‖g‖; m ← μm + g; w ← w − lr·m. Vectors: plain momentum."""
    velocity = np.zeros_like(weights)
    for gradient in gradients:
        if kernel:
            gradient = gradient + decay * weights
            w, g = np.linalg.norm(weights), np.linalg.norm(gradient)
            gradient = gradient * (trust * w / g if w > 0 and g > 0 else 1)
        velocity = momentum * velocity + gradient
        weights = weights - rate * velocity
    return weights


@pytest.mark.parametrize("shape", [(3, 4), (2, 2, 3, 4), (5,)], ids=str)
@pytest.mark.parametrize("start", [1.0, 0.0], ids=["weights", "zero weights"])
def test_three_steps_equal_the_formula(shape, start):
    rng = np.random.default_rng(0)
    weights, gradients = start * rng.normal(size=shape), rng.normal(size=(3, *shape))
    variable = keras.Variable(weights, dtype="float32")
    optimizer = sk.LARS(0.5, momentum=0.8, weight_decay=0.1, trust_coefficient=0.02)
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [variable])
    want = reference(weights, gradients, 0.5, 0.8, 0.1, 0.02, kernel=len(shape) > 1)
    np.testing.assert_allclose(variable, want, rtol=1e-4, atol=1e-6)


def test_a_zero_gradient_without_decay_changes_nothing():
    variable = keras.Variable(np.ones((2, 2)), dtype="float32")
    sk.LARS(1.0, weight_decay=0.0).apply([keras.ops.zeros((2, 2))], [variable])
    np.testing.assert_array_equal(variable, np.ones((2, 2)))


@pytest.mark.parametrize("wrong", [{"momentum": 1.0}, {"weight_decay": -1.0}, {"trust_coefficient": 0.0}], ids=str)
def test_values_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        sk.LARS(**wrong)
