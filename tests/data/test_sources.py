"""Every kind of source keeps one contract; then what is particular to each."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.data.sources import Source, open_source, take
from ssl_keras.data.sources import folder as folder_module
from ssl_keras.data.sources import tfds as tfds_module
from ssl_keras.data.sources.base import VOID
from tests.data.pictures import (
    cityscapes_folder,
    class_folder,
    picture,
    prepared_voc,
    read_all,
    voc_folder,
    write,
)


def mixed_folder(root: Path) -> Path:
    """Every format and mode, different sizes, no classes."""
    for index, suffix in enumerate(("jpg", "JPEG", "png", "bmp", "gif", "webp")):
        write(root / "deep" / "er" / f"{index}.{suffix}", picture(index, 10 + index, 20))
    write(root / "grey.jpg", picture(7, channels=1))
    write(root / "rgba.png", picture(8, channels=4))
    write(root / "rgba.webp", picture(9, channels=4), lossless=True)
    return root


def prepared_tfds(root: Path, sized: bool = True, n: int = 6) -> Path:
    """A set as TFDS writes it: grey images of one size or colour images of several, and labels."""
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "photo": tfds.features.Image(shape=(12, 10, 1) if sized else (None, None, 3)),
            "mask": tfds.features.LabeledImage(labels=2, shape=(None, None, 1)),
            "segmentation_mask": tfds.features.LabeledImage(labels=["sky", "sea"], shape=(None, None, 1)),
            "kind": tfds.features.ClassLabel(names=["a", "b"]),
        }
    )

    def rows(first: int) -> Iterator[dict[str, object]]:
        for index in range(first, first + n):
            photo = picture(index, channels=1)[:12, :10, None] if sized else picture(index, 10 + index % 7)
            yield {
                "photo": photo,
                "mask": np.zeros((4, 4, 1), np.uint8),
                "segmentation_mask": (photo[..., :1] + index) % 4,
                "kind": index % 2,
            }

    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny",
        version="1.0.0",
        features=features,
        split_datasets={
            split: tf.data.Dataset.from_generator(rows, args=[first], output_signature=features.get_tensor_spec())
            for split, first in (("train", 0), ("test", 100))
        },
        data_dir=root,
        disable_shuffling=True,
    )
    return root


KINDS: dict[str, Callable[[Path], Source]] = {
    "array": lambda root: open_source(np.stack([picture(i) for i in range(10)]), labels=np.arange(10) % 3),
    "grey float array": lambda root: open_source(np.random.default_rng(0).random((10, 8, 8))),
    "shapes": lambda root: open_source("shapes:test"),
    "digits": lambda root: open_source("digits"),
    "classes": lambda root: open_source(class_folder(root)),
    "mixed folder": lambda root: open_source(str(mixed_folder(root))),
    "tfds array": lambda root: open_source("tfds:tiny", data_dir=prepared_tfds(root)),
    "tfds encoded": lambda root: open_source("tfds:tiny", data_dir=prepared_tfds(root, sized=False)),
    "taken": lambda root: take(open_source("digits:test"), 20, seed=3),
    "split": lambda root: open_source(class_folder(root)).split("train"),
    "voc": lambda root: open_source(f"voc2012_segmentation:{voc_folder(root)}"),
    "cityscapes": lambda root: open_source(f"cityscapes:{cityscapes_folder(root)}"),
}
KNOW_PIXELS = ("shapes", "tfds array", "voc", "cityscapes")


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return KINDS[request.param](tmp_path)


def test_contract(source: Source) -> None:
    assert source.size == len(source) > 0
    assert isinstance(source.name, str) and source.name in repr(source)
    names = source.names()
    assert len(names) == len(set(names)) == source.size
    images = read_all(source)
    assert all(image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 for image in images)
    array = source.array()
    if array is None:
        assert source.image_shape is None
    else:
        assert array.shape == (source.size, *source.image_shape) and array.dtype == np.uint8
        np.testing.assert_array_equal(array[: len(images)], images)
    assert source.read(tf.constant(0, tf.int64)).shape == images[0].shape
    masks = source.masks()
    assert masks is None or masks.shape == (source.size, *source.image_shape[:2])
    known = source.segmentation()
    if known is not None:
        labels = [known.read(index) for index in range(source.size)]
        assert [one.shape for one in labels[: len(images)]] == [image.shape[:2] for image in images]
        assert {one.dtype for one in labels} == {np.dtype(np.uint8)}
        assert set(np.unique(np.concatenate([one.ravel() for one in labels]))) - {VOID} <= set(range(len(known.names)))
    for label_set, classes in source.label_sets.items():
        labels = source.labels(label_set)
        assert labels.dtype == np.int64 and labels.shape == (source.size,)
        assert labels.min() >= 0 and labels.max() < len(classes) and len(set(labels)) > 1
    with pytest.raises(ValueError, match="has no label set 'none-such'"):
        source.labels("none-such")
    with pytest.raises(ValueError, match=r"has no split 'none-such'; it has: .*train"):
        source.split("none-such")


def test_splits_differ_and_share_their_classes(source: Source, request: pytest.FixtureRequest) -> None:
    held_out = "val" if request.node.callspec.params["source"] in ("voc", "cityscapes") else "test"
    train, test = source.split("train"), source.split(held_out)
    assert train.checksum() != test.checksum()
    assert train.label_sets == test.label_sets == source.label_sets


@pytest.mark.parametrize("kind", KINDS)
def test_opened_twice_is_the_same(kind: str, tmp_path: Path) -> None:
    first, second = KINDS[kind](tmp_path / "a"), KINDS[kind](tmp_path / "b")
    assert first.checksum() == second.checksum()
    assert first.names() == second.names()
    for one, other in zip(read_all(first, 4), read_all(second, 4), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_source_opens_as_itself() -> None:
    source = open_source("digits")
    assert open_source(source) is source


# Subsets


def test_take_is_seeded_nested_and_consistent() -> None:
    source = open_source("digits")
    few, more, other = take(source, 50, seed=1), take(source, 100, seed=1), take(source, 50, seed=2)
    assert set(few.names()) < set(more.names())
    assert few.names() != other.names()
    rows = [source.names().index(name) for name in few.names()]
    assert rows == sorted(rows)
    np.testing.assert_array_equal(few.array(), source.array()[rows])
    np.testing.assert_array_equal(few.labels(), source.labels()[rows])
    assert len({few.checksum(), more.checksum(), other.checksum(), source.checksum()}) == 4
    assert take(source, source.size, seed=1) is source
    np.testing.assert_array_equal(take(open_source("shapes:test"), 3).masks().shape, (3, 32, 32))


@pytest.mark.parametrize("n", [0, 1438])
def test_take_refuses_what_is_not_there(n: int) -> None:
    with pytest.raises(ValueError, match=f"cannot take {n} images of digits:train: it has 1437"):
        take(open_source("digits"), n)


def test_eighty_twenty() -> None:
    source = open_source(np.arange(100, dtype=np.uint8).reshape(100, 1, 1), labels=np.arange(100))
    train, test = source.split("train"), source.split("test")
    assert (train.size, test.size) == (80, 20)
    assert sorted([*train.labels(), *test.labels()]) == list(range(100))
    assert source.split("all") is source and train.split("test").names() == test.names()
    assert list(test.labels()) != list(range(80, 100))


def test_one_image_is_a_source_but_has_no_splits() -> None:
    source = open_source(np.zeros((1, 4, 4, 3), np.uint8))
    assert source.size == 1
    with pytest.raises(ValueError, match="one image, which cannot be split"):
        source.split("train")


# The class of each pixel


def test_who_knows_the_class_of_each_pixel(source: Source, request: pytest.FixtureRequest) -> None:
    assert (source.segmentation() is not None) == (request.node.callspec.params["source"] in KNOW_PIXELS)
    assert source.multi_labels() is None


def test_shapes_know_object_and_background_and_so_does_a_part_of_them() -> None:
    source = open_source("shapes:test")
    names, read = source.segmentation()
    assert names == ("background", "object")
    np.testing.assert_array_equal([read(index) for index in range(source.size)], source.masks())
    part = take(source, 5, seed=1)
    assert part.segmentation().names == names
    for index, row in enumerate(part.indices):
        np.testing.assert_array_equal(part.segmentation().read(index), read(row))


def test_tfds_pixel_classes_follow_their_images(tmp_path: Path) -> None:
    prepared_tfds(tmp_path)
    for split, first in (("train", 0), ("test", 100), ("test[2:4]", 102)):
        source = open_source(f"tfds:tiny:{split}", data_dir=tmp_path)
        names, read = source.segmentation()
        assert names == ("sky", "sea")
        for index in range(source.size):
            value = (source.array()[index, ..., 0] + first + index) % 4
            np.testing.assert_array_equal(read(index), np.where(value < 2, value, VOID))


def test_no_thread_of_tensorflow_tunes_the_reading_of_a_set(tmp_path: Path) -> None:
    prepared_tfds(tmp_path)
    rows = tfds_module._Set("tiny", tmp_path)._rows("train", ["kind"], {})
    assert rows.options().autotune.enabled is False


def test_tfds_images_that_are_not_held_as_one_array_know_their_pixels_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared_tfds(tmp_path)
    whole = open_source("tfds:tiny", data_dir=tmp_path)
    monkeypatch.setattr(tfds_module, "ARRAY_LIMIT", 1)
    source = open_source("tfds:tiny", data_dir=tmp_path)
    assert source.array() is None
    for index in range(source.size):
        np.testing.assert_array_equal(source.segmentation().read(index), whole.segmentation().read(index))


# Several labels an image


def test_voc_s_labels_are_present_absent_or_unsure(tmp_path: Path) -> None:
    """A class is unsure where all of its objects are difficult, present where one is not."""
    said = [((3,), ()), ((0, 19), (7,)), ((), (5,)), ((4,), (4, 2)), ((), ())]
    rows = [(picture(index), *classes) for index, classes in enumerate(said)]
    prepared_voc(tmp_path, {"train": rows[:2], "validation": rows[2:], "test": rows[:1]})
    source = open_source("tfds:voc/2007:train+validation", data_dir=tmp_path)
    assert source.size == 5 and source.label_sets == {}
    names, labels = source.multi_labels()
    assert names == tuple(f"class {index}" for index in range(20)) and labels.dtype == np.int8
    expected = np.zeros((5, 20), int)
    expected[[0, 1, 1, 3], [3, 0, 19, 4]] = 1
    expected[[1, 2, 3], [7, 5, 2]] = -1
    np.testing.assert_array_equal(labels, expected)
    part = take(source, 3, seed=0)
    np.testing.assert_array_equal(part.multi_labels().labels, labels[part.indices])
    assert part.multi_labels().names == names


# Arrays and specifications


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, 4, 4, 3), np.uint8), r"has the shape \(0, 4, 4, 3\)"),
        (np.zeros((4, 4), np.uint8), r"has the shape \(4, 4\)"),
        (np.zeros((2, 4, 4, 5), np.uint8), r"has the shape \(2, 4, 4, 5\)"),
        (np.full((2, 4, 4), 255.0), r"floats in \[255, 255\]"),
        (np.full((2, 4, 4), np.nan), "floats in"),
        (np.zeros((2, 4, 4), np.int32), "has the type int32"),
    ],
)
def test_arrays_that_are_no_images(images: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_source(images)


@pytest.mark.parametrize("labels", [np.zeros(3, int), np.zeros(2), np.array([0, -1])])
def test_labels_that_do_not_fit(labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be 2 integers from 0"):
        open_source(np.zeros((2, 4, 4, 3), np.uint8), labels=labels)


def test_labels_are_for_arrays() -> None:
    with pytest.raises(ValueError, match="for arrays only"):
        open_source("digits", labels=np.zeros(3, int))


def test_float_arrays_are_rounded_and_alpha_is_laid_over_white() -> None:
    np.testing.assert_array_equal(open_source(np.full((1, 1, 1), 0.5)).array(), np.full((1, 1, 1, 3), 128))
    pixels = np.array([[[[10, 20, 30, 0], [10, 20, 30, 255], [100, 0, 255, 51]]]], np.uint8)
    expected = [[[[255, 255, 255], [10, 20, 30], [224, 204, 255]]]]
    np.testing.assert_array_equal(open_source(pixels).array(), expected)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere", "'nowhere' is neither an existing folder nor one of: tfds:NAME, shapes, digits"),
        ("digits:val", "digits has no split 'val'"),
        ("shapes:val", "shapes has no split 'val'"),
        ("shapes@16", r"the side must be in \[32, 64\]"),
        ("shapes@big", "not of the form"),
        ("tfds:", "not of the form"),
    ],
)
def test_specifications_that_name_nothing(spec: str, message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_source(spec)


def test_digits_are_scaled_and_split() -> None:
    train, test = open_source("digits"), open_source("digits:test")
    assert (train.size, test.size, train.array().max()) == (1437, 360, 255)
    assert train.split("test").checksum() == test.checksum()
    assert np.bincount(test.labels()).min() > 20


# TFDS


def test_tfds_finds_image_and_label_by_type(tmp_path: Path) -> None:
    prepared_tfds(tmp_path)
    source = open_source("tfds:tiny:test", data_dir=tmp_path)
    assert source.label_sets == {"label": ("a", "b")}
    np.testing.assert_array_equal(source.labels(), np.arange(6) % 2)
    for index, image in enumerate(source.array()):
        np.testing.assert_array_equal(image, np.repeat(picture(100 + index, channels=1)[:12, :10, None], 3, -1))
    assert source.names()[1] == "test[1]"
    part = open_source("tfds:tiny:1.0.0:train[:50%]", data_dir=tmp_path)
    assert part.size == 3 and part.names()[0] == "train[:50%][0]"


def test_tfds_data_dir_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared_tfds(tmp_path)))
    assert open_source("tfds:tiny").size == 6


def test_tfds_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"tfds:mnist is not prepared in {tmp_path}; get it with 'tfds build mnist"):
        open_source("tfds:mnist", data_dir=tmp_path)


def test_tfds_refuses_what_does_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared_tfds(tmp_path)
    monkeypatch.setattr(tfds_module, "ENCODED_LIMIT", 100)
    with pytest.raises(ValueError, match="take a slice such as 'train"):
        open_source("tfds:tiny", data_dir=tmp_path)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_decode_makes_rgb(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, channels), np.uint8)
    expected = np.empty((5, 6, 3))
    for row in range(5):
        for column in range(6):
            value = pixels[row, column].astype(float)
            colour, alpha = (value[:-1], value[-1] / 255) if channels % 2 == 0 else (value, 1.0)
            expected[row, column] = np.floor(alpha * colour + (1 - alpha) * 255 + 0.5)
    for encoded in (tf.io.encode_png(pixels),):
        assert np.abs(tfds_module.decode(encoded).numpy() - expected).max() <= 0
    np.testing.assert_array_equal(folder_module.as_rgb(pixels), expected)


def test_real_tfds(tfds_data_dir: Path) -> None:
    source = open_source("tfds:cifar10:test", data_dir=tfds_data_dir)
    assert source.array().shape == (10000, 32, 32, 3)
    assert np.bincount(source.labels()).tolist() == [1000] * 10
    varying = open_source("tfds:camvid:validation", data_dir=tfds_data_dir)
    assert varying.size == 101 and varying.label_sets == {}
    names, read = varying.segmentation()
    labels = np.stack([read(index) for index in range(varying.size)])
    assert labels.shape == (101, 180, 240) and len(names) == 11
    shares = np.bincount(labels.ravel(), minlength=256) / labels.size
    assert shares[VOID] == pytest.approx(0.017, abs=0.002) and shares[len(names) : VOID].sum() == 0
    # From the top of a street scene down.
    height = [np.nonzero(labels == names.index(name))[1].mean() for name in ("sky", "building", "car", "road")]
    assert height == sorted(height)
