"""The page from a run folder: whole, self-contained, and honest about what is absent."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ssl_keras.reports.page import ReportError, write_report
from tests.reports.runs import ARCHITECTURE, metrics, write_run

VOID = {"meta", "img", "source", "wbr", "br"}


class _Balance(HTMLParser):
    """Every tag that opens closes in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(write_run(tmp_path_factory.mktemp("runs") / "run")).read_text()


def test_tags_balance(page: str) -> None:
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []


def test_nothing_is_fetched(page: str) -> None:
    assert "http" not in page and "<script" not in page
    for value in re.findall(r'(?:src|srcset|href)="([^"]{0,40})', page):
        assert value.startswith("data:image/png;base64,")


def test_the_headline_and_numbers(page: str) -> None:
    assert "in 3 of 6\u0020scenarios" in page.replace("\u00a0", " ")
    assert "<td><b>95.0</b><small>93.5–96.4</small></td>" in page
    assert "<td>48.0<small>46.5–49.4</small></td>" in page
    assert "On shapes/color it loses to its untrained self and raw pixels" in page
    assert '<tr class="mean"><th>mean</th><td><b>67.2</b><small>65.7–68.6</small></td>' in page


def test_curves_pictures_and_drawing(page: str) -> None:
    # Bars and six panels in two themes, and two pictures.
    assert page.count("data:image/png") == 2 * (1 + 6) + 2
    assert "32 × 32 × 8" in page and "4 × 4 × 64" in page
    shares = [float(share) for share in re.findall(r'class="share"><i style="width:([\d.]+)%', page)]
    assert len(shares) == 5 and sum(shares) == pytest.approx(100, abs=0.5)
    assert ARCHITECTURE in page


def test_names_are_escaped(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a<b")
    (folder / "config.json").write_text(json.dumps({"data": "<i>photos</i>"}))
    text = write_report(folder).read_text()
    assert "<i>photos" not in text and "a<b" not in text and "&lt;i&gt;photos" in text


def test_a_run_without_results_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "results.json").unlink()
    text = write_report(folder).read_text()
    assert "not measured yet" in text and f"ssl-keras evaluate {folder}" in text and "What it is worth" not in text


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(json.dumps(metrics()[0])[:20])
    assert "<dd>300</dd>" in write_report(folder).read_text()


def test_an_evaluation_alone_makes_a_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    for name in ("config.json", "architecture.txt", "metrics.jsonl"):
        (folder / name).unlink()
    assert "What it is worth" in write_report(folder).read_text()


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="is no run folder"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())
