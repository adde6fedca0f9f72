"""Trials as rows, and those that no other beats in everything.

NOTE: KerasTuner takes several objectives for one, their sum; the front here is of the trials, whatever was sought.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl_keras.architecture.families import name_of
from ssl_keras.scenarios.label_free import Direction
from ssl_keras.tuning.hypermodel import ArchitectureHyperModel

Row = dict[str, Any]


def trial_rows(hypermodel: ArchitectureHyperModel, trials: Mapping[str, Any]) -> list[Row]:
    """What there is to say of each trial, as plain JSON types, in the order of their numbers.

    Args:
        hypermodel: that they are of.
        trials: of an oracle, by number.

    Returns:
        `trial`, `status`, `name` and `architecture`, its cost, every setting, `epochs` where the oracle chose them,
        every metric, and the `reason` why it failed.
    """
    return [_row(hypermodel, number, trials[number]) for number in sorted(trials)]


def _row(hypermodel: ArchitectureHyperModel, number: str, trial: Any) -> Row:
    values = trial.hyperparameters.values
    architecture = hypermodel.architecture(values)
    named = {"trial": number, "status": trial.status.lower(), "name": name_of(architecture)}
    chosen = {"epochs": values["tuner/epochs"]} if "tuner/epochs" in values else {}
    metrics = {name: _last(history) for name, history in trial.metrics.metrics.items()}
    failed = (trial.message or "").strip().splitlines() if trial.status != "COMPLETED" else []
    return {
        **named,
        "architecture": str(architecture),
        **hypermodel.settings_of(values),
        **chosen,
        **{name: value for name, value in metrics.items() if math.isfinite(value)},
        **hypermodel.cost(architecture),
        "reason": failed[-1] if failed else "",
    }


def _last(history: Any) -> float:
    return float(history.get_last_value())


def pareto(rows: Sequence[Row], axes: Mapping[str, Direction]) -> list[Row]:
    """The completed trials that no other beats, by the first axis from best to worst.

    Args:
        rows: of `trial_rows`.
        axes: names in the rows, each with the way that is better.
    """
    done = [row for row in rows if row["status"] == "completed" and all(axis in row for axis in axes)]
    signs = [1.0 if direction == "max" else -1.0 for direction in axes.values()]
    points = np.array([[row[axis] for axis in axes] for row in done], float).reshape(len(done), len(axes)) * signs
    order = sorted(np.flatnonzero(non_dominated(points)), key=lambda place: tuple(-points[place]))
    return [done[place] for place in order]


def non_dominated(points: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which points no other one dominates: none is as good in all axes and better in one. Equal points all stay.

    Args:
        points: (n, axes), of which more is better.

    Returns:
        (n,).
    """
    as_good = (points[:, None] >= points[None]).all(-1)
    better = (points[:, None] > points[None]).any(-1)
    dominated: npt.NDArray[np.bool_] = np.any(as_good & better, axis=0)
    return ~dominated
