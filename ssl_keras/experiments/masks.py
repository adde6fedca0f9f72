"""``ssl-keras masks``: the foreground of every image of a source, found once and kept for pre-training.

The folder: masks.json (whose they are) · part-00000.npy ... (packed bits) · masks.png (some of them, to look at) ·
network.keras (what found them, unless the learning-free detector did).
"""

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from PIL import Image

from ssl_keras.data.masks import INDEX, LEAST_AREA, PART, open_masks, pack, read_index
from ssl_keras.data.saliency import saliency
from ssl_keras.data.sources import Source, at_most, open_source
from ssl_keras.experiments import pictures
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.naming import data_name
from ssl_keras.experiments.options import Masks
from ssl_keras.experiments.progress import CONSOLE, Counter
from ssl_keras.experiments.run_folder import check_writable, contents, replacing, write_json
from ssl_keras.learning.mask_network import as_bytes, learn_masks, refined, squeeze, steps
from ssl_keras.learning.mask_views import hard_views

Pixels = npt.NDArray[np.uint8]
Find = Callable[[Sequence[Pixels]], Sequence[npt.NDArray[np.float32]]]

IMAGES_PER_PART = 512
"""Images between two files, and so the most that an interruption loses."""
LARGEST = 128
"""Masks have the size of the images where these share one of at most so many pixels, else this side, squeezed."""
LEAST_TO_LEARN = 500
"""Images below which the network is left out: it would learn them by heart."""
FEW = 64
"""Images below which starting other processes costs more than they save."""
SHOWN = 32


def run(config: Masks) -> Path:
    """Finds the masks that are not there yet; returns their folder.

    Raises:
        ConfigError: The folder holds something else.
        ValueError: There are no such images.
        OSError: The folder cannot be written.
    """
    out = Path(config.out if config.out != "auto" else f"masks/{data_name(config.data)}")
    check_writable(out)
    source = open_source(config.data, data_dir=config.data_dir)
    index = _claim(out, config, source)
    shape = index["height"], index["width"]
    parts = range(-(-source.size // IMAGES_PER_PART))
    missing = [part for part in parts if not (out / PART.format(part)).is_file()]
    if missing:
        CONSOLE.print(f"finding the foreground of {source.size:,} images of {source.name}")
        with _workers() as find_alone:
            find = _network(out, config, source, find_alone) if index["refine"] else find_alone
            _write_parts(out, source, missing, shape, find)
    _show(out, source, config.seed)
    masks = open_masks(out, source)
    CONSOLE.print(f"{out}: {len(masks):,} masks; {masks.passing:,} under {LEAST_AREA:.0%} of the area count as none")
    CONSOLE.print(f"look at {out}/masks.png; next: ssl-keras pretrain --data {config.data} --masks {out}")
    return out


def _claim(out: Path, config: Masks, source: Source) -> dict[str, Any]:
    """What the folder says of itself, written when it is empty."""
    height, width = _mask_shape(source)
    index = {
        "version": 1,
        "source": source.name,
        "checksum": source.checksum(),
        "images": source.size,
        "images_per_part": IMAGES_PER_PART,
        "height": height,
        "width": width,
        "refine": config.refine and source.size >= LEAST_TO_LEARN,
        "training_images": config.training_images,
        "seed": config.seed,
    }
    if (out / INDEX).is_file():
        held = read_index(out)
        for key, value in index.items():
            if held.get(key) != value:
                raise ConfigError(
                    f"{out} holds masks with {key} = {held.get(key)!r}, not {value!r}: choose another folder with --out"
                )
        return index
    if foreign := contents(out):
        raise ConfigError(f"{out} is not empty (it holds {foreign[0]}) and holds no masks: choose another with --out")
    if config.refine and not index["refine"]:
        CONSOLE.print(f"{source.size} images are too few for a network to learn from: the detector works alone")
    write_json(out / INDEX, index)
    return index


def _mask_shape(source: Source) -> tuple[int, int]:
    shape = source.image_shape
    return (shape[0], shape[1]) if shape and max(shape[:2]) <= LARGEST else (LARGEST, LARGEST)


@contextlib.contextmanager
def _workers() -> Iterator[Find]:
    """The learning-free detector, on all cores when there is much to do."""
    with contextlib.ExitStack() as stack:
        pools: list[Any] = []

        def find(images: Sequence[Pixels]) -> Sequence[npt.NDArray[np.float32]]:
            if len(images) < FEW or os.cpu_count() == 1:
                return [saliency(image) for image in images]
            if not pools:
                # A process of its own each, not forked: TensorFlow's threads would not survive that.
                pools.append(stack.enter_context(multiprocessing.get_context("spawn").Pool()))
            return pools[0].map(saliency, images, chunksize=8)

        yield find


def _network(out: Path, config: Masks, source: Source, find: Find) -> Find:
    """The refined detector: the folder's network, trained first where there is none."""
    path = out / "network.keras"
    if path.is_file():
        network = keras.saving.load_model(path, compile=False)
    else:
        network = _learn(at_most(source, config.training_images, config.seed), config.seed, find)
        with replacing(path) as temporary:
            network.save(temporary)
    return lambda images: refined(network, images, find(images))


def _learn(source: Source, seed: int, find: Find) -> keras.Model:
    """A mask network, from as many views as there are images."""
    images, maps = [], []
    with Counter("images to learn from", source.size) as say:
        for start in range(0, source.size, IMAGES_PER_PART):
            read = _read(source, range(start, min(start + IMAGES_PER_PART, source.size)))
            images += [squeeze(image) for image in read]
            maps += [squeeze(as_bytes(found)) for found in find(read)]
            say(len(images))
    views, targets = hard_views(np.stack(images), np.stack(maps), len(images), seed)
    seen: list[Pixels] = []
    with Counter("hard views of them", len(views)) as say:
        for start in range(0, len(views), IMAGES_PER_PART):
            seen += [as_bytes(found) for found in find(list(views[start : start + IMAGES_PER_PART]))]
            say(len(seen))
    with Counter("steps of learning", steps(len(views))) as say:
        return learn_masks(views, np.stack(seen), targets, seed=seed, say=say)


def _write_parts(out: Path, source: Source, missing: Sequence[int], shape: tuple[int, int], find: Find) -> None:
    absent = sum(min(IMAGES_PER_PART, source.size - part * IMAGES_PER_PART) for part in missing)
    done = source.size - absent
    with Counter("masks", source.size, done) as say:
        for part in missing:
            start = part * IMAGES_PER_PART
            images = _read(source, range(start, min(start + IMAGES_PER_PART, source.size)))
            masks = [_at_size(found, shape) for found in find(images)]
            with replacing(out / PART.format(part)) as temporary:
                np.save(temporary, pack(np.stack(masks)))
            done += len(images)
            say(done)


def _read(source: Source, rows: Sequence[int]) -> list[Pixels]:
    array = source.array()
    return [array[row] if array is not None else np.asarray(source.read(row)) for row in rows]


def _at_size(found: npt.NDArray[np.float32], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    image = Image.fromarray(found).resize(shape[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image) >= 0.5


def _show(out: Path, source: Source, seed: int) -> None:
    """Some images above what pre-training may see of them."""
    some = at_most(source, SHOWN, seed)
    images = np.stack([squeeze(image) for image in _read(some, range(some.size))])
    masks = np.asarray(open_masks(out, some).read(np.arange(some.size), images.shape[1:3]))
    pictures.save_png(out / "masks.png", pictures.masks_sheet(images, np.round(masks).astype(np.uint8)))
