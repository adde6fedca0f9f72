"""NT-Xent and BYOL's loss against loops written from the papers."""

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.learning.losses.byol import byol_loss
from ssl_keras.learning.losses.nt_xent import nt_xent_loss


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def simclr_reference(first, second, temperature):
    """SimCLR, equation 1: 2N vectors, each against all 2N - 1 others, averaged over the 2N positives."""
    z = unit(np.concatenate([first, second]))
    size, images = len(z), len(first)
    total = 0.0
    for i in range(size):
        j = (i + images) % size
        similar = [np.exp(z[i] @ z[k] / temperature) for k in range(size) if k != i]
        total -= np.log(np.exp(z[i] @ z[j] / temperature) / np.sum(similar))
    return total / size


def multi_view_reference(online, target, positives, negatives, temperature):
    """The same for any number of views: the pair's positive against all large views of other images."""
    online, target = unit(online), unit(target)
    (views, images, _), (large, batch, _) = online.shape, target.shape
    values = []
    for v in range(views):
        for k in range(large):
            if v == k:
                continue
            for a in range(images):
                others = [m for m in range(batch) if m != positives[a]] if negatives is None else negatives[a]
                wrong = sum(np.exp(online[v, a] @ target[j, m] / temperature) for j in range(large) for m in others)
                right = np.exp(online[v, a] @ target[k, positives[a]] / temperature)
                values.append(-np.log(right / (right + wrong)))
    return np.mean(values)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_two_views_are_simclrs_equation(temperature):
    z = np.random.default_rng(0).normal(size=(2, 6, 5))
    got = nt_xent_loss(tf.constant(z), tf.constant(z), temperature=temperature)
    np.testing.assert_allclose(got["loss"], simclr_reference(*z, temperature), rtol=1e-9)


@pytest.mark.parametrize("sampled", [0, 3])
def test_many_views_a_part_of_the_batch_and_sampled_negatives(sampled):
    rng = np.random.default_rng(1)
    online, target, positives = rng.normal(size=(4, 3, 5)), rng.normal(size=(2, 8, 5)), np.array([5, 0, 2])
    negatives = None
    if sampled:
        negatives = np.array([rng.choice([m for m in range(8) if m != p], sampled, replace=False) for p in positives])
    got = nt_xent_loss(tf.constant(online), tf.constant(target), negatives, positives=positives, temperature=0.4)
    want = multi_view_reference(online, target, positives, negatives, 0.4)
    np.testing.assert_allclose(got["loss"], want, rtol=1e-9)


def test_byol_is_the_mean_squared_distance_of_unit_vectors():
    rng = np.random.default_rng(2)
    online, target, positives = rng.normal(size=(3, 2, 5)), rng.normal(size=(2, 4, 5)), np.array([3, 1])
    pairs = [(v, k) for v in range(3) for k in range(2) if v != k]
    want = np.mean([np.sum((unit(online)[v] - unit(target)[k][positives]) ** 2, axis=-1) for v, k in pairs])
    got = byol_loss(tf.constant(online), tf.constant(target), positives=positives)
    np.testing.assert_allclose(got["loss"], want, rtol=1e-9)


@pytest.mark.parametrize(("loss", "reaches"), [(nt_xent_loss, True), (byol_loss, False)])
def test_where_gradients_go(loss, reaches):
    rng = np.random.default_rng(3)
    online, target = (tf.Variable(rng.normal(size=(2, 4, 3))) for _ in range(2))
    with tf.GradientTape() as tape:
        value = loss(online, target)["loss"]
    to_online, to_target = tape.gradient(value, [online, target])
    assert np.any(to_online)
    assert (to_target is not None and bool(np.any(to_target))) == reaches
    step = 1e-6
    direction = rng.normal(size=online.shape)
    ahead, behind = (loss(online + sign * step * direction, target)["loss"] for sign in (1, -1))
    np.testing.assert_allclose((ahead - behind) / (2 * step), np.sum(to_online * direction), rtol=1e-6)


@pytest.mark.parametrize("loss", [nt_xent_loss, byol_loss])
def test_the_loss_ignores_length_and_follows_a_permutation_of_images(loss):
    rng = np.random.default_rng(4)
    z, order = rng.normal(size=(2, 5, 3)), rng.permutation(5)
    want = loss(tf.constant(z), tf.constant(z))["loss"]
    np.testing.assert_allclose(loss(tf.constant(7 * z), tf.constant(z))["loss"], want, rtol=1e-9)
    np.testing.assert_allclose(loss(tf.constant(z[:, order]), tf.constant(z[:, order]))["loss"], want, rtol=1e-9)


@pytest.mark.parametrize("loss", [nt_xent_loss, byol_loss])
def test_one_view_is_refused(loss):
    with pytest.raises(ValueError, match="two views"):
        loss(tf.zeros((1, 4, 3)), tf.zeros((1, 4, 3)))


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"above 0, got 0\.0"):
        nt_xent_loss(tf.zeros((2, 4, 3)), tf.zeros((2, 4, 3)), temperature=0.0)


def test_half_precision_is_computed_in_float32():
    z = np.random.default_rng(5).normal(size=(2, 5, 3))
    for loss in (nt_xent_loss, byol_loss):
        half = loss(tf.constant(z, tf.bfloat16), tf.constant(z, tf.bfloat16))["loss"]
        assert half.dtype == tf.float32
