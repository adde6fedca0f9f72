"""What every source of images offers, and the sources that live in memory."""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import tensorflow as tf

ARRAY_LIMIT = 2 * 1024**3
"""Bytes up to which the images of a source are handed out as one array."""

VOID = 255
"""The class of a pixel that counts neither in learning nor in judging."""


class Segmentation(NamedTuple):
    """The class of every pixel of a source's images.

    Attributes:
        names: of the classes.
        read: index of an image, in [0, size), to uint8 (height, width), the image's own: indices into `names`, or
            `VOID`. What is read from a file raises ValueError where that does not hold.
    """

    names: tuple[str, ...]
    read: Callable[[int], np.ndarray]


PRESENT, ABSENT, UNSURE = 1, 0, -1
"""What an image may say of a class where it has several labels; `UNSURE` counts neither in learning nor in judging."""


class MultiLabels(NamedTuple):
    """The classes that each of a source's images shows, of which there may be several.

    Attributes:
        names: of the classes.
        labels: int8 (size, classes): `PRESENT`, `ABSENT` or `UNSURE`.
    """

    names: tuple[str, ...]
    labels: np.ndarray


class Source(ABC):
    """The images of one split, in a fixed order, with random access.

    Images are uint8 RGB: grey is repeated to three channels, alpha is laid over white.

    Attributes:
        name: how `open_source` names it, such as ``tfds:cifar10:train``.
        size: number of images.
        label_sets: class names of each label set; empty without labels.
        image_shape: (height, width, 3), or None where sizes vary.
        skipped: (file, reason) of every file that could not be read.
        damaged: files that could be read when the source was opened, and no more since; they count as grey images.
    """

    name: str
    size: int
    label_sets: Mapping[str, tuple[str, ...]]
    image_shape: tuple[int, int, int] | None
    skipped: tuple[tuple[str, str], ...] = ()
    damaged: Sequence[str] = ()

    @abstractmethod
    def read(self, index: tf.Tensor) -> tf.Tensor:
        """One image, as an operation that `tf.data` can run.

        Args:
            index: int64 scalar in [0, size).

        Returns:
            uint8 (height, width, 3).
        """

    @abstractmethod
    def array(self) -> np.ndarray | None:
        """All images, uint8 (size, height, width, 3); None where sizes vary or they exceed 2 GiB."""

    @abstractmethod
    def split(self, name: str) -> "Source":
        """Another split of the same data.

        Raises:
            ValueError: there is no such split; the message lists those there are.
        """

    @abstractmethod
    def checksum(self) -> str:
        """Hexadecimal hash of the content: equal checksums mean equal images and labels.

        NOTE: without the classes of `segmentation` and `multi_labels`, which are read only where they are asked for.
        """

    @abstractmethod
    def _labels(self, name: str) -> np.ndarray:
        """The labels of a set that is known to exist."""

    def labels(self, name: str = "label") -> np.ndarray:
        """One label set.

        Returns:
            int64 (size,), indices into `label_sets[name]`; a negative value marks an unknown label.

        Raises:
            ValueError: the source has no such label set.
        """
        if name not in self.label_sets:
            known = ", ".join(self.label_sets) or "none"
            raise ValueError(f"{self.name} has no label set '{name}'; it has: {known}.")
        return self._labels(name)

    def masks(self) -> np.ndarray | None:
        """Foreground masks, uint8 (size, height, width), 1 on the object; None where there are none."""
        return None

    def segmentation(self) -> Segmentation | None:
        """The class of every pixel; None where it is unknown."""
        return None

    def multi_labels(self) -> MultiLabels | None:
        """All classes that each image shows; None where that is unknown. A label set has one class for each image."""
        return None

    def names(self) -> list[str]:
        """One readable name per image: the file's path, or an identifier such as ``train[123]``."""
        stem = re.split(r":(?![^\[]*\])", self.name)[-1]
        return [f"{stem}[{index}]" for index in range(self.size)]

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.size} images, label sets {list(self.label_sets)}>"


class ArraySource(Source):
    """Images held as one array.

    Args:
        images: uint8 (n, height, width, 3).
        name: of the source.
        labels: int (n,) of each label set.
        label_sets: class names of each label set; the same keys as `labels`.
    """

    def __init__(
        self,
        images: np.ndarray,
        name: str,
        labels: Mapping[str, np.ndarray] | None = None,
        label_sets: Mapping[str, tuple[str, ...]] | None = None,
    ):
        self.name = name
        self.size = len(images)
        self.label_sets = dict(label_sets or {})
        self.image_shape = images.shape[1:]
        self._images = images
        self._label_arrays = {key: np.asarray(value, np.int64) for key, value in (labels or {}).items()}

    @cached_property
    def _tensor(self) -> tf.Tensor:
        with tf.init_scope(), tf.device("/CPU:0"):
            return tf.constant(self.array())

    def read(self, index: tf.Tensor) -> tf.Tensor:  # noqa: D102
        return tf.gather(self._tensor, index)

    def array(self) -> np.ndarray:  # noqa: D102
        return self._images

    def split(self, name: str) -> Source:
        """``train`` and ``test``: a seeded 80/20 split; ``all``: every image."""
        return eighty_twenty(self, name)

    def checksum(self) -> str:  # noqa: D102
        return content_hash([self.array()], self._label_arrays)

    def _labels(self, name: str) -> np.ndarray:
        return self._label_arrays[name]


class Subset(Source):
    """Some images of another source, the `parent`, in the order of `indices`."""

    def __init__(self, parent: Source, indices: np.ndarray, name: str):
        self.name = name
        self.size = len(indices)
        self.label_sets = parent.label_sets
        self.image_shape = parent.image_shape
        self.skipped = parent.skipped
        self.damaged = parent.damaged
        self.parent = parent
        self.indices = np.asarray(indices, np.int64)

    def read(self, index: tf.Tensor) -> tf.Tensor:  # noqa: D102
        return self.parent.read(tf.gather(tf.constant(self.indices), index))

    def array(self) -> np.ndarray | None:  # noqa: D102
        return self._array

    @cached_property
    def _array(self) -> np.ndarray | None:
        images = self.parent.array()
        return None if images is None else images[self.indices]

    def split(self, name: str) -> Source:
        """The split of the source that this is a part of."""
        return self.parent.split(name)

    def checksum(self) -> str:  # noqa: D102
        return content_hash([self.parent.checksum().encode(), self.indices], {})

    def _labels(self, name: str) -> np.ndarray:
        return self.parent.labels(name)[self.indices]

    def masks(self) -> np.ndarray | None:  # noqa: D102
        masks = self.parent.masks()
        return None if masks is None else masks[self.indices]

    def segmentation(self) -> Segmentation | None:  # noqa: D102
        whole = self.parent.segmentation()
        return None if whole is None else Segmentation(whole.names, lambda index: whole.read(int(self.indices[index])))

    def multi_labels(self) -> MultiLabels | None:  # noqa: D102
        whole = self.parent.multi_labels()
        return None if whole is None else MultiLabels(whole.names, whole.labels[self.indices])

    def names(self) -> list[str]:  # noqa: D102
        names = self.parent.names()
        return [names[index] for index in self.indices]


def take(source: Source, n: int, seed: int = 0) -> Source:
    """A seeded subset: `n` images drawn without replacement, in the source's order.

    With the same seed a smaller subset is contained in a larger one.

    Raises:
        ValueError: `n` is not in [1, source.size].
    """
    if not 1 <= n <= source.size:
        raise ValueError(f"cannot take {n} images of {source.name}: it has {source.size}.")
    if n == source.size:
        return source
    return Subset(source, np.sort(shuffled(source.size, seed)[:n]), f"{source.name}[{n} of seed {seed}]")


def at_most(source: Source, n: int | None, seed: int = 0) -> Source:
    """As `take`, but the whole source where it has no more than `n` images or `n` is None."""
    return source if n is None else take(source, min(n, source.size), seed)


def eighty_twenty(source: Source, name: str, seed: int = 0) -> Source:
    """``train`` (80 %), ``test`` (20 %) or ``all`` of a source that has no splits of its own.

    Raises:
        ValueError: another name, or too few images to split.
    """
    if name == "all":
        return source
    if name not in ("train", "test"):
        raise ValueError(f"{source.name} has no split '{name}'; it has: train, test, all.")
    if source.size < 2:
        raise ValueError(f"{source.name} has one image, which cannot be split into train and test; add images.")
    order = shuffled(source.size, seed)
    cut = min(max(1, round(0.8 * source.size)), source.size - 1)
    return Subset(source, np.sort(order[:cut] if name == "train" else order[cut:]), f"{source.name}:{name}")


def shuffled(size: int, seed: int) -> np.ndarray:
    """A permutation of range(size) that depends on the seed alone."""
    return np.random.Generator(np.random.Philox(seed)).permutation(size)


def content_hash(pieces: Sequence[np.ndarray | bytes], labels: Mapping[str, np.ndarray]) -> str:
    """Hash of arrays (with shape and type), bytes and named labels, in order."""
    digest = hashlib.sha256()
    named = [part for key in sorted(labels) for part in (key.encode(), labels[key])]
    for piece in (*pieces, *named):
        if isinstance(piece, bytes):
            digest.update(b"%d:" % len(piece) + piece)
        else:
            digest.update(f"{piece.shape}{piece.dtype}".encode())
            digest.update(np.ascontiguousarray(piece).data)
    return digest.hexdigest()[:16]


def as_rgb(images: np.ndarray) -> np.ndarray:
    """uint8 (..., 1 | 2 | 3 | 4 channels) as RGB: grey repeated, alpha laid over white."""
    channels = images.shape[-1]
    if channels == 3:
        return images
    if channels in (2, 4):
        alpha = images[..., -1:].astype(np.uint16)
        images = ((images[..., :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.repeat(images, 3, -1) if channels < 3 else images


def from_array(images: np.ndarray, labels: np.ndarray | None = None, name: str = "array") -> ArraySource:
    """A source of the images in an array.

    Args:
        images: uint8, or float in [0, 1]; (n, height, width) or (n, height, width, 1 | 3 | 4).
        labels: integers (n,) from 0.
        name: of the source.

    Raises:
        ValueError: no images, another shape, type or range, or labels that do not match.
    """
    if images.ndim not in (3, 4) or not images.size or (images.ndim == 4 and images.shape[-1] not in (1, 3, 4)):
        raise ValueError(
            f"{name} has the shape {images.shape}; expected (n, height, width) or "
            "(n, height, width, channels) with n >= 1 and 1, 3 or 4 channels."
        )
    if np.issubdtype(images.dtype, np.floating):
        if not (images.min() >= 0 and images.max() <= 1):
            raise ValueError(f"{name} holds floats in [{images.min():g}, {images.max():g}]; divide them into [0, 1].")
        images = np.round(images * 255).astype(np.uint8)
    if images.dtype != np.uint8:
        raise ValueError(f"{name} has the type {images.dtype}; expected uint8, or float in [0, 1].")
    images = as_rgb(images[..., None] if images.ndim == 3 else images)
    if labels is None:
        return ArraySource(images, name)
    labels = np.asarray(labels)
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise ValueError(
            f"the labels of {name} must be {len(images)} integers from 0; they are {labels.dtype} {labels.shape}."
        )
    classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    return ArraySource(images, name, {"label": labels}, {"label": classes})
