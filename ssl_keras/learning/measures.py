"""Scores of embeddings: pure functions, used by the monitors during training and by the scenarios afterwards.

Embeddings are arrays or backend tensors (n, d), any float type; results are Python floats or NumPy arrays.
Nothing here draws random numbers. Values that are not finite give ``nan`` (the monitors raise the alarm, not
these functions).
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

# Similarities held at a time; bounds the memory of one kNN block at 64 MiB whatever the number of training
# images.
_BLOCK_ELEMENTS = 16 * 2**20
_TRAINING_ROWS = 2**16  # training embeddings in memory at a time, where they lie on disk


def knn_predict(train: Any, train_labels: Any, test: Any, classes: int, k: int, temperature: float = 0.1) -> Integers:
    """Predicts labels with the weighted cosine k-nearest-neighbour classifier of instance discrimination.

    Each of the k nearest training embeddings votes for its class with weight exp(cosine / temperature)
    (Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", 2018, section
    3.4).

    Args:
        train: embeddings (n, d).
        train_labels: class indices (n,) in [0, classes).
        test: embeddings (m, d).
        classes: number of classes.
        k: number of voting neighbours; the paper's value is 200.
        temperature: softness of the votes. NOTE: 0.1 is our choice; the paper has 0.07.

    Returns:
        Class indices (m,); the smallest index among classes with equal votes.

    Raises:
        ValueError: shapes that do not fit, a label outside [0, classes), or k outside [1, n].
    """
    return knn_predictions(train, train_labels, test, classes, (k,), temperature)[0]


def knn_predictions(
    train: Any, train_labels: Any, test: Any, classes: int, ks: Sequence[int], temperature: float = 0.1
) -> Integers:
    """Like `knn_predict` for several k at once, from one pass over the similarities.

    Args:
        train: embeddings (n, d), in memory or mapped from a file.
        train_labels: class indices (n,) in [0, classes).
        test: embeddings (m, d).
        classes: number of classes.
        ks: numbers of voting neighbours, each in [1, n].
        temperature: softness of the votes.

    Returns:
        Class indices (len(ks), m).

    Raises:
        ValueError: as `knn_predict`.
    """
    test = normalized(test)
    labels = np.asarray(keras.ops.convert_to_numpy(train_labels)).astype(np.int64)
    _check_knn(train, labels, test, classes, ks)
    k = max(ks)
    held = np.full((len(test), 0), -np.inf, np.float32), np.zeros((len(test), 0), np.int64)
    for first in range(0, len(train), _TRAINING_ROWS):
        known, named = normalized(train[first : first + _TRAINING_ROWS]), labels[first : first + _TRAINING_ROWS]
        held = _nearest(test, known, named, held, k)
    return _vote(*held, classes, ks, temperature)


def _nearest(
    test: Floats, known: Floats, labels: Integers, held: tuple[Floats, Integers], k: int
) -> tuple[Floats, Integers]:
    """Cosines and labels (m, k) of the nearest among those held so far and some more, the nearest first."""
    cosines, named = [], []
    step = max(1, _BLOCK_ELEMENTS // len(known))
    for start in range(0, len(test), step):
        rows = slice(start, start + step)
        cosine = np.concatenate([held[0][rows], test[rows] @ known.T], axis=1)
        places = np.arange(len(cosine))[:, None]
        count = min(k, cosine.shape[1])
        nearest = np.argpartition(cosine, -count, axis=1)[:, -count:]
        nearest = nearest[places, np.argsort(-cosine[places, nearest], axis=1, kind="stable")]
        cosines.append(cosine[places, nearest])
        before = held[0].shape[1]
        new = labels[np.maximum(nearest - before, 0)]
        old = held[1][rows][places, np.minimum(nearest, before - 1)] if before else new
        named.append(np.where(nearest < before, old, new))
    return np.concatenate(cosines), np.concatenate(named)


def _check_knn(train: Any, labels: Integers, test: Floats, classes: int, ks: Sequence[int]) -> None:
    if labels.shape != train.shape[:1]:
        raise ValueError(f"kNN got {len(train)} training embeddings and labels of shape {labels.shape}: give one each.")
    if train.shape[1] != test.shape[1]:
        raise ValueError(
            f"kNN got training embeddings of size {train.shape[1]} and test embeddings of size "
            f"{test.shape[1]}: both must come from the same encoder."
        )
    for k in ks:
        if not 1 <= k <= len(train):
            raise ValueError(f"kNN got k = {k} with {len(train)} training embeddings: choose k in [1, {len(train)}].")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"kNN got labels in [{labels.min()}, {labels.max()}] for {classes} classes.")


def _vote(cosines: Floats, labels: Integers, classes: int, ks: Sequence[int], temperature: float) -> Integers:
    """Class with most votes for each row of neighbours (m, k), the nearest first, and each k: (len(ks), m)."""
    # Differences to the nearest neighbour: the same winner, and no overflow at small temperatures.
    weights = cosines.astype(np.float64)
    weights = np.exp((weights - weights[:, :1]) / temperature)
    found = np.empty((len(ks), len(cosines)), np.int64)
    step = max(1, _BLOCK_ELEMENTS // classes)
    for start in range(0, len(cosines), step):
        rows = slice(start, start + step)
        ballot = np.arange(len(labels[rows]))[:, None] * classes + labels[rows]
        size = len(ballot) * classes
        for place, k in enumerate(ks):
            votes = np.bincount(ballot[:, :k].ravel(), weights[rows, :k].ravel(), size)
            found[place, rows] = votes.reshape(-1, classes).argmax(1)
    return found


def rankme(embeddings: Any, epsilon: float = 1e-7) -> float:
    """Effective rank of the embeddings: 1 when all lie on one line, min(n, d) when they spread evenly.

    exp(-Σ p log p) with p = σ / Σσ + epsilon over the singular values σ of the (n, d) matrix, neither
    centred nor normalised (Garrido et al., "RankMe", arXiv 2210.02885, equations 1 and 2).

    Args:
        embeddings: (n, d); the paper takes n = 25 600 and finds n > d enough for a ranking.
        epsilon: added to each p; 1e-7 is the paper's value for float32.
    """
    matrix = _array(embeddings).astype(np.float64)
    if not np.isfinite(matrix).all():
        return float("nan")
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0))
    p = singular / max(singular.sum(), np.finfo(np.float64).tiny) + epsilon
    return float(np.exp(-np.sum(p * np.log(p))))


def alpha_req(embeddings: Any) -> float:
    """Decay of the embeddings' spectrum: α in λ_i ∝ i^-α, over the eigenvalues λ of their covariance in falling order.

    Large where few directions carry everything (collapse), 0 where all carry the same; near 1 in good representations
    (Agrawal et al., "α-ReQ", NeurIPS 2022, section 3). By least squares on logarithms. NOTE: over the first half of the
    ranks, as the last ones of a sample are too small; the paper leaves the range open.

    Args:
        embeddings: (n, d), n >= 4.
    """
    matrix = _array(embeddings).astype(np.float64)
    if not np.isfinite(matrix).all():
        return float("nan")
    values = np.linalg.svd(matrix - matrix.mean(axis=0), compute_uv=False) ** 2
    values = values[: max(2, min(len(matrix) - 1, matrix.shape[1]) // 2)]
    logarithms = np.log(np.maximum(values, np.finfo(np.float64).tiny))
    return float(-np.polyfit(np.log(np.arange(1, len(values) + 1)), logarithms, 1)[0])


def alignment(first: Any, second: Any, power: float = 2.0) -> float:
    """Mean distance ‖u - v‖^power between the l2-normalised embeddings of two views of the same images.

    0 when the encoder ignores the augmentation; 2 for unrelated directions at power 2 (Wang and Isola,
    arXiv 2005.10242, equation 1 of section 4.1 with its default power).

    Args:
        first: embeddings (n, d) of one view.
        second: embeddings (n, d) of another view, row by row of the same images.
        power: exponent of the distance.
    """
    distance = np.linalg.norm(normalized(first) - normalized(second), axis=1)
    return float(np.mean(distance.astype(np.float64) ** power))


def uniformity(embeddings: Any, t: float = 2.0) -> float:
    """Log of the mean of exp(-t‖u - v‖²) over all pairs of different images, l2-normalised.

    0 when all embeddings coincide, about -2t when they fill a sphere of many dimensions (Wang and Isola,
    arXiv 2005.10242, section 4.1 with its default t).

    Args:
        embeddings: (n, d), n >= 2; time and memory traffic grow with n².
        t: scale of the Gaussian potential.
    """
    unit = normalized(embeddings)
    total = 0.0
    rows = max(1, _BLOCK_ELEMENTS // len(unit))
    for start in range(0, len(unit), rows):
        # ‖u - v‖² = 2 - 2<u, v> on the sphere.
        cosine = unit[start : start + rows] @ unit.T
        total += float(np.exp(2.0 * t * (cosine - 1.0)).sum(dtype=np.float64))
    pairs = len(unit) * (len(unit) - 1)
    if pairs == 0:
        return float("nan")
    # Rounding may take the mean of potentials that all vanish just below zero: the logarithm needs a
    # positive number.
    return float(np.log(max((total - len(unit)) / pairs, np.finfo(np.float64).tiny)))


def embedding_std(embeddings: Any) -> float:
    """Mean over the dimensions of the standard deviation of the l2-normalised embeddings.

    0 for complete collapse; a healthy value is near 1/√d, that of directions spread evenly over the sphere
    (Chen and He, "SimSiam", arXiv 2011.10566, section 4.1).

    Args:
        embeddings: (n, d).
    """
    return float(normalized(embeddings).std(axis=0, dtype=np.float64).mean())


def mean_cosine(embeddings: Any) -> float:
    """Mean cosine between the embeddings of different images: 1 for collapse, near 0 for centred, spread
    ones.

    Args:
        embeddings: (n, d), n >= 2; `nan` for a single one.
    """
    unit = normalized(embeddings).astype(np.float64)
    n = len(unit)
    if n < 2:
        return float("nan")
    # Σ_{i≠j} <u_i, u_j> = ‖Σ u_i‖² - Σ ‖u_i‖²: no n x n matrix.
    return float((np.sum(unit.sum(axis=0) ** 2) - np.sum(unit**2)) / (n * (n - 1)))


def _array(embeddings: Any) -> Floats:
    array = np.asarray(keras.ops.convert_to_numpy(embeddings), np.float32)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"Embeddings must be a non-empty matrix (images, dimensions), got shape {array.shape}.")
    return array


def normalized(embeddings: Any) -> Floats:
    """Embeddings (n, d) scaled to length 1, as float32; a zero row stays zero."""
    array = _array(embeddings)
    return array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), np.finfo(np.float32).tiny)
