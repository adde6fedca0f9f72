"""``ssl-keras tune`` at the size of a test: what it leaves, going on, and what it refuses."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

import ssl_keras as sk
from ssl_keras.architecture.latency import blocks_of
from ssl_keras.data.sources.embedded import DigitsSource
from ssl_keras.experiments import plan
from ssl_keras.experiments import tune as verb
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.run_folder import write_json
from ssl_keras.experiments.settings import Budgeted, Heads, Tune, Tuning
from ssl_keras.experiments.trials import Trials, TuneSetup
from ssl_keras.learning.checkpoints import Checkpoints

TINY = Tune(
    data="digits",
    images=64,
    architecture="conv_c4 | basic_r{0,1}_c4 | basic_s{1,2}_c{4,8}",
    macs="60k",
    image_size=8,
    epochs=1,
    batch_size=32,
    heads=Heads(projector_hidden=8, projection=4, predictor_hidden=8),
    tuning=Tuning(
        trials=2,
        epochs=1,
        oracle="random",
        objective="digits/knn",
        judged_images=100,
        choices=("optimization.learning_rate=0.1,0.2",),
    ),
)


class Killed(BaseException):
    """Stands for a process that ends."""


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished tuning without what comes after it."""
    folder = tmp_path_factory.mktemp("tune") / "run" / "tune"
    verb.tune(TuneSetup(TINY), folder)
    return folder


def test_the_folder_tells_what_was_tried(tuned: Path) -> None:
    found = json.loads((tuned / "found.json").read_text())
    rows = json.loads((tuned / "trials.json").read_text())["rows"]
    assert len(rows) == 2 and all(row["status"] == "completed" for row in rows)
    for row in rows:
        cost = sk.cost(row["architecture"], (8, 8, 3))
        assert (row["macs"], row["params"]) == (cost.macs, cost.params) and cost.macs <= 60_000
        assert row["optimization.learning_rate"] in (0.1, 0.2)
    best = max(rows, key=lambda row: row["digits/knn"])
    assert found["architecture"] == best["architecture"]
    assert found["settings"] == {"optimization.learning_rate": best["optimization.learning_rate"]}
    front = json.loads((tuned / "pareto.json").read_text())
    assert front["axes"] == {"digits/knn": "max", "macs": "min"}
    assert front["rows"][0]["digits/knn"] == best["digits/knn"]
    with (tuned / "trials.csv").open() as file:
        assert [row["architecture"] for row in csv.DictReader(file)] == [row["architecture"] for row in rows]
    assert (tuned / "pareto-macs.png").read_bytes().startswith(b"\x89PNG")


def test_tensorboard_shows_every_trial_with_its_metrics(tuned: Path) -> None:
    rows = json.loads((tuned / "trials.json").read_text())["rows"]
    for row in rows:
        events = EventAccumulator(str(tuned / "tensorboard" / row["trial"]))
        events.Reload()
        summary = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        assert row["architecture"].encode() not in summary  # its choices are, one by one
        assert all(name in summary for name in (b"stage2.r", b"stage3.s", b"stage3.c", b"optimization.learning_rate"))
        tags = {name: float(make_ndarray(events.Tensors(name)[0].tensor_proto)) for name in ("digits/knn", "macs")}
        assert tags == pytest.approx({name: row[name] for name in tags})
    described = EventAccumulator(str(tuned / "tensorboard"))
    described.Reload()
    shown = described.summary_metadata["_hparams_/experiment"].plugin_data.content
    assert all(name in shown for name in (b"stage2.r", b"optimization.learning_rate", b"digits/knn", b"macs"))


def test_a_tuning_that_was_cut_ends_as_if_it_had_not_been(
    tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, calls = Checkpoints.on_epoch_end, []

    def killed_in_the_second(self: Checkpoints, epoch: int, logs: dict[str, float] | None = None) -> None:
        saved(self, epoch, logs)
        calls.append(self.model.step)
        if len(calls) == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_epoch_end", killed_in_the_second)
        with pytest.raises(Killed):
            verb.tune(TuneSetup(TINY), tmp_path / "tune")
    assert not (tmp_path / "tune" / "found.json").exists()
    partly = json.loads((tmp_path / "tune" / "trials.json").read_text())["rows"]
    assert [row["status"] for row in partly] == ["completed", "running"]
    verb.tune(TuneSetup(TINY), tmp_path / "tune")
    for name in ("trials.csv", "pareto.csv", "found.json"):
        assert (tmp_path / "tune" / name).read_text() == (tuned / name).read_text()


def test_a_finished_tuning_is_not_run_again(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "_tune", None)
    assert verb.tune(TuneSetup(TINY), tuned)["architecture"]
    with pytest.raises(ConfigError, match=r"tuning\.trials = 2, not 5"):
        verb.tune(TuneSetup(replace(TINY, tuning=replace(TINY.tuning, trials=5))), tuned)


def test_a_worker_that_was_asked_for_something_else_is_refused(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "role", lambda: "worker")
    other = replace(TINY, out=str(tuned.parent), tuning=replace(TINY.tuning, trials=5))
    with pytest.raises(ConfigError, match=r"tuning\.trials = 2, not 5"):
        verb.run(other)


def test_trials_that_fail_end_it_with_the_reason_and_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TINY, tuning=replace(TINY.tuning, trials=5))
    with monkeypatch.context() as patch:
        patch.setattr(Trials, "learner", lambda *_: (_ for _ in ()).throw(MemoryError("no room")))
        with pytest.raises(ConfigError, match=r"last 3 trials failed \(MemoryError: no room\)"):
            verb.tune(TuneSetup(config), tmp_path / "tune")
    rows = json.loads((tmp_path / "tune" / "trials.json").read_text())["rows"]
    assert [row["status"] for row in rows] == ["failed"] * 3 and rows[0]["reason"] == "MemoryError: no room"
    for row in rows:
        events = EventAccumulator(str(tmp_path / "tune" / "tensorboard" / row["trial"]))
        events.Reload()
        assert "_hparams_/session_start_info" in events.summary_metadata and "macs" not in events.summary_metadata
    monkeypatch.setattr(verb.ArchitectureTuner, "run_trial", lambda *_: {"digits/knn": 1.0})
    found = verb.tune(TuneSetup(config), tmp_path / "tune")
    assert found["trials"] == {"completed": 5, "failed": 0}


def test_trials_are_judged_on_training_images_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test split that cannot be read changes nothing."""
    splits = DigitsSource.split

    def only_training(self: DigitsSource, name: str) -> object:
        assert name != "test", "the test split was asked for"
        return splits(self, name)

    monkeypatch.setattr(DigitsSource, "split", only_training)
    setup = TuneSetup(replace(TINY, data="digits:train"))
    encoder = sk.build_encoder("conv_c4", (8, 8, 3))
    value = setup.goal.measure(encoder)["digits/knn"]
    assert 0 < value <= 100 and setup.goal.measure(encoder)["digits/knn"] == value
    with pytest.raises(AssertionError, match="test split"):
        sk.scenarios.run(encoder, "digits", image_size=8, protocols=["knn"])


def test_time_is_a_budget_and_an_axis_where_there_is_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Milliseconds by block: those at stride 2 take twice as long here, so what is cheaper is not faster."""
    blocks = {key: 2.0 if " s2 " in key else 1.0 for key in blocks_of(sk.parse(TINY.architecture), (8, 8, 3))}
    write_json(table := tmp_path / "latency.json", sk.LatencyTable("a desk", 0.5, blocks).to_json())
    config = replace(TINY, macs=None, latency=3.5, latency_table=str(table), tuning=replace(TINY.tuning, trials=9))
    monkeypatch.setattr(verb.ArchitectureTuner, "run_trial", lambda *_: {"digits/knn": 1.0})
    found = verb.tune(TuneSetup(config), tmp_path / "tune")
    front = json.loads((tmp_path / "tune" / "pareto.json").read_text())
    assert front["axes"] == {"digits/knn": "max", "macs": "min", "latency": "min"}
    rows = json.loads((tmp_path / "tune" / "trials.json").read_text())["rows"]
    for row in rows:
        expected = 0.5 + sum(2.0 if "_s2" in stage else 1.0 for stage in row["architecture"].split(" | "))
        assert row["latency"] == expected <= 3.5
    assert len({row["latency"] for row in rows}) > 1 and found["cost"]["latency"] == rows[0]["latency"]
    assert (tmp_path / "tune" / "pareto-latency.png").is_file()
    write_json(table, sk.LatencyTable("a desk", 0.5, {}).to_json())
    with pytest.raises(ConfigError, match=r"lacks \d+ blocks of the space, .* measure them with ssl-keras latency"):
        verb.tune(TuneSetup(config), tmp_path / "other")


def test_a_plan_tells_how_long_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan.run(replace(TINY, out=str(tmp_path / "run")))
    said = capsys.readouterr().out
    assert "Would tune" in said and "the trials: 4 steps of" in said and "then the best network: 2 steps of" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb.evaluate, "TRAIN_IMAGES", 60)
    out = verb.run(replace(TINY, out=str(tmp_path / "run")))
    found = json.loads((out / "tune" / "found.json").read_text())
    assert str(sk.load(out).architecture) == found["architecture"]
    config = json.loads((out / "config.json").read_text())
    assert config["optimization"]["learning_rate"] == found["settings"]["optimization.learning_rate"]
    page = (out / "report.html").read_text()
    assert "Which networks were tried" in page and found["architecture"] in page
    verb.run(replace(TINY, out=str(out)))  # nothing is left to do but to judge


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "digits/lineal"}, r"'digits/lineal' is no score .*did you mean 'linear'"),
        ({"objective": "rankmee"}, "did you mean 'rankme'"),
        ({"objective": "embedded/knn"}, "suite of 9 scenarios"),
        ({"objective": "digitz/knn"}, "did you mean 'digits'"),
        ({"choices": ("optimization.learning_rat=1,2",)}, "did you mean 'optimization.learning_rate'"),
        ({"choices": ("seed=1,2",)}, "'seed' cannot be tuned"),
        ({"choices": ("loss.temperature",)}, "give the values as loss.temperature=0.1,0.2"),
        ({"choices": ("loss.temperature=0.1,hot",)}, "temperature is 'hot'"),
        ({"choices": ("mode=simclr,simclr",)}, "each once"),
    ],
)
def test_what_cannot_end_well_is_refused_before_a_folder_is_made(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        verb.run(replace(TINY, out=str(tmp_path / "run"), tuning=replace(TINY.tuning, **changes)))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"macs": 100}, "none is within 100 multiply-adds"),
        ({"architecture": "auto", "macs": None}, "no space to tune"),
        ({"architecture": "conv_c4", "tuning": replace(TINY.tuning, choices=())}, "nothing to choose"),
        ({"latency_table": "nowhere.json"}, "no table of latencies at nowhere.json"),
        ({"batch_size": 128}, "batch_size is 128"),
    ],
)
def test_spaces_and_budgets_that_do_not_fit(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        verb.run(replace(TINY, out=str(tmp_path / "run"), **changes))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"params": "2M"}, "one budget"),
        ({"minutes": 3.0, "epochs": "auto"}, "goes by epochs"),
        ({"macs": None, "latency": 2.0}, "--latency-table"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **changes)
    assert isinstance(TINY, Budgeted)


def test_a_label_free_objective(tmp_path: Path) -> None:
    setup = TuneSetup(replace(TINY, tuning=replace(TINY.tuning, objective="alpha-req")))
    found = setup.goal.measure(sk.build_encoder("conv_c8", (8, 8, 3)))
    assert setup.goal.direction == "min"
    assert found[setup.goal.name] == pytest.approx(abs(found["α-ReQ"] - 1))
    assert np.isfinite(list(found.values())).all()
