"""The foreground shapes: closed outlines, and a table of signed distances to them."""

from collections.abc import Callable
from functools import cache

import numpy as np

TABLE_SIDE = 256
TABLE_REACH = 1.5
"""The distance table covers [-reach, reach]² in the outline's own units."""


def _points(*corners: tuple[float, float]) -> np.ndarray:
    return np.array(corners, np.float64)


def _star() -> np.ndarray:
    angle = np.pi / 2 + np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 1.1, 0.45)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, y + 2.5], -1) / 15.5


def _drop() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([0.95 * np.sin(t) * np.abs(np.sin(t / 2)) ** 1.5, 1.1 * np.cos(t)], -1)


def _crescent() -> np.ndarray:
    outer = np.linspace(0.22 * np.pi, 1.78 * np.pi, 32)
    tip_x, tip_y = np.cos(outer[0]), np.sin(outer[0])
    centre = 0.55
    inner = np.linspace(0, 1, 24)[1:-1]
    reach = np.arctan2(tip_y, tip_x - centre)
    angle = -reach - inner * (2 * np.pi - 2 * reach)
    radius = np.hypot(tip_x - centre, tip_y)
    outside = np.stack([np.cos(outer), np.sin(outer)], -1)
    inside = np.stack([centre + radius * np.cos(angle), radius * np.sin(angle)], -1)
    return np.add(np.concatenate([outside, inside]), (0.15, 0.0))


OUTLINES: dict[str, Callable[[], np.ndarray]] = {
    "square": lambda: _points((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)),
    "triangle": lambda: _points((0, 1.1), (-1.1, -0.85), (1.1, -0.85)),
    "star": _star,
    "cross": lambda: _points(
        *((-0.33, -1), (0.33, -1), (0.33, -0.33), (1, -0.33), (1, 0.33), (0.33, 0.33)),
        *((0.33, 1), (-0.33, 1), (-0.33, 0.33), (-1, 0.33), (-1, -0.33), (-0.33, -0.33)),
    ),
    "heart": _heart,
    "drop": _drop,
    "crescent": _crescent,
    "arrow": lambda: _points((0, 1.1), (-0.95, 0.1), (-0.35, 0.1), (-0.35, -1), (0.35, -1), (0.35, 0.1), (0.95, 0.1)),
    "hourglass": lambda: _points((-0.9, 1), (0.9, 1), (0.14, 0), (0.9, -1), (-0.9, -1), (-0.14, 0)),
    "cup": lambda: _points(
        (-0.95, 1), (-0.4, 1), (-0.4, -0.4), (0.4, -0.4), (0.4, 1), (0.95, 1), (0.95, -1), (-0.95, -1)
    ),
}
"""Name → corners (points, 2) of a closed outline in about [-1, 1]², y upwards. No two look alike when mirrored,
and none looks the same at two of the rotations in use."""


def signed_distance(outline: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance from each point to the outline, negative inside.

    Args:
        outline: (corners, 2), closed, not crossing itself.
        points: (n, 2).
    """
    x, y = np.ascontiguousarray(points.T)
    square, inside = np.full(len(points), np.inf), np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        across, up = x1 - x0, y1 - y0
        along = np.clip(((x - x0) * across + (y - y0) * up) / (across**2 + up**2), 0.0, 1.0)
        square = np.minimum(square, (x - x0 - along * across) ** 2 + (y - y0 - along * up) ** 2)
        if up:
            # A ray to the right crosses the outline an odd number of times from inside.
            inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * across / up)
    return np.where(inside, -1.0, 1.0) * np.sqrt(square)


@cache
def distance_table() -> np.ndarray:
    """Signed distances to every outline, float32 (shapes · TABLE_SIDE²,), rows from top to bottom."""
    axis = (np.arange(TABLE_SIDE) + 0.5) / TABLE_SIDE * 2 * TABLE_REACH - TABLE_REACH
    points = np.stack(np.meshgrid(axis, -axis), -1).reshape(-1, 2)
    return np.concatenate([signed_distance(make(), points) for make in OUTLINES.values()]).astype(np.float32)


def look_up(shape: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distances in outline units, by the nearest entry of the table.

    Args:
        shape: int (n,), index into `OUTLINES`.
        x: float32 (n, height, width), to the right.
        y: float32 (n, height, width), downwards.
    """
    scale = np.float32(TABLE_SIDE / (2 * TABLE_REACH))
    last = np.float32(TABLE_SIDE - 1)
    column = np.clip((x + np.float32(TABLE_REACH)) * scale, 0, last).astype(np.int32)
    row = np.clip((y + np.float32(TABLE_REACH)) * scale, 0, last).astype(np.int32)
    flat = row * np.int32(TABLE_SIDE) + column + (shape * TABLE_SIDE**2).astype(np.int32)[:, None, None]
    return np.take(distance_table(), flat)
