"""The multi-crop recipe and its batches.

`Views` says what is done to an image; `Views.draw` makes a batch's random numbers from (seed, step) and `Views.apply`
is a pure function of images and those numbers. `ViewBatches` runs the two over a source inside `tf.data`; every batch
follows from its step alone, so that a run can go on from any step as if it had never stopped.
"""

import dataclasses
import os
from typing import Any, Final, Self

import numpy as np
import tensorflow as tf

from ssl_keras.data import augment
from ssl_keras.data.augment import SLOTS, Augmentation, Draws
from ssl_keras.data.masks import Masks, open_masks
from ssl_keras.data.pipeline import READERS, WORKERS, untuned
from ssl_keras.data.pixels import Planes
from ssl_keras.data.sources import Source, open_source
from ssl_keras.data.sources.base import Subset, shuffled

BATCHED_UP_TO: Final = 96  # side of the large crops up to which a batch is made at once, if the images are an array
PIECE: Final = 16  # images coloured at once otherwise; a multiple of augment.SLOTS


@dataclasses.dataclass(frozen=True)
class Views:
    """A multi-crop recipe: the crops of one image, and what happens to each (ReLICv2, section "Augmentation").

    Attributes:
        size: Side of the large crops, in pixels.
        large: Number of large crops, L.
        small: Number of small crops, Σ.
        small_size: Side of the small crops, in pixels.
        large_augmentations: The large crops take these in turn.
        small_augmentations: The small crops take these in turn.
        masked: Probability that a large crop is cut from the image without its background (paper: 0.1), p_m; it
            needs masks. Small crops always show the image itself.
    """

    size: int
    large: int = 2
    small: int = 0
    small_size: int = 0
    large_augmentations: tuple[Augmentation, ...] = (Augmentation(),)
    small_augmentations: tuple[Augmentation, ...] = (Augmentation(),)
    masked: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.masked <= 1:
            raise ValueError(f"views masked={self.masked:g}: give a probability, a number in [0, 1].")
        for name, least in (("size", 4), ("large", 1), ("small", 0), ("small_size", 4 if self.small else 0)):
            if getattr(self, name) < least:
                raise ValueError(f"views {name}={getattr(self, name)}: give a whole number of at least {least}.")
        for name in ("large_augmentations", "small_augmentations"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if not getattr(self, name):
                raise ValueError(f"views {name}: give at least one Augmentation.")

    @classmethod
    def preset(cls, size: int, /, **overrides: Any) -> Self:
        """The paper's recipe at 224 pixels, and ours for smaller images.

        NOTE: alternating the paper's two augmentations over the large crops is our choice, as is all below 224 pixels:
        two large crops and no small ones (pass `small=2` for them), no blur at 32 pixels, and small crops that are
        larger in proportion, since 5 % of a 32-pixel image is a 7-pixel square.

        Args:
            size: Side of the large crops: 32, 64, 96 or 224.
            **overrides: Any field of `Views`, `size` too.

        Raises:
            ValueError: There is no preset of that size.
        """
        if size not in _PRESETS:
            nearest = min(_PRESETS, key=lambda known: abs(known - size))
            raise ValueError(
                f"no views preset for size {size}; the nearest is Views.preset({nearest}), "
                f"or override it: Views.preset({nearest}, size={size})."
            )
        fields: dict[str, Any] = _PRESETS[size] | overrides
        return cls(**fields)

    def get_config(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries: what JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`, also after a passage through JSON."""
        crops = {
            name: tuple(Augmentation(**augmentation) for augmentation in config[name])
            for name in ("large_augmentations", "small_augmentations")
            if name in config
        }
        fields: dict[str, Any] = config | crops
        return cls(**fields)

    @property
    def kinds(self) -> dict[str, tuple[int, tuple[Augmentation, ...]]]:
        """Side and one augmentation per crop, of the kinds of crops there are."""
        large = tuple(self.large_augmentations[i % len(self.large_augmentations)] for i in range(self.large))
        small = tuple(self.small_augmentations[i % len(self.small_augmentations)] for i in range(self.small))
        return {"large": (self.size, large)} | ({"small": (self.small_size, small)} if small else {})

    def draw(self, batch_size: int, seed: tf.Tensor, step: tf.Tensor) -> dict[str, Draws]:
        """The random numbers of one global batch, for `apply`; they depend on (seed, step, position) alone."""
        return {
            kind: augment.draw(crops, batch_size, seed, step, number, self.masked if kind == "large" else 0.0)
            for number, (kind, (_, crops)) in enumerate(self.kinds.items())
        }

    def apply(self, images: tf.Tensor, draws: dict[str, Draws], masks: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """The views of a batch of images: pure, with static shapes, and it compiles under XLA.

        Args:
            images: (B, H, W, 3), uint8 or float in [0, 1].
            draws: Of `draw`, for the same B.
            masks: Foreground (B, H, W), float in [0, 1]; needed where `masked` is not 0.

        Returns:
            `large` (B, L, S, S, 3) and, where there are small crops, `small` (B, Σ, s, s, 3); float32 in [0, 1].
        """
        return {
            kind: augment.apply(images, draws[kind], crops, size, masks) for kind, (size, crops) in self.kinds.items()
        }

    def cut_one(self, image: tf.Tensor, draws: dict[str, Draws], mask: tf.Tensor | None = None) -> dict[str, Planes]:
        """The first half of `apply`, for one image (H, W, 3) of any size with its own row of the draws."""
        return {kind: augment.cut_one(image, draws[kind], size, mask) for kind, (size, _) in self.kinds.items()}

    def colour(self, planes: dict[str, Planes], draws: dict[str, Draws]) -> dict[str, tf.Tensor]:
        """The second half of `apply`, given the crops: three (B, V, S, S) planes of each kind."""
        return {kind: augment.colour(planes[kind], draws[kind], crops) for kind, (_, crops) in self.kinds.items()}


def _large(blur: bool) -> tuple[Augmentation, Augmentation]:
    """The paper's two augmentations, with or without blur."""
    return Augmentation(blur=1.0 * blur), Augmentation(blur=0.1 * blur, solarize=0.2)


def _small(area: tuple[float, float], blur: bool) -> tuple[Augmentation, ...]:
    return tuple(dataclasses.replace(large, area=area) for large in _large(blur))


_PRESETS: Final[dict[int, dict[str, Any]]] = {
    size: {
        "size": size,
        "large": large,
        "small": small,
        "small_size": small_size,
        "large_augmentations": _large(blur),
        "small_augmentations": _small(area, blur),
    }
    for size, large, small, small_size, area, blur in (
        (32, 2, 0, 16, (0.1, 0.4), False),
        (64, 2, 0, 32, (0.08, 0.3), True),
        (96, 2, 0, 48, (0.05, 0.25), True),
        (224, 4, 2, 96, (0.05, 0.14), True),
    )
}
PRESET_SIZES: Final = tuple(_PRESETS)
"""Sides in pixels that `Views.preset` knows."""


class ViewBatches:
    """Batches of views of a source's images; made by `view_batches`.

    An epoch visits every image at most once, in an order of its own, and drops what does not fill a batch.
    """

    def __init__(
        self, source: Source, views: Views, batch_size: int, *, seed: int, label: str | None, masks: Masks | None
    ) -> None:
        self.source = source
        self.views = views
        self.batch_size = batch_size
        self.seed = seed
        self.label = label
        self.masks = masks
        self._labels = None if label is None else source.labels(label).astype(np.int32)

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the source."""
        return self.source.size // self.batch_size

    def halves(self) -> tuple["ViewBatches", "ViewBatches"]:
        """The same recipe on two disjoint halves of the images, drawn with the seed.

        Raises:
            ValueError: Half of the images do not fill a batch.
        """
        if self.source.size // 2 < self.batch_size:
            raise ValueError(
                f"half of the {self.source.size} images of {self.source.name} do not fill a batch of "
                f"{self.batch_size}: give a batch size up to {self.source.size // 2}, or more images."
            )
        order = shuffled(self.source.size, self.seed)
        one, other = (
            self._part(np.sort(rows), name) for rows, name in zip(np.array_split(order, 2), "ab", strict=True)
        )
        return one, other

    def _part(self, rows: np.ndarray, name: str) -> "ViewBatches":
        part = Subset(self.source, rows, f"{self.source.name}[half {name} of seed {self.seed}]")
        masks = None if self.masks is None else self.masks.take(rows)
        return ViewBatches(part, self.views, self.batch_size, seed=self.seed, label=self.label, masks=masks)

    def dataset(self, start_step: int = 0, *, cut: bool = True) -> tf.data.Dataset:
        """An endless dataset that begins with the batch of `start_step`.

        Args:
            start_step: Number of the first batch.
            cut: Whether the views are made here. If not, and the images are an array of one size, a batch holds what
                `finish` makes them of, on the device that learns.

        Returns:
            Dictionaries of `large` (B, L, S, S, 3) float32 in [0, 1], `small` (B, Σ, s, s, 3) where there are small
            crops, `index` (B,) int64, the rows of the source, and `label` (B,) int32 where a label set was named.
            Uncut, instead of views: `images` (B, H, W, 3) uint8, `draws` of `Views.draw`, and `masks` (B, H, W).
        """
        steps = tf.data.Dataset.counter(start_step, 1, dtype=tf.int64)
        images = self.source.array() if self.views.size <= BATCHED_UP_TO or not cut else None
        batches = self._one_by_one(steps) if images is None else self._whole(steps, images, cut)
        return untuned(batches.prefetch(2))

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch with its views: makes them if it came uncut, else it is the batch. Pure, and compiles under XLA."""
        if "images" not in batch:
            return batch
        kept = {name: value for name, value in batch.items() if name not in ("images", "draws", "masks")}
        return kept | self.views.apply(batch["images"], batch["draws"], batch.get("masks"))

    def _whole(self, steps: tf.data.Dataset, images: np.ndarray, cut: bool) -> tf.data.Dataset:
        """Whole batches at once, out of an array."""
        with tf.device("/CPU:0"):
            pixels = tf.constant(images)

        def batch(step: tf.Tensor) -> dict[str, Any]:
            rows = self._rows(step)
            uncut = {
                "index": rows,
                "images": tf.gather(pixels, rows),
                "draws": self.views.draw(self.batch_size, self.seed, step),
            }
            if self.masks is not None:
                uncut["masks"] = self.masks.read(rows, images.shape[1:3])
            return self._with_labels(self.finish(uncut) if cut else uncut)

        return steps.map(batch, num_parallel_calls=WORKERS, deterministic=True)

    def _one_by_one(self, steps: tf.data.Dataset) -> tf.data.Dataset:
        """Read and crop image by image, then colour in pieces: sizes may vary, and memory stays small."""
        piece = next(n for n in (PIECE, SLOTS, self.batch_size) if self.batch_size % n == 0)

        def draw(step: tf.Tensor) -> tuple[tf.Tensor, dict[str, Draws]]:
            return self._rows(step), self.views.draw(self.batch_size, self.seed, step)

        def cut(row: tf.Tensor, draws: dict[str, Draws]) -> tuple[tf.Tensor, dict[str, Draws], dict[str, Planes]]:
            image = self.source.read(row)
            mask = None if self.masks is None else self.masks.read(row[None], tf.shape(image)[:2])[0]
            return row, draws, self.views.cut_one(image, draws, mask)

        def colour(rows: tf.Tensor, draws: dict[str, Draws], crops: dict[str, Planes]) -> dict[str, tf.Tensor]:
            return self._with_labels(self.views.colour(crops, draws) | {"index": rows})

        images = steps.map(draw).unbatch().map(cut, num_parallel_calls=READERS, deterministic=True)
        pieces = images.batch(piece, drop_remainder=True).map(colour, WORKERS, deterministic=True)
        return pieces if piece == self.batch_size else pieces.unbatch().batch(self.batch_size, drop_remainder=True)

    def _rows(self, step: tf.Tensor) -> tf.Tensor:
        """The rows of one batch, int64 (B,): a slice of the epoch's permutation, found without making it."""
        epoch, step = step // self.steps_per_epoch, step % self.steps_per_epoch
        position = step * self.batch_size + tf.range(self.batch_size, dtype=tf.int64)
        seed = tf.stack([tf.constant(self.seed, tf.int64), epoch])
        last = tf.constant(self.source.size - 1, tf.int64)
        return tf.random.experimental.index_shuffle(position, seed, last)

    def _with_labels(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return batch if self._labels is None else batch | {"label": tf.gather(self._labels, batch["index"])}


def view_batches(
    source: str | os.PathLike[str] | np.ndarray | Source,
    views: Views,
    batch_size: int,
    *,
    seed: int = 0,
    label: str | None = None,
    masks: str | os.PathLike[str] | np.ndarray | Masks | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> ViewBatches:
    """Batches of augmented views of unlabelled images.

    Args:
        source: Anything `open_source` reads.
        views: The recipe.
        batch_size: B, the global one.
        seed: Of the order and of every augmentation.
        label: A label set to hand out beside the views, for learning with labels.
        masks: Foreground masks of the source, for `views.masked`: a folder that ``ssl-keras masks`` wrote, or an
            array (n, h, w), foreground where it is not 0, or such masks opened.
        data_dir: Where prepared TFDS sets are.

    Raises:
        ValueError: The source has too few images for one batch, no such label set, or other masks.
    """
    source = open_source(source, data_dir=data_dir)
    if source.size < 2:
        raise ValueError(f"{source.name} has {source.size} image; learning from views needs at least 2 images.")
    if not 1 <= batch_size <= source.size:
        raise ValueError(
            f"batch size {batch_size} with {source.name}, which has {source.size} images: "
            f"give a batch size from 1 to {source.size}."
        )
    if views.masked and masks is None:
        raise ValueError(f"views masked={views.masked:g} needs masks: name the folder that ssl-keras masks wrote.")
    found = open_masks(masks, source) if views.masked and masks is not None else None
    return ViewBatches(source, views, batch_size, seed=seed, label=label, masks=found)
