"""The linear protocol: one softmax layer on frozen features, its penalty chosen by cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ssl_keras.learning.measures import Floats, Integers
from ssl_keras.scenarios.protocol import Outcome
from ssl_keras.scenarios.softmax_regression import solve

FOLDS = 3
# Of the fits that only rank the penalties: looser changes no accuracy by more than 0.2 %, tighter takes
# twice as long.
_VALIDATION_TOLERANCE = 1e-4
_FLAT = 0.01  # difference in top-1 below which an end of the grid is as good as its neighbour
PENALTIES = tuple(float(f"{value:.3g}") for value in np.logspace(-5, 1, 9))


@dataclass(frozen=True)
class LinearClassifier:
    """A fitted classifier and how its penalty was found.

    Attributes:
        mean: (d,) of the training features.
        scale: (d,) standard deviation of the training features; 1 where a feature is constant.
        weights: (d, classes), on standardised features.
        intercept: (classes,).
        penalty: the chosen one.
        validation: mean top-1 over the folds, in [0, 1], for each penalty tried.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    intercept: Floats
    penalty: float
    validation: dict[float, float]

    def predict(self, features: Floats) -> Integers:
        """Class indices (m,) for features (m, d)."""
        return np.argmax((features - self.mean) / self.scale @ self.weights + self.intercept, axis=1)


def fit(
    features: Floats,
    labels: Integers,
    seed: int = 0,
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = FOLDS,
) -> LinearClassifier:
    """Chooses the penalty by stratified cross-validation on the given images, then fits all of them with it.

    The objective is the mean cross-entropy + penalty/2 · ‖W‖² on features standardised with the training
    mean and standard deviation (scikit-learn's C = 1 / (penalty · n)); the intercept is not penalised. The
    penalty with the best mean top-1 over the folds wins, the larger one among equals. NOTE: the paper's
    transfer protocol tries 45 penalties on a fixed validation split; we try 9 from 1e-5 to 10 and use 3
    folds, as our sets are small.

    Args:
        features: (n, d).
        labels: class indices (n,).
        seed: of the assignment to folds.
        penalties: to try, positive.
        folds: number of folds, at least 2.

    Raises:
        ValueError: fewer than two classes, fewer images than folds, or a penalty that is not positive.
    """
    _check(labels, penalties, folds)
    classes = int(labels.max()) + 1
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    deviation = features.std(axis=0, dtype=np.float64).astype(np.float32)
    scale = np.where(deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6), deviation, np.float32(1.0))
    standardized = (features - mean) / scale
    tried = sorted(penalties)
    validation = _validate(standardized, labels, classes, tried, stratified_folds(labels, folds, seed), folds)
    best = max(zip(validation, tried, strict=True))[1]
    final = solve(standardized, labels, classes, [best])
    scores = dict(zip(tried, validation, strict=True))
    return LinearClassifier(mean, scale, final.weights[0], final.intercepts[0], best, scores)


def linear(
    train: Floats,
    train_labels: Integers,
    test: Floats,
    test_labels: Integers,
    seed: int = 0,
    *,
    penalties: Sequence[float] = PENALTIES,
) -> dict[str, Outcome]:
    """Fits on the training features as `fit` does and marks its answers on the test features.

    Args:
        train: features (n, d).
        train_labels: class indices (n,).
        test: features (m, d).
        test_labels: class indices (m,), used only to mark answers right or wrong.
        seed: of the folds.
        penalties: to try.

    Returns:
        One outcome under "linear".
    """
    classifier = fit(train, train_labels, seed, penalties=penalties)
    correct = np.asarray(classifier.predict(test) == test_labels)
    remarks = _edge(classifier)
    return {"linear": Outcome(correct, {"penalty": classifier.penalty}, remarks)}


def _edge(classifier: LinearClassifier) -> tuple[str, ...]:
    """A remark where a wider grid would probably have served better: the best penalty is an end that is not flat."""
    scores = [classifier.validation[penalty] for penalty in sorted(classifier.validation)]
    ends = {0: scores[:2], len(scores) - 1: scores[:-3:-1]}
    chosen = sorted(classifier.validation).index(classifier.penalty)
    if len(scores) < 2 or chosen not in ends or ends[chosen][0] - ends[chosen][1] < _FLAT:
        return ()
    return (f"the linear classifier chose the penalty {classifier.penalty:g}, an end of the grid.",)


def stratified_folds(labels: npt.ArrayLike, folds: int, seed: int) -> Integers:
    """Fold (n,) of each image: every class is dealt out evenly, in seeded random order.

    The dealing continues from class to class, so that the folds are of equal size (±1) even with many tiny
    classes.
    """
    labels = np.asarray(labels)
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    assigned = np.empty(len(labels), np.int64)
    assigned[order] = np.arange(len(labels)) % folds
    return assigned


def _check(labels: Integers, penalties: Sequence[float], folds: int) -> None:
    if len(np.unique(labels)) < 2:
        raise ValueError("The linear protocol needs at least two classes among the training images; there is one.")
    if not 2 <= folds <= len(labels):
        raise ValueError(f"Cross-validation got {folds} folds for {len(labels)} images: give 2 to {len(labels)}.")
    if not penalties or min(penalties) <= 0:
        raise ValueError(f"The linear protocol got the penalties {tuple(penalties)}: give at least one, all positive.")


def _validate(
    features: Floats, labels: Integers, classes: int, penalties: list[float], assigned: Integers, folds: int
) -> list[float]:
    """Top-1 on the left-out fold, averaged over the folds, for each penalty."""
    if len(penalties) == 1:
        return [float("nan")]
    left_out = np.repeat(np.arange(folds), len(penalties))
    solution = solve(
        features, labels, classes, penalties * folds, left_out=left_out, folds=assigned, tolerance=_VALIDATION_TOLERANCE
    )
    accuracy = np.empty((folds, len(penalties)))
    for fold in range(folds):
        rows = assigned == fold
        mine = slice(fold * len(penalties), (fold + 1) * len(penalties))
        logits = np.matmul(features[rows], solution.weights[mine]) + solution.intercepts[mine, None]
        accuracy[fold] = (logits.argmax(axis=2) == labels[rows]).mean(axis=1)
    # Rounded, so that equal counts of right answers are equal numbers.
    return [float(value) for value in accuracy.mean(axis=0).round(12)]
