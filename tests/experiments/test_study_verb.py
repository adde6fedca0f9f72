"""Studies: which networks, one run of two, growing it, failures, and kills."""

import base64
import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from ssl_keras.architecture import families
from ssl_keras.architecture.grammar import parse
from ssl_keras.cli import parse_arguments
from ssl_keras.data.evaluation import evaluation_batches
from ssl_keras.data.prepared import prepared
from ssl_keras.data.sources import open_source
from ssl_keras.experiments import devices, plan, study
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.config_files import to_dict
from ssl_keras.experiments.queue import Queue
from ssl_keras.experiments.run_folder import write_json
from ssl_keras.experiments.settings import Compute, Heads, Study
from ssl_keras.experiments.study import StudySetup, costs, networks, place_of_images, write_table
from ssl_keras.reports.page import ReportError
from ssl_keras.reports.study import write_study_report
from ssl_keras.reports.study_analysis import filters, read_study
from ssl_keras.scenarios import suite

SMALL = Study(
    data="shapes@32",
    images=64,
    networks=("plain = conv_c4", "basic = conv_c4 | basic_s2_c8"),
    image_size=16,
    batch_size=32,
    epochs=1,
    heads=Heads(projector_hidden=16, projection=8),
    scenarios=("digits",),
    train_images=60,
    test_images=40,
)


def test_networks_come_from_the_families_in_turn_then_by_name():
    config = replace(SMALL, networks=("resnet", "own = conv_c4", "mobilenet", "resnet_v7"), count=6)
    found = list(networks(config, 32))
    drawn, single = found[:-2], found[-2:]
    assert single == ["own", "resnet_v7"]
    assert [name.split("_v")[0].rstrip("0123456789") for name in drawn[:4]] == ["resnet", "mobilenet"] * 2
    more = list(networks(replace(config, count=30), 32))
    assert more[: len(drawn)] == drawn and len(more) > len(found)
    assert drawn != list(networks(replace(config, seed=1), 32))[: len(drawn)]


def test_equal_networks_are_taken_once_and_ranges_hold():
    everyone = networks(replace(SMALL, networks=("resnet",)), 32)
    assert len(everyone) == len(set(everyone.values())) == 211  # of 212, v5 repeats a row of the grid
    some = networks(replace(SMALL, networks=("resnet", "mobilenet"), macs="..9M"), 32)
    assert 0 < len(some) < 100 and all(costs(one, 32)["macs"] <= 9e6 for one in some.values())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"networks": ("resnt",)}, "no network is called 'resnt': did you mean 'resnet'"),
        ({"networks": ("a = conv_c{4,8}",)}, "a search space has no layout"),
        ({"networks": ("resnet",), "macs": "1..2"}, "no network lies in params None and macs 1..2"),
    ],
)
def test_networks_that_are_none_are_one_sentence(fields, said):
    with pytest.raises(ValueError, match=said):
        networks(replace(SMALL, **fields), 32)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"architecture": "resnet50"}, "architecture is resnet50, which a study does not take: give networks"),
        ({"keep": "best"}, "keep is best, which a study does not take: give last"),
        ({"init": "runs/a"}, "init is runs/a"),
        ({"seeds": ()}, "seeds is empty"),
        ({"seeds": (0, -1)}, r"seeds is \(0, -1\): give different numbers from 0 on"),
        ({"seeds": (1, 1)}, "give different numbers"),
        ({"networks": ("a = conv_c4", "a = conv_c8")}, "two networks are called a"),
        ({"networks": ("a/b = conv_c4",)}, "'a/b' cannot be the name of a network"),
        ({"test_images": 1}, "test_images is 1"),
    ],
)
def test_configs_that_are_none_are_one_sentence(fields, said):
    with pytest.raises(ConfigError, match=said):
        replace(SMALL, **fields)


def test_trials_are_every_network_once_then_the_repeated_and_the_named_ones():
    config = replace(SMALL, networks=("resnet",), count=3, seeds=(0, 1, 2), repeated=1)
    first, second, third = networks(config, 16)
    expected = [f"{name}-seed0" for name in (first, second, third)] + [f"{first}-seed1", f"{first}-seed2"]
    assert list(StudySetup(config).trials) == expected
    grown = list(StudySetup(replace(config, networks=("resnet", "own = conv_c4"))).trials)
    assert set(grown) == {*expected, "own-seed0", "own-seed1", "own-seed2"}


def test_all_trials_learn_from_the_same_images():
    setup = StudySetup(replace(SMALL, seeds=(0, 1)))
    one, other = (setup.of(setup.trials[name]) for name in ("plain-seed0", "plain-seed1"))
    assert one.source.checksum() == other.source.checksum() and one.source.size == 64
    assert (one.config.seed, other.config.seed) == (0, 1)


def test_scenarios_of_other_images_are_prepared_in_other_folders():
    told = {}
    for scenario in chain(*suite.SUITES.values()):
        told.setdefault(place_of_images(scenario), set()).add((scenario.source, scenario.train, scenario.test))
    assert all(len(images) == 1 for images in told.values()) and len(told) > 90


def test_top_over_bottom_counts_the_first_two_stages_of_blocks_as_bottom():
    # Stem 3·3·3·4 + 8; two stages of one basic block without projection, 2·(3·3·4·4 + 8) each; one with: 4 → 8.
    bottom = 108 + 8 + 2 * 2 * (144 + 8)
    top = (3 * 3 * 4 * 8 + 16) + (3 * 3 * 8 * 8 + 16) + (4 * 8 + 16)
    found = costs(parse("conv_c4 | basic_c4 | basic_c4 | basic_s2_c8"), 16)
    assert found["top_bottom"] == pytest.approx(top / bottom) and found["params"] == top + bottom


def test_prepared_images_are_those_of_evaluation_and_are_opened_once(tmp_path):
    splits = [open_source("shapes@48:train"), open_source("shapes@48:test")]
    source = prepared(tmp_path / "set", 16, ("train", "test"), lambda: splits)
    again = prepared(tmp_path / "set", 16, ("train", "test"), lambda: pytest.fail("opened again"))
    for one in (source, again):
        assert [one.split(name).name for name in ("train", "test")] == [split.name for split in splits]
        expected = next(iter(evaluation_batches(splits[1], 16, 64)))["image"].numpy()
        assert np.abs(one.split("test").array()[:64] / 255.0 - expected).max() <= 1 / 510 + 1e-6
        np.testing.assert_array_equal(one.labels("shape"), splits[0].labels("shape"))
    with pytest.raises(ValueError, match="was prepared without a split 'all'; it has: train, test"):
        source.split("all")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "small"
    study.run(replace(SMALL, out=str(out)))
    return out


def rows_of(folder):
    return pq.read_table(folder / "table.parquet").to_pylist()


def test_the_table_has_a_row_per_network_seed_scenario_protocol_and_metric(finished):
    rows = rows_of(finished)
    keys = [(row["network"], row["seed"], row["scenario"], row["protocol"], row["metric"]) for row in rows]
    assert len(set(keys)) == len(keys) and {key[0] for key in keys} == {"plain", "basic"}
    assert {key[2:] for key in keys} >= {("digits", "linear", "top1"), ("digits", "knn20", "top1")}
    judged = [row for row in rows if row["protocol"] != "label_free"]
    assert all((row["n_train"], row["n_test"], row["passes"]) == (60, 40, 64) for row in judged)
    with (finished / "table.csv").open(encoding="utf-8") as file:
        assert [(row["network"], float(row["value"])) for row in csv.DictReader(file)] == [
            (row["network"], row["value"]) for row in rows
        ]
    told = json.loads((finished / "finished" / "plain-seed0.json").read_text())
    right = np.unpackbits(np.frombuffer(base64.b64decode(told["right"]["digits"]), np.uint8))[:40]
    wanted = ("plain", "linear", "top1")
    value = next(row["value"] for row in rows if (row["network"], row["protocol"], row["metric"]) == wanted)
    assert 100 * right.mean() == pytest.approx(value)
    assert told["provenance"]["versions"]["keras"] and told["provenance"]["config"] == {"precision": "float32"}
    assert set(told["label_free"]) and set(told["seconds"]) >= {"build", "trace", "learn", "judge"}
    page = (finished / "report.html").read_text()
    assert "2 networks, 1 scenarios" in page and "It takes two networks" in page


def test_a_study_grows_and_does_nothing_again(finished, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in (finished / "finished").iterdir()}
    (finished / "finished" / "basic-seed0.json").unlink()
    study.run(replace(SMALL, out=str(finished), networks=("plain = conv_c4",), seeds=(0, 1)))
    study.run(replace(SMALL, out=str(finished)))
    after = {path.name: path.stat().st_mtime_ns for path in (finished / "finished").iterdir()}
    assert set(after) == set(before) | {"plain-seed1.json"}
    assert after["plain-seed0.json"] == before["plain-seed0.json"]
    assert {(row["network"], row["seed"]) for row in rows_of(finished)} == {("plain", 0), ("basic", 0), ("plain", 1)}
    study.run(replace(SMALL, out=str(finished), networks=("plain = conv_c4",)))
    assert len({(row["network"], row["seed"]) for row in rows_of(finished)}) == 3  # nothing finished leaves the table
    with pytest.raises(ConfigError, match="plain is conv_c4 in this study, not conv_c8: give the new network another"):
        study.run(replace(SMALL, out=str(finished), networks=("plain = conv_c8",)))
    with pytest.raises(ConfigError, match=r"compute\.precision = 'float32', not 'mixed_bfloat16'"):
        study.run(replace(SMALL, out=str(finished), compute=Compute("mixed_bfloat16")))
    with pytest.raises(ConfigError, match="holds a run with epochs = 1, not 2"):
        study.run(replace(SMALL, out=str(finished), epochs=2))


def test_a_network_that_fails_leaves_the_others(tmp_path, monkeypatch, capsys):
    def run_trial(setup, trial, scenarios):
        if trial.network == "plain":
            raise ArithmeticError("the loss is no number")
        told = dict.fromkeys(("mode", "passes", "params", "macs", "top_bottom"))
        named = {"network": trial.network, "architecture": str(trial.architecture), "seed": trial.seed}
        return told | named | {"seconds": {}, "rows": [], "label_free": {"RankMe": 1.0}}

    monkeypatch.setattr(study, "run_trial", run_trial)
    monkeypatch.setattr(study, "write_study_report", lambda folder: folder)
    study.run(replace(SMALL, out=str(tmp_path / "out")))
    said = " ".join(capsys.readouterr().out.split())
    assert "1 failed: ArithmeticError: the loss is no number (plain-seed0;" in said
    assert [path.stem for path in (tmp_path / "out" / "finished").iterdir()] == ["basic-seed0"]


def test_a_process_that_starts_anew_does_not_forget_failures_once_more(monkeypatch):
    started = []
    monkeypatch.setattr(devices, "SHARE", 0.0)
    monkeypatch.setattr(devices.sys, "argv", ["ssl-keras"])
    monkeypatch.setattr(devices.sys, "orig_argv", ["python", "ssl-keras", "study", "--retry"])
    monkeypatch.setattr(devices.os, "execv", lambda program, words: started.append(words[2:]))
    devices.start_anew_if_swollen("--no-retry")
    ((verb, *options),) = started
    assert options == ["--retry", "--no-retry"] and not parse_arguments(verb, options).retry
    assert parse_arguments(verb, options[:1]).retry


def test_what_no_trial_could_do_is_refused_before_the_folder_is_made(tmp_path):
    with pytest.raises(ValueError, match="cannot take 10000000 images"):
        study.run(replace(SMALL, images=10_000_000, out=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"scenarios": ("dense",)}, "scenario camvid is judged by segmentation"),
        ({"networks": ("resnet",), "count": 0}, "count is 0, which leaves no network"),
    ],
)
def test_what_no_trial_could_be_judged_by_is_refused(fields, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        study.run(replace(SMALL, out=str(tmp_path / "out"), **fields))
    assert not (tmp_path / "out").exists()


def trial_file(folder, name, architecture, seed, values):
    """A trial's file, as if it had been trained and reached these values."""
    rows = [
        {"scenario": scenario, "protocol": "linear", "metric": "top1", "value": value,
         "low": 0.0, "high": 100.0, "n_train": 9, "n_test": 9}
        for scenario, value in values.items()
    ]  # fmt: skip
    result = {"network": name, "architecture": str(architecture), "seed": seed, "mode": "relicv2", "passes": 1}
    written = result | costs(architecture, 32) | {"rows": rows, "label_free": {"RankMe": values["x/y"]}}
    write_json(folder / "finished" / f"{name}-seed{seed}.json", written)


def test_a_page_of_many_networks_has_all_it_promises(tmp_path):
    rng = np.random.default_rng(0)
    for index, (name, architecture) in enumerate(families.study("mobilenet", 8)[:7]):
        for seed in range(2 if index < 4 else 1):
            values = {scenario: 40 + index + rng.normal() for scenario in ("x/y", "z")}
            trial_file(tmp_path, name, architecture, seed, values | {"flat": 33.3})
    write_json(tmp_path / "study.json", to_dict(SMALL))
    write_table(tmp_path, Queue(tmp_path, ()))
    page = write_study_report(tmp_path).read_text()
    assert (
        "7 networks, 3 scenarios" in page
        and "among the 4 that were repeated" in page
        and "% luck" in page
        and "nan" not in page.lower().split("<style>")[0]
    )
    whole = json.loads((tmp_path / "analysis.json").read_text())
    told = whole["groups"]["all networks"]
    best = max(whole["places"].values(), key=lambda places: places["rank"].count(1))
    assert len(whole["places"]) == 7 and 0 in best["regret"]
    value, low, high = told["goes with accuracy"]["macs"]
    assert low <= value <= high
    assert told["scores without labels"]["RankMe"][0] > 0.5 and told["Spearman"]["value"][0][2] == 0
    assert sum(value for value, _, _ in told["variance"].values()) == pytest.approx(1)
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {
        "ranks.svg",
        "correlation-kendall.png",
        "accuracy-over-macs.svg",
        "accuracy-over-blocks.png",
        "accuracy-over-x-y.png",
    } <= names


def test_named_networks_are_shown_beside_the_drawn_ones_and_no_others(tmp_path):
    mobilenets, resnets = families.study("mobilenet", 8)[:6], families.study("resnet", 8)[:2]
    for index, (name, architecture) in enumerate([*mobilenets, *resnets]):
        trial_file(tmp_path, name, architecture, 0, {"x/y": 10 + index, "z": 30 + index})  # means of 20 to 25; 26, 27
    text = "conv_c64 | basic_r4_c64"
    for name, seeds in (("mine", (24.0, 25.0)), ("other", (40.0,))):
        for seed, mean in enumerate(seeds):
            trial_file(tmp_path, name, parse(text), seed, {"x/y": mean - 10, "z": mean + 10})
    write_json(tmp_path / "study.json", to_dict(replace(SMALL, networks=("mobilenet", f"mine = {text}", "other=x"))))
    write_table(tmp_path, Queue(tmp_path, ()))
    page = write_study_report(tmp_path).read_text()
    told, groups = (json.loads((tmp_path / "analysis.json").read_text())[key] for key in ("named", "groups"))
    assert groups["all networks"]["networks"] == 8 and "8, and 2 named" in page  # those are no sample of anything
    assert told.keys() == {"mine", "other"} and "Named networks beside the drawn ones" in page
    mine = told["mine"]
    assert mine["means of trainings"] == [24, 25]
    counted = {words: (beside["networks"], beside["ahead"]) for words, beside in mine["beside"].items()}
    assert counted == {"all networks": (8, 3), "ResNets": (2, 2), "MobileNets": (6, 1)}  # 24.5, and `other` is no rival
    assert mine["beside"]["MobileNets"]["lead over the mean"] == 24.5 - 22.5
    assert mine["beside"]["MobileNets"]["lead over the best"] == -0.5
    # of the mean of six drawn networks, 20 to 25; of two trainings that are 1 apart
    chances = np.array([np.var(range(20, 26), ddof=1) / 6, 0.5 / 2])
    freedom = chances.sum() ** 2 / (chances[0] ** 2 / 5 + chances[1] ** 2 / 1)
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(chances.sum())
    assert mine["beside"]["MobileNets"]["lead over the mean, low and high"] == pytest.approx([2 - reach, 2 + reach])
    margin = stats.t.ppf(0.975, 1) * np.sqrt(0.5 * 1.5)  # one further training, which tells next to nothing
    assert mine["beside"]["all networks"]["could be as good"] == sum(24.5 - one < margin for one in range(20, 28))
    assert "lead over the mean, low and high" not in told["other"]["beside"]["all networks"]  # whose luck is not known
    assert "lead over the mean of 6 MobileNets" in page and f"+2.0 ({2 - reach:+.1f} to {2 + reach:+.1f})" in page
    drawn = (tmp_path / "figures" / "accuracy-over-macs.svg").read_text()
    assert "<!-- mine -->" in drawn and "<!-- other -->" in drawn and f"<!-- {mobilenets[0][0]} -->" not in drawn


def test_named_networks_stay_out_of_the_sample_when_a_later_command_names_none(tmp_path):
    for index, (name, architecture) in enumerate(families.study("mobilenet", 8)[:6]):
        trial_file(tmp_path, name, architecture, 0, {"x/y": 10 + index, "z": 30 + index})
    trial_file(tmp_path, "mine", parse("conv_c64"), 0, {"x/y": 50, "z": 50})
    write_json(tmp_path / "study.json", to_dict(replace(SMALL, networks=("mobilenet",))))
    write_table(tmp_path, Queue(tmp_path, ()))
    assert read_study(tmp_path).named == ("mine",)


def test_a_score_that_is_no_number_leaves_the_page(tmp_path):
    """Of one network, beside a named one that has it."""
    for index, (name, architecture) in enumerate(families.study("mobilenet", 8)[:6]):
        trial_file(tmp_path, name, architecture, 0, {"x/y": 10 + index, "z": 30 + index})
    trial_file(tmp_path, "mine", parse("conv_c64"), 0, {"x/y": 50, "z": 50})
    file = tmp_path / "finished" / f"{families.study('mobilenet', 8)[2][0]}-seed0.json"
    write_json(file, json.loads(file.read_text()) | {"label_free": {"RankMe": None}})
    write_json(tmp_path / "study.json", to_dict(replace(SMALL, networks=("mobilenet", "mine = conv_c64"))))
    write_table(tmp_path, Queue(tmp_path, ()))
    write_study_report(tmp_path)
    told = json.loads((tmp_path / "analysis.json").read_text())["groups"]["all networks"]
    assert told["scores without labels"] == {}


def test_a_folder_without_a_study_has_no_report(tmp_path):
    with pytest.raises(ReportError, match="holds no study"):
        write_study_report(tmp_path)


def test_the_papers_filter_is_its_subset():
    chosen = next(rule for words, rule in filters().items() if words.startswith("bottleneck"))
    everyone = networks(replace(SMALL, networks=("resnet",)), 32)
    kept = [name for name in everyone if chosen(name)]
    assert len(kept) == 118 and "resnet50" in kept and not {"resnet18", "resnet101", "resnet_v2"} & set(kept)


PROGRAM = str(Path(sys.executable).with_name("ssl-keras"))
COMMAND = [
    *(PROGRAM, "study", "--data", "shapes@32", "--images", "64", "--image-size", "16"),
    *("--networks", "plain = conv_c4", "basic = conv_c4 | basic_s2_c8", "--batch-size", "32", "--epochs", "1"),
    *("--scenarios", "digits", "--train-images", "60", "--test-images", "40", "--heads.projector-hidden", "16"),
]


def reached(out):
    """Of a study that is killed: a trial is held; the first is finished; the second is held."""
    leases = out / "leases"
    yield lambda: (leases / "plain-seed0").exists()
    yield lambda: (out / "finished" / "plain-seed0.json").exists()
    yield lambda: (leases / "basic-seed0").exists()


@pytest.mark.slow
def test_killed_at_any_moment_a_study_ends_as_if_it_had_not_been(tmp_path):
    whole = tmp_path / "whole"
    subprocess.run([*COMMAND, "--out", str(whole)], check=True, capture_output=True)
    out = tmp_path / "killed"
    for is_time in reached(out):
        process = subprocess.Popen([*COMMAND, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not is_time() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL  # it had not ended by itself
    (first,) = (out / "finished").glob("[!.]*.json")
    seen = first.stat().st_mtime_ns
    subprocess.run([*COMMAND, "--out", str(out)], check=True, capture_output=True)
    assert first.stat().st_mtime_ns == seen  # what was finished was not done again
    names = ("network", "seed", "scenario", "protocol", "metric", "value")
    assert [[row[name] for name in names] for row in rows_of(out)] == [
        [row[name] for name in names] for row in rows_of(whole)
    ]


def test_a_plan_says_how_long_and_writes_nothing(tmp_path, capsys):
    plan.run(replace(SMALL, out=str(tmp_path / "out")))
    said = " ".join(capsys.readouterr().out.split())
    assert "2, 2 of them open" in said
    assert "hours of one process" in said and not (tmp_path / "out").exists()
