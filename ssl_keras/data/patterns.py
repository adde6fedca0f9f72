"""Textures and backgrounds of the rendered scenes, and the random numbers they are drawn from."""

from collections.abc import Callable

import numpy as np

Pattern = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(u, v, keys) → values in [0, 1]; u, v: float32 (n, side, side) coordinates in periods, keys: uint64 (n,)."""

_TURN = np.float32(2 * np.pi)


def mix(keys: np.ndarray, stream: int | np.ndarray) -> np.ndarray:
    """New keys from keys: the splitmix64 generator, read at position `stream`.

    Counter-based, so that every image can be drawn alone, in any order, with the same result.
    """
    with np.errstate(over="ignore"):
        z = keys + (np.asarray(stream, np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(keys: np.ndarray, stream: int | np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Float32 draws in [low, high), one per key and stream (which broadcast)."""
    unit = (mix(keys, stream) >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
    return unit * np.float32(high - low) + np.float32(low)


def noise(keys: np.ndarray, cells: int, side: int, stream: int) -> np.ndarray:
    """Smooth random fields: `cells`² random values, interpolated linearly.

    Returns:
        float32 (n, side, side) in [0, 1].
    """
    grid = uniform(keys[:, None], stream + np.arange(cells * cells)[None]).reshape(-1, cells, cells)
    position = np.linspace(0, cells - 1, side, dtype=np.float32)[:, None]
    weights = np.maximum(0, 1 - np.abs(position - np.arange(cells, dtype=np.float32)))
    return weights @ grid @ weights.T


def _wave(phase: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.sin(_TURN * phase)


def _sharp(value: np.ndarray, gain: float) -> np.ndarray:
    return np.clip((value - np.float32(0.5)) * np.float32(gain) + np.float32(0.5), 0, 1)


def _cell(phase: np.ndarray) -> np.ndarray:
    """Distance to the middle of the cell, in [-0.5, 0.5]."""
    return phase - np.floor(phase) - np.float32(0.5)


def _dots(u: np.ndarray, v: np.ndarray, keys: np.ndarray) -> np.ndarray:
    return _sharp(1.2 - 2 * np.hypot(_cell(u), _cell(v)), 3)


def _bricks(u: np.ndarray, v: np.ndarray, keys: np.ndarray) -> np.ndarray:
    shifted = 0.5 * u + 0.5 * (np.floor(v) % 2)
    return np.clip(10 * np.minimum(0.5 - np.abs(_cell(v)), 1 - 2 * np.abs(_cell(shifted))), 0, 1)


def _confetti(u: np.ndarray, v: np.ndarray, keys: np.ndarray) -> np.ndarray:
    return _sharp(noise(keys, 11, u.shape[1], 700), 6)


TEXTURES: dict[str, Pattern] = {
    "plain": lambda u, v, keys: np.full_like(u, 0.5),
    "stripes": lambda u, v, keys: _sharp(_wave(u), 2),
    "checks": lambda u, v, keys: _sharp(0.5 + np.float32(0.5) * np.sin(_TURN * u) * np.sin(_TURN * v), 4),
    "dots": _dots,
    "speckle": lambda u, v, keys: noise(keys, u.shape[1] // 2, u.shape[1], 4000),
    "zigzag": lambda u, v, keys: _sharp(_wave(u + 1.2 * np.abs(_cell(0.7 * v))), 2),
}
"""Of the object, in the object's own coordinates."""

BACKGROUNDS: dict[str, Pattern] = {
    "clouds": lambda u, v, keys: _sharp(noise(keys, 5, u.shape[1], 500), 1.5),
    "waves": lambda u, v, keys: _wave(0.7 * u + 0.35 * np.sin(_TURN * 0.4 * v)),
    "bricks": _bricks,
    "hatch": lambda u, v, keys: np.maximum(_wave(1.2 * u), _wave(1.2 * v)),
    "ripples": lambda u, v, keys: _wave(0.9 * np.hypot(u, v)),
    "confetti": _confetti,
    "bands": lambda u, v, keys: _sharp(_wave(0.45 * u), 5),
    "grain": lambda u, v, keys: noise(keys, u.shape[1] * 3 // 4, u.shape[1], 4000),
}
"""Of the scene behind it."""


def draw(patterns: dict[str, Pattern], kind: np.ndarray, u: np.ndarray, v: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The pattern of each image.

    Args:
        patterns: the table.
        kind: int (n,), index into the table.
        u: float32 (n, side, side), in periods.
        v: float32 (n, side, side), in periods.
        keys: uint64 (n,), for the random patterns.

    Returns:
        float32 (n, side, side) in [0, 1].
    """
    values = np.empty_like(u)
    for index, pattern in enumerate(patterns.values()):
        rows = np.flatnonzero(kind == index)
        if rows.size:
            values[rows] = pattern(u[rows], v[rows], keys[rows])
    return values
