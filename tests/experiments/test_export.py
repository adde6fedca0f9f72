"""Each format gives the encoder's embeddings, the plain one without ssl_keras."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssl_keras.experiments import export
from ssl_keras.experiments.export import EXPORTERS, choose_formats
from ssl_keras.experiments.options import Export
from ssl_keras.networks.encoder import build_encoder

LOAD_ELSEWHERE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ssl_keras": raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import keras, numpy as np
images = np.load(sys.argv[1])
np.save(sys.argv[3], np.asarray(keras.saving.load_model(sys.argv[2])(images)))
"""


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    encoder = build_encoder("conv_c4 | bottleneck_s2_c16_w32_g2 | mbconv_e2_se0.25_c8", (8, 8, 3))
    encoder.save(tmp_path / "encoder.keras")
    return tmp_path


def test_a_difference_is_refused_and_nothing_is_written(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = export.Exporter("wrong.keras", EXPORTERS["keras"].write, lambda path, images: np.zeros((8, 8), np.float32))
    monkeypatch.setitem(EXPORTERS, "keras", wrong)
    with pytest.raises(ValueError, match="keras is not written: its embeddings differ by 1"):
        export.run(Export(str(saved), formats=("keras",)))
    assert not (saved / "export").exists()


def test_formats_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else name)
    wanted, left_out = choose_formats("auto")
    assert "onnx" not in wanted and set(wanted) == set(EXPORTERS) - {"onnx"}
    assert left_out == ['left out: onnx needs tf2onnx: pip install "ssl_keras[onnx]"']
    with pytest.raises(ValueError, match="onnx needs tf2onnx"):
        choose_formats(("keras", "onnx"))


@pytest.mark.slow
def test_the_plain_file_loads_without_ssl_keras(saved: Path) -> None:
    export.run(Export(str(saved), formats=("keras",)))
    images = np.random.default_rng(1).random((3, 12, 10, 3), np.float32)
    np.save(saved / "images.npy", images)
    words = [saved / "images.npy", saved / "export" / "encoder_plain.keras", saved / "embeddings.npy"]
    subprocess.run([sys.executable, "-c", LOAD_ELSEWHERE, *map(str, words)], check=True, cwd=saved)
    encoder = export.load_encoder(str(saved))
    np.testing.assert_allclose(np.load(saved / "embeddings.npy"), np.asarray(encoder(images)), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTERS)
def test_every_format_agrees(saved: Path, name: str) -> None:
    for package in EXPORTERS[name].needs:
        pytest.importorskip(package)
    out = export.run(Export(str(saved), formats=(name,), tolerance=1e-4))  # type: ignore[arg-type]
    assert (out / EXPORTERS[name].file).exists()
