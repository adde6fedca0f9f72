"""Whether scores without labels rank encoders as labels do: checkpoints of a run, runs of a network, and networks.

    python tools/label_free_ranking.py --out tools/results/label_free [--seeds 0 1]

trains by several methods, well and badly, on CIFAR-10, and looks at every run some times: the five scores on images
that it learned from, and a linear classifier on 6000 training images that it did not see, 4800 to learn from and 1200
to judge. Each run is one JSON file, so that the same command goes on where it was stopped; started twice, the two share
the work.

    python tools/label_free_ranking.py --out tools/results/label_free --table tools/results/label_free.json
        --study studies/small

writes the table: how each score ranks the checkpoints within a run, what choosing by it would have gained over the last
checkpoint, how it ranks the runs themselves, and the networks of a study, which all learned alike.
"""

import argparse
import dataclasses
import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from ablate import changed, claimed, held_out, scores
from scipy.stats import kendalltau
from ssl_keras.configs.ablations.relicv2 import BASE, CELLS, Fields

from ssl_keras.data.sources import Source, at_most, open_source
from ssl_keras.experiments.pretrain import fit
from ssl_keras.experiments.queue import Queue
from ssl_keras.experiments.run_folder import write_json
from ssl_keras.experiments.setup import Schedule, Setup
from ssl_keras.reports import agreement
from ssl_keras.reports.study_analysis import GROUPS, filters, read_study
from ssl_keras.reports.text import between
from ssl_keras.scenarios.label_free import SCORES, goodness, label_free

LOOKS = (20, 40, 70, 100, 150, 200)
"""Steps after which a run is looked at; the last ends it."""
IMAGES, JUDGING, FEW = 20_000, 6000, 1000
RUNS: dict[str, tuple[Fields, int]] = {
    **{name: (CELLS[name], IMAGES) for name in ("ReLICv2", "SimCLR", "BYOL")},
    "rate too high": ({"optimization.learning_rate": 6.4}, IMAGES),
    "few images": ({}, FEW),
}
"""Name to the fields of the base that differ, and how many images it learns from."""


class Looks(keras.callbacks.Callback):
    """Scores the encoder at some steps.

    Args:
        learned: images that the run learns from.
        judging: labelled images that it does not.
        seed: of the run.
    """

    def __init__(self, learned: Source, judging: Source, seed: int) -> None:
        super().__init__()
        self.learned, self.seed = learned, seed
        self.exam, self.lesson = reversed(held_out(judging, seed))
        self.found: list[dict[str, Any]] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks, when it is time."""
        if (step := self.model.step) in LOOKS:
            encoder = self.model.encoder
            worth = scores(encoder, self.lesson, self.exam, BASE.image_size, self.seed)
            blind = label_free(encoder, self.learned, BASE.image_size, self.seed)
            self.found.append({"step": step, **worth, "label-free": blind})


def run(name: str, seed: int) -> dict[str, Any]:
    """One run and what was seen of it."""
    fields, images = RUNS[name]
    judging, rest = reversed(held_out(open_source(BASE.data), seed))
    learned = at_most(rest, images, seed)
    setup = Setup(dataclasses.replace(changed(BASE, fields), seed=seed), learned)
    schedule = Schedule(1, LOOKS[-1])
    with setup.computing():
        learner = setup.learner(schedule)
        looks = Looks(learned, at_most(judging, JUDGING, seed), seed)
        fit(setup, learner, schedule, [looks])
    return {"run": name, "seed": seed, "images": learned.size, "looks": looks.found}


def checkpoints(runs: Sequence[dict[str, Any]], score: str) -> tuple[list[float], list[float]]:
    """Of each run: Kendall's tau of a score and the linear accuracy over its looks, and points gained by choosing."""
    taus, gains = [], []
    for one in runs:
        told = [goodness(look["label-free"])[score] for look in one["looks"]]
        linear = [look["linear"] for look in one["looks"]]
        taus.append(float(kendalltau(told, linear).statistic))
        gains.append(linear[int(np.argmax(told))] - linear[-1])
    return taus, gains


def networks(trials: Sequence[dict[str, Any]], score: str) -> dict[str, str]:
    """Kendall's tau of a score and the linear accuracy, mean over scenarios, over the networks of a study.

    With its 95 % interval over networks; those whose score is not finite are left out.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for trial in trials:
        if None in trial["label_free"].values():
            continue
        linear = [row["value"] for row in trial["rows"] if row["protocol"] == "linear"]
        pair = goodness(trial["label_free"])[score], float(np.mean(linear))
        for group in GROUPS:
            if filters()[group](trial["network"]):
                found.setdefault(group, []).append(pair)
    return {
        f"τ over {group}, {len(pairs)}": between(
            *agreement.with_interval(np.array(pairs), lambda both: agreement.kendall(both)[0, 1])
        )
        for group, pairs in found.items()
    }


def table(folder: Path, study: Path) -> list[dict[str, str]]:
    """By score; of the study's networks, named ones aside, each one's training of seed 0."""
    runs = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    named = read_study(study).named
    trials = [trial for trial in Queue(study, ()).results() if trial["seed"] == 0 and trial["network"] not in named]
    rows = []
    for score in SCORES:
        taus, gains = checkpoints(runs, score)
        ends = [one["looks"][-1] for one in runs]
        over_ends = kendalltau([goodness(end["label-free"])[score] for end in ends], [end["linear"] for end in ends])
        row = {
            "score": score,
            "τ over checkpoints, mean (range)": between(np.mean(taus), min(taus), max(taus)),
            "chosen − last, points": between(np.mean(gains), min(gains), max(gains), "+.1f"),
            f"τ over the ends of {len(runs)} runs": f"{over_ends.statistic:.2f}",
            **networks(trials, score),
        }
        rows.append(row)
    return rows


def main() -> None:
    """Runs what is missing, or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of finished runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--table", type=Path, help="write the table there instead")
    parser.add_argument("--study", type=Path, help="the folder of a study whose networks are ranked, for the table")
    options = parser.parse_args()
    if options.table:
        write_json(options.table, {"rows": table(options.out, options.study)})
        return
    for seed, name in itertools.product(options.seeds, RUNS):
        file = options.out / f"{name.replace(' ', '_')}-seed{seed}.json"
        with claimed(file) as ours:
            if ours and not file.is_file():
                write_json(file, run(name, seed))
                print(file, flush=True)


if __name__ == "__main__":
    main()
