"""A folder of images of one's own: any depth, any mixture of sizes, modes and formats."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from ssl_keras.data.sources.base import ARRAY_LIMIT, Source, as_rgb, content_hash, eighty_twenty

FORMATS = ("JPEG", "MPO", "PNG", "BMP", "DIB", "GIF", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp")
OTHER_SUFFIXES = (".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd", ".dng", ".cr2", ".nef")
"""Images that are not read: listed as skipped, where files that are no images are passed over in silence."""

SPLIT_FOLDERS = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}
"""Sub-folder names that make a split; the first that is there."""

DRAFT_SIDE = 512
"""NOTE: a JPEG is decoded at the smallest of 1/1, 1/2, 1/4, 1/8 of its size that keeps both sides this long."""

_PHOTOS = ("JPEG", "MPO")
_ORIENTATION = 0x0112
THREADS = 8
_ENDS = 4096


@dataclass(frozen=True)
class File:
    """An image file as the scan found it."""

    path: str
    """Below the folder."""
    mark: bytes = b""
    """Hash of its length, first and last 4 KiB."""
    size: tuple[int, int] = (0, 0)
    """(height, width) as it will be read."""
    fault: str = ""
    """Why it is skipped; empty if it is not."""


class FolderSource(Source):
    """Images in files, decoded when read; phone photos are turned upright.

    A file that cannot be decoded any more after the scan gives a grey image, and its path joins `damaged`.

    Args:
        root: the folder.
        name: of the source.
        files: readable files, sorted by path.
        labels: their class names, one per file; None without classes.
        classes: all class names.
        skipped: (path, reason) of the files that cannot be read.
        splits: opens another split by name.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        files: Sequence[File],
        labels: Sequence[str] | None,
        classes: tuple[str, ...],
        skipped: tuple[tuple[str, str], ...],
        splits: Callable[[str], Source] | None,
    ):
        self.name = name
        self.size = len(files)
        self.label_sets = {"label": classes} if labels else {}
        self.skipped = skipped
        self.damaged: list[str] = []
        self._root = root
        self._files = files
        self._label_array = np.array([classes.index(label) for label in labels or ()], np.int64)
        self._splits = splits
        sizes = {file.size for file in files}
        self.image_shape = (*sizes.pop(), 3) if len(sizes) == 1 else None

    def read(self, index: tf.Tensor) -> tf.Tensor:  # noqa: D102
        # Pillow, as tf.io neither reads WebP, turns photos upright, blends alpha, nor forgives a damaged file;
        # it takes the same time at a reduced scale and 1.5 times as long for small images.
        image = tf.numpy_function(self._decode, [index], tf.uint8, stateful=False)
        image.set_shape(self.image_shape or (None, None, 3))
        return image

    def array(self) -> np.ndarray | None:  # noqa: D102
        return self._array

    @cached_property
    def _array(self) -> np.ndarray | None:
        if self.image_shape is None or self.size * int(np.prod(self.image_shape)) > ARRAY_LIMIT:
            return None
        images = np.empty((self.size, *self.image_shape), np.uint8)
        with ThreadPoolExecutor(THREADS) as pool:
            for index, image in enumerate(pool.map(self._decode, range(self.size))):
                images[index] = image
        return images

    def _decode(self, index: int) -> np.ndarray:
        file = self._files[index]
        try:
            with Image.open(self._root / file.path) as image:
                pixels = _rgb(image)
            if self.image_shape in (None, pixels.shape):
                return pixels
        except Exception:  # Whatever a decoder raises: one bad file must not end a run.
            pass
        if file.path not in self.damaged:
            self.damaged.append(file.path)
        return np.full((*file.size, 3), 128, np.uint8)

    def split(self, name: str) -> Source:
        """``train`` and ``test``: the sub-folders of such names, else a seeded 80/20 split; ``all``: both."""
        return self._splits(name) if self._splits else eighty_twenty(self, name)

    def checksum(self) -> str:
        """NOTE: of each file's path, length, first and last 4 KiB, as reading all of it would take long."""
        pieces = [part for file in self._files for part in (file.path.encode(), file.mark)]
        return content_hash(pieces, {"label": self._label_array})

    def _labels(self, name: str) -> np.ndarray:
        return self._label_array

    def names(self) -> list[str]:
        """Paths below the folder, with forward slashes."""
        return [file.path for file in self._files]


def open_folder(folder: str | os.PathLike[str]) -> Source:
    """All images below a folder, in the order of their paths.

    Sub-folders ``train`` and ``test`` (or ``val``) are splits, and ``train`` is opened. Without them every
    image is opened, and `Source.split` gives a seeded 80 % and 20 %. If every image lies in one of two or more
    class folders, directly below the folder or the split, their names become the label set ``label``.
    Hidden files are passed over; links to folders are not followed.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it is not a folder, or holds no readable image.
    """
    root = Path(folder).expanduser()
    if not root.exists():
        raise FileNotFoundError(f"there is no folder '{root}'.")
    if not root.is_dir():
        raise ValueError(f"'{root}' is a file; name the folder that holds the images.")
    paths, others = _listing(root)
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(partial(examine, root), paths))
    files = [file for file in found if not file.fault]
    skipped = (*((file.path, file.fault) for file in found if file.fault), *others)
    if not files:
        example = f": {skipped[0][0]} ({skipped[0][1]})" if skipped else ""
        raise ValueError(
            f"'{root}' holds no readable image ({len(skipped)} skipped{example}); JPEG, PNG, BMP, GIF and WebP "
            "files are read, at any depth."
        )
    return _arrange(root, files, tuple(sorted(skipped)))


def _arrange(root: Path, files: list[File], skipped: tuple[tuple[str, str], ...]) -> Source:
    """The source of all files, or of the ``train`` split, that knows its classes and splits."""
    shared = os.path.commonpath([os.path.dirname(file.path) or "." for file in files])
    depth = 0 if shared in ("", ".") else shared.count("/") + 1
    below = {file.path: file.path.split("/")[depth:] for file in files}
    folders = {parts[0] for parts in below.values() if len(parts) > 1}
    names = {split: next((n for n in known if n in folders), None) for split, known in SPLIT_FOLDERS.items()}
    has_splits = None not in names.values()
    groups = {"all": files}
    if has_splits:
        groups = {s: [file for file in files if below[file.path][0] == name] for s, name in names.items()}
        groups["all"] = groups["train"] + groups["test"]
        below = {path: parts[1:] for path, parts in below.items()}
    labelled = all(len(below[file.path]) > 1 for file in groups["all"])
    classes = tuple(sorted({below[file.path][0] for file in groups["all"]})) if labelled else ()

    def split(name: str) -> Source:
        if name not in groups:
            raise ValueError(f"{root} has no split '{name}'; it has: {', '.join(groups)}.")
        labels = [below[file.path][0] for file in groups[name]] if len(classes) > 1 else None
        title = f"{root}:{name}" if has_splits else str(root)
        return FolderSource(root, title, groups[name], labels, classes, skipped, split if has_splits else None)

    return split("train" if has_splits else "all")


def _listing(root: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Sorted paths of what should be readable, and what is an image but of no format that is read."""
    paths, others = [], []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        for name in names:
            path = (Path(folder) / name).relative_to(root).as_posix()
            if name.startswith("."):
                continue
            if name.lower().endswith(SUFFIXES):
                paths.append(path)
            elif name.lower().endswith(OTHER_SUFFIXES):
                others.append((path, "a format that is not read; convert it to JPEG or PNG"))
    return sorted(paths), others


def examine(root: Path, path: str) -> File:
    """Reads the header and both ends of a file; decodes it only where that leaves its health in doubt."""
    full = root / path
    try:
        length = full.stat().st_size
        if not length:
            return File(path, fault="the file is empty")
        with full.open("rb") as stream:
            head = stream.read(_ENDS)
            stream.seek(max(0, length - _ENDS))
            tail = stream.read(_ENDS)
        with Image.open(full) as image:
            if image.format not in FORMATS:
                return File(path, fault=f"{image.format} is not read; convert it to JPEG or PNG")
            size = _size(image)
            if image.format == "PNG":
                image.verify()
            elif image.format not in _PHOTOS or b"\xff\xd9" not in tail:
                image.load()
    except UnidentifiedImageError:
        return File(path, fault="not an image")
    except Exception as error:  # Pillow's decoders raise what they like, SyntaxError and struct.error included.
        return File(path, fault=" ".join(str(error).split()) or type(error).__name__)
    return File(path, hashlib.sha1(b"%d:" % length + head + tail).digest(), size)


def _size(image: Image.Image) -> tuple[int, int]:
    """(height, width) of what `_rgb` returns, without decoding."""
    _draft(image)
    width, height = image.size
    sideways = image.format in _PHOTOS and image.getexif().get(_ORIENTATION, 1) >= 5
    return (width, height) if sideways else (height, width)


def _draft(image: Image.Image) -> None:
    if image.format in _PHOTOS:
        image.draft(None, (DRAFT_SIDE, DRAFT_SIDE))


def _rgb(image: Image.Image) -> np.ndarray:
    """Decodes an opened image (of an animation, the first frame): uint8 (height, width, 3)."""
    _draft(image)
    if image.format in _PHOTOS:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits of grey
        return as_rgb((np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8)[..., None])
    if image.mode in ("1", "L") and "transparency" not in image.info:
        return as_rgb(np.asarray(image.convert("L"))[..., None])
    if image.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        return as_rgb(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))
