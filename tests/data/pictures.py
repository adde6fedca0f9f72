"""Small pictures, folders of them, and reading a source through tf.data."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from ssl_keras.data.sources import Source


def picture(seed: int, height: int = 20, width: int = 24, channels: int = 3) -> np.ndarray:
    """A smooth picture, which JPEG keeps nearly as it is."""
    grid = np.random.default_rng(seed).integers(0, 256, (3, 3, channels)).astype(np.uint8)
    image = Image.fromarray(grid if channels > 1 else grid[..., 0])
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def write(path: Path, pixels: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def class_folder(root: Path) -> Path:
    for index in range(10):
        write(root / ("cats", "dogs")[index % 2] / f"{index}.png", picture(index))
    return root


def read_all(source: Source, limit: int = 12) -> list[np.ndarray]:
    indices = tf.data.Dataset.range(min(source.size, limit))
    return list(indices.map(source.read, num_parallel_calls=2).as_numpy_iterator())


VOC_IDS, CITYSCAPES_IDS = (0, 15, 7, 255), (7, 26, 11, 0)
"""Ids that mocks have: three classes and void, each with its own grey level in the images."""


def scene(seed: int, height: int, width: int, ids: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A picture of four grey levels in tiles of 8 pixels, and the id of every pixel."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(0, len(ids), (height // 8 + 1, width // 8 + 1))
    levels = np.kron(tiles, np.ones((8, 8), int))[:height, :width]
    grey = 20 + 60 * levels + rng.integers(0, 20, levels.shape)
    return np.repeat(grey[..., None], 3, -1).astype(np.uint8), np.array(ids, np.uint8)[levels]


def voc_size(index: int) -> tuple[int, int]:
    return 24 + 3 * (index % 5), 40 - 2 * (index % 3)


def voc_folder(root: Path, n: int = 8) -> Path:
    """What VOC 2012's archive unpacks to: sizes vary, masks have palettes, most images have no mask."""
    kit = root / "VOCdevkit" / "VOC2012"
    for split, first in (("train", 0), ("val", 100)):
        names = [f"2007_{index:06}" for index in range(first, first + n)]
        for index, name in enumerate(names, first):
            pixels, ids = scene(index, *voc_size(index), VOC_IDS)
            write(kit / "JPEGImages" / f"{name}.jpg", pixels, quality=95)
            mask = Image.fromarray(ids)
            mask.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
            (kit / "SegmentationClass").mkdir(exist_ok=True)
            mask.save(kit / "SegmentationClass" / f"{name}.png")
        (kit / "ImageSets" / "Segmentation").mkdir(parents=True, exist_ok=True)
        (kit / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(names) + "\n")
    write(kit / "JPEGImages" / "2008_000001.jpg", picture(0))
    return root


def cityscapes_folder(root: Path, n: int = 4) -> Path:
    """What Cityscapes' two archives unpack to: one size, cities, and masks among other files."""
    for split, cities in (("train", ("aachen", "ulm")), ("val", ("lindau",))):
        for city, index in ((city, index) for city in cities for index in range(n)):
            pixels, ids = scene(index + 10 * len(city), 32, 64, CITYSCAPES_IDS)
            name = f"{city}_{index:06}_000019"
            write(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", pixels)
            for kind, values in (("labelIds", ids), ("instanceIds", 26 + 0 * ids), ("color", pixels)):
                write(root / "gtFine" / split / city / f"{name}_gtFine_{kind}.png", values)
    return root


def prepared_voc(root: Path, said: Mapping[str, Sequence[tuple[np.ndarray, Sequence[int], Sequence[int]]]]) -> Path:
    """VOC 2007 as TFDS writes it, with some of its features.

    Args:
        root: where sets are.
        said: of each split the images, the classes that they show plainly, and those marked as difficult.
    """
    import tensorflow_datasets as tfds

    classes = tfds.features.ClassLabel(names=[f"class {index}" for index in range(20)])
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(),
            "image/filename": tfds.features.Text(),
            "objects": tfds.features.Sequence({"label": classes, "is_difficult": np.bool_}),
            "labels": tfds.features.Sequence(classes),
            "labels_no_difficult": tfds.features.Sequence(classes),
        }
    )

    def row(index: int, image: np.ndarray, plain: Sequence[int], difficult: Sequence[int]) -> tuple[int, object]:
        objects = [(label, False) for label in plain] + [(label, True) for label in difficult]
        return index, {
            "image": image,
            "image/filename": f"{index:06}.jpg",
            "objects": [{"label": label, "is_difficult": hard} for label, hard in objects],
            "labels": sorted({label for label, _ in objects}),
            "labels_no_difficult": sorted(set(plain)),
        }

    tfds.dataset_builders.store_as_tfds_dataset(
        name="voc",
        config="2007",
        version="5.0.0",
        features=features,
        split_datasets={split: [row(index, *each) for index, each in enumerate(rows)] for split, rows in said.items()},
        data_dir=root,
        disable_shuffling=True,
    )
    return root
