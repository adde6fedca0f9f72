"""Augmentation: draw all random numbers of a batch, then apply them as pure functions of pixels.

Two halves, kept apart on purpose:

* `draw` makes every random parameter of the whole *global* batch with stateless draws seeded by
  (seed, step, name of the draw), so a parameter depends on (seed, step, position) alone.
* everything else is deterministic given those parameters and knows no batch: run on the batch, on a slice of it or on
  one image, it gives the same pixels.

Colour works on `Planes`, the three channels as separate (..., height, width) tensors: an image's channel is then
contiguous and every elementwise op vectorises. Shapes are static and no op is outside XLA's reach.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Final

import tensorflow as tf

Planes = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
Draws = dict[str, tf.Tensor]

LUMA: Final = (0.2989, 0.587, 0.114)  # ITU-R 601, the weights of tf.image.rgb_to_grayscale
ATTEMPTS: Final = 10  # tries at a crop box that fits, then the largest centred one
NEVER: Final = 2.0  # a solarize threshold that no value in [0, 1] reaches
_BLENDS: Final = ("brightness", "contrast", "saturation")
_ORDERS: Final = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
_STREAMS: Final = (
    "area", "aspect", "corner", "flip", "jitter", "blend", "order", "hue", "place", "grayscale", "blur", "sigma",
    "solarize",
)  # fmt: skip
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
    augmentations: Sequence[Augmentation], batch_size: int, seed: tf.Tensor, step: tf.Tensor, kind: int = 0
) -> Draws:
    """All random parameters for V crops of each image of one global batch of B images.

    Args:
        augmentations: One per crop, V of them.
        batch_size: B, the global one.
        seed: Integer scalar.
        step: Integer scalar.
        kind: 0 for large crops, 1 for small ones; the draws differ.

    Returns:
        float32 unless said otherwise, leading shape (B, V): `area` (.., attempts); `aspect` (.., attempts), width /
        height; `corner` (.., 2), vertical and horizontal in [0, 1); `flip` 0 or 1; `factor`, `to_mean`, `to_gray`
        (.., 3), the blends in the order in which they act; `hue` in turns; `slot` int32 in 0..3, the number of
        blends before hue; `place` int32, see `jitter`; `grayscale` 0 or 1; `sigma` in pixels, 0 for no blur;
        `threshold`, `NEVER` for no solarize.
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
    }


def _draw_jitter(dice: _Dice) -> Draws:
    """The colour jitter's part of `draw`; a crop that is not chosen gets factors of 1 and a hue of 0.

    NOTE: the order of the four ops is uniform over all 24 for every crop, but not independent between crops: which of
    the four slots hue takes is dealt out over the batch like cards, a quarter of the crops each, because hue costs as
    much as the three blends together and dealing lets `jitter` compute it once instead of four times.
    """
    augmentations, chosen = dice.augmentations, dice.chosen("jitter")
    strength = tf.constant([[getattr(a, name) for name in _BLENDS] for a in augmentations], tf.float32)
    change = (2 * dice.uniform("blend", 3) - 1) * strength * chosen[..., None]
    ops = tf.gather(tf.constant(_ORDERS), tf.cast(dice.uniform("order") * len(_ORDERS), tf.int32))
    change = tf.gather(change, ops, batch_dims=2)
    turns = (2 * dice.uniform("hue") - 1) * tf.constant([a.hue for a in augmentations], tf.float32)
    samples = dice.shape[0] * dice.shape[1]
    room = -(-samples // 4)
    place = tf.reshape(tf.argsort(dice.raw("place", (4 * room,)))[:samples], dice.shape)
    return {
        "factor": 1 + change,
        "to_mean": -change * tf.cast(ops == _BLENDS.index("contrast"), tf.float32),
        "to_gray": -change * tf.cast(ops == _BLENDS.index("saturation"), tf.float32),
        "hue": turns * chosen,
        "slot": place // room,
        "place": place,
    }


# ---------------------------------------------------------------------------------------------------- cropping


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


def interpolation(start: tf.Tensor, length: tf.Tensor, flip: tf.Tensor, size_in: int, size_out: int) -> tf.Tensor:
    """Weights that resample one axis: bicubic (Keys, a = -0.5), half-pixel centres, antialiased when shrinking.

    The same numbers as `tf.raw_ops.ScaleAndTranslate(kernel_type="keyscubic")`: taps outside the image are left out
    and the others renormalised.

    Args:
        start: (..), first edge of the crop in pixels.
        length: (..), extent of the crop in pixels.
        flip: (..), 1 reads the crop backwards, 0 does not.
        size_in: Pixels of the image along the axis.
        size_out: Pixels of the crop along the axis.

    Returns:
        (.., size_out, size_in) float32, each row with sum 1.
    """
    step = length / size_out
    offset = tf.range(size_out, dtype=tf.float32) + 0.5
    offset = offset + flip[..., None] * (size_out - 2 * offset)
    centre = start[..., None] + offset * step[..., None]
    distance = tf.abs(centre[..., None] - 0.5 - tf.range(size_in, dtype=tf.float32))
    d = distance / tf.maximum(step, 1.0)[..., None, None]
    near = (1.5 * d - 2.5) * d * d + 1.0
    far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    weights = tf.where(d < 1.0, near, tf.where(d < 2.0, far, 0.0))
    return weights / tf.reduce_sum(weights, axis=-1, keepdims=True)


def crop(images: tf.Tensor, draws: Draws, size: int) -> Planes:
    """V random resized crops of each image, flipped where drawn, as two matrix products.

    Args:
        images: (B, H, W, 3), uint8 or float in [0, 1].
        draws: `area`, `aspect`, `corner`, `flip` of `draw`.
        size: S, the side of the crops.

    Returns:
        Three (B, V, S, S) planes in [0, 1].
    """
    batch, height, width, _ = images.shape
    views = draws["flip"].shape[1]
    start, length = boxes(draws, height, width)
    unit = 1 / 255 if images.dtype == tf.uint8 else 1.0
    rows = unit * interpolation(start[..., 0], length[..., 0], tf.zeros_like(draws["flip"]), height, size)
    columns = interpolation(start[..., 1], length[..., 1], draws["flip"], width, size)
    lines = tf.reshape(tf.cast(tf.transpose(images, (0, 1, 3, 2)), tf.float32), (batch, height, 3 * width))
    cut = tf.matmul(tf.reshape(rows, (batch, views * size, height)), lines)
    cut = tf.matmul(tf.reshape(cut, (batch, views, size * 3, width)), columns, transpose_b=True)
    cut = tf.clip_by_value(tf.reshape(cut, (batch, views, size, 3, size)), 0.0, 1.0)
    return cut[..., 0, :], cut[..., 1, :], cut[..., 2, :]


# ---------------------------------------------------------------------------------------------------- colour


def luma(planes: Planes) -> tf.Tensor:
    """The grey value of every pixel, the weights of `tf.image.rgb_to_grayscale`."""
    red, green, blue = planes
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def blend(planes: Planes, factor: tf.Tensor, to_mean: tf.Tensor, to_gray: tf.Tensor) -> Planes:
    """Brightness, contrast and saturation in one form: clip(factor·x + to_mean·mean(x) + to_gray·grey(x)).

    Args:
        planes: Each (.., S, S).
        factor: (..).
        to_mean: (..), 1 - factor for contrast, else 0.
        to_gray: (..), 1 - factor for saturation, else 0.
    """
    factor, to_mean, to_gray = (value[..., None, None] for value in (factor, to_mean, to_gray))
    gray = to_gray * luma(planes)
    red, green, blue = (
        tf.clip_by_value(factor * x + to_mean * tf.reduce_mean(x, axis=(-2, -1), keepdims=True) + gray, 0.0, 1.0)
        for x in planes
    )
    return red, green, blue


def shift_hue(planes: Planes, turns: tf.Tensor) -> Planes:
    """Turns the colour circle, as `tf.image.adjust_hue`; `turns` (..) in [-1, 1], planes (.., S, S)."""
    red, green, blue = planes
    high = tf.maximum(tf.maximum(red, green), blue)
    low = tf.minimum(tf.minimum(red, green), blue)
    chroma = high - low
    is_red, is_green = high == red, high == green
    difference = tf.where(is_red, green - blue, tf.where(is_green, blue - red, red - green))
    sextant = tf.where(is_red, 0.0, tf.where(is_green, 2.0, 4.0))
    angle = difference / tf.where(chroma > 0.0, chroma, 1.0) + sextant + 6.0 * turns[..., None, None]
    angle = angle - 6.0 * tf.floor(angle / 6.0)
    shares = (tf.abs(angle - 3.0) - 1.0, 2.0 - tf.abs(angle - 2.0), 2.0 - tf.abs(angle - 4.0))
    red, green, blue = (low + chroma * tf.clip_by_value(share, 0.0, 1.0) for share in shares)
    return red, green, blue


def jitter(planes: Planes, draws: Draws) -> Planes:
    """Brightness, contrast, saturation and hue, each sample in its own order.

    `place` seats the N crops on 4·ceil(N/4) chairs; the chair's quarter is the slot of hue. Moving the crops to their
    chairs and back costs two copies and saves three of four hue computations.

    Args:
        planes: Each (B, V, S, S).
        draws: `factor`, `to_mean`, `to_gray`, `hue`, `place` of `draw`, for this whole batch.
    """
    shape = planes[0].shape
    samples = shape[0] * shape[1]
    room = -(-samples // 4)
    place = tf.reshape(draws["place"], [-1])
    seated = tf.scatter_nd(place[:, None], tf.range(samples), (4 * room,))
    stacked = tf.gather(tf.reshape(tf.stack(planes, axis=2), (samples, 3, *shape[2:])), seated)
    names = ("factor", "to_mean", "to_gray", "hue")
    drawn = {k: tf.gather(tf.reshape(draws[k], (samples, *draws[k].shape[2:])), seated) for k in names}
    done = []
    for slot in range(4):
        rows = slice(slot * room, (slot + 1) * room)
        part = {k: v[rows] for k, v in drawn.items()}
        done.append(
            tf.stack(_jitter_in_order((stacked[rows, 0], stacked[rows, 1], stacked[rows, 2]), part, slot), axis=1)
        )
    result = tf.reshape(tf.gather(tf.concat(done, axis=0), place), (*shape[:2], 3, *shape[2:]))
    return result[:, :, 0], result[:, :, 1], result[:, :, 2]


def _jitter_in_order(planes: Planes, draws: Draws, slot: int) -> Planes:
    """The three blends as drawn, with hue after `slot` of them; planes (N, S, S)."""
    for i in range(4):
        if i == slot:
            planes = shift_hue(planes, draws["hue"])
        if i < 3:
            planes = blend(planes, draws["factor"][:, i], draws["to_mean"][:, i], draws["to_gray"][:, i])
    return planes


def drop_colour(planes: Planes, amount: tf.Tensor) -> Planes:
    """Grey where `amount` (..) is 1, unchanged where it is 0."""
    gray, amount = luma(planes), amount[..., None, None]
    red, green, blue = (x + amount * (gray - x) for x in planes)
    return red, green, blue


def gaussian(sigma: tf.Tensor, size: int, width: int) -> tf.Tensor:
    """Weights that blur one axis: (.., size, size), each row with sum 1; the identity where sigma is 0.

    NOTE: taps outside the image are left out and the others renormalised; padding with zeros, as BYOL does, would
    darken the border.

    Args:
        sigma: (..), standard deviation in pixels.
        size: Pixels along the axis.
        width: Taps of the kernel, odd.
    """
    position = tf.range(size, dtype=tf.float32)
    distance = tf.abs(position[:, None] - position)
    spread = tf.maximum(sigma, 1e-3)[..., None, None]
    weights = tf.where(distance <= width // 2, tf.exp(-0.5 * tf.square(distance / spread)), 0.0)
    return weights / tf.reduce_sum(weights, axis=-1, keepdims=True)


def blur(planes: Planes, sigma: tf.Tensor, width: int) -> Planes:
    """Gaussian blur of (.., S, S) planes with `sigma` (..) in pixels, 0 for none; `width` taps, odd."""
    weights = gaussian(sigma, planes[0].shape[-1], width)
    red, green, blue = (tf.matmul(weights, tf.matmul(x, weights, transpose_b=True)) for x in planes)
    return red, green, blue


def solarize(planes: Planes, threshold: tf.Tensor) -> Planes:
    """Inverts the values from `threshold` (..) up."""
    threshold = threshold[..., None, None]
    red, green, blue = (tf.where(x >= threshold, 1.0 - x, x) for x in planes)
    return red, green, blue


def apply(images: tf.Tensor, draws: Draws, augmentations: Sequence[Augmentation], size: int) -> tf.Tensor:
    """V augmented crops of each image: pure, and the same for any number of images at once.

    Ops that no crop asks for are left out of the computation.

    Args:
        images: (B, H, W, 3), uint8 or float in [0, 1].
        draws: Of `draw`.
        augmentations: The V that `draws` were made with.
        size: S.

    Returns:
        (B, V, S, S, 3) float32 in [0, 1].
    """
    planes = crop(images, draws, size)
    if any(a.jitter and (a.brightness or a.contrast or a.saturation or a.hue) for a in augmentations):
        planes = jitter(planes, draws)
    if any(a.grayscale for a in augmentations):
        planes = drop_colour(planes, draws["grayscale"])
    if any(a.blur for a in augmentations):
        planes = blur(planes, draws["sigma"], 2 * round(size * augmentations[0].kernel / 2) + 1)
    if any(a.solarize for a in augmentations):
        planes = solarize(planes, draws["threshold"])
    return tf.stack(planes, axis=-1)
