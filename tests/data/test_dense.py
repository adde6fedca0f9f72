"""Sets in which every pixel has a class, in the layout of their own archives."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ssl_keras.data.sources import Source, open_source, take
from ssl_keras.data.sources.base import VOID
from ssl_keras.data.sources.dense import LAYOUTS
from tests.data.pictures import (
    CITYSCAPES_IDS,
    VOC_IDS,
    cityscapes_folder,
    picture,
    scene,
    voc_folder,
    voc_size,
    write,
)

CUT = b"the file, cut short"
MASK, PHOTO = "SegmentationClass/2007_000002.png", "JPEGImages/2007_000002.jpg"


def voc(root: Path) -> Source:
    return open_source(f"voc2012_segmentation:{root}")


def test_voc_has_the_images_that_its_lists_name_and_the_classes_of_their_own_pixels(tmp_path: Path) -> None:
    source = voc(voc_folder(tmp_path))
    assert source.name == "voc2012_segmentation:train" and source.image_shape is None and source.label_sets == {}
    assert [Path(name).stem for name in source.names()] == [f"2007_{index:06}" for index in range(8)]
    names, read = source.segmentation()
    assert len(names) == 21 and (names[0], names[7], names[15], names[20]) == (
        "background",
        "car",
        "person",
        "tvmonitor",
    )
    for index in range(source.size):
        pixels, ids = scene(index, *voc_size(index), VOC_IDS)
        np.testing.assert_array_equal(read(index), ids)  # ids are the classes' places, 255 is void
        assert np.abs(source.read(index).numpy().astype(int) - pixels).mean() < 6
    held_out = source.split("val")
    assert held_out.size == 8 and held_out.names()[0].endswith("2007_000100.jpg")
    part = take(held_out, 3, seed=1)
    np.testing.assert_array_equal(part.segmentation().read(2), held_out.segmentation().read(part.indices[2]))


def test_cityscapes_is_judged_on_19_of_its_34_ids(tmp_path: Path) -> None:
    source = open_source(f"cityscapes:{cityscapes_folder(tmp_path)}")
    assert source.name == "cityscapes:train" and source.size == 8 and source.split("val").size == 4
    assert source.names()[4] == "leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png"
    names, read = source.segmentation()
    _, ids = scene(30, 32, 64, CITYSCAPES_IDS)
    classes = {7: names.index("road"), 26: names.index("car"), 11: names.index("building"), 0: VOID}
    np.testing.assert_array_equal(read(4), np.vectorize(classes.get)(ids))
    # All ids there are.
    layout = LAYOUTS["cityscapes"]
    assert sorted([*layout.void, *layout.classes.values()]) == list(range(34)) and len(names) == 19
    assert list(layout.classes.values()) == sorted(layout.classes.values())


def test_masks_are_read_when_asked_for(tmp_path: Path) -> None:
    source = voc(voc_folder(tmp_path))
    known = source.segmentation()
    known.read(2)
    next(tmp_path.rglob(MASK)).unlink()
    known.read(1)
    with pytest.raises(ValueError, match=r"2007_000002.png cannot be read \(.*\): unpack VOCtrainval_11-May-2012.tar"):
        known.read(2)


@pytest.mark.parametrize(
    ("file", "pixels", "said"),
    [
        (MASK, None, "JPEGImages/2007_000002.jpg has no mask .*2007_000002.png: unpack VOCtrainval_11-May-2012.tar"),
        (PHOTO, None, r"2007_000002.jpg cannot be read \(.*No such file.*\): unpack VOCtrainval_11-May-2012.tar"),
        (MASK, np.zeros((9, 7), np.uint8), "has 30 x 36 pixels and its mask .* 9 x 7: they must be of one size"),
        (MASK, b"no image", "2007_000002.png cannot be read: unpack VOCtrainval_11-May-2012.tar"),
        (MASK, CUT, "2007_000002.png cannot be read: unpack VOCtrainval_11-May-2012.tar"),
        ("ImageSets/Segmentation/train.txt", None, "holds no image of the split 'train': unpack VOCtrainval"),
    ],
)
def test_what_does_not_belong_together_is_refused_at_once(
    tmp_path: Path, file: str, pixels: np.ndarray | bytes | None, said: str
) -> None:
    path = voc_folder(tmp_path) / "VOCdevkit" / "VOC2012" / file
    whole = path.read_bytes()
    path.unlink()
    if pixels is CUT:
        pixels = whole[: len(whole) // 2]
    if isinstance(pixels, bytes):
        path.write_bytes(pixels)
    elif pixels is not None:
        write(path, pixels)
    with pytest.raises(ValueError, match=said):
        voc(tmp_path)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (
            np.full((30, 36), 21, np.uint8),
            "holds the id 21, which is no class of voc2012_segmentation:train and not void",
        ),
        (np.zeros((30, 36, 3), np.uint8), "is of mode RGB, not L or P: take the mask whose pixels are ids"),
    ],
)
def test_a_mask_of_something_else_is_named_when_it_is_read(tmp_path: Path, pixels: np.ndarray, said: str) -> None:
    write(voc_folder(tmp_path) / "VOCdevkit" / "VOC2012" / MASK, pixels)
    known = voc(tmp_path).segmentation()
    known.read(1)
    with pytest.raises(ValueError, match=f"{MASK} {said}"):
        known.read(2)


def test_what_is_not_there_is_told_with_what_to_unpack(tmp_path: Path) -> None:
    for name in LAYOUTS:
        with pytest.raises(FileNotFoundError, match=r"absent is no folder: unpack .*(tar|zip) of \S+ in it\."):
            open_source(f"{name}:{tmp_path / 'absent'}")
    cityscapes_folder(tmp_path)
    shutil.rmtree(tmp_path / "leftImg8bit")
    with pytest.raises(ValueError, match="holds no image of the split 'train': unpack leftImg8bit_trainvaltest"):
        open_source(f"cityscapes:{tmp_path}")


def test_a_folder_called_like_a_set_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "cityscapes" / "a.png", picture(0))
    monkeypatch.chdir(tmp_path)
    assert open_source("cityscapes").names() == ["a.png"]
