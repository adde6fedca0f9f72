"""What goes wrong in the middle of a run ends in a sentence, and nothing is lost.

Elsewhere: shrunk data, checkpoints (test_checkpoints.py, test_pretrain.py), kills (test_kills.py), lost workers
(test_launch.py). There are no processes that read data and could be killed: they are threads of the run.
"""

import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ssl_keras as sk
from ssl_keras import cli
from ssl_keras.experiments import pretrain

PACKAGE = Path(sk.__file__).parent
SMALL = [
    *("--image-size", "8", "--batch-size", "8", "--epochs", "3", "--architecture", "conv_c4"),
    *("--heads.projector-hidden", "8", "--heads.projection", "4", "--heads.predictor-hidden", "8"),
    *("--monitor.every-steps", "1"),
]


@pytest.fixture
def photos(tmp_path):
    """Twenty-four images of several sizes, which are therefore read anew in every epoch."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(24):
        pixels = rng.integers(0, 256, (10 + number % 3, 12, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return folder


def said(capsys):
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


def test_an_image_that_goes_bad_in_the_middle_of_a_run_is_told_of(photos, tmp_path, monkeypatch, capsys):
    whole = pretrain.fit

    def fit(*arguments, **options):
        (photos / "07.png").write_bytes(b"\x89PNG and no more")
        return whole(*arguments, **options)

    monkeypatch.setattr(pretrain, "fit", fit)
    cli.main(["pretrain", "--data", str(photos), "--out", str(tmp_path / "run"), *SMALL])
    assert (tmp_path / "run" / "encoder.keras").is_file()
    assert "1 of 24 images could no longer be read and were taken for grey: 07.png; restore" in said(capsys)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(photos, tmp_path, capsys):
    out = tmp_path / "run"
    with pytest.raises(SystemExit) as left:
        cli.main(["pretrain", "--data", str(photos), "--out", str(out), *SMALL, "--optimization.learning-rate", "1e38"])
    assert left.value.code not in (0, None)
    assert "lower learning rate" in said(capsys) or "lower the learning rate" in said(capsys)
    assert not (out / "encoder.keras").exists()
    assert (out / "metrics.jsonl").is_file()


def test_a_folder_that_cannot_be_written_is_found_before_any_work(photos, capsys):
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc, where nobody can make a folder")
    with pytest.raises(SystemExit) as left:
        cli.main(["pretrain", "--data", str(photos), "--out", "/proc/run", *SMALL])
    assert left.value.code not in (0, None)
    assert "cannot write in /proc/run" in said(capsys)


def test_a_clock_that_jumps_back_does_not_matter(photos, tmp_path, monkeypatch):
    clock = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    cli.main(["pretrain", "--data", str(photos), "--out", str(tmp_path / "run"), *SMALL])
    rows = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert '"step": 9' in rows
    assert all(float(rate) > 0 for rate in re.findall(r'"images_per_s": ([-\d.]+)', rows))


def test_no_file_reads_the_wall_clock():
    """Durations are of a clock that only goes forward."""
    texts = {path: path.read_text() for path in PACKAGE.rglob("*.py")}
    assert [str(path) for path, text in texts.items() if re.search(r"\btime\.time\(|datetime\.now\(", text)] == []
