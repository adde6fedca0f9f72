"""The mask network: shapes, its loss, and that it corrects the maps that it is given."""

import numpy as np
import pytest

from ssl_keras.learning import mask_network as module
from ssl_keras.learning.mask_network import (
    as_bytes,
    build_mask_network,
    learn_masks,
    mask_loss,
    predict_masks,
    refined,
    squeeze,
    steps,
)


@pytest.fixture(scope="module")
def discs():
    """Bright discs, maps of them that miss a half and see something in the ground, and the truth."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[: module.SIDE, : module.SIDE]
    centre = generator.uniform(20, 44, (96, 2, 1, 1))
    inside = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < 15**2
    images = np.where(inside[..., None], (200, 160, 60), (50, 60, 90)) + generator.integers(0, 30, (96, 64, 64, 3))
    maps = np.where(inside & (x > centre[:, 1]), 255, 128 * (generator.random(inside.shape) < 0.3))
    return images.astype(np.uint8), maps.astype(np.uint8), inside


def test_the_network_is_small_and_follows_from_its_seed():
    first, second, other = (build_mask_network(seed) for seed in (1, 1, 2))
    assert first.output_shape == (None, module.SIDE, module.SIDE) and first.count_params() < 300_000
    given = np.random.default_rng(0).random((2, module.SIDE, module.SIDE, 4)).astype(np.float32)
    np.testing.assert_array_equal(first.predict_on_batch(given), second.predict_on_batch(given))
    assert np.abs(first.predict_on_batch(given) - other.predict_on_batch(given)).max() > 1e-3


@pytest.mark.slow
def test_it_learns_what_the_detector_misses(discs, monkeypatch):
    images, maps, inside = discs
    monkeypatch.setattr(module, "PASSES", 25)
    done = []
    network = learn_masks(images, maps, as_bytes(inside), say=done.append)
    assert done == list(range(1, steps(len(images)) + 1))
    found = predict_masks(network, images, maps) > 128
    before = maps > 128
    assert np.sum(before & inside) / np.sum(before | inside) < 0.6
    assert np.sum(found & inside) / np.sum(found | inside) > 0.8


def test_the_loss_is_cross_entropy_and_one_minus_f():
    generator = np.random.default_rng(0)
    truth, logits = generator.random((3, 5, 5)).astype(np.float32), generator.normal(size=(3, 5, 5)).astype(np.float32)
    expected = []
    for t, z in zip(truth, logits, strict=True):
        p = 1 / (1 + np.exp(-z))
        precision, recall = np.sum(p * t) / np.sum(p), np.sum(p * t) / np.sum(t)
        f = 1.3 * precision * recall / (0.3 * precision + recall)
        expected.append(np.mean(-t * np.log(p) - (1 - t) * np.log(1 - p)) + 1 - f)
    np.testing.assert_allclose(np.asarray(mask_loss(truth, logits)), expected, rtol=1e-3)


def test_the_refined_map_has_the_size_of_the_image_and_hears_both(discs):
    image, inside = discs[0][0].repeat(2, 0), discs[2][0].repeat(2, 0).astype(np.float32)
    network = build_mask_network()
    (found,) = refined(network, [image], [inside])
    assert found.shape == image.shape[:2] and found.min() >= 0 and found.max() <= 1
    (other,) = refined(network, [image], [1 - inside])
    assert np.mean(found[inside > 0]) > np.mean(other[inside > 0])


def test_mirrored_images_give_mirrored_maps(discs):
    network, images, maps = build_mask_network(), discs[0][:3], discs[1][:3]
    found = predict_masks(network, images, maps)
    assert np.ptp(found) > 10
    mirrored = predict_masks(network, images[:, :, ::-1], maps[:, :, ::-1])
    np.testing.assert_allclose(mirrored[:, :, ::-1], found, atol=1)


def test_squeeze():
    assert squeeze(np.zeros((10, 90, 3), np.uint8)).shape == (module.SIDE, module.SIDE, 3)
    assert squeeze(np.zeros((90, 10), np.uint8)).shape == (module.SIDE, module.SIDE)
