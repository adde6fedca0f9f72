"""The second-order gradient against a bilevel problem whose hypergradient is known in closed form."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.learning.hypergradient import first_order, second_order

RATE = 0.3
GENERATOR = np.random.default_rng(0)
A = GENERATOR.normal(size=(4, 3)).astype("float32")
B = GENERATOR.normal(size=(4, 4)).astype("float32")
TARGET = GENERATOR.normal(size=4).astype("float32")
W, ALPHA = GENERATOR.normal(size=4).astype("float32"), GENERATOR.normal(size=3).astype("float32")


@pytest.fixture
def problem():
    """L_train = |w - A a|² / 2, L_val = |B w - t|² / 2 + |a|² / 2."""
    w, a = keras.Variable(W), keras.Variable(ALPHA)

    def train():
        return tf.reduce_sum((w.value - tf.linalg.matvec(A, a.value)) ** 2) / 2

    def validation():
        return tf.reduce_sum((tf.linalg.matvec(B, w.value) - TARGET) ** 2) / 2 + tf.reduce_sum(a.value**2) / 2

    return w, a, train, validation


def test_it_is_the_gradient_through_the_step_of_the_weights(problem):
    w, a, train, validation = problem
    (found,) = second_order(train, validation, [w], [a], RATE)
    # w' = w - r (w - A a), so dw'/da = r A, and dL_val/da = a + r A' B' (B w' - t).
    moved = W - RATE * (W - A @ ALPHA)
    expected = ALPHA + RATE * A.T @ B.T @ (B @ moved - TARGET)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-4)
    np.testing.assert_array_equal(w, W)


def test_first_order_takes_the_weights_as_given(problem):
    w, a, _, validation = problem
    found = first_order(validation, [a, w])
    np.testing.assert_allclose(found[0], ALPHA, rtol=1e-6)
    np.testing.assert_allclose(found[1], B.T @ (B @ W - TARGET), rtol=1e-4)


def test_what_a_loss_does_not_hang_on_has_no_gradient(problem):
    _, a, train, _ = problem
    other = keras.Variable(np.ones(2, "float32"))
    assert not np.any(first_order(train, [a, other])[1])
