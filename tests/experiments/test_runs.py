"""What run folders hold, listed, shown and side by side; bad folders are one sentence."""

import fcntl
import json

import pytest

from ssl_keras.experiments import runs
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.options import Runs
from tests.reports.runs import write_run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two runs: one finished and evaluated, one stopped after a third of its steps with a row cut short."""
    monkeypatch.setattr(runs.CONSOLE, "_width", 200)
    done = write_run(tmp_path / "runs" / "done")
    (done / "encoder.keras").write_bytes(b"")
    half = write_run(tmp_path / "runs" / "group" / "half")
    (half / "results.json").unlink()
    rows = [json.loads(row) for row in (half / "metrics.jsonl").read_text().splitlines()][:10]
    (half / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 99')
    steps = 3 * rows[-1]["step"]
    (half / "schedule.json").write_text(json.dumps({"epochs": 1, "steps_per_epoch": steps}))
    config = json.loads((half / "config.json").read_text()) | {
        "batch_size": 128,
        "optimization": {"learning_rate": 0.5},
    }
    (half / "config.json").write_text(json.dumps(config))
    return tmp_path / "runs"


def said(capsys, *words):
    runs.run(Runs(words[0], tuple(map(str, words[1:]))))
    return capsys.readouterr().out


def line(text, begins):
    return next(row for row in text.splitlines() if row.startswith(str(begins)))


def test_the_list_tells_states_progress_and_worth(folder, capsys):
    text = said(capsys, "list", folder)
    assert "finished" in line(text, folder / "done") and "67.2" in line(text, folder / "done")
    half = line(text, folder / "group" / "half")
    assert "stopped" in half and "(33 %)" in half and "99" not in half.replace("0.99", "")


def test_a_run_that_is_held_is_running(folder, capsys):
    with (folder / "group" / "half" / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "running" in line(said(capsys, "list", folder), folder / "group" / "half")


def test_one_is_shown_with_its_results_and_what_to_do_next(folder, capsys):
    text = said(capsys, "show", folder / "done")
    assert "conv_c8 | basic_r2_c8" in text and "78.0 (76.5–79.4)" in text and "report.html" in text
    assert "goes on from the last checkpoint" in said(capsys, "show", folder / "group" / "half")


def test_two_are_compared_by_what_differs(folder, capsys):
    text = said(capsys, "compare", folder / "done", folder / "group" / "half")
    assert "batch_size" in text and "optimization.learning_rate" in text and "image_size" not in text
    assert "shapes/shape" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("list", "nowhere"), "no run in nowhere"),
        (("show",), "runs show takes one run folder, and 0 are given"),
        (("show", "nowhere"), "nowhere holds no run"),
        (("compare", "nowhere"), "two run folders or more, and 1 is given"),
    ],
)
def test_what_is_no_run_is_one_sentence(words, message):
    with pytest.raises(ConfigError, match=message):
        runs.run(Runs(words[0], words[1:]))


def test_other_folders_and_encoders_from_elsewhere_do_not_break_the_list(folder, capsys):
    (folder / "else").mkdir()
    (folder / "else" / "config.json").write_text("{}")
    (folder / "done" / "architecture.txt").write_text("keras.applications:MobileNetV2\n")
    text = said(capsys, "list", folder)
    assert "MobileNetV2" in line(text, folder / "done") and "else" not in text
    assert not (folder / "done" / ".lock").exists()
