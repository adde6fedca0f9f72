"""Pictures of a run for its report: what the network sees, and what it finds similar."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from ssl_keras.data.evaluation import evaluation_batches
from ssl_keras.data.sources import Source
from ssl_keras.experiments.run_folder import replacing
from ssl_keras.learning.measures import normalized

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

GAP, WIDE_GAP = 2, 10
CAPTIONED_SIDE = 112
CAPTION = "#8a8a8a"
"""Grey that is read on white and on black."""
SHOWN_SIDE = 64
"""Thumbnails are enlarged by a whole factor to at least this many pixels, so that 32 px images can be seen."""


def thumbnails(source: Source, size: int) -> Pixels:
    """All images of a (small) source, (N, size, size, 3)."""
    batches = evaluation_batches(source, size, 256).as_numpy_iterator()
    return np.concatenate([to_bytes(batch["image"]) for batch in batches])


def to_bytes(images: Floats) -> Pixels:
    """Floats in [0, 1] to uint8."""
    return np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)


def views_sheet(originals: Pixels, large: Floats, small: Floats | None) -> Pixels:
    """One row per image: the image itself, its large views, its small ones.

    Args:
        originals: (N, S, S, 3).
        large: (N, L, S, S, 3), in [0, 1].
        small: (N, Σ, s, s, 3), in [0, 1], or None.
    """
    rows = []
    for index, original in enumerate(originals):
        views = [*large[index], *([] if small is None else small[index])]
        rows.append([original, *(to_bytes(view) for view in views)])
    return _sheet(rows)


def neighbours_sheet(images: Pixels, embeddings: Floats, queries: int = 8, k: int = 7) -> Pixels:
    """One row per query: the image, then the k most similar other images by cosine.

    Args:
        images: (N, S, S, 3).
        embeddings: (N, D).
        queries: Rows of the sheet; images at equal distances in the order of the source.
        k: Neighbours shown.
    """
    rows = np.linspace(0, len(images) - 1, min(queries, len(images))).astype(int)
    unit = normalized(embeddings)
    similarity = unit[rows] @ unit.T
    similarity[np.arange(len(rows)), rows] = -np.inf
    found = np.argsort(-similarity, axis=1, kind="stable")[:, : min(k, len(images) - 1)]
    return _sheet([[images[row], *images[near]] for row, near in zip(rows, found, strict=True)])


def masks_sheet(images: Pixels, masks: Pixels, columns: int = 8) -> Pixels:
    """Rows of images, each above a row of the same without their background.

    Args:
        images: (N, S, S, 3).
        masks: (N, S, S), foreground where it is not 0.
        columns: Images in a row.
    """
    hidden = np.where(masks[..., None] != 0, images, np.uint8(128))
    starts = range(0, len(images), columns)
    return _sheet([list(row[start : start + columns]) for start in starts for row in (images, hidden)])


def captioned_sheet(images: Pixels, captions: Sequence[str], columns: int = 6) -> Pixels:
    """Images in rows, each above its caption.

    Args:
        images: (N, S, S, 3).
        captions: (N,) short texts; what does not fit is cut.
        columns: Images in a row.
    """
    side = images.shape[1]
    factor = max(1, math.ceil(CAPTIONED_SIDE / side))
    cell, line, font = side * factor, 16, ImageFont.truetype(findfont("DejaVu Sans"), 12)
    rows = math.ceil(len(images) / columns)
    size = (min(columns, len(images)) * (cell + 3 * GAP) - 3 * GAP, rows * (cell + line + 3 * GAP))
    sheet = Image.new("RGBA", size)
    pen = ImageDraw.Draw(sheet)
    for number, (tile, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = number % columns * (cell + 3 * GAP), number // columns * (cell + line + 3 * GAP)
        sheet.paste(Image.fromarray(tile.repeat(factor, 0).repeat(factor, 1)), (x, y))
        while pen.textlength(caption, font) > cell:
            caption = f"{caption.rstrip('…')[:-1]}…"
        pen.text((x, y + cell + 1), caption, CAPTION, font)
    return np.asarray(sheet)


def save_png(path: Path, pixels: Pixels) -> None:
    """Writes a PNG whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, optimize=True)


def _sheet(rows: list[list[Pixels]]) -> Pixels:
    """Tiles in rows on a transparent ground, smaller ones centred; the first column stands a little apart."""
    side = rows[0][0].shape[0]
    factor = max(1, math.ceil(SHOWN_SIDE / side))
    cell = side * factor + GAP
    sheet = Image.new("RGBA", (len(rows[0]) * cell + WIDE_GAP, len(rows) * cell - GAP))
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            enlarged = Image.fromarray(tile.repeat(factor, 0).repeat(factor, 1))
            inset = (side - tile.shape[0]) * factor // 2
            sheet.paste(enlarged, (x * cell + (WIDE_GAP if x else 0) + inset, y * cell + inset))
    return np.asarray(sheet)
