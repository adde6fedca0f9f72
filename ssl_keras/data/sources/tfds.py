"""TensorFlow Datasets that are already prepared on this machine."""

import contextlib
import io
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from ssl_keras.data.pipeline import READERS, untuned
from ssl_keras.data.sources.base import (
    ABSENT,
    ARRAY_LIMIT,
    PRESENT,
    UNSURE,
    VOID,
    ArraySource,
    MultiLabels,
    Segmentation,
    Source,
    content_hash,
)

ENCODED_LIMIT = 4 * 1024**3
"""Bytes of encoded images up to which a split is held in memory."""

_MASK = "segmentation_mask"
_PIXEL_CLASSES: Mapping[str, tuple[str, ...]] = {
    "camvid": (
        *("sky", "building", "pole", "road", "pavement", "tree"),
        *("sign", "fence", "car", "pedestrian", "bicyclist"),
    ),
}
"""Of sets whose `_MASK` is a plain image, which names no classes; camvid's in the order of SegNet's copy of it."""

_SHOWN, _PLAIN = "labels", "labels_no_difficult"
"""VOC's names: the classes of all objects of an image, and of those not marked as difficult."""

_SPEC = re.compile(r"tfds:(?P<name>[^:]+(:\d+\.\d+\.\d+)?)(:(?P<split>[^:]+(:[^:]*\])?))?")


@contextlib.contextmanager
def _without_deprecations() -> Iterator[None]:
    """TFDS warns of its own use of its own attributes, which tells a user nothing."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Splits(Source):
    """Splits of a TFDS set are found by name."""

    _opener: "_Set"
    _split: str

    def split(self, name: str) -> Source:
        return self._opener.open(name)

    def segmentation(self) -> Segmentation | None:
        """The feature ``segmentation_mask``, read on first use; values that name no class are `VOID`.

        None, too, where that feature is a plain image of a set that `_PIXEL_CLASSES` lacks.
        """
        return None if self.image_shape is None else self._segmentation

    @cached_property
    def _segmentation(self) -> Segmentation | None:
        return self._opener.segmentation(self._split)

    def multi_labels(self) -> MultiLabels | None:
        """The feature ``labels`` where it is a sequence of classes, read on first use.

        Where there is ``labels_no_difficult`` too, as in VOC, a class that only the former holds is `UNSURE`: all of
        its objects in the image are marked as difficult.
        """
        return self._multi_labels

    @cached_property
    def _multi_labels(self) -> MultiLabels | None:
        return self._opener.multi_labels(self._split)


class TFDSArray(_Splits, ArraySource):
    """A split whose images have one size: decoded once."""


class TFDSEncoded(_Splits):
    """A split whose images vary in size or exceed 2 GiB: encoded in memory, decoded when read."""

    def __init__(
        self,
        encoded: list[bytes],
        name: str,
        image_shape: tuple[int, int, int] | None,
        labels: Mapping[str, np.ndarray],
        label_sets: Mapping[str, tuple[str, ...]],
    ):
        self.name = name
        self.size = len(encoded)
        self.label_sets = label_sets
        self.image_shape = image_shape
        self._label_arrays = dict(labels)
        with tf.init_scope(), tf.device("/CPU:0"):
            self._tensor = tf.constant(encoded)

    def read(self, index: tf.Tensor) -> tf.Tensor:  # noqa: D102
        return decode(tf.gather(self._tensor, index), self.image_shape)

    def array(self) -> None:  # noqa: D102
        return None

    def checksum(self) -> str:  # noqa: D102
        return content_hash(self._tensor.numpy().tolist(), self._label_arrays)

    def _labels(self, name: str) -> np.ndarray:
        return self._label_arrays[name]


class _Set:
    """A prepared set: opens its splits."""

    @_without_deprecations()
    def __init__(self, name: str, data_dir: str | os.PathLike[str] | None):
        self.name = name
        self.builder = _builder(name, data_dir)
        self.image, self.image_shape = _image_feature(self.builder.info.features, name)
        self.classes = _label_features(self.builder.info.features)

    @_without_deprecations()
    def open(self, split: str) -> Source:
        import tensorflow_datasets as tfds

        try:
            info = self.builder.info.splits[split]
        except (KeyError, ValueError) as error:
            known = ", ".join(self.builder.info.splits)
            raise ValueError(f"tfds:{self.name} has no split '{split}'; it has: {known}.") from error
        if info.num_bytes > ENCODED_LIMIT:
            raise ValueError(
                f"tfds:{self.name}:{split} holds {info.num_bytes / 1024**3:.0f} GiB of encoded images and at "
                f"most {ENCODED_LIMIT // 1024**3} are held in memory; take a slice such as '{split}[:10%]', "
                "or write the images to a folder, which is read image by image."
            )
        rows = self._rows(split, [self.image, *self.classes.values()], {self.image: tfds.decode.SkipDecoding()})
        return self._source(rows, split)

    @_without_deprecations()
    def segmentation(self, split: str) -> Segmentation | None:
        features = self.builder.info.features
        if _MASK not in features:
            return None
        names = getattr(features[_MASK], "names", None) or _PIXEL_CLASSES.get(self.builder.name)
        if not names:
            return None
        labels = np.concatenate([row[_MASK][..., 0] for row in _batches(self._rows(split, [_MASK], {}))])
        labels = np.where(labels < len(names), labels, VOID).astype(np.uint8)
        return Segmentation(tuple(names), labels.__getitem__)

    @_without_deprecations()
    def multi_labels(self, split: str) -> MultiLabels | None:
        names = _classes_of_several(self.builder.info.features)
        if names is None:
            return None
        plain = _PLAIN if _PLAIN in self.builder.info.features else _SHOWN
        found = []
        for row in self._rows(split, list({_SHOWN, plain}), {}).as_numpy_iterator():
            found.append(np.full(len(names), ABSENT, np.int8))
            found[-1][row[_SHOWN]] = UNSURE
            found[-1][row[plain]] = PRESENT
        return MultiLabels(names, np.stack(found))

    def _rows(self, split: str, keys: Sequence[str], decoders: Mapping[str, Any]) -> tf.data.Dataset:
        """Some features of a split, in its order."""
        import tensorflow_datasets as tfds

        rows = self.builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding(dict.fromkeys(keys, True), decoders=dict(decoders)),
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )
        return untuned(rows)

    def _source(self, rows: tf.data.Dataset, split: str) -> Source:
        encoded: list[bytes] = []
        parts: dict[str, list[np.ndarray]] = {label: [] for label in self.classes}
        for row in _batches(rows):
            encoded.extend(row[self.image])
            for label, key in self.classes.items():
                parts[label].append(row[key])
        name = f"tfds:{self.name}:{split}"
        if not encoded:
            raise ValueError(f"{name} holds no images.")
        features = self.builder.info.features
        label_sets = {label: tuple(features[key].names) for label, key in self.classes.items()}
        labels = {label: np.concatenate(values).astype(np.int64) for label, values in parts.items()}
        shape = self.image_shape or _common_shape(encoded)
        source: TFDSArray | TFDSEncoded
        if shape is not None and len(encoded) * int(np.prod(shape)) <= ARRAY_LIMIT:
            source = TFDSArray(_decode_all(encoded, shape), name, labels, label_sets)
        else:
            source = TFDSEncoded(encoded, name, shape, labels, label_sets)
        source._opener, source._split = self, split
        return source


def open_tfds(spec: str, data_dir: str | os.PathLike[str] | None = None) -> Source:
    """A split of a prepared TFDS set; nothing is ever downloaded.

    Splits of more than 4 GiB (encoded) are refused: they would not fit into memory, and the files that TFDS
    writes by default offer no random access. A folder of the same images has no such limit.

    Args:
        spec: ``tfds:NAME[:SPLIT]``; NAME may hold a configuration and a version as TFDS writes them, SPLIT a
            slice. The default split is ``train``.
        data_dir: where the prepared sets are; else ``TFDS_DATA_DIR``, else the TFDS default.

    Raises:
        ValueError: the set is not there (the message says how to get it), it has no images, or no such split.
    """
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise ValueError(f"'{spec}' is not of the form tfds:NAME or tfds:NAME:SPLIT.")
    return _Set(match["name"], data_dir).open(match["split"] or "train")


def decode(encoded: tf.Tensor, image_shape: tuple[int, int, int] | None = None) -> tf.Tensor:
    """Encoded JPEG, PNG, BMP or GIF (first frame) as uint8 RGB; alpha is laid over white.

    Args:
        encoded: string scalar.
        image_shape: the shape, where it is known.
    """
    image = tf.io.decode_image(encoded, expand_animations=False)
    image.set_shape((None, None, None))
    channels = tf.shape(image)[-1]
    colour = channels - (1 - channels % 2)
    alpha = tf.where(channels % 2 == 0, tf.cast(image[..., -1:], tf.int32), 255)
    image = (tf.cast(image[..., :colour], tf.int32) * alpha + 255 * (255 - alpha) + 127) // 255
    image = tf.cast(image, tf.uint8) * tf.ones((1, 1, 3 // colour), tf.uint8)
    image.set_shape(image_shape or (None, None, 3))
    return image


def _decode_all(encoded: list[bytes], shape: tuple[int, int, int]) -> np.ndarray:
    images = np.empty((len(encoded), *shape), np.uint8)
    rows = tf.data.Dataset.from_tensor_slices(encoded)
    rows = untuned(rows.map(lambda row: decode(row, shape), num_parallel_calls=READERS).batch(256))
    start = 0
    for batch in rows.as_numpy_iterator():
        images[start : start + len(batch)] = batch
        start += len(batch)
    return images


def _common_shape(encoded: list[bytes]) -> tuple[int, int, int] | None:
    """The shape that images of undeclared size share, by their headers; None when they differ."""
    sizes: set[tuple[int, int]] = set()
    for one in encoded:
        with Image.open(io.BytesIO(one)) as image:
            sizes.add(image.size)
        if len(sizes) > 1:
            return None
    width, height = sizes.pop()
    return height, width, 3


def _batches(rows: tf.data.Dataset) -> Iterator[dict[str, np.ndarray]]:
    """Rows of features of one shape, many at a time."""
    return iter(rows.batch(1024).prefetch(2).as_numpy_iterator())


def _builder(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    try:
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core import read_only_builder
    except ImportError as error:
        raise ValueError(
            f"tfds:{name} needs TensorFlow Datasets ({error}): pip install tensorflow-datasets importlib_resources"
        ) from error
    folder = data_dir or os.environ.get("TFDS_DATA_DIR")
    try:
        return read_only_builder.builder_from_files(name, **({"data_dir": os.fspath(folder)} if folder else {}))
    except (tfds.core.DatasetNotFoundError, FileNotFoundError, AssertionError) as error:
        place = folder or tfds.core.constants.DATA_DIR
        raise ValueError(
            f"tfds:{name} is not prepared in {place}; get it with 'tfds build {name} --data_dir {place}', "
            "or name the folder that holds it with data_dir or TFDS_DATA_DIR."
        ) from error


def _image_feature(features: Any, name: str) -> tuple[str, tuple[int, int, int] | None]:
    import tensorflow_datasets as tfds

    def is_image(feature: Any) -> bool:
        return isinstance(feature, tfds.features.Image) and not isinstance(feature, tfds.features.LabeledImage)

    found = [key for key in features if is_image(features[key])]
    if not found:
        raise ValueError(f"tfds:{name} has no image feature; its features are: {', '.join(features)}.")
    key = "image" if "image" in found else found[0]
    height, width, _ = features[key].shape
    if features[key].np_dtype != np.uint8:
        raise ValueError(f"the images of tfds:{name} are {features[key].np_dtype}; only uint8 images can be read.")
    return key, None if height is None or width is None else (height, width, 3)


def _label_features(features: Any) -> dict[str, str]:
    """Label set name to feature name; the only (or first) one is called ``label``."""
    import tensorflow_datasets as tfds

    found = [key for key in features if isinstance(features[key], tfds.features.ClassLabel)]
    if "label" in found or not found:
        return {key: key for key in found}
    return {"label": found[0], **{key: key for key in found[1:]}}


def _classes_of_several(features: Any) -> tuple[str, ...] | None:
    """Names of the classes of `_SHOWN`; None where that is no sequence of classes."""
    import tensorflow_datasets as tfds

    if _SHOWN not in features or not isinstance(features[_SHOWN], tfds.features.Sequence):
        return None
    each = features[_SHOWN].feature
    return tuple(each.names) if isinstance(each, tfds.features.ClassLabel) else None
