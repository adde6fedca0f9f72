"""Images brought to one size once, and kept with their labels in files that processes share."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ssl_keras.data.evaluation import evaluation_batches
from ssl_keras.data.sources import Source
from ssl_keras.data.sources.base import ArraySource


class Prepared(ArraySource):
    """A split whose images are of one size already.

    Args:
        images: uint8 (n, size, size, 3).
        name: of the split as it was opened.
        labels: int (n,) of each label set.
        label_sets: class names of each label set.
    """

    def __init__(
        self,
        images: np.ndarray,
        name: str,
        labels: Mapping[str, np.ndarray],
        label_sets: Mapping[str, tuple[str, ...]],
    ):
        super().__init__(images, name, labels, label_sets)
        self.splits: Mapping[str, Source] = {}

    def split(self, name: str) -> Source:
        """Another split that was prepared with it."""
        if name not in self.splits:
            raise ValueError(f"{self.name} was prepared without a split '{name}'; it has: {', '.join(self.splits)}.")
        return self.splits[name]


def prepared(folder: Path, size: int, names: Sequence[str], opened: Callable[[], Sequence[Source]]) -> Source:
    """Splits of one set as `ssl_keras.data.evaluation` resizes and crops them.

    What is in the folder is taken as it is, and nothing is opened. NOTE: pixels are rounded to 8 bits once more, by at
    most 1/510.

    Args:
        folder: of the set, made if absent; for one size and one choice of images.
        size: side in pixels.
        names: of the splits.
        opened: opens them, in the order of their names.

    Returns:
        The first split; its `split` gives all of them.
    """
    if not all(_facts(folder, name).is_file() for name in names):
        for name, source in zip(names, opened(), strict=True):
            _write(folder, name, source, size)
    made = {name: _read(folder, name) for name in names}
    for each in made.values():
        each.splits = made
    return made[names[0]]


def _facts(folder: Path, split: str) -> Path:
    """It is written last: what it tells of is there."""
    return folder / f"{split}.json"


def _read(folder: Path, split: str) -> Prepared:
    held = json.loads(_facts(folder, split).read_text(encoding="utf-8"))
    sets = {name: tuple(classes) for name, classes in held["label_sets"].items()}
    images = np.load(folder / f"{split}.npy", mmap_mode="r")
    return Prepared(images, held["name"], {name: np.array(rows) for name, rows in held["labels"].items()}, sets)


def _write(folder: Path, split: str, source: Source, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = evaluation_batches(source, size, 256).as_numpy_iterator()
    pixels = np.concatenate([np.round(row["image"] * 255).astype(np.uint8) for row in rows])
    labels = {name: source.labels(name).tolist() for name in source.label_sets}
    held = {"name": source.name, "label_sets": dict(source.label_sets), "labels": labels}
    unique = f".{uuid.uuid4().hex}.partial"
    images, facts = folder / f"{split}.npy", _facts(folder, split)
    with Path(f"{images}{unique}").open("wb") as file:
        np.save(file, pixels)
    Path(f"{facts}{unique}").write_text(json.dumps(held), encoding="utf-8")
    for path in (images, facts):
        Path(f"{path}{unique}").replace(path)
