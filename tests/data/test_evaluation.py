"""The pinned resize of evaluation, against Pillow, and the order of its batches."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras.data.evaluation import evaluation_batches, resize_crop
from ssl_keras.data.sources import open_source


def reference(image: np.ndarray, size: int) -> np.ndarray:
    """Short side to size by Pillow's antialiased bicubic filter in floats, then the central square."""
    height, width, _ = image.shape
    short = min(height, width)
    target = [int(np.floor(side * size / short + 0.5)) for side in (height, width)]
    planes = [
        np.asarray(Image.fromarray(image[..., c].astype(np.float32)).resize(target[::-1], Image.Resampling.BICUBIC))
        for c in range(3)
    ]
    top, left = (target[0] - size) // 2, (target[1] - size) // 2
    square = np.stack(planes, -1)[top : top + size, left : left + size]
    return np.clip(square / 255, 0, 1)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(40, 40, 32), (64, 64, 32), (28, 28, 32), (90, 61, 32), (33, 70, 16), (20, 50, 32), (8, 8, 32)],
)
def test_resize_crop_is_bicubic_antialiased_and_central(height: int, width: int, size: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    result = resize_crop(tf.constant(image[None]), size).numpy()[0]
    np.testing.assert_allclose(result, reference(image, size), atol=2e-4)
    assert result.dtype == np.float32


def test_images_of_the_right_size_are_untouched() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    np.testing.assert_array_equal(resize_crop(tf.constant(images), 16), images / np.float32(255))
    wide = np.random.default_rng(0).integers(0, 256, (5, 16, 23, 3), np.uint8)
    np.testing.assert_array_equal(resize_crop(tf.constant(wide), 16), wide[:, :, 3:19] / np.float32(255))


def test_batches_are_in_order_and_complete() -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), np.uint8)
    dataset = evaluation_batches(open_source(images), 16, 4)
    batches = list(dataset.as_numpy_iterator())
    assert [len(batch["index"]) for batch in batches] == [4, 4, 2] and dataset.cardinality() == 3
    np.testing.assert_array_equal(np.concatenate([batch["index"] for batch in batches]), np.arange(10))
    np.testing.assert_array_equal(np.concatenate([b["image"] for b in batches]), images / np.float32(255))
    assert dataset.element_spec["image"].shape.as_list() == [None, 16, 16, 3]


def test_photos_of_one_size_are_read_a_batch_at_once(tmp_path: Path) -> None:
    """A folder reads one file at a time, but hands out an array where all are of one size."""
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), np.uint8)
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    source = open_source(tmp_path)
    assert source.array() is not None
    found = np.concatenate([batch["image"] for batch in evaluation_batches(source, 12, 2)])
    np.testing.assert_allclose(found, images / 255.0, atol=1e-6)


def test_varying_sizes_are_resized_one_by_one(tmp_path: Path) -> None:
    expected = []
    for index in range(7):
        image = np.random.default_rng(index).integers(0, 256, (20 + index, 30 - index, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / f"{index}.png")
        expected.append(reference(image, 16))
    batches = list(evaluation_batches(open_source(tmp_path), 16, 3).as_numpy_iterator())
    assert [len(batch["index"]) for batch in batches] == [3, 3, 1]
    np.testing.assert_allclose(np.concatenate([batch["image"] for batch in batches]), expected, atol=2e-4)


@pytest.mark.parametrize(("size", "batch_size"), [(0, 4), (16, 0)])
def test_sizes_below_one_are_refused(size: int, batch_size: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        evaluation_batches(open_source("digits"), size, batch_size)
