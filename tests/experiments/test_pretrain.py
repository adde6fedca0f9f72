"""Pre-training end to end, at the size of a test: the folder it leaves, going on, schedules, other beginnings."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import ssl_keras as sk
from ssl_keras.experiments import pretrain
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.settings import Crops, Heads, Objective, Pretrain
from ssl_keras.experiments.setup import Schedule, Setup
from ssl_keras.learning import monitors

TINY = Pretrain(
    data="digits",
    images=64,
    architecture="conv_c4 | basic_s2_c8",
    image_size=8,
    epochs=2,
    batch_size=16,
    heads=Heads(projector_hidden=8, projection=4, predictor_hidden=8),
    views=Crops(large=2),
)


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_verb_says_what_to_do_next_and_other_verbs_go_on_by_themselves(tmp_path: Path, capsys) -> None:
    config = replace(TINY, out=str(tmp_path / "run"))
    pretrain.train(config)
    assert "next:" not in capsys.readouterr().out
    pretrain.run(config)
    said = capsys.readouterr().out
    assert "nothing is left to do" in said and "next: ssl-keras evaluate" in said


def test_the_folder_holds_what_design_says(tmp_path: Path) -> None:
    out = pretrain.run(replace(TINY, out=str(tmp_path / "run")))
    names = {item.name for item in out.iterdir() if not item.name.startswith(".")}
    assert names >= {
        "config.json",
        "architecture.txt",
        "encoder.keras",
        "metrics.jsonl",
        "checkpoint",
        "tensorboard",
        "pictures",
        "report.html",
    }
    assert (out / "architecture.txt").read_text().strip() == TINY.architecture
    rows = [row for row in metrics(out) if "epoch" in row]
    assert [row["step"] for row in rows] == [4, 8]
    assert {"loss", "contrastive", "invariance", "knn", "embedding_std", "rankme", "mean_cosine"} <= set(rows[-1])
    assert sk.load(out).embedding_size == 8


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_ends_as_the_uninterrupted_one(tmp_path, monkeypatch) -> None:
    whole = pretrain.run(replace(TINY, out=str(tmp_path / "whole")))

    def stop(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(monitors.Spread, "on_epoch_end", stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain.run(replace(TINY, out=str(tmp_path / "cut")))
    assert not (tmp_path / "cut" / "encoder.keras").exists()
    cut = pretrain.run(replace(TINY, out=str(tmp_path / "cut")))
    for a, b in zip(sk.load(whole).weights, sk.load(cut).weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [row["step"] for row in metrics(cut)] == [row["step"] for row in metrics(whole)]


def test_the_look_of_the_highest_rankme_is_the_result_if_asked_for(tmp_path, monkeypatch, capsys) -> None:
    rankme, seen = [2.0, 1.0], []

    def look(self, epoch, logs=None):
        logs.update(embedding_std=0.3, mean_cosine=0.1, rankme=rankme[epoch])
        seen.append([keras.ops.convert_to_numpy(weight) for weight in self.model.encoder.weights])

    monkeypatch.setattr(monitors.Spread, "on_epoch_end", look)
    out = pretrain.run(replace(TINY, keep="best", out=str(tmp_path / "run")))
    assert "kept the encoder of step 4, where rankme was highest" in capsys.readouterr().out
    for one, first in zip(sk.load(out).weights, seen[0], strict=True):
        np.testing.assert_array_equal(one, first)
    assert any(not np.array_equal(first, last) for first, last in zip(seen[0], seen[1], strict=True))


@pytest.mark.slow
def test_a_folder_of_photos_alone_is_enough(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for index in range(9):
        pixels = rng.integers(0, 256, (10 + index, 14, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{index}.png")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    config = Pretrain(
        data=str(tmp_path / "photos"),
        architecture="conv_s2_c4",
        image_size=16,
        batch_size=4,
        epochs=1,
        heads=TINY.heads,
    )
    out = pretrain.run(replace(config, out=str(tmp_path / "run")))
    assert "knn" not in metrics(out)[-1]
    assert "rankme" in metrics(out)[-1]


@pytest.mark.slow
def test_images_that_got_fewer_since_are_told_of_and_nothing_is_lost(tmp_path: Path, monkeypatch) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(photos / f"{index}.png")
    config = replace(TINY, data=str(photos), images=None, image_size=16, batch_size=4, out=str(tmp_path / "run"))

    def stop(self, epoch, logs=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(monitors.Recorder, "on_epoch_end", stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain.run(config)
    (photos / "3.png").rename(tmp_path / "3.png")
    with pytest.raises(ConfigError, match=r"began with 12 images of .*, and now there are 11: restore them"):
        pretrain.run(config)
    (tmp_path / "3.png").rename(photos / "3.png")
    assert (pretrain.run(config) / "encoder.keras").is_file()


@pytest.mark.parametrize(
    "wrong", [{"masks": "nowhere"}, {"architecture": "conv_g2_c4"}, {"architecture": "conv_c{4,6}"}], ids=str
)
def test_what_is_refused_leaves_no_folder(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises((ValueError, OSError)):
        pretrain.run(replace(TINY, out=str(tmp_path / "run"), **wrong))
    assert not list(tmp_path.iterdir())


def test_epochs_follow_from_the_number_of_images() -> None:
    few = Setup(replace(TINY, epochs="auto")).schedule()
    many = Setup(replace(TINY, data="shapes", images=None, epochs="auto", image_size=32)).schedule()
    assert few == Schedule(400, 4)
    assert many == Schedule(20, 1250)


@pytest.mark.slow
def test_minutes_size_the_schedule_and_a_continued_run_keeps_it(tmp_path: Path) -> None:
    out = pretrain.run(replace(TINY, epochs="auto", minutes=0.1, out=str(tmp_path / "run")))
    schedule = json.loads((out / "schedule.json").read_text())
    assert metrics(out)[-1]["step"] == schedule["epochs"] * schedule["steps_per_epoch"]


@pytest.mark.slow
def test_init_starts_from_an_encoder_of_ours(tmp_path: Path) -> None:
    first = sk.build_encoder("conv_c4 | basic_s2_c8", (8, 8, 3), seed=7)
    first.save(tmp_path / "first.keras")
    setup = Setup(replace(TINY, init=str(tmp_path / "first.keras")))
    for a, b in zip(first.weights, setup.encoder().weights, strict=True):
        np.testing.assert_array_equal(a, b)
    learner = setup.learner(setup.schedule())
    for a, b in zip(first.weights, learner.target_encoder.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_untrained_has_the_initial_weights_and_measured_statistics() -> None:
    setup = Setup(TINY)
    fresh, untrained = setup.encoder(), setup.untrained()
    for a, b in zip(fresh.trainable_variables, untrained.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)
    moving = [layer for layer in untrained.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(np.abs(np.array(layer.moving_mean)).max() > 0 for layer in moving)


def test_heads_follow_from_the_seed() -> None:
    heads = [Setup(replace(TINY, seed=seed)).learner(Schedule(1, 4)).projector.get_weights()[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(heads[0], heads[1])
    assert not np.array_equal(heads[0], heads[2])


def test_too_many_negatives_for_an_automatic_batch_are_named() -> None:
    with pytest.raises(ConfigError, match="a batch of 32 has 31 other images"):
        _ = Setup(replace(TINY, batch_size="auto", loss=Objective(negatives=40))).batch_size


def test_the_batch_follows_from_few_images() -> None:
    sizes = {n: Setup(replace(TINY, images=n, batch_size="auto")).batch_size for n in (2, 3, 9, 64, 1000)}
    assert sizes == {2: 2, 3: 2, 9: 4, 64: 32, 1000: 256}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"batch_size": 128}, "holds 64 images: give --batch-size 64"),
        ({"images": 10**6}, "1000000"),
    ],
)
def test_data_that_does_not_fit_is_named(change, word) -> None:
    with pytest.raises(ValueError, match=word):
        _ = Setup(replace(TINY, **change)).source


def test_one_image_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "one.png")
    with pytest.raises(ConfigError, match="one image"):
        _ = Setup(replace(TINY, data=str(tmp_path), images=None)).source
