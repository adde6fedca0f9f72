"""Choices by themselves: samples, and what flows back through hard ones."""

import numpy as np
import tensorflow as tf

import ssl_keras as sk


def test_straight_through_is_hard_forward_and_soft_backward():
    logits = {"stage1.c": tf.Variable([0.3, 0.1]), "stage1.k": tf.Variable([-1.0, 1.0])}
    with tf.GradientTape(persistent=True) as tape:
        through = sk.choices.straight_through(sk.choices.softmax(logits))
        loss = sum(vector[0] for vector in through.values())
        soft_loss = sum(vector[0] for vector in sk.choices.softmax(logits).values())
    np.testing.assert_array_equal(through["stage1.c"], [1, 0])
    np.testing.assert_array_equal(through["stage1.k"], [0, 1])
    for name, vector in logits.items():
        np.testing.assert_allclose(tape.gradient(loss, vector), tape.gradient(soft_loss, vector), err_msg=name)


def test_gumbel_samples_follow_the_softmax_and_noise_alone_is_uniform():
    rng = np.random.default_rng(0)
    logits = {"a": np.log(np.array([0.2, 0.3, 0.5], "float32"))}
    counts, plain = np.zeros(3), np.zeros(3)
    for _ in range(400):
        noise = {"a": rng.random(3, np.float32)}
        sample = sk.choices.gumbel_softmax(logits, noise, 0.1)
        np.testing.assert_allclose(np.sum(sample["a"]), 1, rtol=1e-5)
        counts += np.array(sk.choices.largest(sample)["a"])
        plain += np.array(sk.choices.largest(noise)["a"])
    np.testing.assert_allclose(counts / 400, [0.2, 0.3, 0.5], atol=0.1)
    np.testing.assert_allclose(plain / 400, [1 / 3] * 3, atol=0.1)
