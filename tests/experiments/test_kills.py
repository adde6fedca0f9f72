"""Killed at any moment and started again by the same command, a run ends as the one that nobody disturbed.

Slow: each start of the real command takes seconds. `python -m pytest -m slow tests/experiments/test_kills.py -s` shows
the moments.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

import ssl_keras as sk

KILLS, IN_A_SAVE = 20, 3
COMMON = [
    *("--data", "digits", "--images", "64", "--batch-size", "16", "--image-size", "8"),
    *("--views.small", "1", "--loss.negatives", "4"),
    *("--heads.projector-hidden", "8", "--heads.projection", "4", "--heads.predictor-hidden", "8"),
    *("--monitor.embeddings-every", "20", "--monitor.every-steps", "3"),
]
SPACE = "conv_c4 | basic_r{0,1}_c4 | basic_s2_c{4,8}"
WORDS = {
    "pretrain": ["pretrain", "--architecture", "conv_c4 | basic_s2_c8", "--epochs", "60", *COMMON],
    "search": [
        *("search", "--architecture", SPACE, "--macs", "30k", "--search.epochs", "60", "--epochs", "20"),
        *("--no-sliced", "--baselines", *COMMON),
    ],
}
HISTORIES = ("metrics.jsonl", "search/metrics.jsonl", "search/probabilities.jsonl")
LAST_CHECKPOINTS = {
    "pretrain": ("checkpoint/ckpt-240.data*",),
    "search": ("search/checkpoint/ckpt-120.data*", "checkpoint/ckpt-80.data*"),
}
PROGRAM = """
import sys
import tensorflow as tf
replicas = int(sys.argv.pop(1))
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
tf.config.experimental.enable_op_determinism()
from ssl_keras.cli import main
main()
"""
pytestmark = pytest.mark.slow


def started(folder, replicas, verb="pretrain"):
    strategy = "mirrored" if replicas > 1 else "none"
    words = [*WORDS[verb], "--compute.strategy", strategy, "--out", str(folder)]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(replicas), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(folder, replicas, verb="pretrain"):
    process = started(folder, replicas, verb)
    said, _ = process.communicate(timeout=1000)
    assert process.returncode == 0, said
    return sk.load(folder)


def in_a_save(folder):
    """Whether a checkpoint is being written."""
    return any(folder.rglob("checkpoint/*_temp*"))


def rows_of(folder):
    """Rows of metrics so far."""
    files = [folder / name for name in HISTORIES if name.endswith("metrics.jsonl")]
    return sum(len(file.read_text().splitlines()) for file in files if file.exists())


def killed(folder, replicas, verb, generator, inside):
    """Starts the command and kills it; returns what it was at."""
    process = started(folder, replicas, verb)
    wanted = rows_of(folder) + int(generator.integers(0, 12))
    while process.poll() is None:
        count = rows_of(folder)
        if in_a_save(folder) if inside else count > wanted:
            break
        time.sleep(0 if inside else generator.uniform(0, 0.02))
    process.send_signal(signal.SIGKILL)
    saving = in_a_save(folder)
    process.wait()
    process.stdout.close()
    return {"rows": count, "inside a save": saving}


def history(file):
    """The rows of a file, without what a clock measured."""
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [{name: value for name, value in row.items() if name != "images_per_s"} for row in rows]


def tensors(data):
    """Every tensor of a checkpoint as bytes. Its graph of objects also has names, which count networks in a process."""
    reader = tf.train.load_checkpoint(str(data).split(".data")[0])
    names = [name for name in reader.get_variable_to_shape_map() if name != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    assert len(names) > 20
    return {name: (reader.get_tensor(name).dtype, reader.get_tensor(name).tobytes()) for name in names}


@pytest.mark.parametrize(("verb", "replicas"), [("pretrain", 1), ("pretrain", 2), ("search", 1), ("search", 2)])
def test_killed_twenty_times_it_ends_as_if_nothing_had_happened(tmp_path, verb, replicas):
    whole = finished(tmp_path / "whole", replicas, verb)
    generator = np.random.default_rng(replicas)
    cut = tmp_path / "cut"
    moments = []
    while len(moments) < KILLS or sum(moment["inside a save"] for moment in moments) < IN_A_SAVE:
        if (cut / "encoder.keras").exists():  # it came to its end between two kills: from the start again
            subprocess.run(["rm", "-r", str(cut)], check=True)
        moments.append(killed(cut, replicas, verb, generator, inside=len(moments) % 3 == 0))
        assert len(moments) < 4 * KILLS, moments
    print(*moments, sep="\n")
    resumed = finished(cut, replicas, verb)
    for one, other in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    for name in HISTORIES:
        assert history(tmp_path / "whole" / name) == history(cut / name)
    for pattern in LAST_CHECKPOINTS[verb]:
        (one,), (other,) = (list((tmp_path / name).glob(pattern)) for name in ("whole", "cut"))
        assert tensors(one) == tensors(other)  # target, optimizer slots, logits and trackers too


def test_terminated_in_the_middle_of_an_epoch_it_ends_with_the_same_weights(tmp_path):
    whole = finished(tmp_path / "whole", 1)
    cut = tmp_path / "cut"
    process = started(cut, 1)
    while not (cut / "metrics.jsonl").exists() or (cut / "metrics.jsonl").read_text().count("\n") < 5:
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "which is saved: the same command goes on" in " ".join(said.split())
    for one, other in zip(whole.weights, finished(cut, 1).weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    assert [row["step"] for row in history(tmp_path / "whole" / "metrics.jsonl")] == [
        row["step"] for row in history(cut / "metrics.jsonl")
    ]
