"""What judging an encoder in the eleven small scenarios costs, and whether its classifier is scikit-learn's.

    python tools/evaluation_speed.py --out tools/results/evaluation_speed.json

An untrained ResNet-18 of width 16 at 64 px, linear and kNN, at most 10 000 training images of a set. Beside it the bare
forward pass over the same images, decoded and resized beforehand, as Keras has it and with the weights as constants of
the graph, as the evaluation runs it; set by set in turn, so that a machine whose speed drifts treats all alike. On the
sets of `ORACLE` scikit-learn's `LogisticRegressionCV` gets the same features, folds and penalties.
"""

import argparse
import json
import os
import platform
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from sklearn.linear_model import LogisticRegressionCV

import ssl_keras as sk
from ssl_keras.data.evaluation import evaluation_batches
from ssl_keras.data.sources import Source, at_most, open_source
from ssl_keras.scenarios import SUITES, Scenario, extract, run
from ssl_keras.scenarios.features import predictor
from ssl_keras.scenarios.linear import PENALTIES, fit, stratified_folds

SIDE, TRAIN = 64, 10_000
MACHINE = f"{os.cpu_count()} CPU cores, {platform.machine()}"
ORACLE = ("clothing", "rsscn7", "sign_digits")


def splits(scenario: Scenario) -> list[Source]:
    """Training images, at most `TRAIN`, and test images."""
    source = open_source(f"{scenario.source}:{scenario.train}")
    return [at_most(source, TRAIN, 0), source.split(scenario.test)]


def forward(encoder: Any, sources: list[Source]) -> list[float]:
    """Seconds of the bare pass, as Keras has it and as the evaluation runs it; images are ready."""
    own = predictor(encoder)
    seconds = [0.0, 0.0]
    for source in sources:
        for batch in evaluation_batches(source, SIDE, 256):
            images = np.asarray(batch["image"])
            whole = np.pad(images, ((0, 256 - len(images)), (0, 0), (0, 0), (0, 0)))  # as the evaluation does
            for number, (predict, given) in enumerate(((encoder.predict_on_batch, images), (own, whole))):
                started = time.perf_counter()
                predict(given)
                seconds[number] += time.perf_counter() - started
    return seconds


def cost(encoder: Any, scenario: Scenario) -> dict[str, Any]:
    """One scenario's row: seconds of both."""
    sources = splits(scenario)
    bare, own = forward(encoder, sources)
    started = time.perf_counter()
    run({"net": encoder}, scenario, image_size=SIDE, limit_train=TRAIN)
    seconds = time.perf_counter() - started
    return {
        "set": scenario.name, "images": sum(source.size for source in sources),
        "bare forward, s": bare, "as evaluated, s": own, "evaluation, s": seconds,
    }  # fmt: skip


def oracle(encoder: Any, scenario: Scenario) -> dict[str, Any]:
    """One scenario's row: our classifier and scikit-learn's on the same features."""
    train, test = splits(scenario)
    known, asked = (extract(encoder, source, SIDE) for source in (train, test))
    labels, truth = train.labels(scenario.label), test.labels(scenario.label)
    started = time.perf_counter()
    ours = fit(known, labels)
    middle = time.perf_counter()
    folds = stratified_folds(labels, 3, 0)
    parts = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(3)]
    strengths = [1 / (penalty * len(labels)) for penalty in PENALTIES]
    theirs = LogisticRegressionCV(Cs=strengths, cv=parts, max_iter=500, n_jobs=2)
    warnings.simplefilter("ignore", FutureWarning)  # of defaults to come
    theirs.fit((known - ours.mean) / ours.scale, labels)
    end = time.perf_counter()
    answers = theirs.predict((asked - ours.mean) / ours.scale)
    return {
        "set": scenario.name, "ours, s": middle - started, "scikit-learn, s": end - middle,
        "times as fast": (end - middle) / (middle - started),
        "ours, top-1 %": 100 * float(np.mean(ours.predict(asked) == truth)),
        "scikit-learn, top-1 %": 100 * float(np.mean(answers == truth)),
    }  # fmt: skip


def main() -> None:
    """Measures, and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    encoder = sk.build_encoder(sk.families.get("resnet18", width=0.25, small_images=True), (SIDE, SIDE, 3))
    for size in (100, 256):  # traced for batches of any size from now on
        encoder.predict_on_batch(np.zeros((size, SIDE, SIDE, 3), np.float32))
    predictor(encoder)(np.zeros((256, SIDE, SIDE, 3), np.float32))
    scenarios = {scenario.name: scenario for scenario in SUITES["small"]}
    rows = []
    for scenario in scenarios.values():
        rows.append(cost(encoder, scenario))
        print(json.dumps(rows[-1]), flush=True)
    total = {key: sum(row[key] for row in rows) for key in rows[0] if key != "set"}
    rows.append({"set": "all", **total})
    for row in rows:
        row["ratio"] = row["evaluation, s"] / row["bare forward, s"]
        row["ratio to its own pass"] = row["evaluation, s"] / row["as evaluated, s"]
    compared = [oracle(encoder, scenarios[name]) for name in ORACLE]
    out.write_text(json.dumps({"machine": MACHINE, "rows": rows}, indent=1) + "\n")
    beside = out.with_name(f"{out.stem}_oracle.json")
    beside.write_text(json.dumps({"machine": MACHINE, "rows": compared}, indent=1) + "\n")
    print(json.dumps([rows[-1], *compared], indent=1))


if __name__ == "__main__":
    main()
