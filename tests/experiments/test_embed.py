"""Neighbours and near-duplicates against plain loops; the files that embed writes."""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet
import pytest

from ssl_keras.data.sources import open_source, take
from ssl_keras.experiments import embed
from ssl_keras.experiments.options import Embed
from ssl_keras.networks.encoder import build_encoder

Floats = npt.NDArray[np.float32]


@pytest.fixture
def vectors(monkeypatch: pytest.MonkeyPatch) -> Floats:
    monkeypatch.setattr(embed, "CHUNK", 7)
    return np.random.default_rng(0).normal(size=(25, 4)).astype(np.float32)


def _cosine(a: Floats, b: Floats) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_nearest_neighbours(vectors: Floats) -> None:
    found = embed.nearest_neighbours(vectors, 3)
    for i in range(len(vectors)):
        others = sorted((j for j in range(len(vectors)) if j != i), key=lambda j: -_cosine(vectors[i], vectors[j]))
        rows = found.first == i
        assert found.second[rows].tolist() == others[:3]
        np.testing.assert_allclose(found.cosine[rows], [_cosine(vectors[i], vectors[j]) for j in others[:3]], atol=1e-6)


def test_more_neighbours_than_images(vectors: Floats) -> None:
    assert len(embed.nearest_neighbours(vectors[:3], 10).first) == 3 * 2
    assert len(embed.nearest_neighbours(vectors[:1], 10).first) == 0


def test_near_duplicates(vectors: Floats) -> None:
    expected = {(i, j) for i in range(25) for j in range(i + 1, 25) if _cosine(vectors[i], vectors[j]) > 0.7}
    found = embed.near_duplicates(vectors, 0.7)
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    assert len(found.first) == len(expected) > 5
    assert (np.diff(found.cosine) <= 0).all()


def test_too_many_near_duplicates_keep_the_most_alike(vectors: Floats) -> None:
    np.testing.assert_array_equal(
        embed.near_duplicates(vectors, 0.5, most=4).cosine, embed.near_duplicates(vectors, 0.5).cosine[:4]
    )


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_encoder("conv_s2_c4", (8, 8, 3)).save(tmp_path / "encoder.keras")
    few = take(open_source("digits"), 30)
    monkeypatch.setattr(embed, "open_source", lambda spec, data_dir: few)
    out = embed.run(Embed(str(tmp_path), "digits", str(tmp_path / "out"), neighbours=2, duplicate_threshold=0.9))
    vectors = np.load(out / "embeddings.npy")
    table = pyarrow.parquet.read_table(out / "embeddings.parquet")
    assert vectors.shape == (30, 4)
    assert table["file"].to_pylist() == few.names()
    np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), vectors)
    with open(out / "neighbours.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows[:4]] == ["1", "2", "1", "2"] and rows[2]["file"] == few.names()[1]
    tables = {f"{name}.{kind}" for name in ("neighbours", "duplicates") for kind in ("csv", "parquet")}
    assert {path.name for path in out.iterdir()} == {"embeddings.npy", "embeddings.parquet", *tables}
