"""Many L2-penalised softmax regressions on the same features, solved together.

Cross-validation fits folds × penalties classifiers on nearly the same rows. Solving them side by side turns
every iteration into two large matrix products instead of many small ones; two changes of variables, neither
of which moves the solution, keep the iterations few (see `solve`).
"""

import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_keras.learning.measures import Floats, Integers
from ssl_keras.scenarios.features import IN_MEMORY

Doubles = npt.NDArray[np.float64]

_CHUNK = 16384  # rows that are standardised or rotated at a time
_MEMORY = 10  # pairs of L-BFGS history
_ROWS = 1024  # rows of one block: its logits, for all problems, stay in the processor's cache
_ARMIJO = 1e-4
_HALVINGS = 12


def chunks(features: Floats) -> Iterator[tuple[slice, Floats]]:
    """Rows of features (n, d) of any float type, some thousands at a time, as float32; and which they are."""
    for first in range(0, len(features), _CHUNK):
        rows = slice(first, first + _CHUNK)
        yield rows, np.asarray(features[rows], np.float32)


@dataclass(frozen=True, eq=False)
class Rotated:
    """Standardised features in the basis in which they are uncorrelated.

    Attributes:
        rows: (n, r) in that basis; r < d where features depend on one another.
        variances: (r,) of the columns of `rows`.
        rotation: (d, r) from standardised features to rows.
        mean: (d,) of the features.
        scale: (d,) their standard deviation; 1 where a feature is constant.
    """

    rows: Floats
    variances: Floats
    rotation: Floats
    mean: Floats
    scale: Floats


def moments(features: Floats) -> tuple[Floats, Floats, Doubles]:
    """Mean (d,), scale (d,) as in `Rotated`, and correlation (d, d) of features (n, d), some thousands at a time."""
    n, d = features.shape
    total, products = np.zeros(d), np.zeros((d, d))
    origin = np.asarray(features[0], np.float64)  # near the mean, so that no digits are lost in the difference
    for _, rows in chunks(features):
        moved = (rows - origin).astype(np.float32)
        total += moved.sum(axis=0, dtype=np.float64)
        products += moved.T @ moved
    mean = total / n
    covariance = products / n - np.outer(mean, mean)
    deviation = np.sqrt(covariance.diagonal().clip(0.0))
    mean += origin
    scale = np.where(deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6), deviation, 1.0)
    return mean.astype(np.float32), scale.astype(np.float32), covariance / np.outer(scale, scale)


def rotate(features: Floats) -> Rotated:
    """Standardises and rotates features (n, d) of any float type, in memory or not, some thousands at a time."""
    mean, scale, correlation = moments(features)
    variances, rotation = np.linalg.eigh(correlation)
    # Directions without variance, up to float32 rounding, get zero weight from the penalty: leave them out.
    kept = np.cumsum(variances.clip(0.0)) > 1e-7 * variances.clip(0.0).sum()
    variances, rotation = (part.astype(np.float32) for part in (variances[kept], rotation[:, kept]))
    turned = _allocated((len(features), len(variances)))
    for at, rows in chunks(features):
        turned[at] = ((rows - mean) / scale) @ rotation
    return Rotated(turned, variances, rotation, mean, scale)


def _allocated(shape: tuple[int, int]) -> Floats:
    if shape[0] * shape[1] * 4 <= IN_MEMORY:
        return np.empty(shape, np.float32)
    with tempfile.TemporaryFile() as file:  # mapped, it lives as long as the array
        return np.memmap(file, np.float32, shape=shape)


@dataclass(frozen=True)
class Solution:
    """Classifiers of p problems.

    Attributes:
        weights: (p, r, classes) on the rows of a `Rotated`.
        intercepts: (p, classes), not penalised.
        objectives: (p,) reached values.
        iterations: how many the slowest problem took.
        converged: (p,) False where the iterations ran out first.
    """

    weights: Floats
    intercepts: Floats
    objectives: Doubles
    iterations: int
    converged: npt.NDArray[np.bool_]


def solve(
    features: Rotated,
    labels: Integers,
    classes: int,
    penalties: npt.ArrayLike,
    *,
    left_out: npt.ArrayLike | None = None,
    folds: Integers | None = None,
    start: tuple[Floats, Floats] | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 200,
) -> Solution:
    """Fits p classifiers, each with its own penalty and its own share of the rows.

    Problem p minimises, over W (r, classes) and b (classes,),

        mean_i [ -log softmax(x_i W + b)_{y_i} ] + penalty_p / 2 · ‖W‖²

    over the rows i whose fold is not left_out_p. scikit-learn's C is 1 / (penalty · number of rows).

    L-BFGS runs in the eigenbasis of the correlation of the features: a rotation, under which the penalty does not
    change, and in which the Hessian at W = 0, (I - 11ᵀ/K)/K ⊗ XᵀX/n + penalty, has a diagonal that serves as the first
    inverse Hessian. Correlated features then cost no extra iterations.

    Args:
        features: of n images.
        labels: class indices (n,) in [0, classes).
        classes: number of classes.
        penalties: (p,) one for each problem, positive.
        left_out: (p,) the fold each problem does not see; None: every problem sees all rows.
        folds: (n,) the fold of each row, needed with `left_out`; a row of a negative fold is seen by no problem.
        start: weights (p, r, classes) and intercepts (p, classes) to begin at, near the solution; None: 0.
        tolerance: a problem is done when an iteration lowers its objective by less than this share of it,
            twice.
        max_iterations: upper limit.
    """
    penalties = np.asarray(penalties, np.float64)
    left_out = np.full(len(penalties), -1) if left_out is None else np.asarray(left_out)
    folds = np.zeros(len(features.rows), np.int64) if folds is None else folds
    problem = _Problem(features.rows, labels, classes, folds)
    curvature = np.append(features.variances, 1.0) / classes
    penalty = np.repeat(penalties[:, None], len(curvature), axis=1)
    penalty[:, -1] = 0.0
    point = np.zeros((*penalty.shape, classes))
    if start is not None:
        point[:, :-1], point[:, -1] = start
    state = _minimize(problem, point, penalty, left_out, curvature, tolerance, max_iterations)
    weights, intercepts = (part.astype(np.float32) for part in (state.point[:, :-1], state.point[:, -1]))
    return Solution(weights, intercepts, state.value, state.iterations, state.done)


class _Problem:
    """The data term: rows sorted by fold, in blocks, so that no problem computes rows that it leaves out."""

    def __init__(self, features: Floats, labels: Integers, classes: int, folds: Integers):
        # A block gathers its rows anew in every iteration, which costs little beside its products: no second copy.
        order = np.argsort(folds, kind="stable")
        self.features, self.order = features, order[folds[order] >= 0]
        self.labels, self.folds = labels[self.order], folds[self.order]
        self.classes = classes
        self.blocks = []
        for fold in np.unique(folds):
            first, last = np.searchsorted(self.folds, [fold, fold + 1])
            self.blocks += [(fold, i, min(i + _ROWS, last)) for i in range(first, last, _ROWS)]

    def __call__(self, point: Doubles, left_out: Integers) -> tuple[Doubles, Doubles]:
        """Mean losses (p,) and their gradients (p, d + 1, classes) at `point` (p, d + 1, classes)."""
        p, size, classes = point.shape
        # Class-major, so that the maximum and the sum over classes run along the first axis, which is the
        # fast way.
        kernel = np.ascontiguousarray(point[:, :-1].transpose(2, 0, 1), dtype=np.float32)
        bias = point[:, -1].T[:, :, None].astype(np.float32)
        loss, count = np.zeros(p), np.zeros(p)
        gradient = np.zeros((classes, p, size))
        for fold in np.unique(self.folds):
            seen = np.flatnonzero(left_out != fold)
            if len(seen):
                blocks = [(a, b) for f, a, b in self.blocks if f == fold]
                count[seen] += sum(b - a for a, b in blocks)
                self._accumulate(blocks, kernel[:, seen], bias[:, seen], seen, loss, gradient)
        return loss / count, gradient.transpose(1, 2, 0) / count[:, None, None]

    def _accumulate(
        self,
        blocks: list[tuple[int, int]],
        kernel: Floats,
        bias: Floats,
        seen: Integers,
        loss: Doubles,
        gradient: Doubles,
    ) -> None:
        """Adds the summed losses and gradients of one fold's blocks to the problems that see it."""
        classes, problems, d = kernel.shape
        flat = kernel.reshape(-1, d)
        slope = np.zeros_like(flat)
        offset = np.zeros((classes, problems))
        for first, last in blocks:
            rows = self.features[self.order[first:last]]
            logits = (flat @ rows.T).reshape(classes, problems, -1)
            logits += bias
            logits -= logits.max(axis=0)
            own = (self.labels[first:last], slice(None), np.arange(last - first))
            picked = logits[own]
            probabilities = np.exp(logits, out=logits)
            total = probabilities.sum(axis=0)
            loss[seen] += np.log(total).sum(axis=1, dtype=np.float64) - picked.sum(axis=0, dtype=np.float64)
            probabilities *= 1.0 / total
            probabilities[own] -= 1.0
            slope += probabilities.reshape(len(flat), -1) @ rows
            offset += probabilities.sum(axis=2)
        gradient[:, seen, :-1] += slope.reshape(kernel.shape)
        gradient[:, seen, -1] += offset


@dataclass
class _State:
    """Where every problem stands; `done` marks those that have nothing left to do."""

    point: Doubles
    value: Doubles
    gradient: Doubles
    done: npt.NDArray[np.bool_]
    iterations: int = 0

    def select(self, rows: Integers) -> "_State":
        """A copy of some problems."""
        return _State(self.point[rows], self.value[rows], self.gradient[rows], self.done[rows])

    def assign(self, rows: Integers, other: "_State") -> None:
        """Writes the problems of `other` to `rows`."""
        self.point[rows], self.value[rows], self.gradient[rows] = other.point, other.value, other.gradient


def _minimize(
    problem: _Problem,
    point: Doubles,
    penalty: Doubles,
    left_out: Integers,
    curvature: Doubles,
    tolerance: float,
    max_iterations: int,
) -> _State:
    """L-BFGS on all problems side by side; a problem that is done drops out of all later products."""
    value, gradient = _objective(problem, point, penalty, left_out)
    result = _State(point, value, gradient, np.zeros(len(point), np.bool_))
    scaling = (1.0 / (curvature + penalty))[:, :, None].astype(np.float32)
    active, small = np.arange(len(point)), np.zeros(len(point), np.int64)
    history: deque[tuple[Floats, Floats]] = deque(maxlen=_MEMORY)
    while result.iterations < max_iterations and len(active):
        result.iterations += 1
        now = result.select(active)
        direction = _direction(now.gradient.astype(np.float32), scaling[active], list(history))
        moved = _line_search(problem, now, direction, penalty[active], left_out[active])
        step, change = moved.point - now.point, moved.gradient - now.gradient
        history.append((step.astype(np.float32), change.astype(np.float32)))
        small = np.where(now.value - moved.value <= tolerance * np.abs(moved.value), small + 1, 0)
        result.assign(active, moved)
        left = small < 2
        result.done[active[~left]] = True
        if not left.all():
            history = deque([(a[left], b[left]) for a, b in history], maxlen=_MEMORY)
            active, small = active[left], small[left]
    return result


def _objective(problem: _Problem, point: Doubles, penalty: Doubles, left_out: Integers) -> tuple[Doubles, Doubles]:
    loss, gradient = problem(point, left_out)
    pull = penalty[:, :, None] * point
    return loss + 0.5 * np.sum(pull * point, axis=(1, 2)), gradient + pull


def _dot(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Inner product problem by problem: (p, d, k) and (p, d, k) to (p, 1, 1)."""
    return np.matmul(a.reshape(len(a), 1, -1), b.reshape(len(b), -1, 1))


def _direction(gradient: Floats, scaling: Floats, history: list[tuple[Floats, Floats]]) -> Floats:
    """The two-loop recursion (Nocedal and Wright, algorithm 7.4), problem by problem along the first axis.

    A pair without positive curvature (a step that was refused, or lost in rounding) gets no weight.
    """
    direction = -gradient
    kept = []
    for step, change in reversed(history):
        product = _dot(step, change)
        usable = product > np.finfo(np.float32).tiny
        inverse = np.where(usable, 1.0 / np.where(usable, product, 1.0), 0.0).astype(np.float32)
        alpha = inverse * _dot(step, direction)
        direction -= alpha * change
        kept.append((step, change, inverse, alpha))
    direction *= scaling
    if kept:
        step, change, inverse, _ = kept[0]
        scaled = _dot(change, scaling * change)
        direction *= np.where(inverse > 0, _dot(step, change) / np.where(inverse > 0, scaled, 1.0), 1.0)
    for step, change, inverse, alpha in reversed(kept):
        direction += step * (alpha - inverse * _dot(change, direction))
    return direction


def _line_search(problem: _Problem, now: _State, direction: Floats, penalty: Doubles, left_out: Integers) -> _State:
    """Halves each problem's step until it lowers the objective enough; one that finds none stays put."""
    slope = np.minimum(_dot(now.gradient, direction), 0.0)[:, 0, 0]
    moved = now.select(np.arange(len(direction)))
    length, left = 1.0, np.arange(len(direction))
    for _ in range(_HALVINGS):
        trial = now.point[left] + length * direction[left]
        value, gradient = _objective(problem, trial, penalty[left], left_out[left])
        good = value <= now.value[left] + _ARMIJO * length * slope[left]
        moved.assign(left[good], _State(trial[good], value[good], gradient[good], now.done[left[good]]))
        left, length = left[~good], length * 0.5
        if not len(left):
            break
    return moved
