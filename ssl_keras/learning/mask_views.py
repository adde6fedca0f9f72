"""Views in which an object is hard to find, of images in which it was easy: what a mask network learns from.

Where the learning-free map of an image is nearly black and white, it is mostly right. Such an image is shown again in
ways that defeat the assumptions behind the map: cut so that the object meets the border, or the object pasted into
another image, each in duller light. What was found before then stands for the truth. A third of the views are whole, so
that what is easy stays found. NOTE: numbers are our choice and were not tuned; the kinds were chosen on `shapes`, on
held-out views and by eye.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

SIZES = (0.03, 0.6)
"""Share of the area that an object to learn from has."""
TRUSTED = 0.5
"""Share of the images, those with the clearest maps, that are learned from."""


def trusted(maps: Pixels) -> npt.NDArray[np.int64]:
    """Rows of the maps (n, h, w) that are clearest: nearest to 0 or 255 on average, with an object of a usual size.

    Raises:
        ValueError: No map has such an object.
    """
    size = np.mean(maps > 127, axis=(1, 2))
    rows = np.flatnonzero((size >= SIZES[0]) & (size <= SIZES[1]))
    if not rows.size:
        raise ValueError("no image has a clear foreground to learn from: leave --refine out.")
    clear = np.abs(maps[rows] - np.float32(127.5)).mean(axis=(1, 2))
    return np.sort(rows[np.argsort(-clear)][: max(1, int(TRUSTED * len(maps)))])


def hard_views(images: Pixels, maps: Pixels, count: int, seed: int = 0) -> tuple[Pixels, Pixels]:
    """Views of the images that can be trusted, by turns cut, pasted and whole, with the maps that are true of them.

    Args:
        images: (n, side, side, 3).
        maps: Saliency (n, side, side), 0..255.
        count: Of views.
        seed: Of everything random.

    Returns:
        (count, side, side, 3) and (count, side, side).

    Raises:
        ValueError: No map can be trusted.
    """
    generator = np.random.default_rng(seed)
    rows = generator.choice(trusted(maps), count)
    views, targets = np.empty((count, *images.shape[1:]), np.uint8), np.empty((count, *maps.shape[1:]), np.uint8)
    for number, row in enumerate(rows):
        image, target = images[row], maps[row]
        if generator.random() < 0.5:
            image, target = image[:, ::-1], target[:, ::-1]
        if number % 3 == 0:
            image, target = _cut(image, target, generator)
        elif number % 3 == 1:
            image, target = _pasted(image, target, images[generator.integers(len(images))], generator)
        views[number], targets[number] = _duller(image, generator), target
    return views, targets


def _cut(image: Pixels, target: Pixels, generator: np.random.Generator) -> tuple[Pixels, Pixels]:
    """A window that holds a good part of the object, stretched to the whole."""
    side = len(image)
    for _ in range(20):
        height, width = (side * generator.uniform(0.45, 0.95, 2)).astype(int)
        top, left = generator.integers(0, side + 1 - height), generator.integers(0, side + 1 - width)
        window = slice(top, top + height), slice(left, left + width)
        inside = target[window] > 127
        if inside.sum() > 0.4 * np.sum(target > 127) and SIZES[0] < inside.mean() < 0.7:
            break
    return _resized(image[window], side, side), _resized(target[window], side, side)


def _pasted(image: Pixels, target: Pixels, ground: Pixels, generator: np.random.Generator) -> tuple[Pixels, Pixels]:
    """The object at another size, cut out and laid on another image, at most 15 % beyond its edges."""
    side = len(image)
    y, x = np.nonzero(target > 127)
    box = slice(y.min(), y.max() + 1), slice(x.min(), x.max() + 1)
    height, width = target[box].shape
    scale = side * generator.uniform(0.35, 0.95) / max(height, width)
    height, width = max(4, int(height * scale)), max(4, int(width * scale))
    start = [
        int(np.clip(generator.normal((side - length) / 2, side / 7), -0.15 * length, side - 0.85 * length))
        for length in (height, width)
    ]
    # Laid on a canvas of three sides, of which the middle is the view.
    canvas, cover = np.zeros((3 * side, 3 * side, 3), np.float32), np.zeros((3 * side, 3 * side, 1), np.float32)
    place = slice(side + start[0], side + start[0] + height), slice(side + start[1], side + start[1] + width)
    canvas[place] = _resized(image[box], height, width)
    cover[place] = np.clip((_resized(target[box], height, width)[..., None] / np.float32(255) - 0.3) / 0.5, 0, 1)
    middle = slice(side, 2 * side), slice(side, 2 * side)
    shown = cover[middle]
    return (shown * canvas[middle] + (1 - shown) * ground).astype(np.uint8), (255 * shown[..., 0]).astype(np.uint8)


def _duller(view: Pixels, generator: np.random.Generator) -> Pixels:
    """Less contrast, other light and colour, some of them grey, half of them with noise."""
    pixels = view.astype(np.float32)
    middle = pixels.mean(axis=(0, 1))
    pixels = middle + (pixels - middle) * generator.uniform(0.5, 1.1)
    pixels *= generator.uniform(0.75, 1.15) * generator.uniform(0.85, 1.15, 3)
    if generator.random() < 0.1:
        pixels[:] = pixels.mean(axis=-1, keepdims=True)
    if generator.random() < 0.5:
        pixels += generator.normal(0, generator.uniform(0, 10), pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _resized(picture: Pixels, height: int, width: int) -> Pixels:
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
