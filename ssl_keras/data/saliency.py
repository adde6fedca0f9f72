"""Where the object is, without learning: saliency from the assumption that the border is mostly background.

Three cues that fail on different images are averaged and then made consistent over like, touching regions:

* contrast against what is connected to the border (Zhu et al., "Saliency optimization from robust background
  detection", 2014);
* how badly the four edges of the image reach a region along like colours (Yang et al., "Saliency detection via
  graph-based manifold ranking", 2013);
* contrast in the direction in which it is least (Huang and Zhang, "300-FPS salient object detection via minimum
  directional contrast", 2017).

NOTE: written from the ideas of those papers; working size, numbers of regions, the average and all that is called our
choice were chosen on the masks of `shapes` and by eye on photographs.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import linalg, ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from ssl_keras.data.superpixels import Floats, Regions, divide

LONGEST = 96
"""Longer side in pixels at which images are looked at. NOTE: our choice."""
REGIONS = 150
"""NOTE: our choice; 100 to 300 make no difference on `shapes`, and time grows with their square."""
CLOSE_COLOURS = 7.0
"""CIELAB distance along a path within which two regions are of one surface (Zhu et al.: 5 to 10, adaptive)."""
NEAR = 0.4
"""Distance, in shares of the longer side, up to which contrast counts (Zhu et al.)."""
BACKGROUND_WEIGHT = 2.0
"""Weight of being background beside that of the cues. NOTE: our choice (Zhu et al.: 5)."""
ALIKE = 10.0
"""CIELAB distance at which two neighbours stop being held together. NOTE: our choice (Zhu et al. adapt it)."""
SHARPNESS = 3.0
"""Steepness of the last curve, at 0.5. NOTE: our choice, by eye."""


def saliency(image: npt.NDArray[np.generic]) -> Floats:
    """How much each pixel belongs to a foreground object.

    Args:
        image: (H, W, 3), uint8 or float in [0, 1].

    Returns:
        (H, W) float32 in [0, 1]; all 0 for an image of one colour.
    """
    if image.dtype != np.uint8:
        image = np.round(255 * np.clip(image, 0, 1))
    pixels = image.astype(np.uint8, copy=False)
    colour = _small(pixels)
    if np.ptp(colour, axis=(0, 1)).max() < 1:
        return np.zeros(pixels.shape[:2], np.float32)
    return _resized(centred(guided(colour, _looked_at(colour))), pixels.shape[:2])


def fused(first: Floats, second: Floats) -> Floats:
    """The mean of two maps (H, W) in [0, 1], 0.5 where it is divided best."""
    return centred(np.mean([first, second], axis=0, dtype=np.float32))


def _small(pixels: npt.NDArray[np.uint8]) -> Floats:
    """CIELAB (h, w, 3) of an image at the size at which it is looked at."""
    height, width = pixels.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return lab(np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX)))


def _resized(score: Floats, size: tuple[int, ...]) -> Floats:
    """A map at another height and width."""
    height, width = size
    return np.clip(np.asarray(Image.fromarray(score).resize((width, height), Image.Resampling.BILINEAR)), 0, 1)


def _looked_at(colour: Floats) -> Floats:
    """Saliency (h, w) of an image (h, w, 3) in CIELAB."""
    regions = divide(colour, REGIONS)
    apart = distances(regions.colour)
    background = background_probability(regions, apart)
    cues = (
        background_contrast(regions, apart, background),
        unreached(regions, apart),
        regions.mean(directional_contrast(colour)),
    )
    fused = stretch(np.sum([stretch(cue) for cue in cues], axis=0))
    return consistent(regions, apart, background, fused)[regions.labels]


def background_probability(regions: Regions, apart: Floats) -> Floats:
    """How likely each region is background: the share of its surface's outline that lies on the image's border.

    Zhu et al., equations 3 to 6: the surface of a region is what paths of small colour steps reach.

    Args:
        regions: n of them.
        apart: Colour distances (n, n).

    Returns:
        (n,) in [0, 1].
    """
    linked = _linked(regions)
    steps = np.where(linked, apart, np.inf)
    usual = np.mean(steps.min(axis=1, where=linked, initial=1e3))
    reach = 3 * CLOSE_COLOURS  # beyond it counts as out of reach
    paths = csr_array(np.where(linked & (apart < reach + usual), np.maximum(apart - usual, 1e-4), 0.0))
    same = np.exp(-(dijkstra(paths, limit=reach) ** 2) / (2 * CLOSE_COLOURS**2))
    surface = same.sum(axis=1)
    at_border = same @ (regions.border.sum(axis=1) > 0)
    return 1 - np.exp(-(at_border**2) / (2 * surface))


def background_contrast(regions: Regions, apart: Floats, background: Floats) -> Floats:
    """Colour contrast (n,) against near background (Zhu et al., equation 7)."""
    near = np.exp(-(distances(regions.position) ** 2) / (2 * NEAR**2))
    return (apart * near) @ background


def unreached(regions: Regions, apart: Floats) -> Floats:
    """How little of what spreads from the border, along like colours, arrives at a region (Yang et al., section 4).

    Each edge of the image spreads by itself, and what all four leave out counts; then what was left out spreads.

    Args:
        regions: n of them.
        apart: Colour distances (n, n).

    Returns:
        (n,), not negative.
    """
    linked = _linked(regions)
    within_two = linked | ((regions.touching.astype(np.float32) @ linked) > 0)
    np.fill_diagonal(within_two, False)
    weight = np.where(within_two, np.exp(-apart * (10 / max(apart[within_two].max(), 1e-6))), 0.0)
    spread = linalg.inv(np.diag(weight.sum(axis=1)) - 0.99 * weight)
    np.fill_diagonal(spread, 0.0)
    arrived = spread @ (regions.border > 0)
    left_out = np.prod(1 - stretch(arrived), axis=1)
    return spread @ (left_out > left_out.mean())


def directional_contrast(colour: Floats) -> Floats:
    """Contrast of each pixel (h, w, 3) with the quarter of the image that it differs from least, (h, w).

    Huang and Zhang, section 3.1: the four quarters meet in the pixel; their sums come from integral images.
    """
    h, w, _ = colour.shape
    values = np.concatenate([colour, np.sum(colour**2, axis=-1, keepdims=True), np.ones((h, w, 1))], axis=-1)
    to_here = values.astype(np.float64).cumsum(0).cumsum(1)
    above, left, total = to_here[:, -1:], to_here[-1:], to_here[-1, -1]
    quarters = (to_here, above - to_here, left - to_here, total - above - left + to_here)
    own = np.sum(colour**2, axis=-1)
    contrasts = [own * q[..., 4] - 2 * np.sum(colour * q[..., :3], axis=-1) + q[..., 3] for q in quarters]
    return np.sqrt(np.maximum(np.min(contrasts, axis=0), 0)).astype(np.float32)


def consistent(regions: Regions, apart: Floats, background: Floats, score: Floats) -> Floats:
    """The score (n,) in [0, 1] that agrees best with cue, background and like neighbours (Zhu et al., equation 9).

    Minimises Σ b s² + Σ f (s - 1)² + Σ w_ij (s_i - s_j)²: a linear system.

    Args:
        regions: n of them.
        apart: Colour distances (n, n).
        background: b, probabilities (n,).
        score: f, (n,) in [0, 1].
    """
    weight = regions.touching * (np.exp(-(apart**2) / (2 * ALIKE**2)) + 0.1)
    system = np.diag(weight.sum(axis=1) + BACKGROUND_WEIGHT * background + score) - weight
    return stretch(linalg.solve(system, score, assume_a="pos")).astype(np.float32)


def guided(colour: Floats, score: Floats) -> Floats:
    """Scores (h, w) of regions with the edges that lightness has (He et al., "Guided image filtering", 2010).

    NOTE: windows of a twelfth of the longer side, and 5 steps of lightness taken for noise: our choice.
    """
    window = 2 * round(max(score.shape) / 24) + 1

    def mean(values: Floats) -> Floats:
        return ndimage.uniform_filter(values, window, mode="nearest")

    light = colour[..., 0]
    light_mean, score_mean = mean(light), mean(score)
    slope = (mean(light * score) - light_mean * score_mean) / (mean(light * light) - light_mean**2 + 5.0**2)
    return np.clip(mean(slope) * light + mean(score_mean - slope * light_mean), 0, 1)


def centred(score: Floats) -> Floats:
    """Scores (h, w) moved and sharpened so that 0.5 is the threshold that divides them best."""
    share = np.clip(score / max(score.max(), 1e-12), 1e-6, 1)
    between = np.clip(share ** (np.log(0.5) / np.log(otsu(share))), 0, 1)
    # A logistic curve through (0, 0), (0.5, 0.5) and (1, 1).
    return (0.5 + np.tanh(SHARPNESS * (between - 0.5)) / (2 * np.tanh(SHARPNESS / 2))).astype(np.float32)


def otsu(values: Floats) -> float:
    """The threshold in (0, 1) with most variance between the two sides (Otsu, 1979)."""
    counts, edges = np.histogram(values, bins=64, range=(0.0, 1.0))
    middles = (edges[:-1] + edges[1:]) / 2
    below, mass = counts.cumsum()[:-1], (counts * middles).cumsum()[:-1]
    above, rest = counts.sum() - below, (counts * middles).sum() - mass
    between = below * above * (mass / np.maximum(below, 1) - rest / np.maximum(above, 1)) ** 2
    return float(edges[1 + int(between.argmax())])


def lab(pixels: npt.NDArray[np.uint8]) -> Floats:
    """CIELAB (D65) of sRGB values (.., 3): lightness in 0..100, the others about -100..100."""
    value = _LINEAR[pixels] @ _TO_XYZ.T
    root = np.where(value > (6 / 29) ** 3, np.cbrt(value), value * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def distances(points: Floats) -> Floats:
    """Euclidean distances (n, n) of points (n, d)."""
    return np.sqrt(np.sum((points[:, None] - points) ** 2, axis=-1))


def stretch(values: Floats) -> Floats:
    """Values to [0, 1], along the first axis."""
    low, high = values.min(axis=0), values.max(axis=0)
    return (values - low) / np.maximum(high - low, 1e-12)


def _linked(regions: Regions) -> npt.NDArray[np.bool_]:
    """Regions that touch, with all those at the border taken as one surrounding."""
    outer = regions.border.sum(axis=1) > 0
    linked = regions.touching | np.outer(outer, outer)
    np.fill_diagonal(linked, False)
    return linked


_STEPS = np.arange(256, dtype=np.float32) / 255
_LINEAR = np.where(_STEPS > 0.04045, ((_STEPS + 0.055) / 1.055) ** 2.4, _STEPS / 12.92).astype(np.float32)
_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32
) / np.array([[0.9505], [1.0], [1.089]], np.float32)
