"""The linear protocol: one softmax layer on frozen features, its penalty chosen by cross-validation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ssl_keras.learning.measures import Floats, Integers
from ssl_keras.scenarios.protocol import TOP1, TOP5, Labelled, Learned, Outcome
from ssl_keras.scenarios.softmax_regression import Rotated, chunks, rotate, solve

FOLDS = 3
# Of the fits that only rank the penalties: looser changes no accuracy by more than 0.2 %, tighter takes
# twice as long.
_VALIDATION_TOLERANCE = 1e-4
_FLAT = 0.01  # difference in top-1 below which an end of the grid is as good as its neighbour
PENALTIES = tuple(float(f"{value:.3g}") for value in np.logspace(-6, 1, 45))
_STRIDES = (9, 3, 1)
"""Every ninth penalty is tried, then those three away from the best, then its neighbours."""
FIVE = 5
_ROWS = 4096  # answers that are marked at a time


@dataclass(frozen=True)
class LinearClassifier:
    """A fitted classifier and how its penalty was found.

    Attributes:
        mean: (d,) of the training features.
        scale: (d,) standard deviation of the training features; 1 where a feature is constant.
        weights: (d, classes), on standardised features.
        intercept: (classes,).
        penalty: the chosen one.
        validation: mean score over the folds, in [0, 1], for each penalty tried.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    intercept: Floats
    penalty: float
    validation: Mapping[float, float]

    def logits(self, features: Floats) -> Floats:
        """Logits (m, classes) for features (m, d)."""
        parts = [(rows - self.mean) / self.scale @ self.weights for _, rows in chunks(features)]
        return np.asarray(np.concatenate(parts) + self.intercept, np.float32)

    def predict(self, features: Floats) -> Integers:
        """Class indices (m,) for features (m, d)."""
        return np.argmax(self.logits(features), axis=1)


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
    penalty with the best mean top-1 over the folds wins, the larger one among equals: of 45, spaced evenly in their
    logarithm, as in the paper's transfer protocol. NOTE: not all of them are tried, but every ninth, then nearer and
    nearer ones to the best; and the paper has a fixed validation split where we have folds, as our sets are small.

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
    rotated = rotate(features)
    search = Search(rotated, labels, classes, stratified_folds(labels, folds, seed), folds)
    penalty, scores = walk(penalties, search.validate)
    final = solve(rotated, labels, classes, [penalty], start=search.start(1))
    weights = rotated.rotation @ final.weights[0]
    return LinearClassifier(rotated.mean, rotated.scale, weights, final.intercepts[0], penalty, scores)


def linear(train: Labelled, seed: int) -> Learned:
    """The protocol: `fit` on the training features, then top-1, and top-5 among more than five classes."""
    classifier = fit(train.features, train.labels, seed)

    def answer(test: Labelled) -> list[Outcome]:
        logits = classifier.logits(test.features)
        return marked("linear", logits, test, {"penalty": classifier.penalty}, edge(classifier))

    return answer


def marked(
    protocol: str, logits: Floats, test: Labelled, chosen: Mapping[str, float], remarks: tuple[str, ...] = ()
) -> list[Outcome]:
    """Answers by logits (m, classes): top-1, and top-5 where there are more than five classes."""
    logits = among_eligible(logits, test)
    right = np.argmax(logits, axis=1) == test.labels
    outcomes = [Outcome(protocol, right, TOP1, chosen=chosen, remarks=remarks, logits=logits)]
    if logits.shape[1] > FIVE:
        nearest = np.argpartition(-logits, FIVE, axis=1)[:, :FIVE]
        outcomes.append(Outcome(protocol, (nearest == test.labels[:, None]).any(axis=1), TOP5, chosen=chosen))
    return outcomes


def among_eligible(logits: Floats, test: Labelled) -> Floats:
    """Logits (m, classes) that no answer outside of the eligible classes can win."""
    return np.where(test.eligible[: logits.shape[1]], logits, np.float32(-np.inf))


def edge(classifier: LinearClassifier) -> tuple[str, ...]:
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


def walk(
    penalties: Sequence[float], validate: Callable[[Sequence[float]], Mapping[float, float]]
) -> tuple[float, Mapping[float, float]]:
    """Tries every ninth penalty, then those three away from the best, then its neighbours; of a short grid, all.

    Args:
        penalties: the grid.
        validate: tries some penalties and gives the scores of all that were tried.

    Returns:
        The penalty of the best score, the larger one among equals; and all scores.
    """
    grid = sorted(penalties)
    strides = _STRIDES if len(grid) > 2 * _STRIDES[0] else (1,)
    scores = validate(grid[strides[0] // 2 :: strides[0]])
    for stride in strides[1:]:
        place = grid.index(best_of(scores))
        scores = validate([grid[at] for at in (place - stride, place + stride) if 0 <= at < len(grid)])
    return best_of(scores), scores


def best_of(scores: Mapping[float, float]) -> float:
    """The penalty of the best score, the larger one among equals."""
    return max(scores, key=lambda penalty: (scores[penalty], penalty))


@dataclass
class Search:
    """Penalties tried so far by cross-validation.

    Attributes:
        features: of n images.
        labels: class indices (n,).
        classes: how many there are.
        assigned: fold (n,) of each image; negative where it is left out altogether.
        folds: how many there are.
        scores: of each penalty tried, the mean over the folds of `score`.
        solved: of each penalty tried, weights and intercepts, fold by fold.
    """

    features: Rotated
    labels: Integers
    classes: int
    assigned: Integers
    folds: int
    scores: dict[float, float] = field(default_factory=dict)
    solved: dict[float, tuple[Floats, Floats]] = field(default_factory=dict)

    def start(self, count: int) -> tuple[Floats, Floats] | None:
        """Where so many problems begin: at the mean over the folds of the best penalty's solutions."""
        if not self.scores:
            return None
        weights, intercepts = (part.mean(axis=0) for part in self.solved[best_of(self.scores)])
        return np.repeat(weights[None], count, axis=0), np.repeat(intercepts[None], count, axis=0)

    def validate(self, penalties: Sequence[float]) -> Mapping[float, float]:
        """Adds the score on the left-out fold, averaged over the folds, of each penalty; all scores."""
        new = [penalty for penalty in penalties if penalty not in self.scores]
        if not new:
            return self.scores
        left_out = np.repeat(np.arange(self.folds), len(new))
        solution = solve(
            self.features,
            self.labels,
            self.classes,
            new * self.folds,
            left_out=left_out,
            folds=self.assigned,
            start=self.start(len(left_out)),
            tolerance=_VALIDATION_TOLERANCE,
        )
        found = np.zeros((self.folds, len(new)))
        for fold in range(self.folds):
            mine = slice(fold * len(new), (fold + 1) * len(new))
            rows = np.flatnonzero(self.assigned == fold)
            found[fold] = self.score(rows, solution.weights[mine], solution.intercepts[mine])
        # Rounded, so that equal counts of right answers are equal numbers.
        self.scores |= dict(zip(new, map(float, np.nanmean(found, axis=0).round(12)), strict=True))
        for place, penalty in enumerate(new):
            mine = slice(place, None, len(new))
            self.solved[penalty] = solution.weights[mine], solution.intercepts[mine]
        return self.scores

    def score(self, rows: Integers, weights: Floats, intercepts: Floats) -> Floats:
        """Top-1 (p,) of p classifiers, weights (p, r, classes), on some images; nan would not count."""
        right = np.zeros(len(weights))
        for some in np.array_split(rows, len(rows) // _ROWS + 1):
            logits = np.matmul(self.features.rows[some], weights) + intercepts[:, None]
            right += (logits.argmax(axis=2) == self.labels[some]).sum(axis=1)
        return np.asarray(right / len(rows), np.float32)
