"""What the fused kernel of batch normalisation saves: the pre-training step with Keras's layer over the step with ours.

    OMP_NUM_THREADS=1 taskset -c 0 python tools/batch_norm_speed.py --out tools/results/batch_norm_speed.json

Bare ReLICv2 steps (two views at 32 px, batch 256, settings of `configs/ablations/relicv2.py`) of both kinds in turn, in
one process, so that a machine whose speed drifts treats them alike. Five minutes of one core.
"""

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from ssl_keras.configs.ablations.relicv2 import BASE

import ssl_keras as sk
from ssl_keras.experiments.run_folder import write_json
from ssl_keras.experiments.settings import Compute
from ssl_keras.experiments.setup import Schedule, Setup
from ssl_keras.networks import blocks
from ssl_keras.scenarios.results import provenance

STUDY = dict(sk.families.study("mobilenet", micro=8))
NETWORKS = {
    "ResNet-18, width 8": sk.families.get("resnet18", width=8 / 64, small_images=True),
    "MobileNet v169 of the study, micro": STUDY["mobilenet_v169"],
}
CASES = [(name, "float32") for name in NETWORKS] + [("ResNet-18, width 8", "mixed_bfloat16")]
REPEATS = 3
OURS = blocks.BatchNormalization


def step_of(setup: Setup, norm: Any) -> Any:
    """A function that takes one step of a learner whose encoder has such layers."""
    blocks.BatchNormalization = norm
    try:
        learner = setup.learner(Schedule(1, 1000))
    finally:
        blocks.BatchNormalization = OURS
    learner.make_train_function()
    batch = next(iter(setup.batches().dataset()))
    same = iter(tf.data.Dataset.from_tensors(batch).repeat())
    return lambda: learner.train_function(same)


def seconds(step: Any) -> float:
    """Of a step; the loss is fetched, so that all of it is done."""
    begun = time.monotonic()
    _ = [np.asarray(value) for value in step().values()]
    return time.monotonic() - begun


def row(name: str, precision: str) -> dict[str, Any]:
    """The ratio of the medians, and of each repeat."""
    config = replace(BASE, data="tfds:cifar10", architecture=str(NETWORKS[name]), compute=Compute(precision=precision))
    setup = Setup(config)
    with setup.computing():
        steps = [step_of(setup, norm) for norm in (keras.layers.BatchNormalization, OURS)]
        for step in steps:
            step()
        times = np.array([[seconds(step) for step in steps] for _ in range(REPEATS)])
    theirs, ours = np.median(times, 0)
    keras.backend.clear_session()
    each = ", ".join(f"{ratio:.2f}" for ratio in times[:, 0] / times[:, 1])
    return {
        "network": name,
        "precision": precision,
        "Keras's, ms": round(1000 * theirs),
        "ours, ms": round(1000 * ours),
        "times as fast (of each repeat)": f"{theirs / ours:.2f} ({each})",
    }


def main() -> None:
    """Measures every case and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = []
    for name, precision in CASES:
        rows.append(row(name, precision))
        print(rows[-1], flush=True)
    write_json(options.out, {"rows": rows, "provenance": provenance(0, {}, {"repeats": REPEATS})})


if __name__ == "__main__":
    main()
