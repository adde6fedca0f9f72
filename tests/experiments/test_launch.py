"""Workers on one machine: each told its place, all ended when one fails, started again if wanted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ssl_keras import cli
from ssl_keras.experiments import launch
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.options import Launch

TINY = [
    "pretrain",
    *("--data", "digits", "--images", "64", "--batch-size", "16", "--image-size", "8", "--epochs", "30"),
    *("--heads.projector-hidden", "8", "--heads.projection", "4", "--heads.predictor-hidden", "8"),
    *("--monitor.embeddings-every", "30", "--architecture", "conv_c4"),
]


@pytest.fixture
def programmed(monkeypatch, tmp_path):
    """Workers that run a program instead of ssl-keras, in a folder."""

    def program(text):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(launch, "MODULE", "import json, os, sys, time; from pathlib import Path\n" + text)
        return tmp_path

    return program


ME = "me = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"


def test_every_worker_knows_the_cluster_and_its_place(programmed):
    folder = programmed(ME + "Path(str(me)).write_text(os.environ['TF_CONFIG'] + '|' + ' '.join(sys.argv[1:]))")
    launch.run(Launch(command=("pretrain", "--data", "a b"), workers=3))
    said = [(folder / str(index)).read_text().split("|") for index in range(3)]
    clusters = [json.loads(text)["cluster"]["worker"] for text, _ in said]
    assert clusters[0] == clusters[1] == clusters[2] and len(set(clusters[0])) == 3
    assert {words for _, words in said} == {"pretrain --data a b"}


def test_one_that_fails_ends_the_others_and_its_status_is_the_launchers(programmed):
    programmed(ME + "sys.exit(7) if me == 1 else time.sleep(60)")
    started = time.monotonic()
    with pytest.raises(SystemExit) as left:
        launch.run(Launch(command=("pretrain",)))
    assert left.value.code == 7
    assert time.monotonic() - started < 30  # not the 60 of the other


COUNTS = """
tries = Path(f"tries{me}")
before = tries.read_text() if tries.exists() else ""
tries.write_text(before + "x")
sys.exit(not before)
"""


def test_all_are_started_again_as_often_as_allowed(programmed, capsys):
    folder = programmed(ME + COUNTS)
    launch.run(Launch(command=("search",), restarts=2))
    assert (folder / "tries0").read_text() == "xx"
    assert "starting all again, 2 times more at most" in capsys.readouterr().out.replace("\n", " ")


def test_only_what_learns_is_launched():
    with pytest.raises(ConfigError, match="'evaluate' cannot be launched as workers: give pretrain or search"):
        launch.run(Launch(command=("evaluate", "runs/x")))


def test_the_words_after_the_verb_are_the_verbs_own():
    config = cli.parse_arguments("launch", ["--workers", "3", "pretrain", "--data", "digits", "--epochs", "2"])
    assert config == Launch(command=("pretrain", "--data", "digits", "--epochs", "2"), workers=3)


def test_a_mistake_in_them_is_told_before_anything_starts(capsys):
    with pytest.raises(SystemExit) as left:
        cli.parse_arguments("launch", ["pretrain", "--epoch", "2"])
    assert left.value.code == 2
    assert "--epoch" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [0, 1])
def test_a_killed_worker_ends_the_job_with_a_sentence_or_it_goes_on(tmp_path: Path, restarts: int):
    """The real command on two workers; it never hangs."""
    words = ["launch", "--restarts", str(restarts), *TINY, "--out", "run"]
    program = "from ssl_keras.cli import main; main()"
    launcher = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path,
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "run" / "checkpoint" / "checkpoint").exists():
        assert launcher.poll() is None, launcher.stdout.read()
        time.sleep(0.05)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    said, _ = launcher.communicate(timeout=500)
    assert (launcher.returncode == 0) == bool(restarts)
    assert "another worker is gone" in said or "the others were ended too" in said
    assert (tmp_path / "run" / "encoder.keras").exists() == bool(restarts)
    assert restarts == 0 or "continuing after step" in said
