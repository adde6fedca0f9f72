"""Augmentation: draw all random numbers of a batch, then apply them as pure functions of pixels.

Two halves, kept apart on purpose:

* `draw` makes every random parameter of the whole *global* batch with stateless draws seeded by
  (seed, step, name of the draw), so a parameter depends on (seed, step, position) alone.
* `apply` is a pure function of images and those parameters; for images of many sizes it comes in two halves, `cut_one`
  on each image and `colour` on the batch.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Final

import tensorflow as tf

from ssl_keras.data import pixels
from ssl_keras.data.pixels import Planes

Draws = dict[str, tf.Tensor]

ATTEMPTS: Final = 10  # tries at a crop box that fits, then the largest centred one
NEVER: Final = 2.0  # a solarize threshold that no value in [0, 1] reaches
SLOTS: Final = 4  # places that hue can take among the three blends
_BLENDS: Final = ("brightness", "contrast", "saturation")
_ORDERS: Final = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
_STREAMS: Final = (
    "area", "aspect", "corner", "flip", "jitter", "blend", "order", "hue", "slot", "grayscale", "blur", "sigma",
    "solarize", "masked",
)  # fmt: skip
_CROP: Final = ("area", "aspect", "corner", "flip")
_COLOUR: Final = ("factor", "to_mean", "to_gray", "hue", "grayscale", "sigma", "threshold")
_STREAM_ROOM: Final = 32  # draws that one step may name for one kind of crop


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What happens to one crop, in this order (ReLICv2, section "Augmentation"; BYOL, appendix B).

    Crop, flip, colour jitter, grayscale, Gaussian blur, solarize. Normalisation is the encoder's first layer.

    Attributes:
        area: Range of the crop's share of the image's area, in (0, 1].
        aspect: Range of width / height of the crop, drawn log-uniformly.
        flip: Probability of a left-right flip.
        jitter: Probability of the colour jitter as a whole.
        brightness: Factor from U(1 - b, 1 + b) on all values. NOTE: a factor, as SimCLR v2; BYOL adds an offset.
        contrast: Factor from U(1 - c, 1 + c) on the distance from each channel's mean (`tf.image.adjust_contrast`).
        saturation: Factor from U(1 - s, 1 + s) on the distance from the grey image. NOTE: a blend with grey, as
            torchvision has it; `tf.image.adjust_saturation` scales the S of HSV.
        hue: Shift in turns from U(-h, h) (`tf.image.adjust_hue`).
        grayscale: Probability of dropping all colour.
        blur: Probability of a Gaussian blur.
        sigma: Range of the blur's standard deviation, in pixels.
        kernel: Width of the blur's kernel as a share of the crop's side.
        solarize: Probability of inverting the values from `threshold` up.
        threshold: Where solarize begins, in [0, 1].
    """

    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    grayscale: float = 0.2
    blur: float = 0.0
    sigma: tuple[float, float] = (0.1, 2.0)
    kernel: float = 0.1
    solarize: float = 0.0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        for name in ("area", "aspect", "sigma"):
            low, high = (float(bound) for bound in getattr(self, name))
            object.__setattr__(self, name, (low, high))
            if not 0 < low <= high or (name == "area" and high > 1):
                raise ValueError(
                    f"augmentation {name}=({low:g}, {high:g}): give (low, high) with 0 < low <= high"
                    + (" <= 1, a share of the image's area." if name == "area" else ".")
                )
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, tuple) and not 0 <= value <= 1:
                raise ValueError(f"augmentation {field.name}={value:g}: give a number in [0, 1].")
        if self.hue > 0.5:
            raise ValueError(f"augmentation hue={self.hue:g}: give at most 0.5, half a turn of the colour circle.")


# ---------------------------------------------------------------------------------------------------- drawing


class _Dice:
    """Uniform numbers for (B, V) crops; every name is a stream of its own."""

    def __init__(self, augmentations: Sequence[Augmentation], batch: int, key: tuple[tf.Tensor, tf.Tensor, int]):
        self.augmentations = augmentations
        self.shape = (batch, len(augmentations))
        self.key = key

    def raw(self, name: str, shape: Sequence[int]) -> tf.Tensor:
        seed, step, kind = self.key
        stream = tf.cast(step, tf.int64) * (2 * _STREAM_ROOM) + kind * _STREAM_ROOM + _STREAMS.index(name)
        return tf.random.stateless_uniform(shape, tf.stack([tf.cast(seed, tf.int64), stream]), alg="philox")

    def uniform(self, name: str, *inner: int) -> tf.Tensor:
        return self.raw(name, (*self.shape, *inner))

    def between(self, name: str, bounds: list[tuple[float, float]], *inner: int) -> tf.Tensor:
        low, width = (
            tf.reshape(tf.constant(values, tf.float32), (-1, *(1 for _ in inner)))
            for values in ([a for a, _ in bounds], [b - a for a, b in bounds])
        )
        return low + width * self.uniform(name, *inner)

    def chosen(self, name: str) -> tf.Tensor:
        """1 with each crop's probability of that name, else 0."""
        return tf.cast(self.uniform(name) < [getattr(a, name) for a in self.augmentations], tf.float32)


def draw(
    augmentations: Sequence[Augmentation],
    batch_size: int,
    seed: tf.Tensor,
    step: tf.Tensor,
    kind: int = 0,
    masked: float = 0.0,
) -> Draws:
    """All random parameters for V crops of each image of one global batch of B images.

    NOTE: XLA orders the numbers of Philox otherwise; drawn inside a compiled program they are other ones, just as
    reproducible. To go on from a run with the same pixels, draw where that run drew (`ViewBatches`: outside of XLA).

    Args:
        augmentations: One per crop, V of them.
        batch_size: B, the global one.
        seed: Integer scalar.
        step: Integer scalar.
        kind: 0 for large crops, 1 for small ones; the draws differ.
        masked: Probability that a crop is cut from the image without its background.

    Returns:
        float32 unless said otherwise, leading shape (B, V): `area` (.., attempts); `aspect` (.., attempts), width /
        height; `corner` (.., 2), vertical and horizontal in [0, 1); `flip` 0 or 1; `factor`, `to_mean`, `to_gray`
        (.., 3), the blends in the order in which they act; `hue` in turns; `slot` int32 in 0..3, the number of
        blends before hue; `grayscale` 0 or 1; `sigma` in pixels, 0 for no blur; `threshold`, `NEVER` for no solarize;
        and, unless its probability is 0, `masked` 0 or 1.
    """
    dice = _Dice(augmentations, batch_size, (seed, step, kind))
    thresholds = tf.constant([a.threshold for a in augmentations], tf.float32)
    log_aspect = [(math.log(a.aspect[0]), math.log(a.aspect[1])) for a in augmentations]
    return {
        "area": dice.between("area", [a.area for a in augmentations], ATTEMPTS),
        "aspect": tf.exp(dice.between("aspect", log_aspect, ATTEMPTS)),
        "corner": dice.uniform("corner", 2),
        "flip": dice.chosen("flip"),
        **_draw_jitter(dice),
        "grayscale": dice.chosen("grayscale"),
        "sigma": dice.chosen("blur") * dice.between("sigma", [a.sigma for a in augmentations]),
        "threshold": tf.where(dice.chosen("solarize") > 0, thresholds, NEVER),
        **({"masked": tf.cast(dice.uniform("masked") < masked, tf.float32)} if masked else {}),
    }


def _draw_jitter(dice: _Dice) -> Draws:
    """The colour jitter's part of `draw`; a crop that is not chosen gets factors of 1 and a hue of 0.

    NOTE: the order of the four ops is uniform over all 24 for every crop, but not independent between crops: which of
    the four slots hue takes is dealt out like cards, one to each of four consecutive images, because hue costs as much
    as two blends and dealing lets `colour` compute it once instead of four times.
    """
    augmentations, chosen = dice.augmentations, dice.chosen("jitter")
    strength = tf.constant([[getattr(a, name) for name in _BLENDS] for a in augmentations], tf.float32)
    change = (2 * dice.uniform("blend", 3) - 1) * strength * chosen[..., None]
    ops = tf.gather(tf.constant(_ORDERS), tf.cast(dice.uniform("order") * len(_ORDERS), tf.int32))
    change = tf.gather(change, ops, batch_dims=2)
    turns = (2 * dice.uniform("hue") - 1) * tf.constant([a.hue for a in augmentations], tf.float32)
    batch, views = dice.shape
    hands = tf.argsort(dice.raw("slot", (-(-batch // SLOTS), views, SLOTS)), axis=-1)
    slot = tf.reshape(tf.transpose(hands, (0, 2, 1)), (-1, views))[:batch]
    return {
        "factor": 1 + change,
        "to_mean": -change * tf.cast(ops == _BLENDS.index("contrast"), tf.float32),
        "to_gray": -change * tf.cast(ops == _BLENDS.index("saturation"), tf.float32),
        "hue": turns * chosen,
        "slot": slot,
    }


def boxes(draws: Draws, height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Crop boxes of random resized crop in an image of that size.

    The first of the attempts that fits into the image, else the largest centred box of the last attempt's aspect.
    NOTE: boxes have real-valued edges; cutting at whole pixels would coarsen the choice at 32 px.

    Args:
        draws: `area`, `aspect`, `corner` of `draw`, leading shape (..).
        height: Scalar, pixels.
        width: Scalar, pixels.

    Returns:
        `start` and `length`, both (.., 2) float32, vertical and horizontal, in pixels.
    """
    full = tf.stack([tf.cast(height, tf.float32), tf.cast(width, tf.float32)])
    area = draws["area"] * full[0] * full[1]
    tries = tf.stack([tf.sqrt(area / draws["aspect"]), tf.sqrt(area * draws["aspect"])], axis=-1)
    fits = tf.reduce_all(tries <= full, axis=-1)
    first = tf.one_hot(tf.argmax(fits, axis=-1), ATTEMPTS)
    found = tf.reduce_sum(tries * first[..., None], axis=-2)
    last = tries[..., -1, :]
    largest = last * tf.reduce_min(full / last, axis=-1, keepdims=True)
    any_fits = tf.reduce_any(fits, axis=-1)[..., None]
    length = tf.where(any_fits, found, largest)
    return tf.where(any_fits, draws["corner"], 0.5) * (full - length), length


# ---------------------------------------------------------------------------------------------------- applying


def apply(
    images: tf.Tensor,
    draws: Draws,
    augmentations: Sequence[Augmentation],
    size: int,
    masks: tf.Tensor | None = None,
) -> tf.Tensor:
    """V augmented crops of each image; ops that no crop asks for are left out.

    The pixels of an image do not depend on its company: a part of a batch gives that part of the result, if it begins
    at a multiple of four images or is one image.

    Args:
        images: (B, H, W, 3), uint8 or float in [0, 1].
        draws: Of `draw`, for these images.
        augmentations: The V that `draws` were made with.
        size: S.
        masks: Foreground (B, H, W), float in [0, 1]; needed where `draws` hold `masked`.

    Returns:
        (B, V, S, S, 3) float32 in [0, 1].
    """
    cropping = {name: draws[name] for name in _CROP}
    if "masked" in draws:
        planes = _cut_masked(images, masks, cropping, draws["masked"], size)
    else:
        planes = _cut(images, cropping, size)
    return colour(planes, draws, augmentations)


@pixels.compiled
def _cut(images: tf.Tensor, draws: Draws, size: int) -> Planes:
    """The crops of images of one size: three (B, V, S, S) planes."""
    start, length = boxes(draws, *images.shape[1:3])
    return pixels.crop(images, start, length, draws["flip"], size)


@pixels.compiled
def _cut_masked(images: tf.Tensor, masks: tf.Tensor, draws: Draws, masked: tf.Tensor, size: int) -> Planes:
    """As `_cut`, with each crop an image of its own, because some have no background."""
    start, length = boxes(draws, *images.shape[1:3])
    grounds = pixels.hide_background(images[:, None], masks[:, None], masked[..., None, None])
    batch, views = masked.shape

    def alone(value: tf.Tensor) -> tf.Tensor:
        return tf.reshape(value, (batch * views, 1, *value.shape[2:]))

    cut = pixels.crop(alone(grounds)[:, 0], alone(start), alone(length), alone(draws["flip"]), size)
    red, green, blue = (tf.reshape(plane, (batch, views, size, size)) for plane in cut)
    return red, green, blue


def cut_one(image: tf.Tensor, draws: Draws, size: int, mask: tf.Tensor | None = None) -> Planes:
    """The crops of one image (H, W, 3) of any size with its own row of the draws: three (V, S, S) planes.

    Where the draws hold `masked` it needs the image's `mask` (H, W), float in [0, 1].
    """
    shape = tf.shape(image)
    start, length = boxes(draws, shape[0], shape[1])
    if "masked" not in draws:
        return pixels.crop_one(image, start, length, draws["flip"], size)

    def cut(view: int) -> Planes:
        first, extent, flip = (value[view : view + 1] for value in (start, length, draws["flip"]))
        return tf.cond(
            draws["masked"][view] > 0,
            lambda: pixels.crop_one(pixels.hide_background(image, mask, tf.constant(1.0)), first, extent, flip, size),
            lambda: pixels.crop_one(image, first, extent, flip, size),
        )

    red, green, blue = (tf.concat(planes, axis=0) for planes in zip(*map(cut, range(start.shape[0])), strict=True))
    return red, green, blue


def colour(planes: Planes, draws: Draws, augmentations: Sequence[Augmentation]) -> tf.Tensor:
    """All that follows the crop.

    Crops are sorted by the slot of hue, a quarter of them to each: two copies, there and back, save three of four hue
    computations.

    Args:
        planes: Each (B, V, S, S).
        draws: Of `draw`, for these images.
        augmentations: The V that `draws` were made with.

    Returns:
        (B, V, S, S, 3) float32 in [0, 1].
    """
    batch, views, *sides = planes[0].shape
    samples, hands = batch * views, -(-batch // SLOTS)
    room = hands * views
    # Each hand of four images holds every slot once, so (slot, hand, view) is a seat of one's own.
    hand = tf.range(batch)[:, None] // SLOTS
    seat = tf.reshape((draws["slot"] * hands + hand) * views + tf.range(views), (samples,))
    seated = tf.scatter_nd(seat[:, None], tf.range(samples), (SLOTS * room,))

    def sort(value: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.reshape(value, (samples, *value.shape[2:])), seated)

    red, green, blue = (sort(plane) for plane in planes)
    drawn = {name: sort(draws[name]) for name in _COLOUR}
    done = []
    for slot in range(SLOTS):
        rows = slice(slot * room, (slot + 1) * room)
        part = {name: value[rows] for name, value in drawn.items()}
        done.append(_in_order((red[rows], green[rows], blue[rows]), part, slot, augmentations))
    red, green, blue = (tf.concat(plane, axis=0) for plane in zip(*done, strict=True))
    finished = _finish((red, green, blue), _effects(drawn, augmentations), augmentations[0].kernel)
    return tf.reshape(tf.gather(finished, seat), (batch, views, *sides, 3))


def _in_order(planes: Planes, draws: Draws, slot: int, augmentations: Sequence[Augmentation]) -> Planes:
    """The colour jitter: three blends as drawn, with hue after `slot` of them; planes (N, S, S)."""
    blends = any(a.jitter and (a.brightness or a.contrast or a.saturation) for a in augmentations)
    hue = any(a.jitter and a.hue for a in augmentations)
    for i in range(SLOTS):
        if i == slot and hue:
            planes = pixels.shift_hue(planes, draws["hue"])
        if i < len(_BLENDS) and blends:
            planes = pixels.blend(planes, draws["factor"][:, i], draws["to_mean"][:, i], draws["to_gray"][:, i])
    return planes


def _effects(draws: Draws, augmentation: Sequence[Augmentation]) -> Draws:
    """The draws of what follows the jitter, without those that no crop asks for."""
    wanted = {"grayscale": "grayscale", "sigma": "blur", "threshold": "solarize"}
    return {key: draws[key] for key, name in wanted.items() if any(getattr(a, name) for a in augmentation)}


@pixels.compiled
def _finish(planes: Planes, effects: Draws, kernel: float) -> tf.Tensor:
    """Those of grayscale, blur and solarize that `effects` holds; planes (N, S, S) to (N, S, S, 3)."""
    if "grayscale" in effects:
        planes = pixels.drop_colour(planes, effects["grayscale"])
    if "sigma" in effects:
        planes = pixels.blur(planes, effects["sigma"], 2 * round(planes[0].shape[-1] * kernel / 2) + 1)
    if "threshold" in effects:
        planes = pixels.solarize(planes, effects["threshold"])
    return tf.stack(planes, axis=-1)
