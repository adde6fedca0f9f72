"""Test images that are training images too."""

import hashlib
import weakref
from weakref import WeakKeyDictionary

import numpy as np

from ssl_keras.data.sources import Source
from ssl_keras.scenarios.features import RawPixels, extract

SIDE = 16
"""Images are compared at this size in pixels."""
NEAR = 2.0 / 255
"""Root mean square difference of pixels in [0, 1] up to which two images are near copies."""
_BLOCK = 2**24  # distances held at a time


def copies(train: Source, test: Source) -> list[str]:
    """A sentence where test images are exact or near copies of training images; nothing where none is."""
    exact, near = count(train, test)
    if not exact and not near:
        return []
    return [
        f"{test.name}: {exact} of {test.size} images are exact copies of training images and {near} more nearly "
        f"({100 * (exact + near) / test.size:.1f} %); they are counted all the same."
    ]


_counted: WeakKeyDictionary[Source, tuple[weakref.ref[Source], tuple[int, int]]] = WeakKeyDictionary()


def count(train: Source, test: Source) -> tuple[int, int]:
    """Test images that are, at `SIDE` pixels, exact copies of a training image; and those that nearly are.

    Counted once for two sources that stay open, however many encoders are judged on them.
    """
    if test in _counted and _counted[test][0]() is train:
        return _counted[test][1]
    found = _count(train, test)
    _counted[test] = (weakref.ref(train), found)
    return found


def _count(train: Source, test: Source) -> tuple[int, int]:
    known, asked = (extract(RawPixels(SIDE), source, SIDE) for source in (train, test))
    hashes = {_digest(row) for row in known}
    exact = np.array([_digest(row) in hashes for row in asked])
    near = nearest_squared(known, asked) < NEAR**2 * known.shape[1]
    return int(exact.sum()), int((near & ~exact).sum())


def _digest(row: np.ndarray) -> bytes:
    return hashlib.blake2b(row.tobytes(), digest_size=16).digest()


def nearest_squared(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Squared Euclidean distance (m,) of every row of `asked` (m, d) to the nearest of `known` (n, d)."""
    centre = known.mean(axis=0)
    known, asked = known - centre, asked - centre
    norms = (known**2).sum(axis=1)
    step = max(1, _BLOCK // len(known))
    parts = [
        (rows**2).sum(axis=1) + (norms - 2 * rows @ known.T).min(axis=1)
        for rows in (asked[first : first + step] for first in range(0, len(asked), step))
    ]
    return np.concatenate(parts)
