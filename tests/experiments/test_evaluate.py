"""Pre-train and evaluate on a few digits: what stands in the run folder afterwards."""

import json
from pathlib import Path
from typing import get_args

import pytest

from ssl_keras.experiments import evaluate, options, pretrain
from ssl_keras.experiments.options import Evaluate
from ssl_keras.experiments.settings import Heads, Pretrain
from ssl_keras.scenarios import PROTOCOLS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    heads = Heads(projector_hidden=8, projection=4, predictor_hidden=8)
    out = tmp_path_factory.mktemp("runs") / "digits"
    config = Pretrain("digits", images=120, architecture="conv_c4", epochs=1, batch_size=40, heads=heads, out=str(out))
    return pretrain.run(config)


def test_the_settings_list_every_protocol() -> None:
    assert get_args(options.Protocol) == tuple(PROTOCOLS)


def _evaluate(encoder: Path, out: Path, **options: object) -> dict[str, object]:
    few = {"scenarios": ("digits",), "train_images": 60, "test_images": 40, **options}
    evaluate.run(Evaluate(str(encoder), out=str(out), **few))  # type: ignore[arg-type]
    found: dict[str, object] = json.loads((out / "results.json").read_text())
    return found


@pytest.mark.slow
def test_yardsticks_stand_beside_the_encoder(run: Path, tmp_path: Path) -> None:
    found = _evaluate(run, tmp_path)
    rows = found["rows"]
    assert {(row["encoder"], row["protocol"]) for row in rows} == {
        (encoder, protocol)
        for encoder in ("pretrained", "untrained", "raw pixels", "supervised")
        for protocol in ("knn20", "knn200", "linear")
    }
    assert {(row["n_train"], row["n_test"]) for row in rows} == {(60, 40)}
    weights = found["provenance"]["weights"]
    assert len({weights[name] for name in ("pretrained", "untrained", "supervised")}) == 3
    assert (tmp_path / "pictures" / "neighbours.png").is_file() and (tmp_path / "report.html").is_file()


@pytest.mark.slow
def test_the_supervised_yardstick_is_trained_once(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _evaluate(run, tmp_path, yardsticks=("supervised",))
    monkeypatch.setattr(evaluate.yardsticks, "fit", lambda *_: pytest.fail("trained again"))
    second = _evaluate(run, tmp_path, yardsticks=("supervised",))
    assert first["rows"] == second["rows"]


@pytest.mark.slow
def test_an_encoder_without_its_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = tmp_path / "alone.keras"
    alone.write_bytes((run / "encoder.keras").read_bytes())
    found = _evaluate(alone, tmp_path / "out")
    assert {row["encoder"] for row in found["rows"]} == {"pretrained", "untrained", "raw pixels"}
    assert "it is not in a run folder" in " ".join(found["provenance"]["remarks"])
    assert "no encoder trained with labels" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_an_unknown_scenario_is_found_before_any_work(run: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        evaluate.run(Evaluate(str(run), scenarios=("digit",)))
    assert not (run / "results.json").exists()


@pytest.mark.slow
def test_a_label_set_that_is_not_there(run: Path) -> None:
    with pytest.raises(ValueError, match="has no label set 'shape'"):
        evaluate.run(Evaluate(str(run), scenarios=("digits",), supervised_label="shape"))


@pytest.mark.slow
def test_other_encoders_stand_beside_it_under_chosen_protocols(run: Path, tmp_path: Path) -> None:
    import keras

    images = keras.Input((16, 16, 3))
    other = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))
    other.export(tmp_path / "theirs", format="tf_saved_model", verbose=False)
    found = _evaluate(
        run, tmp_path / "out", yardsticks=(), beside=(str(tmp_path / "theirs"),), protocols=("knn", "retrieval"),
        image_size=16,
    )  # fmt: skip
    assert {(row["encoder"], row["protocol"]) for row in found["rows"]} == {
        (encoder, protocol) for encoder in ("pretrained", "theirs") for protocol in ("knn20", "knn200", "retrieval")
    }
    assert (tmp_path / "out" / "results.md").is_file() and (tmp_path / "out" / "results.csv").is_file()
    assert len([*(tmp_path / "out" / "features").iterdir()]) == 4  # two encoders, two splits
