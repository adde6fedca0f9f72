"""A plan says what would be done and how long, and leaves nothing behind."""

from pathlib import Path

import pytest

from ssl_keras import cli

SIZES = "--data digits --images 64 --batch-size 16 --image-size 8 --heads.projector-hidden 8 --heads.projection 4 "
SIZES += "--heads.predictor-hidden 8 --out run"
CONV = "conv_c4 | basic_r{0,1}_c4 | conv_k1_c8".replace(" ", "~")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("pretrain --epochs 3 --architecture conv_c4", ("Would pre-train", "pre-training: 12 steps of")),
        (
            f"search --epochs 3 --search.epochs 5 --macs 20K --baselines random --architecture {CONV}",
            ("Would search", "the search: 10 steps of", "then 3 networks: 36 steps of"),
        ),
    ],
)
def test_a_dry_run_tells_and_writes_nothing(words, expected, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cli.main([*(word.replace("~", " ") for word in f"{words} {SIZES}".split()), "--dry-run"])
    said = capsys.readouterr().out
    assert all(text in said for text in expected), said
    assert "GiB; nothing was written" in said
    assert not list(tmp_path.iterdir())


def test_the_option_is_listed(capsys):
    with pytest.raises(SystemExit):
        cli.main(["pretrain", "--help"])
    assert "--dry-run" in capsys.readouterr().out
