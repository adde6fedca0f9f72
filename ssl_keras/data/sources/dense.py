"""Published sets in which every pixel has a class, as their archives unpack; TFDS lacks them or exceeds its limit."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ssl_keras.data.sources.base import VOID, Segmentation, Source
from ssl_keras.data.sources.folder import THREADS, File, FolderSource, examine

SPLITS = ("train", "val")
_NO_CLASS = 254  # in a table of ids


@dataclass(frozen=True)
class Layout:
    """How a set lies in the folder in which its archives were unpacked.

    Attributes:
        images: path of an image; {split} and {name} stand for those.
        masks: path of its mask, a PNG whose pixels, or places in a palette, are ids.
        classes: name to id in the masks, in the order of the classes.
        void: ids of pixels that are of no class and do not count.
        archives: what to unpack, and where it is.
        listing: path of the file that names the images of a split, one a line; empty where a split has all that match
            `images`, a folder and a name in place of {name}.
    """

    images: str
    masks: str
    classes: Mapping[str, int]
    void: tuple[int, ...]
    archives: str
    listing: str = ""


_VOC = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_CITYSCAPES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)

LAYOUTS: Mapping[str, Layout] = {
    # Everingham et al., development kit of 2012, section on segmentation: 1464 and 1449 images. NOTE: without the
    # further masks of SBD ("train_aug"), with which papers learn from 10 582 images.
    "voc2012_segmentation": Layout(
        images="VOCdevkit/VOC2012/JPEGImages/{name}.jpg",
        masks="VOCdevkit/VOC2012/SegmentationClass/{name}.png",
        classes={name: index for index, name in enumerate(_VOC)},
        void=(255,),
        archives="VOCtrainval_11-May-2012.tar of host.robots.ox.ac.uk/pascal/VOC/voc2012",
        listing="VOCdevkit/VOC2012/ImageSets/Segmentation/{split}.txt",
    ),
    # Cordts et al., arXiv 1604.01685: 2975 and 500 images, 19 of the 34 ids are evaluated (table in the set's own
    # scripts).
    "cityscapes": Layout(
        images="leftImg8bit/{split}/{name}_leftImg8bit.png",
        masks="gtFine/{split}/{name}_gtFine_labelIds.png",
        classes=dict(zip(_CITYSCAPES, _CITYSCAPES_IDS, strict=True)),
        void=(0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30),
        archives="leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of www.cityscapes-dataset.com",
    ),
}
"""A further set is a further row."""


class DenseSource(FolderSource):
    """Images in files beside masks in files; both are decoded when read.

    Args:
        root: the folder in which the archives were unpacked.
        name: of the source.
        files: the images.
        masks: paths of their masks below the folder.
        layout: of the set.
        splits: opens another split by name.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        files: Sequence[File],
        masks: Sequence[str],
        layout: Layout,
        splits: Callable[[str], Source],
    ):
        super().__init__(root, name, files, None, (), (), splits)
        self._masks = masks
        self._layout = layout
        self._table = np.full(256, _NO_CLASS, np.uint8)
        self._table[list(layout.void)] = VOID
        self._table[list(layout.classes.values())] = np.arange(len(layout.classes))

    def segmentation(self) -> Segmentation:  # noqa: D102
        return Segmentation(tuple(self._layout.classes), self._mask)

    def _mask(self, index: int) -> np.ndarray:
        path = self._root / self._masks[index]
        try:
            with Image.open(path) as image:
                if image.mode not in ("L", "P"):
                    raise ValueError(f"{path} is of mode {image.mode}, not L or P: take the mask whose pixels are ids.")
                ids = np.asarray(image)
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error}): unpack {self._layout.archives} again.") from error
        classes = self._table[ids]
        if (wrong := classes == _NO_CLASS).any():
            raise ValueError(f"{path} holds the id {ids[wrong][0]}, which is no class of {self.name} and not void.")
        return classes


def open_dense(spec: str) -> Source:
    """``SET:FOLDER``, a set of `LAYOUTS` and the folder in which its archives were unpacked; its ``train`` split.

    Raises:
        FileNotFoundError: there is no such folder; the message says what belongs there.
        ValueError: an image or a mask is missing, cannot be read, or the two differ in size.
    """
    kind, _, folder = spec.partition(":")
    root, layout = Path(folder).expanduser(), LAYOUTS[kind]
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder: unpack {layout.archives} in it.")

    def split(name: str) -> Source:
        if name not in SPLITS:
            raise ValueError(f"{kind} has no split '{name}'; it has: {', '.join(SPLITS)}.")
        names = _names(root, layout, name)
        if not names:
            raise ValueError(f"{root} holds no image of the split '{name}': unpack {layout.archives} in it.")
        images, masks = (
            [path.format(split=name, name=each) for each in names] for path in (layout.images, layout.masks)
        )
        with ThreadPoolExecutor(THREADS) as pool:
            files = list(pool.map(lambda image, mask: _paired(root, layout, image, mask), images, masks))
        return DenseSource(root, f"{kind}:{name}", files, masks, layout, split)

    return split("train")


def _names(root: Path, layout: Layout, split: str) -> list[str]:
    """What stands for {name} in the paths of a split's images, in order; none where nothing is there."""
    if layout.listing:
        file = root / layout.listing.format(split=split)
        return file.read_text().split() if file.is_file() else []
    head, tail = layout.images.format(split=split, name="*").split("*")
    found = root.glob(f"{head}*/*{tail}")
    return sorted(path.relative_to(root).as_posix().removeprefix(head).removesuffix(tail) for path in found)


def _paired(root: Path, layout: Layout, image: str, mask: str) -> File:
    """An image that can be read, after a look at the header of its mask."""
    if not (root / mask).is_file():
        raise ValueError(f"{root / image} has no mask {root / mask}: unpack {layout.archives} in {root}.")
    found = examine(root, image)
    try:
        with Image.open(root / mask) as opened:
            size = opened.height, opened.width
            opened.verify()
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{root / mask} cannot be read: unpack {layout.archives} in {root} again.") from error
    if found.fault:
        raise ValueError(f"{root / image} cannot be read ({found.fault}): unpack {layout.archives} in {root} again.")
    if found.size != size:
        raise ValueError(
            f"{root / image} has {found.size[0]} x {found.size[1]} pixels and its mask {root / mask} "
            f"{size[0]} x {size[1]}: they must be of one size."
        )
    return found
