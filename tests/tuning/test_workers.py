"""A chief and its workers: who is lost, and what becomes of the trial; real processes are killed."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ssl_keras.experiments.launch import free_ports
from ssl_keras.tuning import workers
from ssl_keras.tuning.workers import Heartbeat, Watchdog, role
from tests.tuning.test_oracles import oracle_of

PROGRAM = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from ssl_keras.tuning import workers
    workers.BEAT_S, workers.LEASE_S = 0.5, 5.0
    from ssl_keras.experiments import tune
    tune.evaluate.run = lambda config: Path(config.encoder)  # other tests evaluate
    from ssl_keras.cli import main
    main(sys.argv[1:])
    """
)
OPTIONS = (
    *("--data", "shapes", "--images", "64", "--image-size", "32", "--batch-size", "32", "--epochs", "1"),
    *("--architecture", "conv_s2_c4 | conv_s{1,2}_c{4,8}", "--heads.projector-hidden", "8", "--heads.projection", "4"),
    *("--tuning.trials", "3", "--tuning.epochs", "20", "--tuning.oracle", "random", "--tuning.objective", "RankMe"),
)


def test_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (workers.ID, workers.ADDRESS, workers.PORT):
        monkeypatch.delenv(name, raising=False)
    assert role() == "alone"
    monkeypatch.setenv(workers.ADDRESS, "127.0.0.1")
    with pytest.raises(ValueError, match="KERASTUNER_TUNER_ID is not set, and others"):
        role()
    monkeypatch.setenv(workers.PORT, "1")
    for name, expected in (("chief", "chief"), ("worker-0", "worker")):
        monkeypatch.setenv(workers.ID, name)
        assert role() == expected


def test_who_gives_no_sign_of_life_is_lost(tmp_path: Path) -> None:
    now, said = [0.0], list[str]()
    oracle = oracle_of("random", tmp_path, trials=3)
    trials = {name: oracle.create_trial(name).trial_id for name in ("alive", "dead")}
    dog = Watchdog(tmp_path / "signs", oracle, said.append, clock=lambda: now[0])
    alive, dead = (Heartbeat(tmp_path / "signs", name) for name in ("alive", "dead"))
    for beats in range(4):
        alive.beat()
        if beats == 0:
            dead.beat()
        os.utime(alive.file, ns=(beats, beats))  # a clock of another machine, far in the past
        dog.beat()
        now[0] += 0.6 * workers.LEASE_S
    assert oracle.tuner_ids == {"alive"} and [*oracle.ongoing_trials] == ["alive"]
    assert len(said) == 1 and "worker dead gave no sign of life for 120 s" in said[0]
    assert f"trial {trials['dead']} goes to the next" in said[0]
    now[0] += 2 * workers.LEASE_S
    dog.beat()
    assert "no worker is left: start one" in said[-1]


def test_signs_of_life_come_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "BEAT_S", 0.01)
    heart = Heartbeat(tmp_path, "one")
    with heart:
        first = heart.file.stat().st_mtime_ns
        assert until(lambda: heart.file.stat().st_mtime_ns != first, 5)
    last = heart.file.stat().st_mtime_ns
    time.sleep(0.05)
    assert heart.file.stat().st_mtime_ns == last


def test_a_folder_that_fails_for_a_moment_does_not_end_the_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "BEAT_S", 0.01)
    heart, beaten = Heartbeat(tmp_path, "one"), list[int]()

    def beat() -> None:
        beaten.append(len(beaten))
        if len(beaten) == 2:
            raise OSError("stale file handle")

    monkeypatch.setattr(heart, "beat", beat)
    with heart:
        assert until(lambda: len(beaten) > 3, 5)


def test_a_worker_that_comes_first_makes_no_folder(tmp_path: Path) -> None:
    """The chief would take it for another's."""
    Heartbeat(tmp_path / "run" / "alive", "one").beat()
    assert not (tmp_path / "run").exists()


def until(happened: Callable[[], Any], seconds: float) -> bool:
    """Whether something happens in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happened():
            return True
        time.sleep(0.05)
    return False


def state(out: Path) -> dict[str, Any]:
    file = out / "tune" / "oracle" / "oracle.json"
    return json.loads(file.read_text()) if file.is_file() else {"ongoing_trials": {}, "end_order": []}


@pytest.mark.slow
def test_another_completes_the_trial_of_a_worker_that_was_killed(tmp_path: Path) -> None:
    """The real hyper-model, in three processes; the chief ends too, and trains the best network."""
    out, port = tmp_path / "run", str(free_ports(1)[0])
    variables = {workers.ADDRESS: "127.0.0.1", workers.PORT: port, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    running: dict[str, subprocess.Popen[str]] = {}

    def start(name: str) -> None:
        running[name] = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "tune", *OPTIONS, "--out", str(out)],
            env=os.environ | variables | {workers.ID: name},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    try:
        start("first")
        time.sleep(2)  # the chief may come late
        start("chief")
        assert until(lambda: [*(out / "tune" / "networks").glob("*/checkpoint/checkpoint")], 120), "it trains"
        trial = state(out)["ongoing_trials"]["first"]
        running["first"].send_signal(signal.SIGKILL)
        start("second")
        said = running["chief"].communicate(timeout=240)[0]
        assert running["chief"].returncode == 0 and running["second"].wait(60) == 0, said
    finally:
        for process in running.values():
            process.kill()
    assert f"worker first gave no sign of life for 5 s and counts as lost; trial {trial} goes to" in said
    rows = json.loads((out / "tune" / "trials.json").read_text())["rows"]
    assert [row["status"] for row in rows] == ["completed"] * 3
    assert (out / "encoder.keras").is_file() and (out / "report.html").is_file()
