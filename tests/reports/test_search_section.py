"""The part of the page that a search adds."""

import json
from pathlib import Path

import pytest

from ssl_keras.reports.page import page, read_run
from tests.reports.runs import write_run

FOUND = {
    "architecture": "conv_c8 | basic_c8",
    "name": "net-00000000",
    "space": "conv_c8 | basic_r{0,1}_c8",
    "decisions": {"stage2.r": [0, 1]},
    "picks": {"stage2.r": 1},
    "label": None,
    "budget": {"macs": 1e6},
    "cost": {"macs": 1.01e6, "params": 2000},
    "expected_cost": 9.9e5,
    "entropy": 0.1,
}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run that a search stands beside."""
    folder = write_run(tmp_path / "run")
    rows = [{"step": step, "probabilities": {"stage2.r": [1 - step / 10, step / 10]}} for step in (5, 9)]
    metrics = [{"step": 5 * e, "epoch": e, "budget_share": 1.0, "architecture_entropy": 0.5 / e} for e in (1, 2)]
    (folder / "search").mkdir()
    (folder / "search" / "found.json").write_text(json.dumps(FOUND))
    for name, values in (("probabilities", rows), ("metrics", metrics)):
        (folder / "search" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in values))
    return folder


def test_it_says_what_was_found_under_what_budget(run_folder: Path) -> None:
    text = page(read_run(run_folder))
    assert "How its architecture was found" in text
    assert "most likely within 3% of 1 M multiply-adds: 1.01 M multiply-adds and 2 k parameters, +1.0%" in text
    assert "basic_r{0,1}_c8" in text and "the search was sure" in text


def test_a_missed_budget_and_an_undecided_search_are_said(run_folder: Path) -> None:
    changed = FOUND | {"cost": {"macs": 8e5, "params": 2000}, "entropy": 0.9}
    (run_folder / "search" / "found.json").write_text(json.dumps(changed))
    found = read_run(run_folder).search
    assert found is not None
    first, second = found.sentences()
    assert "nearest to 1 M" in first and "-20.0%" in first
    assert "not sure" in second


def test_a_run_without_a_search_has_no_such_part(tmp_path: Path) -> None:
    assert "was found</h2>" not in page(read_run(write_run(tmp_path / "run")))


def test_an_unfinished_search_is_not_reported(run_folder: Path) -> None:
    (run_folder / "search" / "found.json").unlink()
    assert read_run(run_folder).search is None
