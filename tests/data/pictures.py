"""Small pictures, folders of them, and reading a source through tf.data."""

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
