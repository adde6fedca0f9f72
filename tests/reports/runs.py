"""Run folders made up for tests: the files that a real run writes, with numbers from a formula."""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

SCENARIOS = {
    "shapes/shape": (78, 46, 33, 95),
    "shapes/texture": (61, 55, 30, 52),
    "shapes/color": (48, 71, 66, 40),
    "shapes/lighting": (55, 54, 41, 38),
    "shapes/position": (66, 44, 58, 61),
    "digits": (95, 91, 93, 88),
    "mean": (67.2, 60.2, 53.5, 62.3),
}
ENCODERS = ("pretrained", "untrained", "raw pixels", "supervised")
ARCHITECTURE = "conv_c8 | basic_r2_c8 | basic_r2_s2_c16 | basic_r2_s2_c32 | basic_r2_s2_c64"


def rows() -> list[dict[str, object]]:
    return [
        {
            "encoder": encoder,
            "scenario": scenario,
            "protocol": protocol,
            "metric": "top1",
            "value": value - drop,
            "low": value - drop - 1.5,
            "high": value - drop + 1.4,
            "n_train": 2000,
            "n_test": 1000,
            "seed": 0,
        }
        for protocol, drop in (("knn20", 3), ("knn200", 6), ("linear", 0))
        for scenario, values in SCENARIOS.items()
        for encoder, value in zip(ENCODERS, values, strict=True)
    ]


def metrics(steps: int = 300) -> list[dict[str, float]]:
    found = []
    for step in range(10, steps + 1, 10):
        t = step / steps
        row = {
            "step": step,
            "images_per_s": 410.0 + 9 * math.sin(step),
            "loss": 5.5 * math.exp(-t) + 0.1 * math.sin(step),
            "contrastive": 4.5 * math.exp(-t) + 0.1 * math.sin(step),
            "invariance": 0.4 * (1 - math.exp(-3 * t)),
            "learning_rate": 0.1 * (1 + math.cos(math.pi * t)),
            "target_decay": 1 - 0.01 * (math.cos(math.pi * t) + 1) / 2,
        }
        if step % 30 == 0:
            row |= {"epoch": 10 * t} | {
                "knn": 30 + 35 * t,
                "embedding_std": 0.6 + 0.2 * t,
                "rankme": 20 + 20 * t,
                "mean_cosine": 0.5 - 0.2 * t,
            }
        found.append(row)
    return found


def write_run(folder: Path) -> Path:
    """A run folder with everything in it."""
    (folder / "pictures").mkdir(parents=True)
    config = {"data": "shapes", "images": 8000, "architecture": "resnet18@0.125", "image_size": 32, "batch_size": 256}
    provenance = {
        "machine": "Linux x86_64, 2 processors",
        "encoders": {
            "pretrained": "learned from images without labels",
            "untrained": "the same network with its initial weights",
            "raw pixels": "the image itself",
            "supervised": "the same network, views and steps, trained on shape labels",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "architecture.txt").write_text(ARCHITECTURE + "\n")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics()))
    (folder / "results.json").write_text(json.dumps({"version": 1, "rows": rows(), "provenance": provenance}))
    pixels = np.random.default_rng(0).integers(0, 255, (200, 500, 3), np.uint8)
    for name in ("views.png", "neighbours.png"):
        Image.fromarray(pixels).save(folder / "pictures" / name)
    return folder
