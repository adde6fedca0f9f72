"""Whether a search finds what is known to be best, and leaves undecided what is known to be equal.

    python tools/planted_truth.py --out tools/results/planted [--seeds 0 1 ...] [--table tools/results/planted.json]

Planted: every image is a texture of dot pairs, and all that two views of it share is how the two dots of a pair lie to
one another, 4 to 6 pixels apart. A 7 x 7 convolution sees a pair, a 3 x 3 one never does; a block of 1 x 1 convolutions
behind it costs as much as the larger kernel and sees nothing new. The budget pays for one of the two,
so that they are one decision, and chance finds it every second time.
Control: the kernel is given, and the budget pays for one of two such blocks in a row, either of which would do. (Noise
for images is no such control: there a larger kernel averages more away, loses less, and is taken.)

A minute a search on one core; each finished one is a JSON file, so that the same command goes on where it stopped.
"""

import argparse
import collections
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

import ssl_keras as sk
from ssl_keras.data.pipeline import untuned
from ssl_keras.experiments.run_folder import write_json
from ssl_keras.learning.estimators import Estimator
from ssl_keras.scenarios.results import provenance

SIDE, BATCH, STEPS, PAIRS = 16, 64, 800, 12
OFFSETS = ((4, 0), (0, 4), (4, 4), (4, -4), (5, 2), (2, 5), (5, -2), (2, -5))
"""How the second dot of a pair lies to the first: the image's class."""
SPACE = "conv_k{3,7}_c16 | conv_k1_c31 | basic_r{0,1}_k1_c31"
TRUTH, RIVAL = {"stage1.k": 7, "stage3.r": 0}, {"stage1.k": 3, "stage3.r": 1}
CONTROL = "conv_k7_c16 | conv_k1_c31 | basic_r{0,1}_k1_c31 | basic_r{0,1}_k1_c31"
EITHER = {"stage3.r": 0, "stage4.r": 1}, {"stage3.r": 1, "stage4.r": 0}

Images = npt.NDArray[np.float32]


def dots(generator: np.random.Generator, classes: npt.NDArray[np.int64]) -> Images:
    """Textures (b, SIDE, SIDE, 3) in [0, 1]; a single dot tells nothing, and the image wraps around."""
    images = np.full((len(classes), SIDE, SIDE, 3), 0.5, np.float32)
    shape = (len(classes), PAIRS)
    y, x = generator.integers(0, SIDE, (2, *shape))
    value = generator.choice(np.float32([0.0, 1.0]), shape)
    offset = np.array(OFFSETS)[classes]
    rows = np.arange(len(classes))[:, None]
    for step in (0, 1):
        images[rows, (y + step * offset[:, :1]) % SIDE, (x + step * offset[:, 1:]) % SIDE] = value[..., None]
    return images


def batches(seed: int) -> tf.data.Dataset:
    """For each part of the search two views of every image that share nothing but the class."""

    def one(generator: np.random.Generator) -> dict[str, Any]:
        classes = generator.integers(0, len(OFFSETS), BATCH)
        views = np.stack([dots(generator, classes) for _ in range(2)], axis=1)
        return {"large": views, "label": classes.astype(np.int32)}

    def stream() -> Iterator[dict[str, Any]]:
        generator = np.random.default_rng(seed)
        while True:
            yield {part: one(generator) for part in ("weights", "architecture")}

    part = {
        "large": tf.TensorSpec((BATCH, 2, SIDE, SIDE, 3)),
        "label": tf.TensorSpec((BATCH,), tf.int32),
    }
    signature = {"weights": part, "architecture": part}
    return untuned(tf.data.Dataset.from_generator(stream, output_signature=signature).prefetch(4))


def learner_of(space: str, labels: bool, seed: int) -> Any:
    """ReLICv2, or learning from the classes."""
    supernet = sk.build_supernet(space, (SIDE, SIDE, 3), seed=seed)
    if labels:
        return sk.Supervised(supernet, len(OFFSETS), seed=seed)
    return sk.ReLICv2(
        supernet,
        projector=sk.Projector(31, 64, 32, seed=3 * seed + 1),
        predictor=sk.Predictor(32, 64, 32, seed=3 * seed + 2),
        loss=sk.ReLICv2Loss(0.2, 1.0, 0.3, same_view_pairs=False),
        negatives=0,
        target_decay=sk.TargetDecay(0.9),
        seed=seed,
    )


@dataclasses.dataclass(frozen=True)
class Case:
    """A space, two networks in it that the budget pays for alike, and how it is searched."""

    space: str = SPACE
    rivals: tuple[dict[str, Any], dict[str, Any]] = (TRUTH, RIVAL)
    labels: bool = False
    estimator: Estimator = "score"


CASES = {
    "planted, without labels": Case(),
    "control, without labels": Case(CONTROL, EITHER),
    "planted, with labels": Case(labels=True),
    "planted, without labels, straight-through": Case(estimator="straight_through"),
}


def search(name: str, seed: int) -> dict[str, Any]:
    """One search; what it took, and how sure it was."""
    case = CASES[name]
    space, picked = case.space, case.rivals
    costs = [sk.cost(sk.parse(space).freeze(picks), (SIDE, SIDE, 3)).macs for picks in picked]
    assert abs(costs[0] / costs[1] - 1) < 0.01, "the budget would tell the truth"
    searching = sk.ArchitectureSearch(
        learner_of(space, case.labels, seed),
        sk.Budget(macs=sum(costs) / 2),
        steps=STEPS,
        estimator=case.estimator,
        seed=seed,
    )
    searching.compile(keras.optimizers.SGD(sk.warmup_cosine(0.1, STEPS, 20), momentum=0.9))
    searching.fit(batches(seed), steps_per_epoch=STEPS, verbose=0)
    keras.backend.clear_session()
    return {
        "case": name,
        "seed": seed,
        "picks": searching.picks(),
        "probabilities": {name: [round(float(p), 4) for p in row] for name, row in searching.probabilities().items()},
        "entropy": round(searching.entropy(), 3),
    }


def table(folder: Path) -> dict[str, Any]:
    """By case: how often the truth was found, or how undecided the control was."""
    cases: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(folder.glob("*.json")):
        run = json.loads(file.read_text())
        cases.setdefault(run["case"], []).append(run)
    rows = []
    for case, runs in cases.items():
        entropies = [run["entropy"] for run in runs]
        counts = collections.Counter(json.dumps(run["picks"]) for run in runs)
        outcomes = " and ".join(str(count) for count in counts.values())
        right = f"{sum(run['picks'] == TRUTH for run in runs)} of {len(runs)}"
        rows.append(
            {
                "case": case,
                "seeds": len(runs),
                "found the truth": right if CASES[case].space == SPACE else "–",
                "outcomes": outcomes,
                "entropy, mean (range)": f"{np.mean(entropies):.2f} ({min(entropies):.2f}–{max(entropies):.2f})",
            }
        )
    return {"rows": rows, "provenance": provenance(0, {}, {"space": SPACE, "steps": STEPS, "batch": BATCH})}


def main() -> None:
    """Runs what is missing, or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of finished searches")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--table", type=Path, help="write the table of what is finished there")
    options = parser.parse_args()
    for seed in options.seeds:
        for case in options.cases:
            file = options.out / f"{case.replace(', ', '-').replace(' ', '_')}-seed{seed}.json"
            if not file.is_file():
                result = search(case, seed)
                write_json(file, result)
                print(json.dumps(result), flush=True)
    if options.table:
        write_json(options.table, table(options.out))


if __name__ == "__main__":
    main()
