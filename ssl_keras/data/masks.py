"""Foreground masks that ride along with the images: a bit per pixel, in memory, read inside `tf.data`.

A folder of masks holds `masks.json`, which says of what source they are, and numbered parts of packed bits.
"""

import json
import os
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ssl_keras.data.sources.base import Source, Subset

Bits = npt.NDArray[np.uint8]

INDEX: Final = "masks.json"
PART: Final = "part-{:05}.npy"
LEAST_AREA: Final = 0.01  # share of the image below which a foreground is none (ReLICv2: under 1 %)
_PLACES: Final = (128, 64, 32, 16, 8, 4, 2, 1)


class Masks:
    """The masks of n images, all of one size.

    An image whose foreground covers less than `LEAST_AREA`, or which has none, is all foreground: it passes through.

    Args:
        bits: (n, ceil(h·w / 8)), each mask's pixels in rows, of `pack`.
        shape: h and w.
    """

    def __init__(self, bits: Bits, shape: tuple[int, int]) -> None:
        area = _ONES[bits].sum(axis=1, dtype=np.int64)
        self.shape = shape
        self._bits = bits
        self._empty = area < LEAST_AREA * shape[0] * shape[1]

    def __len__(self) -> int:
        return len(self._bits)

    @property
    def passing(self) -> int:
        """How many images pass through."""
        return int(self._empty.sum())

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """The masks of some of the images."""
        return type(self)(self._bits[rows], self.shape)

    def read(self, rows: tf.Tensor, size: Any) -> tf.Tensor:
        """Masks as an operation that `tf.data` can run.

        Args:
            rows: int64 (b,).
            size: H and W of the images, to which the masks are brought; numbers, or an integer tensor (2,).

        Returns:
            float32 (b, H, W), 0 or 1, in between where a mask was enlarged or made smaller.
        """
        with tf.init_scope(), tf.device("/CPU:0"):
            bits = tf.constant(np.where(self._empty[:, None], np.uint8(255), self._bits))
        height, width = self.shape
        places = tf.bitwise.bitwise_and(tf.gather(bits, rows)[..., None], tf.constant(_PLACES, tf.uint8))
        flat = tf.reshape(tf.cast(places > 0, tf.float32), (-1, 8 * bits.shape[1]))
        masks = tf.reshape(flat[:, : height * width], (-1, height, width))
        if isinstance(size, tuple) and size == self.shape:
            return masks
        return tf.image.resize(masks[..., None], size)[..., 0]


def pack(masks: npt.NDArray[np.generic]) -> Bits:
    """Masks (n, h, w), foreground where they are not 0, as bits (n, ceil(h·w / 8))."""
    return np.packbits(masks.reshape(len(masks), -1) != 0, axis=1)


def open_masks(masks: str | os.PathLike[str] | np.ndarray | Masks, source: Source) -> Masks:
    """The masks of a source's images.

    Args:
        masks: A folder that ``ssl-keras masks`` wrote for this source, or for one that this is a part of; or an array
            (n, h, w); or masks, which are returned as they are.
        source: Of the images.

    Raises:
        FileNotFoundError: The folder holds no masks.
        ValueError: The masks are of other images, or not all there.
    """
    if isinstance(masks, Masks):
        return masks
    if isinstance(masks, np.ndarray):
        if masks.ndim != 3 or len(masks) != source.size:
            raise ValueError(
                f"masks of shape {masks.shape} for the {source.size} images of {source.name}: give one each."
            )
        return Masks(pack(masks), masks.shape[1:])
    index = read_index(Path(masks))
    whole = source
    rows = np.arange(source.size)
    while whole.checksum() != index["checksum"]:
        if not isinstance(whole, Subset):
            raise ValueError(
                f"{masks} holds masks of other images: of {index['source']}, and these are {source.name} "
                "or have changed since; make their own with ssl-keras masks."
            )
        rows, whole = whole.indices[rows], whole.parent
    return Masks(_read_parts(Path(masks), index), (index["height"], index["width"])).take(rows)


def read_index(folder: Path) -> dict[str, Any]:
    """What a folder of masks says of itself.

    Raises:
        FileNotFoundError: There is none.
    """
    path = folder / INDEX
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no masks; make them with ssl-keras masks --data SOURCE --out {folder}")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _read_parts(folder: Path, index: dict[str, Any]) -> Bits:
    paths = [folder / PART.format(number) for number in range(-(-index["images"] // index["images_per_part"]))]
    absent = sum(not path.is_file() for path in paths)
    if absent:
        raise ValueError(
            f"{folder} is not finished: {absent} of {len(paths)} parts are missing; the same ssl-keras masks goes on."
        )
    return np.concatenate([np.load(path) for path in paths])


_ONES: Final = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
