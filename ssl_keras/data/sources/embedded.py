"""The sets that need no download: rendered shapes, and scikit-learn's handwritten digits."""

import re
from functools import lru_cache

import numpy as np

from ssl_keras.data import shapes
from ssl_keras.data.sources.base import ArraySource, Segmentation, Source, content_hash, shuffled

_SHAPES = re.compile(r"shapes(@(?P<side>\d+))?(:(?P<split>\w+))?")
_CHECKSUM_IMAGES = 256


@lru_cache(maxsize=2)
def _rendered(split: str, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and masks, kept for the next source of the same split."""
    return shapes.render(shapes.factors(split, np.arange(shapes.SPLITS[split])), side)


class ShapesSource(ArraySource):
    """Rendered scenes (`ssl_keras.data.shapes`); drawn on first use, about four seconds for 20 000 at 32 px.

    Args:
        split: ``train`` or ``test``.
        side: of the images in pixels, 32 to 64.

    Raises:
        ValueError: there is no such split, or the side is out of range.
    """

    def __init__(self, split: str = "train", side: int = 32):
        low, high = shapes.SIDES
        if not low <= side <= high:
            raise ValueError(f"shapes@{side}: the side must be in [{low}, {high}] pixels.")
        self._factors = shapes.factors(split, np.arange(shapes.SPLITS.get(split, 0)))
        self.name = f"shapes@{side}:{split}" if side != low else f"shapes:{split}"
        self.size = shapes.SPLITS[split]
        self.label_sets = dict(shapes.LABEL_SETS)
        self.image_shape = (side, side, 3)
        self._split = split
        self._side = side

    def array(self) -> np.ndarray:  # noqa: D102
        return _rendered(self._split, self._side)[0]

    def masks(self) -> np.ndarray:  # noqa: D102
        return _rendered(self._split, self._side)[1]

    def segmentation(self) -> Segmentation:
        """Two classes: `masks`."""
        return Segmentation(("background", "object"), self.masks().__getitem__)

    def split(self, name: str) -> Source:  # noqa: D102
        return ShapesSource(name, self._side)

    def checksum(self) -> str:
        """NOTE: of the factors of all images and the pixels of the first 256, which the generator fixes."""
        first = {name: values[:_CHECKSUM_IMAGES] for name, values in self._factors.items()}
        return content_hash(list(shapes.render(first, self._side)), self._factors)

    def _labels(self, name: str) -> np.ndarray:
        return self._factors[name]


class DigitsSource(ArraySource):
    """Scikit-learn's 1797 grey 8×8 digits, seeded into 1437 for ``train`` and 360 for ``test``."""

    def __init__(self, split: str = "train"):
        if split not in ("train", "test"):
            raise ValueError(f"digits has no split '{split}'; it has: train, test.")
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        order = shuffled(len(images), 0)
        rows = np.sort(order[:1437] if split == "train" else order[1437:])
        # Their grey levels are 0 to 16.
        grey = np.round(images[rows].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
        classes = tuple(str(digit) for digit in range(10))
        super().__init__(np.repeat(grey, 3, -1), f"digits:{split}", {"label": labels[rows]}, {"label": classes})

    def split(self, name: str) -> Source:  # noqa: D102
        return DigitsSource(name)


def open_shapes(spec: str) -> Source:
    """``shapes[@SIDE][:SPLIT]``.

    Raises:
        ValueError: another form, side or split.
    """
    match = _SHAPES.fullmatch(spec)
    if match is None:
        raise ValueError(f"'{spec}' is not of the form shapes, shapes@64 or shapes:test.")
    return ShapesSource(match["split"] or "train", int(match["side"] or shapes.SIDES[0]))


def open_digits(spec: str) -> Source:
    """``digits[:SPLIT]``.

    Raises:
        ValueError: no such split.
    """
    return DigitsSource(spec.partition(":")[2] or "train")
