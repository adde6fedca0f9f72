"""Saliency without learning: what it must find, what must not change it, and its parts against loops."""

import numpy as np
import pytest

from ssl_keras.data import saliency as module
from ssl_keras.data import shapes, superpixels
from ssl_keras.data.saliency import lab, saliency


def disc(height, width, colour, ground):
    y, x = np.mgrid[:height, :width]
    inside = (y - height * 0.45) ** 2 + (x - width * 0.55) ** 2 < (min(height, width) * 0.25) ** 2
    noise = np.random.default_rng(1).integers(-8, 9, (height, width, 3))
    image = np.where(inside[..., None], colour, ground) + noise
    return np.clip(image, 0, 255).astype(np.uint8), inside


@pytest.mark.parametrize("size", [(20, 28), (64, 64), (150, 200), (333, 250)])
@pytest.mark.parametrize("colours", [((200, 40, 40), (60, 120, 60)), ((90, 90, 90), (150, 150, 150))])
def test_a_disc_is_found_at_any_size(size, colours):
    image, inside = disc(*size, *colours)
    found = saliency(image)
    assert found.shape == size and found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    chosen = found >= 0.5
    assert np.sum(chosen & inside) / np.sum(chosen | inside) > 0.75


def test_objects_of_shapes_are_found():
    images, masks = shapes.render(shapes.factors("test", np.arange(24)), 64)
    chosen = np.stack([saliency(image) for image in images]) >= 0.5
    iou = np.sum(chosen & (masks > 0), axis=(1, 2)) / np.sum(chosen | (masks > 0), axis=(1, 2))
    assert iou.mean() > 0.75


@pytest.mark.parametrize("image", [np.full((32, 48, 3), 90, np.uint8), np.zeros((1, 1, 3), np.uint8)])
def test_an_image_of_one_colour_has_no_foreground(image):
    found = saliency(image)
    assert found.shape == image.shape[:2] and not found.any()


@pytest.mark.parametrize("size", [(1, 40), (3, 3), (2, 300)])
def test_small_and_narrow_images_give_finite_maps(size):
    found = saliency(np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8))
    assert found.shape == size and np.isfinite(found).all()


def test_floats_and_bytes_give_the_same():
    image, _ = disc(40, 50, (220, 180, 20), (20, 30, 120))
    np.testing.assert_array_equal(saliency(image), saliency(image / 255.0))


def test_lab_of_known_colours():
    found = lab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8))
    known = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.2], [32.3, 79.19, -107.86]]
    np.testing.assert_allclose(found, known, atol=0.1)


def test_directional_contrast_against_loops():
    image = np.random.default_rng(2).uniform(0, 100, (5, 6, 3)).astype(np.float32)
    for y, x in ((0, 0), (2, 3), (4, 5), (4, 0)):
        quarters = (image[: y + 1, : x + 1], image[: y + 1, x + 1 :], image[y + 1 :, : x + 1], image[y + 1 :, x + 1 :])
        least = min(np.sum((quarter - image[y, x]) ** 2) for quarter in quarters)
        np.testing.assert_allclose(module.directional_contrast(image)[y, x], np.sqrt(least), rtol=1e-3, atol=1e-2)


def test_regions_cover_the_image_and_follow_colour():
    image, inside = disc(48, 64, (250, 20, 20), (20, 20, 250))
    regions = superpixels.divide(lab(image), 60)
    assert regions.area.sum() == 48 * 64 and 40 <= len(regions.area) <= 80
    assert (regions.touching == regions.touching.T).all() and not regions.touching.diagonal().any()
    assert regions.border.sum() == 2 * (48 + 64)
    share = regions.mean(inside.astype(np.float32))
    assert np.mean((share < 0.1) | (share > 0.9)) > 0.95
