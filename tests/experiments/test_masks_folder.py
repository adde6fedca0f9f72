"""Masks end to end, at the size of a test: the folder, going on, and what pre-training takes from it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_keras.data.masks import open_masks
from ssl_keras.data.saliency import saliency
from ssl_keras.data.sources import open_source
from ssl_keras.experiments import masks
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.options import Masks
from ssl_keras.experiments.settings import Crops, Pretrain
from ssl_keras.experiments.setup import Setup
from ssl_keras.learning import mask_network


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Discs on a plain ground, and one image without an object."""
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(11):
        y, x = np.mgrid[:30, : 36 + number]
        disc = ((y - 15) ** 2 + (x - 18) ** 2 < 60)[..., None] & (number > 0)
        image = np.where(disc, (220, 60, 30), (40, 90 + number, 60)) + generator.integers(
            0, 4 * (number > 0) + 1, (30, 36 + number, 3)
        )
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def config(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Masks:
    monkeypatch.setattr(masks, "IMAGES_PER_PART", 4)
    monkeypatch.setattr(masks, "LARGEST", 32)
    return Masks(data=str(photos), out=str(tmp_path / "masks"), refine=False)


def test_the_folder_and_what_pretraining_takes_from_it(config: Masks, capsys: pytest.CaptureFixture[str]) -> None:
    out = masks.run(config)
    assert {item.name for item in out.iterdir()} == {
        "masks.json",
        "masks.png",
        *(f"part-0000{n}.npy" for n in range(3)),
    }
    said = " ".join(capsys.readouterr().out.split())
    assert "11 masks; 1 under 1% of the area" in said, said
    source = open_source(config.data)
    found = open_masks(out, source).read(np.arange(11), (32, 32)).numpy()
    reference = (
        np.asarray(Image.fromarray(saliency(source.read(5).numpy())).resize((32, 32), Image.Resampling.BILINEAR)) >= 0.5
    )
    np.testing.assert_array_equal(found[5], reference)
    assert found[0].all() and 0.03 < found[1:].mean() < 0.3

    setup = Setup(Pretrain(data=config.data, images=8, masks=str(out), image_size=16, batch_size=4))
    assert setup.views.masked == 0.1 and len(setup.masks) == 8
    assert (
        setup._describe_masks()
        == "10 % of the large crops lose their background; 1 images have no foreground and keep it"
    )
    assert Setup(Pretrain(data=config.data, masks=str(out), views=Crops(masked=0.0))).masks is None
    assert Setup(Pretrain(data=config.data)).views.masked == 0


def test_it_goes_on_where_it_stopped(config: Masks, monkeypatch: pytest.MonkeyPatch) -> None:
    out = masks.run(config)
    whole = [np.load(path) for path in sorted(out.glob("part-*"))]
    (out / "part-00001.npy").unlink()
    read, rows = masks._read, []
    monkeypatch.setattr(masks, "_read", lambda source, wanted: rows.append(list(wanted)) or read(source, wanted))
    masks.run(config)
    assert rows[0] == [4, 5, 6, 7] and len(rows) == 2  # the part, and the sheet
    for path, before in zip(sorted(out.glob("part-*")), whole, strict=True):
        np.testing.assert_array_equal(np.load(path), before)


def test_a_folder_of_something_else_is_left_alone(config: Masks, photos: Path) -> None:
    out = masks.run(config)
    with pytest.raises(ConfigError, match="holds masks with seed = 0, not 1: choose another"):
        masks.run(replace(config, seed=1))
    (photos / "10.png").unlink()
    with pytest.raises(ConfigError, match="holds masks with checksum = "):
        masks.run(config)
    with pytest.raises(ValueError, match="holds masks of other images"):
        _ = Setup(Pretrain(data=str(photos), masks=str(out))).masks
    with pytest.raises(ConfigError, match="is not empty"):
        masks.run(replace(config, out=str(photos)))


@pytest.mark.slow
def test_a_network_takes_part_and_is_kept(config: Masks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "LEAST_TO_LEARN", 8)
    monkeypatch.setattr(mask_network, "PASSES", 2)
    out = masks.run(replace(config, refine=True))
    assert (out / "network.keras").is_file() and json.loads((out / "masks.json").read_text())["refine"]
    parts = [np.load(path) for path in sorted(out.glob("part-*"))]
    (out / "part-00002.npy").unlink()
    monkeypatch.setattr(masks, "learn_masks", None)  # the network is there
    masks.run(replace(config, refine=True))
    np.testing.assert_array_equal(np.load(out / "part-00002.npy"), parts[2])


def test_few_images_are_left_to_the_detector(config: Masks) -> None:
    out = masks.run(replace(config, refine=True))
    assert not (out / "network.keras").exists()
