"""The tables of a study, from folders whose figures are written here."""

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import pearsonr
from study_tables import of_groups, of_methods, reference, scenarios, times

from ssl_keras.experiments.run_folder import write_json
from ssl_keras.experiments.study import COLUMNS
from ssl_keras.reports.study_analysis import PARTS, analysis, read_study

DRAWN = [f"mobilenet_v{number}" for number in range(1, 7)]


def folder(path, mode, trainings):
    """A study's folder that holds these trainings: (network, seed, values of x and y)."""
    shared = dict.fromkeys(COLUMNS, None) | {
        "architecture": "conv_c4",
        "mode": mode,
        "passes": 1,
        "params": 1,
        "macs": 10_000_000,
        "top_bottom": 1.0,
        "protocol": "linear",
        "metric": "top1",
    }
    rows = [
        shared | {"network": network, "seed": seed, "scenario": scenario, "value": float(value)}
        for network, seed, *values in trainings
        for scenario, value in zip("xy", values, strict=True)
    ]
    path.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema([*COLUMNS.items()])), path / "table.parquet")
    write_json(path / "study.json", {"mode": mode, "networks": ["mobilenet", "mine = conv_c4"]})
    return path


@pytest.fixture
def relicv2(tmp_path):
    """Scenarios x and y agree but for the last network, which is the first in y alone; three are trained again."""
    first = [(name, 0, 10 * place, 50 + place) for place, name in enumerate(DRAWN[:5])]
    again = [(name, 1, 10 * place + 2, 50 + place + 1) for place, name in enumerate(DRAWN[:3])]
    return folder(tmp_path / "relicv2", "relicv2", [*first, (DRAWN[5], 0, 5, 90), *again, ("mine", 0, 25, 52)])


def test_a_scenario_names_its_first_and_the_luck_of_a_training(relicv2):
    x, y = scenarios(analysis(read_study(relicv2))["groups"])
    assert (x["scenario"], x["first"], x["seed to seed"]) == ("x", DRAWN[4], "1.4")  # 2 apart: a deviation of 2 / √2
    assert (y["scenario"], y["first"], y["seed to seed"]) == ("y", DRAWN[5], "0.7")
    assert x["mean, %"] == f"{(0 + 10 + 20 + 30 + 40 + 5) / 6:.1f}"
    assert x["share, ResNets"] == "–" != x["share, MobileNets"]


def test_groups_and_the_first_scenario_correlate_as_their_ranks_do(relicv2):
    groups = analysis(read_study(relicv2))["groups"]
    mobilenets = next(row for row in of_groups(groups) if row["networks"] == "MobileNets")
    assert mobilenets["different firsts"] == "2"
    # places in x: 1 3 4 5 6 2, in y: 1 2 3 4 5 6; squared differences 0 1 1 1 1 16, so 1 - 6 * 20 / 210
    assert mobilenets["Spearman"].startswith("0.43 (")
    known = pearsonr([0, 10, 20, 30, 40, 5], [50, 51, 52, 53, 54, 90]).statistic
    shares = [float(mobilenets[f"variance {part}, %"].split()[0]) for part in PARTS]
    assert sum(shares) == pytest.approx(100, abs=1.5)
    (row,) = reference(groups)
    assert row["scenario"] == "y" and row["MobileNets"].startswith(f"{known:.2f} (")


def test_methods_compare_the_networks_that_both_have(relicv2, tmp_path):
    turned = [(name, 0, 100 - 10 * place, 52 - place) for place, name in enumerate(DRAWN[:4])]
    other = folder(tmp_path / "simclr", "simclr", turned)
    row = next(row for row in of_methods(read_study(relicv2), read_study(other)) if row["networks"] == "MobileNets")
    assert row["how many"] == "4" and row["Spearman of the means"].startswith("-1.00")
    assert row["relicv2 (relicv2), mean of scenarios, %"] == "33.2"
    assert row["simclr (simclr), mean of scenarios, %"] == "67.8"
    assert row["lead of the second"].startswith("+34.5")


def test_methods_that_were_judged_otherwise_are_not_compared(relicv2, tmp_path):
    other = read_study(folder(tmp_path / "other", "simclr", [(DRAWN[0], 0, 1, 2)]))
    judged = dataclasses.replace(other, rows=[row for row in other.rows if row["scenario"] == "x"])
    with pytest.raises(ValueError, match="judge both alike"):
        of_methods(read_study(relicv2), judged)


def test_times_are_medians_of_trials(tmp_path):
    for index, learn in enumerate((10, 20, 90), 1):
        trial = {"network": f"mobilenet_v{index}", "seconds": {"build": 1.0, "learn": float(learn)}}
        write_json(tmp_path / "finished" / f"{index}.json", trial)
    everyone, mobilenets = times(tmp_path)
    assert everyone == mobilenets | {"networks": "all networks"}
    assert everyone["learn, s"] == "20" and everyone["a trial, s"] == "21"
