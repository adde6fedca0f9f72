"""Every notebook runs from top to bottom, at the sizes of a CPU, on public names alone."""

import os
import re
import signal
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import ssl_keras as sk

FOLDER = Path(__file__).parents[2] / "colab"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_valid_and_holds_no_output(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert "colab-badge.svg" in notebook.cells[0].source and path.name in notebook.cells[0].source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_uses_public_names_alone(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")
    assert set(re.findall(r"\bsk\.(\w+)", text)) <= {*sk.PUBLIC, "__version__"}
    assert not re.search(r"(from|import) ssl_keras\.", text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_KERAS_SMALL", "1")
    for name in ("OMP_NUM_THREADS", "TFDS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    notebook = read(path)
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where a server of TensorBoard says that it runs
    try:
        client.execute()
    finally:
        for server in (tmp_path / ".tensorboard-info").glob("pid-*.info"):
            os.kill(int(server.stem.removeprefix("pid-")), signal.SIGTERM)
    said = "\n".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    assert (tmp_path / "encoder.keras").is_file()
    assert sk.load(tmp_path / "encoder.keras").embedding_size in (16, 32)
    assert "Traceback" not in said
