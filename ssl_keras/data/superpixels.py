"""Small regions of like colour, and the graph of which touches which: what saliency is computed on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

ROUNDS = 5
"""Rounds of assigning pixels and moving centres. NOTE: SLIC makes ten; after five the regions hardly move."""
COMPACTNESS = 12.0
"""Colour distance (CIELAB) that weighs as much as one grid step. NOTE: our choice, by eye; SLIC has 10 to 20."""


@dataclass(frozen=True)
class Regions:
    """The n regions of an image.

    Attributes:
        labels: (h, w), which region a pixel is in.
        colour: (n, 3), mean colour.
        position: (n, 2), mean row and column, in shares of the longer side.
        area: (n,), pixels.
        border: (n, 4), pixels on the top, bottom, left and right edge of the image.
        touching: bool (n, n), regions with a common edge.
    """

    labels: Integers
    colour: Floats
    position: Floats
    area: Floats
    border: Floats
    touching: npt.NDArray[np.bool_]

    def mean(self, values: Floats) -> Floats:
        """Mean of (h, w) values over each region, (n,)."""
        return (np.bincount(self.labels.ravel(), values.ravel(), len(self.area)) / self.area).astype(np.float32)


def divide(colour: Floats, count: int) -> Regions:
    """Divides an image into about `count` regions.

    Achanta et al., "SLIC superpixels", 2012. NOTE: a pixel chooses among the nine regions around its cell of the grid,
    which needs no loop over regions, and stray pixels stay with their region.

    Args:
        colour: (h, w, 3), CIELAB.
        count: Regions wanted.
    """
    h, w, _ = colour.shape
    step = max(1.0, np.sqrt(h * w / count))
    rows, columns = max(1, round(h / step)), max(1, round(w / step))
    y, x = (np.arange(side, dtype=np.float32) for side in (h, w))
    in_row, in_column = (np.arange(side) * cells // side for side, cells in ((h, rows), (w, columns)))
    home = (in_row[:, None] * columns + in_column).ravel()
    place = np.stack(np.broadcast_arrays(y[:, None], x)).reshape(2, -1) * np.float32(COMPACTNESS / step)
    features = np.concatenate([colour.reshape(-1, 3).T, place])
    choices = _around(home, rows, columns)
    labels = home
    for _ in range(ROUNDS):
        labels = _assign(features, _means(features, labels, rows * columns), choices)
    _, labels = np.unique(labels, return_inverse=True)
    return _describe(colour, labels.reshape(h, w))


def _around(home: Integers, rows: int, columns: int) -> Integers:
    """The nine cells (9, pixels) around each pixel's own, those at the edge repeated."""
    row, column = home // columns, home % columns
    near = [
        (np.clip(row + i, 0, rows - 1), np.clip(column + j, 0, columns - 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)
    ]
    return np.stack([i * columns + j for i, j in near])


def _means(features: Floats, labels: Integers, count: int) -> Floats:
    """Mean feature (features, count) of each region; an empty one is far from everything."""
    area = np.bincount(labels, minlength=count)
    sums = np.stack([np.bincount(labels, feature, count) for feature in features])
    return np.where(area > 0, sums / np.maximum(area, 1), 1e6).astype(np.float32)


def _assign(features: Floats, centres: Floats, choices: Integers) -> Integers:
    best = np.full(features.shape[1], np.inf, np.float32)
    labels = choices[0]
    for choice in choices:
        distance = np.zeros_like(best)
        for feature, centre in zip(features, centres, strict=True):
            difference = feature - centre[choice]
            distance += difference * difference
        nearer = distance < best
        labels = np.where(nearer, choice, labels)
        best = np.minimum(best, distance)
    return labels


def _describe(colour: Floats, labels: Integers) -> Regions:
    h, w = labels.shape
    flat, count = labels.ravel(), int(labels.max()) + 1
    area = np.bincount(flat, minlength=count).astype(np.float32)
    y, x = np.mgrid[:h, :w].astype(np.float32) / max(h, w)
    means = [np.bincount(flat, values.ravel(), count) / area for values in (*np.moveaxis(colour, -1, 0), y, x)]
    sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    border = np.stack([np.bincount(side, minlength=count) for side in sides], axis=1).astype(np.float32)
    touching = np.zeros((count, count), bool)
    touching[labels[:, :-1], labels[:, 1:]] = True
    touching[labels[:-1], labels[1:]] = True
    touching |= touching.T
    np.fill_diagonal(touching, False)
    mean = np.stack(means, axis=1).astype(np.float32)
    return Regions(labels, mean[:, :3], mean[:, 3:], area, border, touching)
