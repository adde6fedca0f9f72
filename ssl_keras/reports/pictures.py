"""Pictures made of images: what the encoder sees, and what it finds alike. Arrays in, PNG files out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Images = npt.NDArray[np.float32]

GAP, WIDE_GAP = 2, 10
TARGET_SIDE = 64
"""Smaller images are magnified by a whole factor to about this side, so that pixels stay crisp."""


def views_picture(path: Path, rows: Sequence[Sequence[Images]]) -> None:
    """One row of pictures per image: its views, large ones first.

    Args:
        path: PNG to write; its folder is made.
        rows: per image its views, each (H, W, 3) floats in [0, 1]; sizes may differ within a row.
    """
    _save(path, [[(view, False) for view in row] for row in rows])


def neighbours_picture(path: Path, queries: Images, neighbours: Images) -> None:
    """One row per query: the query, a gap, then its nearest neighbours in order.

    Args:
        path: PNG to write; its folder is made.
        queries: (n, H, W, 3) floats in [0, 1].
        neighbours: (n, k, H, W, 3) floats in [0, 1].
    """
    rows = [[(query, True), *((image, False) for image in row)] for query, row in zip(queries, neighbours, strict=True)]
    _save(path, rows)


def _save(path: Path, rows: Sequence[Sequence[tuple[Images, bool]]]) -> None:
    side = max(image.shape[0] for row in rows for image, _ in row)
    factor = max(1, TARGET_SIDE // side)
    strips = [_strip([(_magnified(image, factor), wide) for image, wide in row], side * factor) for row in rows]
    height, width = sum(strip.shape[0] + GAP for strip in strips) - GAP, max(strip.shape[1] for strip in strips)
    canvas = np.zeros((height, width, 4), np.uint8)
    top = 0
    for strip in strips:
        canvas[top : top + strip.shape[0], : strip.shape[1]] = strip
        top += strip.shape[0] + GAP
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(canvas).save(path, optimize=True)


def _strip(images: Sequence[tuple[npt.NDArray[np.uint8], bool]], height: int) -> npt.NDArray[np.uint8]:
    """Images side by side, centred vertically, on a transparent ground."""
    width = sum(image.shape[1] + (WIDE_GAP if wide else GAP) for image, wide in images)
    strip = np.zeros((height, width, 4), np.uint8)
    left = 0
    for image, wide in images:
        top = (height - image.shape[0]) // 2
        strip[top : top + image.shape[0], left : left + image.shape[1]] = image
        left += image.shape[1] + (WIDE_GAP if wide else GAP)
    return strip


def _magnified(image: Images, factor: int) -> npt.NDArray[np.uint8]:
    """As RGBA bytes, each pixel repeated."""
    rgb = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).repeat(factor, 0).repeat(factor, 1)
    return np.concatenate([rgb, np.full((*rgb.shape[:2], 1), 255, np.uint8)], -1)
