"""Masks beside the images: the same crops of a hidden background on both paths, and no trace of it where unused."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.data import masks as module
from ssl_keras.data.augment import Augmentation
from ssl_keras.data.masks import Masks, open_masks, pack
from ssl_keras.data.pixels import hide_background
from ssl_keras.data.sources import open_source, take
from ssl_keras.data.views import Views, view_batches
from tests.data.test_views import Photographs, assert_same, first

PLAIN = Augmentation(jitter=0, grayscale=0)
PLAINLY = Views(10, small=1, small_size=5, large_augmentations=(PLAIN,), small_augmentations=(PLAIN,))
HIDING = dataclasses.replace(PLAINLY, masked=0.5)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 12, 15, 3)).astype(np.uint8)
MASKS = RNG.integers(0, 2, (24, 12, 15)).astype(np.uint8)


@pytest.fixture(params=["array", "photographs"])
def either(request):
    source = open_source(IMAGES)
    return source if request.param == "array" else Photographs(source)


def hidden(images, masks):
    """The reference, in NumPy."""
    return np.where(masks[..., None] > 0, images / np.float32(255), np.float32(0.5)).astype(np.float32)


def test_hidden_backgrounds_against_numpy():
    for chosen in (0.0, 1.0):
        found = hide_background(IMAGES, tf.constant(MASKS, tf.float32), tf.constant(chosen))
        np.testing.assert_allclose(found, hidden(IMAGES, MASKS if chosen else np.ones_like(MASKS)), atol=1e-6)


def test_chosen_large_crops_and_no_others_lack_the_background(either):
    (batch,) = first(view_batches(either, HIDING, 24, seed=5, masks=MASKS).dataset(3), 1)
    draws = HIDING.draw(24, 5, 3)
    rows, masked = batch["index"], draws["large"].pop("masked").numpy()
    assert 0 < masked.sum() < masked.size
    plain = PLAINLY.apply(tf.constant(IMAGES[rows]), draws)
    without = PLAINLY.apply(tf.constant(hidden(IMAGES[rows], MASKS[rows])), draws)
    expected = np.where(masked[..., None, None, None] > 0, without["large"], plain["large"])
    np.testing.assert_allclose(batch["large"], expected, atol=2e-5)
    np.testing.assert_allclose(batch["small"], plain["small"], atol=2e-5)
    assert np.abs(without["large"] - plain["large"]).max() > 0.1


def test_eager_compiled_and_in_a_pipeline_agree():
    draws, masks = HIDING.draw(24, 5, 3), tf.constant(MASKS, tf.float32)
    eager = HIDING.apply(tf.constant(IMAGES), draws, masks)
    compiled = tf.function(HIDING.apply, jit_compile=True)(tf.constant(IMAGES), draws, masks)
    for kind, views in eager.items():
        np.testing.assert_allclose(compiled[kind], views, atol=2e-5)


def test_with_probability_0_nothing_changes(either):
    plain = dataclasses.replace(PLAINLY, small=0)
    assert "masked" not in plain.draw(8, 0, 0)["large"]
    (one,) = first(view_batches(either, plain, 8, masks=MASKS).dataset(), 1)
    (other,) = first(view_batches(either, plain, 8).dataset(), 1)
    assert_same(one, other)


def test_the_other_draws_are_those_without_masks():
    draws, plain = HIDING.draw(24, 5, 3), PLAINLY.draw(24, 5, 3)
    assert draws["large"].keys() - plain["large"].keys() == {"masked"} and "masked" not in draws["small"]
    for kind in plain:
        assert_same(
            {name: draws[kind][name].numpy() for name in plain[kind]}, {k: v.numpy() for k, v in plain[kind].items()}
        )


def test_the_choice_follows_from_seed_step_and_position():
    views = dataclasses.replace(PLAINLY, masked=0.1)
    masked = views.draw(2000, 1, 2)["large"]["masked"].numpy()
    assert masked.shape == (2000, 2) and abs(masked.mean() - 0.1) < 0.02
    np.testing.assert_array_equal(masked[:500], views.draw(500, 1, 2)["large"]["masked"])
    assert not np.array_equal(masked, views.draw(2000, 1, 3)["large"]["masked"])
    assert not np.array_equal(masked[:, 0], masked[:, 1])


def test_a_foreground_under_one_percent_passes_the_image_through():
    small = np.zeros((3, 20, 20), np.uint8)
    small[1, 0, :3], small[2, 0, :4] = 1, 1  # 0.75 and 1 %
    masks = Masks(pack(small), (20, 20))
    assert masks.passing == 2
    np.testing.assert_array_equal(masks.read(tf.range(3), (20, 20)).numpy().sum(axis=(1, 2)), [400, 400, 4])


def test_masks_are_brought_to_the_size_of_the_image():
    masks = open_masks(MASKS, open_source(IMAGES))
    rows = tf.constant([3, 1], tf.int64)
    np.testing.assert_array_equal(masks.read(rows, (12, 15)), MASKS[[3, 1]])
    np.testing.assert_array_equal(masks.read(rows, tf.constant([12, 15])), MASKS[[3, 1]])
    assert masks.read(rows, tf.constant([24, 30])).shape == (2, 24, 30)


# ------------------------------------------------------------------------------------------------ folders


@pytest.fixture
def folder(tmp_path):
    index = {
        "source": "array",
        "checksum": open_source(IMAGES).checksum(),
        "images": 24,
        "images_per_part": 10,
        "height": 12,
        "width": 15,
    }
    (tmp_path / module.INDEX).write_text(json.dumps(index))
    for part in range(3):
        np.save(tmp_path / module.PART.format(part), pack(MASKS[10 * part : 10 * part + 10]))
    return tmp_path


def test_a_folder_serves_its_source_and_parts_of_it(folder):
    source = open_source(IMAGES)
    np.testing.assert_array_equal(open_masks(folder, source).read(tf.range(24), (12, 15)), MASKS)
    part = take(source.split("train"), 7)
    rows = [source.names().index(name) for name in part.names()]
    np.testing.assert_array_equal(open_masks(folder, part).read(tf.range(7), (12, 15)), MASKS[rows])


def test_wrong_masks_are_refused_in_one_sentence(folder):
    source = open_source(IMAGES)
    with pytest.raises(ValueError, match="masks of other images: of array"):
        open_masks(folder, open_source(255 - IMAGES))
    with pytest.raises(ValueError, match=r"\(3, 4, 5\) for the 24 images"):
        open_masks(np.zeros((3, 4, 5)), source)
    (folder / module.PART.format(1)).unlink()
    with pytest.raises(ValueError, match="not finished: 1 of 3 parts"):
        open_masks(folder, source)
    with pytest.raises(FileNotFoundError, match="holds no masks; make them with"):
        open_masks(folder / "none", source)
    with pytest.raises(ValueError, match=r"masked=0\.5 needs masks"):
        view_batches(source, HIDING, 8)
    with pytest.raises(ValueError, match=r"masked=1\.5: give a probability"):
        dataclasses.replace(PLAINLY, masked=1.5)
