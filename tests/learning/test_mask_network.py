"""The mask network: shapes, its rounds, and that it cleans what it learns from."""

import numpy as np
import pytest

from ssl_keras.learning import mask_network as module
from ssl_keras.learning.mask_network import build_mask_network, learn_masks, predict_masks, refined, squeeze, steps


@pytest.fixture(scope="module")
def discs():
    """Bright discs, and maps of them in which half of the pixels say nothing, each image with its own half."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[: module.SIDE, : module.SIDE]
    centre = generator.uniform(20, 44, (96, 2, 1, 1))
    inside = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < 15**2
    images = np.where(inside[..., None], (200, 160, 60), (50, 60, 90)) + generator.integers(0, 30, (96, 64, 64, 3))
    maps = np.where(generator.random(inside.shape) < 0.5, 255 * inside, 128)
    return images.astype(np.uint8), maps.astype(np.uint8), inside


def test_the_network_is_small_and_follows_from_its_seed():
    first, second, other = (build_mask_network(seed) for seed in (1, 1, 2))
    assert first.output_shape == (None, module.SIDE, module.SIDE) and first.count_params() < 300_000
    image = np.random.default_rng(0).random((2, module.SIDE, module.SIDE, 3)).astype(np.float32)
    np.testing.assert_array_equal(first.predict_on_batch(image), second.predict_on_batch(image))
    assert np.abs(first.predict_on_batch(image) - other.predict_on_batch(image)).max() > 1e-3


@pytest.mark.slow
def test_it_learns_what_noisy_maps_have_in_common(discs, monkeypatch):
    images, maps, inside = discs
    monkeypatch.setattr(module, "PASSES", (8, 4))
    done = []
    network = learn_masks(images, maps, say=done.append)
    assert done == list(range(1, steps(len(images)) + 1))
    found = predict_masks(network, images) > 128
    assert np.sum(found & inside) / np.sum(found | inside) > 0.8


def test_the_refined_map_has_the_size_of_the_image_and_hears_both(discs):
    image, inside = discs[0][0].repeat(2, 0), discs[2][0].repeat(2, 0).astype(np.float32)
    network = build_mask_network()
    (found,) = refined(network, [image], [inside])
    assert found.shape == image.shape[:2] and found.min() >= 0 and found.max() <= 1
    (other,) = refined(network, [image], [1 - inside])
    assert np.mean(found[inside > 0]) > np.mean(other[inside > 0])


def test_mirrored_images_give_mirrored_maps(discs):
    network = build_mask_network()
    found = predict_masks(network, discs[0][:3])
    np.testing.assert_allclose(predict_masks(network, discs[0][:3, :, ::-1])[:, :, ::-1], found, atol=1)


def test_images_and_targets_are_augmented_together(discs):
    generator = np.random.default_rng(3)
    pixels, truth = module._augmented(discs[0][:32], (255 * discs[2][:32]).astype(np.uint8), generator)
    assert pixels.shape == (32, module.SIDE, module.SIDE, 3) and pixels.min() >= 0 and pixels.max() <= 1
    red = pixels[..., 0]
    inside, outside = (
        np.sum(red * part, axis=(1, 2)) / np.maximum(part.sum(axis=(1, 2)), 1) for part in (truth, 1 - truth)
    )
    assert np.all(inside > outside)


def test_squeeze():
    assert squeeze(np.zeros((10, 90, 3), np.uint8)).shape == (module.SIDE, module.SIDE, 3)
    assert squeeze(np.zeros((90, 10), np.uint8)).shape == (module.SIDE, module.SIDE)
