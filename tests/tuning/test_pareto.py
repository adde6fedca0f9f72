"""The front, against a search through all pairs, and what rows say."""

from typing import Any

import numpy as np
import pytest

from ssl_keras.reports.text import csv_text
from ssl_keras.tuning import non_dominated, pareto


def beats(one: Any, other: Any) -> bool:
    """As good in all, better in one."""
    return all(a >= b for a, b in zip(one, other, strict=True)) and any(a > b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_against_all_pairs(axes: int, seed: int) -> None:
    points = np.random.default_rng(seed).integers(0, 6, (40, axes)).astype(float)  # with many equal ones
    expected = [not any(beats(other, one) for other in points) for one in points]
    assert non_dominated(points).tolist() == expected


def test_equal_points_stay_together_and_nothing_is_nothing() -> None:
    assert non_dominated(np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 2.0]])).tolist() == [True, True, False]
    assert non_dominated(np.empty((0, 2))).tolist() == []


def row(trial: str, worth: float, macs: float, **more: Any) -> dict[str, Any]:
    return {"trial": trial, "status": "completed", "worth": worth, "macs": macs, **more}


def test_directions_order_and_failed_trials() -> None:
    rows = [
        row("0", 5.0, 100),
        row("1", 9.0, 300),
        row("2", 4.0, 200),  # worse and dearer than 0
        row("3", 7.0, 200),
        {"trial": "4", "status": "failed", "macs": 1},
        row("5", 7.0, 200),  # the equal of 3
        {"trial": "6", "status": "completed", "macs": 1},  # without the objective
    ]
    assert [one["trial"] for one in pareto(rows, {"worth": "max", "macs": "min"})] == ["1", "3", "5", "0"]
    assert [one["trial"] for one in pareto(rows, {"worth": "min", "macs": "min"})] == ["2", "0"]
    assert pareto([], {"worth": "max", "macs": "min"}) == []


def test_a_third_axis_saves_what_two_would_drop() -> None:
    rows = [row("0", 5.0, 100, latency=3.0), row("1", 4.0, 200, latency=1.0)]
    assert len(pareto(rows, {"worth": "max", "macs": "min"})) == 1
    assert len(pareto(rows, {"worth": "max", "macs": "min", "latency": "min"})) == 2


def test_rows_as_text_have_all_columns() -> None:
    text = csv_text([{"trial": "0", "worth": 1.5}, {"trial": "1", "reason": "a, b"}])
    assert text == 'trial,worth,reason\n0,1.5,\n1,,"a, b"\n'
    assert csv_text([]) == "\n"
