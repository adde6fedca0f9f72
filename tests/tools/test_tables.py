"""The README's tables follow from result files."""

import json
from pathlib import Path

import pytest
import tables

ROOT = Path(__file__).parents[2]

TEXT = "before\n<!-- table: r.json -->\nold\n<!-- end of table -->\nafter\n"


def _row(encoder: str, value: float) -> dict[str, object]:
    return {
        "encoder": encoder,
        "scenario": "a",
        "protocol": "linear",
        "metric": "top1",
        "value": value,
        "low": value - 1,
        "high": value + 1,
    }


def test_scenarios_with_bold_where_intervals_are_apart(tmp_path: Path) -> None:
    rows = [_row("pretrained", 80.0), _row("untrained", 40.0)]
    (tmp_path / "r.json").write_text(json.dumps({"rows": rows}))
    filled = tables.fill(TEXT, tmp_path)
    assert "| a | **80.0** (79.0–81.0) | 40.0 (39.0–41.0) |" in filled
    assert filled.startswith("before\n") and filled.endswith("<!-- end of table -->\nafter\n") and "old" not in filled
    assert tables.fill(filled, tmp_path) == filled


def test_other_rows_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"rows": [{"width": 8, "images/s": 446.123}]}))
    assert "| width | images/s |\n| --- | ---: |\n| 8 | 446.1 |\n" in tables.fill(TEXT, tmp_path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tables.fill(TEXT, tmp_path)


def test_the_readme_is_up_to_date() -> None:
    text = (ROOT / "README.md").read_text()
    assert tables.fill(text, ROOT) == text
