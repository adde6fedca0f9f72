"""The table of a comparison: distances over seeds, and what is known of a cell."""

import json
from pathlib import Path

import ablate
import pytest


def finished(folder, cell, linear):
    for seed, value in linear.items():
        row = {"set": "tfds:one", "cell": cell, "seed": seed, "steps": 3, "passes": 9, "judged on": "test split"}
        (folder / f"{cell}-{seed}.json").write_text(json.dumps(row | {"linear": value}))


def test_distances_are_of_equal_seeds_with_student_s_interval(tmp_path):
    finished(tmp_path, "base", {0: 10.0, 1: 20.0, 2: 30.0})
    finished(tmp_path, "better", {0: 11.0, 1: 22.0, 2: 33.0})
    finished(tmp_path, "once", {2: 25.0})
    finished(tmp_path, "elsewhere", {7: 50.0})
    made = ablate.table(tmp_path, "base", {"better": {"cost": "much"}})
    rows = {row["cell"]: row for row in made["rows"]}
    further = {cell: row["linear, less base's (95 % interval)"] for cell, row in rows.items()}
    # Gaps of 1, 2 and 3: deviation 1, t of two degrees of freedom 4.3027, over the root of 3.
    assert further == {"base": "–", "better": "+2.0 (-0.5 to +4.5)", "once": "-5.0", "elsewhere": "–"}
    assert rows["better"]["cost"] == "much" and "cost" not in rows["base"]
    assert rows["better"]["linear"] == "22.0 (11.0–33.0)"


def test_cells_of_one_seed_each_are_pooled_and_held_against_the_same_seed(tmp_path):
    finished(tmp_path, "base", {0: 10.0, 1: 90.0})
    for number, linear in enumerate((6.0, 7.0, 8.0)):
        finished(tmp_path, f"drawn {number}", {0: linear})
    made = ablate.table(tmp_path, "base", None, {"drawn": [f"drawn {number}" for number in range(3)]})
    row = next(row for row in made["rows"] if row["cell"] == "drawn")
    assert row["linear"] == "7.0 (6.0–8.0)" and row["seeds"] == "1 each of 3"
    assert row["linear, less base's (95 % interval)"] == "-3.0 (-5.5 to -0.5)"


def test_runs_of_different_terms_are_no_table(tmp_path):
    finished(tmp_path, "base", {0: 10.0})
    row = json.loads((tmp_path / "base-0.json").read_text())
    (tmp_path / "base-1.json").write_text(json.dumps(row | {"passes": 10, "seed": 1}))
    with pytest.raises(SystemExit, match=r"10 image-passes.*; 9 image-passes"):
        ablate.table(tmp_path, "base", {})


@pytest.mark.parametrize("name", ["ablations", "longer"])
def test_the_committed_table_is_of_the_committed_runs(name):
    results = Path(ablate.__file__).parent / "results"
    assert json.loads((results / f"{name}.json").read_text()) == ablate.table(results / name, "ReLICv2")
