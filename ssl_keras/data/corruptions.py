"""Fifteen common corruptions of images at five severities: what a camera, the weather and storage do to a picture.

Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", 2019
(arXiv 1903.12261), section 4.1: four groups, noise, blur, weather and digital.

NOTE: written from the paper's descriptions, so that figures compare with each other, not with published ones:

* strengths follow what was published for images of 32 and of 224 pixels and lie between for sizes between; where a
  corruption has other parameters here than there, they are our choice, by eye at the same two sizes;
* frost is drawn, because the photographs of frost that the paper lays over images may not be passed on;
* each image has random numbers of its own, whichever images it arrives with.
"""

import functools
import io
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage, signal

Floats = npt.NDArray[np.float32]
Five = tuple[float, float, float, float, float]
Dice = Sequence[np.random.Generator]
Corruption = Callable[[Floats, int, Dice], Floats]

SEVERITIES = (1, 2, 3, 4, 5)
SIZES = (32, 224)
"""Sides in pixels for which strengths are given."""
ICE = np.array([0.86, 0.94, 1.0], np.float32)
"""Colour of frost."""
AIRLIGHT = 0.9
"""Brightness of fog so thick that nothing is seen through it."""
FROST_LEAVES = 12
_CHUNK = 32  # images corrupted at once, so that they stay in the cache

_table: dict[str, Corruption] = {}
CORRUPTIONS: Mapping[str, Corruption] = _table
"""By name: (images float32 (n, h, w, 3) in [0, 1], severity in 1..5, one generator per image) to images alike."""


def corrupt(
    images: Floats, name: str, severity: int, seed: int = 0, positions: npt.NDArray[np.integer] | None = None
) -> Floats:
    """Images as they arrive after one corruption.

    What is random about an image depends on seed, name, severity and the image's position alone.

    Args:
        images: (n, h, w, 3), float in [0, 1].
        name: of the corruption, one of `CORRUPTIONS`.
        severity: 1 (mild) to 5.
        seed: not negative.
        positions: of the images in their set, (n,), not negative; by default 0 to n - 1.

    Returns:
        (n, h, w, 3), float32 in [0, 1].

    Raises:
        ValueError: there is no such corruption or severity, or the positions are not one per image.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"there is no corruption '{name}': choose among {', '.join(CORRUPTIONS)}.")
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity} of {name}: give 1 (mild) to 5.")
    positions = np.arange(len(images)) if positions is None else np.asarray(positions)
    if positions.shape != (len(images),):
        raise ValueError(f"positions of shape {positions.shape} for {len(images)} images: give one per image.")
    stream = zlib.crc32(name.encode())
    done = np.empty(images.shape, np.float32)
    for start in range(0, len(images), _CHUNK):
        some = slice(start, start + _CHUNK)
        dice = [np.random.default_rng((seed, stream, severity, int(position))) for position in positions[some]]
        done[some] = CORRUPTIONS[name](images[some].astype(np.float32, copy=False), severity, dice)
    return done


def _listed(corruption: Corruption) -> Corruption:
    """Enters a corruption into the table by its name, its result clipped to [0, 1]."""

    @functools.wraps(corruption)
    def clipped(images: Floats, severity: int, dice: Dice) -> Floats:
        return np.clip(corruption(images, severity, dice), 0, 1).astype(np.float32, copy=False)

    _table[corruption.__name__] = clipped
    return clipped


def strength(severity: int, side: int, small: Five, large: Five) -> float:
    """A parameter at one severity: as given for images of `SIZES`, between them linear in the logarithms."""
    share = np.clip(np.log(side / SIZES[0]) / np.log(SIZES[1] / SIZES[0]), 0, 1)
    return float(small[severity - 1] ** (1 - share) * large[severity - 1] ** share)


# ---------------------------------------------------------------------------------------------------- noise


@_listed
def gaussian_noise(images: Floats, severity: int, dice: Dice) -> Floats:
    """Of low light: normal, its standard deviation in units of the range of values."""
    deviation = strength(severity, _side(images), (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38))
    return images + np.float32(deviation) * _normal(dice, images.shape[1:])


@_listed
def shot_noise(images: Floats, severity: int, dice: Dice) -> Floats:
    """Of light that arrives as photons: so many of them where an image is 1."""
    photons = strength(severity, _side(images), (500, 250, 100, 75, 50), (60, 25, 12, 5, 3))
    arrived = [d.poisson(photons * image) for d, image in zip(dice, images, strict=True)]
    return np.array(arrived, np.float32) / np.float32(photons)


@_listed
def impulse_noise(images: Floats, severity: int, dice: Dice) -> Floats:
    """Of broken bits: a share of the values becomes 0 or 1."""
    share = strength(severity, _side(images), (0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27))
    drawn = _uniform(dice, images.shape[1:])
    return np.where(drawn < share, drawn < share / 2, images)


# ---------------------------------------------------------------------------------------------------- blur


@_listed
def defocus_blur(images: Floats, severity: int, dice: Dice) -> Floats:
    """Of a lens out of focus: every point becomes a disc, its radius in pixels."""
    radius = strength(severity, _side(images), (0.55, 0.65, 0.75, 1.1, 1.5), (3, 4, 6, 8, 10))
    down, across = _offsets(radius + 0.5)
    disc = np.clip(radius + 0.5 - np.hypot(down, across), 0, 1)[None]
    return _convolved(images, disc / disc.sum())


@_listed
def glass_blur(images: Floats, severity: int, dice: Dice) -> Floats:
    """Of frosted glass: pixels are seen in places nearby, so many pixels away at most; softened before and after.

    NOTE: the paper swaps neighbours one after another; here every pixel looks up another one at once.
    """
    side = _side(images)
    softness = strength(severity, side, (0.2, 0.25, 0.3, 0.35, 0.4), (0.6, 0.8, 1.0, 1.2, 1.5))
    reach = strength(severity, side, (0.6, 0.7, 0.9, 1.1, 1.4), (1.2, 2, 3, 4, 5))
    blurred = ndimage.gaussian_filter(images, (0, softness, softness, 0))
    moved = np.rint(np.float32(reach) * (2 * _uniform(dice, (*images.shape[1:3], 2)) - 1))
    return ndimage.gaussian_filter(_displaced(blurred, moved), (0, softness, softness, 0))


@_listed
def motion_blur(images: Floats, severity: int, dice: Dice) -> Floats:
    """Of a camera that moves: along a line in any direction, its length in pixels, at constant speed."""
    length = strength(severity, _side(images), (1, 2, 3, 3.8, 4.6), (5, 9, 12, 15, 19))
    lines = _lines(length, 1, np.pi * _uniform(dice, ()))
    return _convolved(images, lines / lines.sum((1, 2), keepdims=True))


@_listed
def zoom_blur(images: Floats, severity: int, dice: Dice) -> Floats:
    """Of a camera that nears its object: the mean of views up to an enlargement, which is as strong at any size."""
    largest = (1.06, 1.11, 1.16, 1.21, 1.26)[severity - 1]
    # Steps of at most two pixels at the border.
    factors = np.linspace(1, largest, 2 + int(_side(images) / 4 * (largest - 1)))
    return np.mean([_zoomed(images, factor) for factor in factors], axis=0)


# ---------------------------------------------------------------------------------------------------- weather


@_listed
def snow(images: Floats, severity: int, dice: Dice) -> Floats:
    """Flakes that fall aslant, and a scene that pales behind them."""
    covered = (0.1, 0.16, 0.22, 0.28, 0.34)[severity - 1]
    pale = np.float32((0.1, 0.2, 0.3, 0.35, 0.45)[severity - 1])
    width = max(1.0, _side(images) / 56)
    streaks = _lines(2 * width, width, np.pi * (0.25 + 0.5 * _uniform(dice, ())))
    clear = 1 - covered / (4 * width**2)  # share of the pixels in which no flake has its middle
    drawn = _uniform(dice, images.shape[1:3])[..., None]
    flakes = np.where(drawn > clear, 0.3 + 0.7 * (drawn - clear) / (1 - clear), 0)
    scene = images + pale * (0.5 + 0.5 * images.mean(axis=-1, keepdims=True) - images)
    return 1 - (1 - scene) * (1 - np.clip(_convolved(flakes, streaks), 0, 1))


@_listed
def frost(images: Floats, severity: int, dice: Dice) -> Floats:
    """Ice on the pane: a rime with leaves of crystal that grow from the border."""
    opacity = (0.3, 0.45, 0.55, 0.65, 0.75)[severity - 1]
    rime = _clouds(dice, images.shape[1:3], 1.2)
    clear = 1 - 0.7 * rime
    for _ in range(FROST_LEAVES):
        clear *= 1 - 0.8 * _leaf(dice, images.shape[1:3])
    cover = np.float32(opacity) * (1 - clear)[..., None]
    return images + cover * (ICE - images)


@_listed
def fog(images: Floats, severity: int, dice: Dice) -> Floats:
    """Light is lost on its way and replaced by that of the fog: Koschmieder's law with a depth that drifts."""
    thickness = strength(severity, _side(images), (0.2, 0.4, 0.55, 0.7, 0.9), (0.9, 1.1, 1.25, 1.4, 1.6))
    seen = np.exp(-np.float32(2 * thickness) * _clouds(dice, images.shape[1:3], 1.7))[..., None]
    return AIRLIGHT + seen * (images - AIRLIGHT)


@_listed
def brightness(images: Floats, severity: int, dice: Dice) -> Floats:
    """Daylight: so much is added to the V of HSV; hue and saturation stay."""
    added = strength(severity, _side(images), (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5))
    value = images.max(axis=-1, keepdims=True)
    brighter = np.minimum(value + np.float32(added), 1)
    return np.where(value > 0, images * (brighter / np.maximum(value, 1e-6)), brighter)


# ---------------------------------------------------------------------------------------------------- digital


@_listed
def contrast(images: Floats, severity: int, dice: Dice) -> Floats:
    """So much is left of the distance from each channel's mean."""
    left = strength(severity, _side(images), (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05))
    mean = images.mean(axis=(1, 2), keepdims=True)
    return mean + np.float32(left) * (images - mean)


@_listed
def elastic_transform(images: Floats, severity: int, dice: Dice) -> Floats:
    """Small regions are stretched and squeezed: smooth random displacements, as large at any size.

    NOTE: the paper turns and shears the whole image too.
    """
    side = _side(images)
    usual = side * (0.012, 0.018, 0.025, 0.033, 0.042)[severity - 1]
    smooth = 0.06 * side
    moved = ndimage.gaussian_filter(_normal(dice, (*images.shape[1:3], 2)), (0, smooth, smooth, 0))
    moved *= np.float32(usual) / np.sqrt(np.mean(moved**2, axis=(1, 2, 3), keepdims=True))
    return _displaced(images, moved)


@_listed
def pixelate(images: Floats, severity: int, dice: Dice) -> Floats:
    """Fewer and larger pixels: means over boxes, whose edges may cut pixels; `share` of the side is their number."""
    share = strength(severity, _side(images), (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25))
    down, across = (_boxes(side, max(1, round(side * share))) for side in images.shape[1:3])
    small = np.einsum("ih,nhwc,jw->nijc", down, images, across, optimize=True)
    row, column = (
        ((np.arange(side) + 0.5) * boxes / side).astype(int)
        for side, boxes in zip(images.shape[1:3], small.shape[1:3], strict=True)
    )
    return small[:, row][:, :, column]


@_listed
def jpeg_compression(images: Floats, severity: int, dice: Dice) -> Floats:
    """Saved as JPEG of that quality and read again."""
    quality = round(strength(severity, _side(images), (80, 65, 58, 50, 40), (25, 18, 15, 10, 7)))
    read = []
    for pixels in np.round(255 * images).astype(np.uint8):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        read.append(np.asarray(Image.open(file), np.float32))
    return np.stack(read) / np.float32(255)


# ---------------------------------------------------------------------------------------------------- means


def _side(images: Floats) -> int:
    """The shorter side in pixels."""
    return min(images.shape[1:3])


def _uniform(dice: Dice, shape: tuple[int, ...]) -> Floats:
    """Draws in [0, 1), (n, *shape)."""
    return np.array([d.random(shape, np.float32) for d in dice], np.float32)


def _normal(dice: Dice, shape: tuple[int, ...]) -> Floats:
    """Standard normal draws (n, *shape)."""
    return np.stack([d.standard_normal(shape, np.float32) for d in dice])


def _clouds(dice: Dice, size: tuple[int, ...], smoothness: float) -> Floats:
    """Random fields (n, h, w) stretched to [0, 1], amplitude falling with frequency to the power of `smoothness`."""
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(_normal(dice, size)) * frequency**-smoothness
    field = np.fft.irfft2(spectrum, size).astype(np.float32)
    field -= field.min(axis=(1, 2), keepdims=True)
    return field / field.max(axis=(1, 2), keepdims=True)


def _leaf(dice: Dice, size: tuple[int, ...]) -> Floats:
    """One leaf of frost on each image, (n, h, w) in [0, 1]: a stem with branches on both sides, at 60° to it."""
    height, width = size
    side = min(size)
    place, edge, aim_down, aim_across, turn = _uniform(dice, (5,)).T[..., None, None]
    # The root lies on one of four edges, the tip somewhere inside.
    ends = np.floor(4 * edge)
    root_down = np.where(ends < 2, ends, place) * height
    root_across = np.where(ends < 2, place, ends - 2) * width
    towards = np.arctan2(aim_down * height - root_down, aim_across * width - root_across)
    length = side * (0.5 + 0.5 * turn)
    down, across = np.arange(height)[:, None] + 0.5 - root_down, np.arange(width) + 0.5 - root_across
    along = (np.cos(towards) * across + np.sin(towards) * down) / length
    aside = np.abs(np.cos(towards) * down - np.sin(towards) * across) / length
    start = along - aside / np.sqrt(3)  # where on the stem the branch through a pixel begins
    left = np.clip(1 - aside / np.maximum(0.45 * (1 - start), 1e-6), 0, 1) * (start > 0) * (start < 1)
    branches = 0.5 + 0.5 * np.cos(2 * np.pi * start * length / max(3.0, side / 18))
    stem = np.clip(1.5 - aside * length * 32 / side, 0, 1)
    return (left * np.maximum(branches, stem)).astype(np.float32)


def _offsets(reach: float) -> tuple[Floats, Floats]:
    """Rows and columns, from the middle, of a square kernel that reaches at least so many pixels."""
    axis = np.arange(-np.ceil(reach), np.ceil(reach) + 1, dtype=np.float32)
    return axis[:, None], axis[None]


def _lines(length: float, width: float, angles: Floats) -> Floats:
    """Soft lines through the middle of kernels (n, k, k): 1 along so many pixels, falling to 0 over `width` pixels.

    Angles (n,) are in radians.
    """
    down, across = _offsets(length / 2 + width)
    cosine, sine = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    beyond = np.maximum(np.abs(cosine * across + sine * down) - length / 2, 0)
    return np.clip(1 - np.hypot(beyond, cosine * down - sine * across) / width, 0, 1)


def _convolved(images: Floats, kernels: Floats) -> Floats:
    """Images (n, h, w, c), mirrored at the border, with one kernel each (n, k, k) or one for all (1, k, k)."""
    reach = kernels.shape[1] // 2
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    return signal.fftconvolve(padded, kernels[..., None], mode="valid", axes=(1, 2))


def _displaced(images: Floats, moved: Floats) -> Floats:
    """Images (n, h, w, c) looked up elsewhere, between pixels too: `moved` (n, h, w, 2) pixels down and across."""
    n, height, width, channels = images.shape
    down = np.clip(np.arange(height)[:, None] + moved[..., 0], 0, height - 1)
    across = np.clip(np.arange(width) + moved[..., 1], 0, width - 1)
    top, left = np.minimum(down.astype(int), height - 2), np.minimum(across.astype(int), width - 2)
    below, right = (down - top)[..., None].astype(np.float32), (across - left)[..., None].astype(np.float32)
    first = (np.arange(n)[:, None, None] * height + top) * width + left
    flat = images.reshape(-1, channels)
    upper = flat[first] + right * (flat[first + 1] - flat[first])
    lower = flat[first + width] + right * (flat[first + width + 1] - flat[first + width])
    return upper + below * (lower - upper)


def _zoomed(images: Floats, factor: float) -> Floats:
    """The middle of images (n, h, w, c), enlarged to all of their size."""
    for axis in (1, 2):
        side = images.shape[axis]
        place = (np.arange(side) + 0.5 - side / 2) / factor + side / 2 - 0.5
        low = np.minimum(place.astype(int), side - 2)
        between = (place - low).astype(np.float32).reshape(-1, *(1,) * (3 - axis))
        first = images.take(low, axis)
        images = first + between * (images.take(low + 1, axis) - first)
    return images


def _boxes(side: int, boxes: int) -> Floats:
    """The share (boxes, side) of each pixel in the mean over each of so many boxes of equal length."""
    edges = np.arange(boxes + 1)[:, None] * side / boxes
    pixels = np.arange(side)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return (np.clip(overlap, 0, None) * boxes / side).astype(np.float32)
