"""A folder of images: classes, splits, every format and mode, and files that are broken."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_keras.data.sources import open_source
from tests.data.pictures import class_folder, picture, read_all, write


def test_class_folders(tmp_path: Path) -> None:
    source = open_source(class_folder(tmp_path))
    assert source.label_sets == {"label": ("cats", "dogs")} and source.skipped == ()
    assert source.names()[:2] == ["cats/0.png", "cats/2.png"]
    np.testing.assert_array_equal(source.labels(), [0] * 5 + [1] * 5)
    for name, image in zip(source.names(), source.array(), strict=True):
        np.testing.assert_array_equal(image, picture(int(Path(name).stem)))


def test_classes_may_be_nested_and_wrapped(tmp_path: Path) -> None:
    write(tmp_path / "data" / "cats" / "2020" / "a.png", picture(0))
    write(tmp_path / "data" / "dogs" / "b.png", picture(1))
    assert open_source(tmp_path).label_sets == {"label": ("cats", "dogs")}
    write(tmp_path / "data" / "loose.png", picture(2))
    assert open_source(tmp_path).label_sets == {}


def test_one_class_is_no_label_set(tmp_path: Path) -> None:
    write(tmp_path / "cats" / "a.png", picture(0))
    write(tmp_path / "cats" / "b.png", picture(1))
    assert open_source(tmp_path).label_sets == {}


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_split_folders(tmp_path: Path, held_out: str) -> None:
    class_folder(tmp_path / "train")
    write(tmp_path / held_out / "dogs" / "x.png", picture(90))
    write(tmp_path / held_out / "emus" / "y.png", picture(91))
    source = open_source(tmp_path)
    assert source.size == 10 and source.label_sets == {"label": ("cats", "dogs", "emus")}
    test = source.split("test")
    assert test.names() == [f"{held_out}/dogs/x.png", f"{held_out}/emus/y.png"]
    np.testing.assert_array_equal(test.labels(), [1, 2])
    assert test.split("all").size == 12 and test.split("train").checksum() == source.checksum()


def test_every_mode_becomes_rgb(tmp_path: Path) -> None:
    grey, colour, alpha = picture(0, channels=1), picture(1), picture(2, channels=4)
    cases: dict[str, tuple[Image.Image, np.ndarray]] = {}
    over_white = Image.new("RGBA", (24, 20), "white")
    over_white.alpha_composite(Image.fromarray(alpha))
    grey3 = np.repeat(grey[..., None], 3, -1)
    cases["grey.png"] = Image.fromarray(grey), grey3
    cases["deep.png"] = Image.fromarray(grey.astype(np.uint16) * 257), grey3
    cases["rgba.png"] = Image.fromarray(alpha), np.asarray(over_white.convert("RGB"))
    cases["bits.png"] = Image.fromarray(grey).convert("1"), None
    cases["palette.png"] = Image.fromarray(colour).quantize(16), None
    cases["palette.gif"] = cases["palette.png"]
    cases["cmyk.jpg"] = Image.fromarray(colour).convert("CMYK"), colour
    for name, (image, _) in cases.items():
        image.save(tmp_path / name)
    source = open_source(tmp_path)
    assert source.size == len(cases)
    for name, image in zip(source.names(), source.array(), strict=True):
        original, expected = cases[name]
        expected = np.asarray(original.convert("RGB")) if expected is None else expected
        assert np.abs(image.astype(int) - expected).max() <= (12 if name == "cmyk.jpg" else 1), name


def test_transparent_palette_shows_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.save(tmp_path / "a.png", transparency=1)
    np.testing.assert_array_equal(open_source(tmp_path).array(), np.full((1, 4, 4, 3), 255))


def test_animations_give_their_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(open_source(tmp_path).array()[0, 0, 0], [255, 0, 0])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    write(tmp_path / "a.jpg", picture(0, 16, 32), exif=exif, quality=100, subsampling=0)
    source = open_source(tmp_path)
    assert source.image_shape == ((16, 32, 3) if orientation < 5 else (32, 16, 3))
    turned = {1: 0, 3: 2, 6: 3, 8: 1}
    if orientation in turned:
        expected = np.rot90(picture(0, 16, 32), turned[orientation]).astype(int)
        assert np.abs(source.array()[0] - expected).max() < 12
    assert source.damaged == []


def test_large_photos_are_decoded_at_a_reduced_scale(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", picture(0, 1100, 2300))
    source = open_source(tmp_path)
    assert source.image_shape == (550, 1150, 3)
    assert np.abs(source.array()[0].astype(int) - picture(0, 1100, 2300)[::2, ::2]).max() < 12


def truncated(format_: str, keep: float = 0.6) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(stream, format_)
    return stream.getvalue()[: int(len(stream.getvalue()) * keep)]


BROKEN: dict[str, bytes] = {
    "empty.jpg": b"",
    "text.png": b"this is no image",
    "header.jpg": truncated("JPEG", 0.01),
    **{f"cut.{suffix}": truncated(name) for suffix, name in [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")]},
    **{f"cut.{suffix}": truncated(name) for suffix, name in [("gif", "GIF"), ("bmp", "BMP")]},
    "photo.tiff": b"II*\0",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_skipped_and_listed(tmp_path: Path, name: str) -> None:
    class_folder(tmp_path)
    (tmp_path / "cats" / name).write_bytes(BROKEN[name])
    (tmp_path / "cats" / "notes.txt").write_text("not meant to be an image")
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / ".thumbnails" / "._x.png").write_bytes(b"")
    source = open_source(tmp_path)
    assert source.size == 10 and len(read_all(source)) == 10
    assert [file for file, _ in source.skipped] == [f"cats/{name}"]
    assert source.skipped[0][1] and str(tmp_path) not in source.skipped[0][1]
    assert source.split("train").skipped == source.skipped


def test_a_photo_with_a_film_behind_it_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", picture(0))
    with (tmp_path / "a.jpg").open("ab") as stream:
        stream.write(bytes(10_000))
    assert open_source(tmp_path).size == 1


def test_a_file_lost_after_the_scan_turns_grey(tmp_path: Path) -> None:
    source = open_source(class_folder(tmp_path))
    (tmp_path / "cats" / "0.png").unlink()
    (tmp_path / "cats" / "2.png").write_bytes(b"no image any more")
    images = read_all(source)
    assert (images[0] == 128).all() and (images[1] == 128).all() and images[0].shape == (20, 24, 3)
    assert sorted(source.damaged) == ["cats/0.png", "cats/2.png"]
    np.testing.assert_array_equal(images[2], picture(4))


def test_folders_without_images(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no readable image \(0 skipped\); JPEG"):
        open_source(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"\(1 skipped: a.jpg \(the file is empty\)\)"):
        open_source(tmp_path)
    with pytest.raises(ValueError, match="is a file; name the folder"):
        open_source(tmp_path / "a.jpg")


def test_folder_checksum_sees_content_and_names(tmp_path: Path) -> None:
    before = open_source(class_folder(tmp_path)).checksum()
    write(tmp_path / "cats" / "0.png", picture(77))
    changed = open_source(tmp_path).checksum()
    (tmp_path / "cats" / "0.png").rename(tmp_path / "dogs" / "0.png")
    assert len({before, changed, open_source(tmp_path).checksum()}) == 3
