"""Scores the mask detectors on ECSSD, and writes tools/results/saliency.json.

Needs the TFDS sets ecssd (1000 images with human masks, never trained on) and, to train the network, tiny_imagenet,
caltech101_small and flowers_small, of which no label is read; about ten minutes on one core. One thread, because
threads that wait for one another in small products would count as work in images/s per core.

    OMP_NUM_THREADS=1 TFDS_DATA_DIR=... .venv/bin/python tools/saliency.py --network runs/ecssd/network.keras
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow_datasets as tfds

from ssl_keras.data.saliency import saliency
from ssl_keras.data.sources import open_source, take
from ssl_keras.learning.mask_measures import MaskScores, max_f_gain, score_masks
from ssl_keras.learning.mask_network import as_bytes, learn_masks, refined, squeeze
from ssl_keras.learning.mask_views import hard_views
from ssl_keras.scenarios.results import bootstrap_mean, provenance

RESULT = Path(__file__).parent / "results" / "saliency.json"
LEARN = {"tiny_imagenet": 3500, "caltech101_small": 1500, "flowers_small": 1000}
"""Images of each set's training split that the network learns from."""
TIMED = 100
SEED = 0


def train(path: Path) -> None:
    """Trains the mask network on photographs without labels, and saves it."""
    sources = [take(open_source(f"tfds:{name}"), count, SEED) for name, count in LEARN.items()]
    images = [np.asarray(source.read(row)) for source in sources for row in range(source.size)]
    maps = [squeeze(as_bytes(saliency(image))) for image in images]
    squares = np.stack([squeeze(image) for image in images])
    views, targets = hard_views(squares, np.stack(maps), len(images), SEED)
    seen = np.stack([as_bytes(saliency(view)) for view in views])
    network = learn_masks(views, seen, targets, seed=SEED, say=lambda step: None)
    path.parent.mkdir(parents=True, exist_ok=True)
    network.save(path)


def rate(find: Callable[[Sequence[Any]], Any], images: Sequence[Any]) -> float:
    """Images a second of processor time, whichever cores it is spent on."""
    find(images[:1])
    start = time.process_time()
    find(images)
    return len(images) / (time.process_time() - start)


def row(method: str, scores: MaskScores, speed: float, over: MaskScores | None = None) -> dict[str, Any]:
    """One line of the table; what was gained over other scores is in its last columns."""
    gains = (None, None, None) if over is None else gained(scores, over)
    return {
        "method": method,
        "max-F": round(scores.max_f, 4),
        "MAE": round(scores.mae, 4),
        "IoU": round(scores.mean_iou, 4),
        "images/s per core": round(speed),
    } | {
        f"change of {measure} (95 % interval)": "–" if gain is None else "{:.4f} ({:.4f} to {:.4f})".format(*gain)
        for measure, gain in zip(("max-F", "MAE", "IoU"), gains, strict=True)
    }


def gained(scores: MaskScores, over: MaskScores) -> Sequence[tuple[float, ...]]:
    """Difference, low and high of max-F, MAE and IoU, paired over the images."""
    paired = (scores.error - over.error, scores.iou - over.iou)
    means = [tuple(value / 100 for value in bootstrap_mean([each[None]], SEED)) for each in paired]
    return max_f_gain(scores, over, SEED), *means


def main() -> None:
    """Trains the network where it is missing, scores both detectors, and writes the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, required=True, help="the network's file; trained where it is missing")
    path = parser.parse_args().network
    given = path.is_file()
    if not given:
        train(path)
    network = keras.saving.load_model(path, compile=False)
    examples = tfds.load("ecssd", split="train", data_dir=os.environ.get("TFDS_DATA_DIR"), download=False)
    images, truths = zip(*((e["image"], e["mask"][..., 0]) for e in examples.as_numpy_iterator()), strict=True)

    def alone(some: Sequence[Any]) -> list[Any]:
        return [saliency(image) for image in some]

    def both(some: Sequence[Any]) -> list[Any]:
        return refined(network, some, alone(some))

    plain, better = (score_masks(zip(find(images), truths, strict=True)) for find in (alone, both))
    rows = [
        row("learning-free", plain, rate(alone, images[:TIMED])),
        row("refined network", better, rate(both, images[:TIMED]), plain),
    ]
    document = {
        "rows": rows,
        "provenance": provenance(SEED, {}, {"learn": "a network trained before this run" if given else LEARN}),
    }
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for line in rows:
        print(line)


if __name__ == "__main__":
    main()
