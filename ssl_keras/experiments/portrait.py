"""One scenario in pictures: where its classes lie, what is taken for what, which images are hardest."""

from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from ssl_keras.data.sources.base import Subset
from ssl_keras.experiments import pictures
from ssl_keras.experiments.run_folder import write_json
from ssl_keras.learning.measures import Floats, Integers, normalized
from ssl_keras.reports.portrait import FILE, HARDEST
from ssl_keras.scenarios.evaluation import Answered

MAPPED = 1200
"""Test images on the map, at most."""
CLASSES = 10
"""Classes on the map and in the table of mistakes: the commonest ones."""
HARD = 24


def draw(out: Path, scenario: str, answered: Answered, side: int, seed: int) -> None:
    """Writes what `ssl_keras.reports.portrait` draws, and the sheet of the hardest images."""
    exam, logits = answered.exam, answered.logits
    labels, predicted = exam.labels, np.argmax(logits, axis=1)
    names = exam.images.source.label_sets[exam.label]
    shown = np.sort(np.argsort(-np.bincount(labels, minlength=len(names)), kind="stable")[:CLASSES])
    rows = np.flatnonzero(np.isin(labels, shown))
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MAPPED])
    told = {
        "scenario": scenario,
        "classes": [names[label] for label in shown],
        "points": np.round(flat(np.asarray(exam.features)[rows], seed), 2).tolist(),
        "labels": np.searchsorted(shown, labels[rows]).tolist(),
        "confusion": confusion(labels, predicted, shown),
    }
    write_json(out / FILE, told)
    hard = hardest(logits, labels)
    if len(hard):
        source = Subset(exam.source, hard, "hardest")
        captions = [f"{names[labels[row]]} → {names[predicted[row]]}" for row in hard]
        pictures.save_png(
            out / "pictures" / HARDEST, pictures.captioned_sheet(pictures.thumbnails(source, side), captions)
        )


def flat(features: Floats, seed: int) -> Floats:
    """Features (n, d) as points (n, 2): neighbours stay neighbours (t-SNE on 50 principal components)."""
    n, d = features.shape
    reduced = PCA(min(50, n, d), random_state=seed).fit_transform(normalized(features))
    perplexity = min(30.0, max(1.0, (n - 1) / 3))
    return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced), np.float32)


def confusion(labels: Integers, predicted: Integers, shown: Integers) -> list[list[float]]:
    """Percent of the images of each shown class, row by row, that were taken for each of them, and for others."""
    table = []
    for label in shown:
        mine = predicted[labels == label]
        shares = [100 * float(np.mean(mine == other)) for other in shown]
        table.append([round(share, 1) for share in [*shares, 100 - sum(shares)]])
    return table


def hardest(logits: Floats, labels: Integers) -> Integers:
    """Images whose wrong answer is furthest above the right one, most first; at most `HARD`."""
    rows = np.flatnonzero(labels < logits.shape[1])
    right = logits[rows, labels[rows]]
    lead = logits[rows].max(axis=1) - right
    order = np.argsort(-lead, kind="stable")
    return rows[order[lead[order] > 0][:HARD]]
