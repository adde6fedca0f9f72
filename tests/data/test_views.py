"""The recipe, and batches of it: order, exact resume, epochs, labels, bad input."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

import ssl_keras as sk
from ssl_keras.data import views as views_module
from ssl_keras.data.augment import Augmentation
from ssl_keras.data.evaluation import evaluation_batches
from ssl_keras.data.sources import Source, open_source
from ssl_keras.data.views import Views, view_batches

SIZES = sorted(views_module._PRESETS)
TINY = Views.preset(32, size=16)
PLAIN = Augmentation(jitter=0, grayscale=0)
BOTH = Views.preset(32, size=16, small=1, small_size=8, small_augmentations=(PLAIN,))
CROPS = Views(8, large_augmentations=(PLAIN,))  # cheap, where colour does not matter


@pytest.fixture(scope="module")
def source() -> Source:
    rng = np.random.default_rng(0)
    smooth = rng.uniform(0, 255, (50, 4, 4, 3)).repeat(5, 1).repeat(5, 2)
    return open_source(smooth.astype(np.uint8), labels=np.arange(50) % 7)


class Photographs(Source):
    """The same images, of unknown size and one at a time, as a folder has them."""

    def __init__(self, source: Source):
        self.name, self.size, self.label_sets, self.image_shape = "photographs", source.size, source.label_sets, None
        self.source = source

    def read(self, index):
        image = self.source.read(index)
        return tf.ensure_shape(tf.py_function(lambda x: x, [image], tf.uint8), (None, None, 3))

    def array(self):
        return None

    def split(self, name):
        raise ValueError(name)

    def checksum(self):
        return self.source.checksum()

    def _labels(self, name):
        return self.source.labels(name)


def first(dataset: tf.data.Dataset, count: int) -> list[dict[str, np.ndarray]]:
    return list(dataset.take(count).as_numpy_iterator())


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


# ------------------------------------------------------------------------------------------------ the recipe


@pytest.mark.parametrize("size", SIZES)
def test_presets(size):
    views = Views.preset(size)
    assert views.size == size and views.large >= 2
    first_crop, second_crop = views.kinds["large"][1][:2]
    assert (first_crop.solarize, second_crop.solarize) == (0, 0.2)
    assert (first_crop.blur, second_crop.blur) == ((0, 0) if size == 32 else (1, 0.1))
    assert views.kinds["large"][1] == tuple((first_crop, second_crop)[i % 2] for i in range(views.large))
    small = dataclasses.replace(views, small=2).kinds["small"]
    assert small[0] < size and small[1][0].area[1] < 0.5
    assert views.kinds.keys() == ({"large", "small"} if views.small else {"large"})


@pytest.mark.parametrize("size", SIZES)
def test_the_recipe_passes_through_json(size):
    views = Views.preset(size, small=2, large_augmentations=[Augmentation(flip=0.25)])
    assert Views.from_config(json.loads(json.dumps(views.get_config()))) == views
    assert hash(views) == hash(Views.from_config(views.get_config()))


@pytest.mark.parametrize(("size", "nearest"), [(28, 32), (50, 64), (100, 96), (1000, 224)])
def test_an_unknown_size_names_the_nearest_preset(size, nearest):
    with pytest.raises(ValueError, match=rf"size {size}; the nearest is Views\.preset\({nearest}\)"):
        Views.preset(size)
    assert Views.preset(nearest, size=size).size == size


@pytest.mark.parametrize("wrong", [{"size": 2}, {"large": 0}, {"small": -1}, {"small": 1, "small_size": 0}])
def test_impossible_recipes_are_refused(wrong):
    with pytest.raises(ValueError, match=rf"views {list(wrong)[-1]}=.*at least"):
        Views(**({"size": 16} | wrong))
    with pytest.raises(ValueError, match="give at least one Augmentation"):
        Views(16, large_augmentations=())


def test_apply_is_pure_and_compiles(source):
    images, draws = source.array()[:8], BOTH.draw(8, 3, 5)
    compiled = tf.function(BOTH.apply, jit_compile=True)(images, draws)
    assert compiled["large"].shape == (8, 2, 16, 16, 3) and compiled["small"].shape == (8, 1, 8, 8, 3)
    for kind, plain in BOTH.apply(images, draws).items():
        np.testing.assert_allclose(compiled[kind], plain, atol=2e-5)
        assert np.ptp(plain) > 0.5 and np.min(plain) >= 0 and np.max(plain) <= 1


# ------------------------------------------------------------------------------------------------ batches


@pytest.fixture(params=["array", "photographs"])
def either(request, source) -> Source:
    return source if request.param == "array" else Photographs(source)


def test_shapes_are_static_and_values_in_range(either):
    batches = view_batches(either, BOTH, 8, label="label")
    spec = batches.dataset().element_spec
    assert {key: (tuple(value.shape), value.dtype.name) for key, value in spec.items()} == {
        "large": ((8, 2, 16, 16, 3), "float32"),
        "small": ((8, 1, 8, 8, 3), "float32"),
        "index": ((8,), "int64"),
        "label": ((8,), "int32"),
    }
    assert batches.dataset().cardinality() == tf.data.INFINITE_CARDINALITY
    (batch,) = first(batches.dataset(), 1)
    np.testing.assert_array_equal(batch["label"], either.labels()[batch["index"]])
    for kind in ("large", "small"):
        assert batch[kind].min() >= 0 and batch[kind].max() <= 1 and batch[kind].std() > 0.1


def test_no_thread_of_tensorflow_tunes_the_stream(either):
    """It sleeps for up to a minute at a time, and whoever drops an iterator may wait until it wakes."""
    found = [view_batches(either, BOTH, 8).dataset(), evaluation_batches(either, 8, 8)]
    assert [stream.options().autotune.enabled for stream in found] == [False, False]


def test_any_step_can_be_made_alone(either):
    batches = view_batches(either, TINY, 8, seed=4)
    straight = first(batches.dataset(), 8)
    assert batches.steps_per_epoch == 6  # so that an epoch ends on the way
    resumed = first(view_batches(either, TINY, 8, seed=4).dataset(5), 3)
    for one, other in zip(straight[5:], resumed, strict=True):
        assert_same(one, other)
    assert not np.array_equal(straight[0]["large"], straight[6]["large"])


def test_both_ways_of_making_a_batch_agree(source):
    (whole,), (single,) = (first(view_batches(s, BOTH, 12).dataset(3), 1) for s in (source, Photographs(source)))
    np.testing.assert_array_equal(whole["index"], single["index"])
    for kind in ("large", "small"):
        np.testing.assert_allclose(whole[kind], single[kind], atol=2e-4)


def test_large_crops_go_image_by_image(source, monkeypatch):
    (whole,) = first(view_batches(source, CROPS, 8).dataset(), 1)
    monkeypatch.setattr(views_module, "BATCHED_UP_TO", 4)
    monkeypatch.setattr(views_module.ViewBatches, "_whole", None)
    (single,) = first(view_batches(source, CROPS, 8).dataset(), 1)
    np.testing.assert_allclose(whole["large"], single["large"], atol=2e-5)


@pytest.mark.parametrize("batch_size", [8, 25, 50])
def test_an_epoch_visits_every_image_at_most_once(source, batch_size):
    batches = view_batches(source, CROPS, batch_size)
    steps = batches.steps_per_epoch
    rows = np.reshape([batch["index"] for batch in first(batches.dataset(), 2 * steps)], (2, steps * batch_size))
    for epoch in rows:
        assert len(set(epoch)) == len(epoch) == 50 // batch_size * batch_size
        assert epoch.min() >= 0 and epoch.max() < 50
    assert not np.array_equal(rows[0], rows[1]) and not np.array_equal(np.sort(rows[0]), rows[0])


def test_seeds_give_other_orders_and_other_views(source):
    batches = [first(view_batches(source, CROPS, 8, seed=seed).dataset(), 1)[0] for seed in (0, 1)]
    assert not np.array_equal(batches[0]["index"], batches[1]["index"])


def test_every_step_and_position_has_its_own_draws(source):
    copies = np.repeat(source.array()[:1], 8, axis=0)
    batches = first(view_batches(copies, CROPS, 8).dataset(), 4)
    crops = np.concatenate([batch["large"].reshape(16, -1) for batch in batches])
    assert len(np.unique(crops, axis=0)) == len(crops)


def test_views_are_of_the_images_that_index_names(source):
    untouched = dataclasses.replace(PLAIN, area=(1.0, 1.0), aspect=(1.0, 1.0), flip=0)
    (batch,) = first(view_batches(source, Views(20, large_augmentations=(untouched,)), 8).dataset(), 1)
    np.testing.assert_allclose(batch["large"][:, 1], source.array()[batch["index"]] / 255, atol=1e-5)


def test_public_names():
    assert sk.Views is Views and sk.view_batches is view_batches


# ------------------------------------------------------------------------------------------------ bad input


def test_batches_that_cannot_be_made_are_refused_in_one_sentence(source):
    with pytest.raises(
        ValueError, match=r"batch size 51 with array, which has 50 images: give a batch size from 1 to 50"
    ):
        view_batches(source, TINY, 51)
    with pytest.raises(ValueError, match="batch size 0"):
        view_batches(source, TINY, 0)
    with pytest.raises(ValueError, match="has 1 image; learning from views needs at least 2"):
        view_batches(source.array()[:1], TINY, 1)
    with pytest.raises(ValueError, match="no label set 'shape'"):
        view_batches(source, TINY, 8, label="shape")
