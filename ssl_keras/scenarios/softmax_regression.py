"""Many L2-penalised softmax regressions on the same features, solved together.

Cross-validation fits folds × penalties classifiers on nearly the same rows. Solving them side by side turns
every iteration into two large matrix products instead of many small ones; two changes of variables, neither
of which moves the solution, keep the iterations few (see `solve`).
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ssl_keras.learning.measures import Floats, Integers

_MEMORY = 10  # pairs of L-BFGS history
_ROWS = 1024  # rows of one block: its logits, for all problems, stay in the processor's cache
_ARMIJO = 1e-4
_HALVINGS = 12


@dataclass(frozen=True)
class Solution:
    """Classifiers (p, d, classes) and intercepts (p, classes) of p problems.

    Attributes:
        weights: one matrix for each problem.
        intercepts: one vector for each problem, not penalised.
        objectives: (p,) reached values.
        iterations: how many the slowest problem took.
        converged: (p,) False where the iterations ran out first.
    """

    weights: Floats
    intercepts: Floats
    objectives: npt.NDArray[np.float64]
    iterations: int
    converged: npt.NDArray[np.bool_]


def solve(
    features: Floats,
    labels: Integers,
    classes: int,
    penalties: npt.ArrayLike,
    *,
    left_out: npt.ArrayLike | None = None,
    folds: Integers | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 200,
) -> Solution:
    """Fits p classifiers, each with its own penalty and its own share of the rows.

    Problem p minimises, over W (d, classes) and b (classes,),

        mean_i [ -log softmax(x_i W + b)_{y_i} ] + penalty_p / 2 · ‖W‖²

    over the rows i whose fold is not left_out_p. scikit-learn's C is 1 / (penalty · number of rows).

    L-BFGS runs in the eigenbasis of the second-moment matrix of the features: a rotation, under which the
    penalty does not change, and in which the Hessian at W = 0, (I - 11ᵀ/K)/K ⊗ XᵀX/n + penalty, has a
    diagonal that serves as the first inverse Hessian. Correlated features then cost no extra iterations.

    Args:
        features: (n, d); near zero mean and unit variance, or the rotation helps little.
        labels: class indices (n,) in [0, classes).
        classes: number of classes.
        penalties: (p,) one for each problem, positive.
        left_out: (p,) the fold each problem does not see; None: every problem sees all rows.
        folds: (n,) the fold of each row; needed with `left_out`.
        tolerance: a problem is done when an iteration lowers its objective by less than this share of it,
            twice.
        max_iterations: upper limit.
    """
    penalties = np.asarray(penalties, np.float64)
    left_out = np.full(len(penalties), -1) if left_out is None else np.asarray(left_out)
    folds = np.zeros(len(features), np.int64) if folds is None else folds
    moment = (features.T @ features).astype(np.float64) / len(features)
    eigenvalues, rotation = np.linalg.eigh(moment)
    rotation = rotation.astype(np.float32)
    problem = _Problem(features @ rotation, labels, classes, folds)
    curvature = np.append(np.maximum(eigenvalues, 0.0), 1.0) / classes
    penalty = np.repeat(penalties[:, None], features.shape[1] + 1, axis=1)
    penalty[:, -1] = 0.0
    state = _minimize(problem, penalty, left_out, curvature, tolerance, max_iterations)
    weights = np.matmul(rotation, state.point[:, :-1].astype(np.float32))
    intercepts = state.point[:, -1].astype(np.float32)
    return Solution(weights, intercepts, state.value, state.iterations, state.converged)


class _Problem:
    """The data term: rows sorted by fold, in blocks, so that no problem computes rows that it leaves out."""

    def __init__(self, features: Floats, labels: Integers, classes: int, folds: Integers):
        order = np.argsort(folds, kind="stable")
        self.features, self.labels, self.folds = features[order], labels[order], folds[order]
        self.classes = classes
        self.blocks = []
        for fold in np.unique(folds):
            first, last = np.searchsorted(self.folds, [fold, fold + 1])
            self.blocks += [(fold, i, min(i + _ROWS, last)) for i in range(first, last, _ROWS)]

    def __call__(
        self, point: npt.NDArray[np.float64], left_out: Integers
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
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
        loss: npt.NDArray[np.float64],
        gradient: npt.NDArray[np.float64],
    ) -> None:
        """Adds the summed losses and gradients of one fold's blocks to the problems that see it."""
        classes, problems, d = kernel.shape
        flat = kernel.reshape(-1, d)
        slope = np.zeros_like(flat)
        offset = np.zeros((classes, problems))
        for first, last in blocks:
            rows = self.features[first:last]
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
    """Where every problem stands."""

    point: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]
    gradient: npt.NDArray[np.float64]
    converged: npt.NDArray[np.bool_]
    iterations: int = 0


def _objective(
    problem: _Problem, point: npt.NDArray[np.float64], penalty: npt.NDArray[np.float64], left_out: Integers
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    loss, gradient = problem(point, left_out)
    pull = penalty[:, :, None] * point
    return loss + 0.5 * np.sum(pull * point, axis=(1, 2)), gradient + pull


def _minimize(
    problem: _Problem,
    penalty: npt.NDArray[np.float64],
    left_out: Integers,
    curvature: npt.NDArray[np.float64],
    tolerance: float,
    max_iterations: int,
) -> _State:
    """L-BFGS on all problems side by side; a problem that is done is left out of all later products."""
    point = np.zeros((*penalty.shape, problem.classes))
    value, gradient = _objective(problem, point, penalty, left_out)
    state = _State(point, value, gradient, np.zeros(len(point), np.bool_))
    preconditioner = 1.0 / (curvature + penalty)[:, :, None].clip(1e-12)
    history: deque[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = deque(maxlen=_MEMORY)
    small = np.zeros(len(point), np.int64)
    while state.iterations < max_iterations and not state.converged.all():
        state.iterations += 1
        active = np.flatnonzero(~state.converged)
        pairs = [(step[active], change[active]) for step, change in history]
        direction = _direction(state.gradient[active], preconditioner[active], pairs)
        moved = _line_search(problem, state, direction, active, penalty, left_out)
        step, change, decrease = np.zeros_like(point), np.zeros_like(point), np.zeros(len(point))
        step[active], change[active] = (
            moved.point - state.point[active],
            moved.gradient - state.gradient[active],
        )
        decrease[active] = state.value[active] - moved.value
        state.point[active], state.value[active] = moved.point, moved.value
        state.gradient[active] = moved.gradient
        history.append((step, change))
        small = np.where(decrease <= tolerance * np.abs(state.value), small + 1, 0)
        state.converged |= small >= 2
    return state


def _dot(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.einsum("pdk,pdk->p", a, b)[:, None, None]


def _direction(
    gradient: npt.NDArray[np.float64],
    preconditioner: npt.NDArray[np.float64],
    pairs: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]],
) -> npt.NDArray[np.float64]:
    """The two-loop recursion (Nocedal and Wright, algorithm 7.4), problem by problem along the first axis.

    A pair without positive curvature (a step that was refused, or lost in rounding) is given no weight.
    """
    direction = -gradient
    kept = []
    for step, change in reversed(pairs):
        product = _dot(step, change)
        usable = product > 1e-10 * _dot(change, change) * preconditioner.min()
        inverse = np.where(usable, 1.0 / np.where(usable, product, 1.0), 0.0)
        alpha = inverse * _dot(step, direction)
        direction = direction - alpha * change
        kept.append((step, change, inverse, alpha))
    scale = np.ones_like(direction[:, :1, :1])
    if pairs:
        step, change, inverse, _ = kept[0]
        ratio = _dot(step, change) / _dot(change, preconditioner * change).clip(1e-300)
        scale = np.where(inverse > 0, ratio, 1.0)
    direction = direction * preconditioner * scale
    for step, change, inverse, alpha in reversed(kept):
        direction = direction + step * (alpha - inverse * _dot(change, direction))
    return direction


def _line_search(
    problem: _Problem,
    state: _State,
    direction: npt.NDArray[np.float64],
    active: Integers,
    penalty: npt.NDArray[np.float64],
    left_out: Integers,
) -> _State:
    """Halves each problem's step until it lowers the objective enough; one that finds none stays put."""
    start, value, gradient = state.point[active], state.value[active], state.gradient[active]
    slope = np.minimum(_dot(gradient, direction), 0.0)[:, 0, 0]
    moved = _State(start.copy(), value.copy(), gradient.copy(), np.zeros(len(active), np.bool_))
    length = 1.0
    for _ in range(_HALVINGS):
        left = np.flatnonzero(~moved.converged)
        if not len(left):
            break
        trial = start[left] + length * direction[left]
        objective, slopes = _objective(problem, trial, penalty[active[left]], left_out[active[left]])
        good = objective <= value[left] + _ARMIJO * length * slope[left]
        done = left[good]
        moved.point[done], moved.value[done], moved.gradient[done] = (
            trial[good],
            objective[good],
            slopes[good],
        )
        moved.converged[done] = True
        length *= 0.5
    return moved
