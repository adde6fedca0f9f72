"""Embeddings of images, with their nearest neighbours and near-duplicates, as files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ssl_keras.data.sources import open_source
from ssl_keras.experiments.encoders import image_shape, load_encoder
from ssl_keras.experiments.options import Embed
from ssl_keras.experiments.progress import CONSOLE
from ssl_keras.experiments.run_folder import check_writable, replacing
from ssl_keras.scenarios.features import extract

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

CHUNK = 1024
MOST_PAIRS = 100_000
"""Near-duplicates listed at most, the most alike first: a threshold too low would list every pair."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of images and their cosine; ``first``, ``second`` (n,) and ``cosine`` (n,)."""

    first: Integers
    second: Integers
    cosine: Floats


def run(config: Embed) -> Path:
    """Writes ``embeddings`` (.npy, .parquet), ``neighbours`` and ``duplicates`` (.parquet, .csv) into ``config.out``.

    Row i of ``embeddings.npy`` (N, D) is the image in row i of ``embeddings.parquet``. Images that cannot be read
    are listed in ``skipped.csv``.

    Raises:
        FileNotFoundError: There is no such encoder.
        ValueError: There are no such images.
        OSError: The folder cannot be written.
    """
    out = Path(config.out)
    check_writable(out)
    encoder = load_encoder(config.encoder)
    source = open_source(config.data, data_dir=config.data_dir)
    CONSOLE.print(f"embedding {source.size:,} images of {source.name}")
    embeddings = extract(encoder, source, image_shape(encoder)[0], config.batch_size)
    names = source.names()
    neighbours = nearest_neighbours(embeddings, config.neighbours)
    duplicates = near_duplicates(embeddings, config.duplicate_threshold)
    _write_embeddings(out, names, embeddings)
    _write_table(out, "neighbours", _neighbour_table(names, neighbours))
    _write_table(out, "duplicates", _pair_table(names, duplicates))
    if source.skipped:
        _write_csv(
            out / "skipped.csv", pa.table(dict(zip(("file", "reason"), zip(*source.skipped, strict=True), strict=True)))
        )
    for line in _summary(out, embeddings, duplicates, config.duplicate_threshold, len(source.skipped)):
        CONSOLE.print(line, soft_wrap=True, markup=False)
    return out


def nearest_neighbours(embeddings: Floats, count: int) -> Pairs:
    """The ``count`` most alike other images of each image, by cosine.

    Args:
        embeddings: (N, D).
        count: clipped to N - 1.

    Returns:
        N * count pairs, grouped by ``first``, the most alike first.
    """
    count = min(count, len(embeddings) - 1)
    first, second, cosines = [], [], []
    for start, block in _cosines(embeddings):
        rows = np.arange(len(block))
        block[rows, start + rows] = -np.inf
        best = np.argpartition(-block, count - 1, axis=1)[:, :count] if count else np.zeros((len(block), 0), int)
        order = np.argsort(-np.take_along_axis(block, best, 1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, 1)
        first.append(np.repeat(start + rows, count))
        second.append(best.ravel())
        cosines.append(np.take_along_axis(block, best, 1).ravel())
    return Pairs(np.concatenate(first), np.concatenate(second), np.concatenate(cosines))


def near_duplicates(embeddings: Floats, threshold: float, most: int = MOST_PAIRS) -> Pairs:
    """Pairs of images with a cosine above the threshold, each once, the most alike first.

    Args:
        embeddings: (N, D).
        threshold: on the cosine.
        most: pairs to keep.
    """
    empty = np.zeros(0, np.int64)
    found = Pairs(empty, empty, np.zeros(0, np.float32))
    for start, block in _cosines(embeddings):
        rows, columns = np.nonzero(block > threshold)
        later = columns > start + rows
        rows, columns = rows[later], columns[later]
        joined = np.concatenate([found.cosine, block[rows, columns]])
        order = np.argsort(-joined, kind="stable")[:most]
        first, second = np.concatenate([found.first, start + rows]), np.concatenate([found.second, columns])
        found = Pairs(first[order], second[order], joined[order])
    return found


def _cosines(embeddings: Floats) -> Iterator[tuple[int, Floats]]:
    """Blocks of rows of the N x N matrix of cosines: (first row, (rows, N))."""
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.maximum(norms, np.finfo(np.float32).tiny)
    for start in range(0, len(unit), CHUNK):
        yield start, unit[start : start + CHUNK] @ unit.T


def _neighbour_table(names: Sequence[str], pairs: Pairs) -> pa.Table:
    count = len(pairs.first) // len(names)
    ranks = np.tile(np.arange(1, count + 1), len(names))
    return pa.table(
        {
            "file": _named(names, pairs.first),
            "rank": ranks,
            "neighbour": _named(names, pairs.second),
            "cosine": pairs.cosine,
        }
    )


def _pair_table(names: Sequence[str], pairs: Pairs) -> pa.Table:
    return pa.table(
        {"file": _named(names, pairs.first), "duplicate": _named(names, pairs.second), "cosine": pairs.cosine}
    )


def _named(names: Sequence[str], rows: Integers) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(rows))


def _write_embeddings(out: Path, names: Sequence[str], embeddings: Floats) -> None:
    with replacing(out / "embeddings.npy") as temporary:
        np.save(temporary, embeddings)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1])
    with replacing(out / "embeddings.parquet") as temporary:
        pa.parquet.write_table(pa.table({"file": pa.array(names, pa.string()), "embedding": vectors}), temporary)


def _write_table(out: Path, name: str, table: pa.Table) -> None:
    with replacing(out / f"{name}.parquet") as temporary:
        pa.parquet.write_table(table, temporary)
    _write_csv(out / f"{name}.csv", table)


def _write_csv(path: Path, table: pa.Table) -> None:
    with replacing(path) as temporary:
        pa.csv.write_csv(table, temporary)


def _summary(out: Path, embeddings: Floats, duplicates: Pairs, threshold: float, skipped: int) -> list[str]:
    listed = f"{len(duplicates.first):,}" + (" (the most alike)" if len(duplicates.first) == MOST_PAIRS else "")
    lines = [
        f"{out}/embeddings.npy, .parquet: {embeddings.shape[0]:,} x {embeddings.shape[1]}",
        f"{out}/neighbours.csv, .parquet",
        f"{out}/duplicates.csv, .parquet: {listed} pairs with a cosine above {threshold:g}",
    ]
    if len(duplicates.first) > len(embeddings):
        lines.append("more pairs than images: raise --duplicate-threshold")
    if skipped:
        lines.append(f"{out}/skipped.csv: {skipped:,} files that could not be read")
    return lines
