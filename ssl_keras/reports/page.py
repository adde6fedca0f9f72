"""A run folder as one self-contained page: no script, no address outside the file."""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ssl_keras.architecture.grammar import ArchitectureError
from ssl_keras.reports import plots, portrait, results
from ssl_keras.reports.drawing import architecture_drawing
from ssl_keras.reports.search import Found, strings
from ssl_keras.reports.style import CSS
from ssl_keras.reports.tuning import Tried

PICTURES = {
    "views.png": (
        "What it was shown",
        "Left, an image; then its views. Learning means to give all views of an image one embedding.",
    ),
    "neighbours.png": (
        "What it finds alike",
        "Left, an image; then, of a thousand others drawn at random, those with the nearest embeddings.",
    ),
}
"""File in pictures/ to its heading and caption, in the order of the page."""


class ReportError(ValueError):
    """A folder that no report can be written from."""


@dataclass(frozen=True)
class Run:
    """What a run folder holds, as plain JSON types; what is absent is empty."""

    folder: Path
    config: Mapping[str, Any]
    architecture: str
    metrics: Sequence[Mapping[str, Any]]
    rows: Sequence[Mapping[str, Any]]
    provenance: Mapping[str, Any]
    search: Found | None
    tuning: Tried | None
    portrait: Mapping[str, Any]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) that the drawing refers to."""
        if shape := self.provenance.get("image_shape"):
            return tuple(shape)
        side = self.config.get("image_size")
        return (side, side, 3) if isinstance(side, int) else (32, 32, 3)


def write_report(run_folder: Path) -> Path:
    """Writes ``report.html`` into the folder, whole or not at all.

    Args:
        run_folder: of ``pretrain`` or ``evaluate``; parts that are absent are left out of the page.

    Returns:
        The path of the page.

    Raises:
        ReportError: The folder holds no run.
    """
    run = read_run(run_folder)
    path = run_folder / "report.html"
    temporary = run_folder / f".writing-{os.getpid()}-report.html"
    temporary.write_text(page(run), encoding="utf-8")
    os.replace(temporary, path)
    return path


def read_run(folder: Path) -> Run:
    """Reads the files of a run folder.

    Raises:
        ReportError: There is neither a ``config.json`` nor a ``results.json``.
    """
    config, found = _json(folder / "config.json"), _json(folder / "results.json")
    if not config and not found:
        raise ReportError(f"{folder} is no run folder: it holds neither config.json nor results.json")
    text = folder / "architecture.txt"
    return Run(
        folder,
        config,
        text.read_text().strip() if text.is_file() else found.get("provenance", {}).get("architecture", ""),
        json_lines(folder / "metrics.jsonl"),
        found.get("rows", []),
        found.get("provenance", {}),
        _read_search(folder / "search"),
        _read_tuning(folder / "tune"),
        _json(folder / portrait.FILE),
    )


def _read_search(folder: Path) -> Found | None:
    """What a finished search left there, if one did."""
    facts = _json(folder / "found.json")
    if not facts:
        return None
    return Found(facts, json_lines(folder / "metrics.jsonl"), json_lines(folder / "probabilities.jsonl"))


def _read_tuning(folder: Path) -> Tried | None:
    """What a finished tuning left there, if one did."""
    if not (facts := _json(folder / "found.json")):
        return None
    front = _json(folder / "pareto.json")
    return Tried(facts, _json(folder / "trials.json")["rows"], front["rows"], front["axes"])


def page(run: Run) -> str:
    """The whole HTML text."""
    tables = results.tables(run.rows)
    sections = [
        _header(run, tables),
        _worth(run, tables),
        _portrait(run),
        _search(run),
        _tuning(run),
        _learning(run),
        _pictures(run),
        _encoder(run),
        _details(run),
    ]
    return whole_page(run.folder.name, "".join(sections) + _next_steps(run))


def whole_page(name: str, body: str) -> str:
    """A page of a title and a body, with the style sheet."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{escape(name)} · ssl_keras</title>
<style>{CSS}</style></head><body>
{body}
</body></html>
"""


def _header(run: Run, tables: Mapping[str, results.Table]) -> str:
    if tables:
        sentence = results.headline(next(iter(tables.values())))
    else:
        sentence = "The encoder has learned; what it is worth is not measured yet."
    facts = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in _facts(run).items())
    return f"""<header><h1>ssl_keras · {escape(run.folder.resolve().name)}</h1>
<p class="headline">{escape(sentence)}</p><dl class="facts">{facts}</dl></header>
"""


def _facts(run: Run) -> dict[str, str]:
    facts = {}
    if data := run.config.get("data"):
        facts["Images"] = f"{data}, {images:,} of them" if (images := run.config.get("images")) else str(data)
    if architecture := run.config.get("architecture"):
        facts["Encoder"] = architecture if len(architecture) < 30 else "see the drawing"
    if run.metrics:
        last = run.metrics[-1]
        facts["Epochs"] = f"{last['step'] / plots.epoch_length(run.metrics):.3g}"
        facts["Steps"] = f"{last['step']:,}"
        speeds = sorted(row["images_per_s"] for row in run.metrics if "images_per_s" in row)
        if speeds:
            facts["Speed"] = f"{speeds[len(speeds) // 2]:,.0f} images/s"
    if size := run.config.get("batch_size"):
        facts["Batch"] = str(size)
    if machine := run.provenance.get("machine"):
        facts["Machine"] = str(machine)
    return facts


def _worth(run: Run, tables: Mapping[str, results.Table]) -> str:
    if not tables:
        return ""
    first, *others = tables
    html = ["<section><h2>What it is worth</h2>", _yardsticks(run, tables[first])]
    html.append(f"<h3>{_protocol(first)}</h3>{_table(tables[first])}")
    said = [*results.at_equal_cost(tables[first]), *results.losses(tables[first])]
    html.append("".join(f"<p>{escape(sentence)}</p>" for sentence in said))
    html.append(
        figure_html(plots.both_themes(lambda ink: plots.scenario_bars(tables[first], ink)), "bars", "Accuracies")
    )
    curves = plots.both_themes(lambda ink: plots.severity_curves(run.provenance.get("chosen", {}), ink))
    html.append(figure_html(curves, "bars", "Accuracy over severity of corruption") if curves else "")
    html += [f"<details><summary>{_protocol(name)}</summary>{_table(tables[name])}</details>" for name in others]
    html.append(_without_labels(run.provenance.get("label_free", {})))
    return "".join(html) + "</section>\n"


def _without_labels(found: Mapping[str, Mapping[str, float]]) -> str:
    """Scores that need no labels, where an evaluation measured them."""
    if not found:
        return ""
    scores = next(iter(found.values()))
    head = "".join(f"<th>{escape(score)}</th>" for score in scores)
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{mine[score]:.3g}</td>' for score in scores)}</tr>"
        for name, mine in found.items()
    )
    table = _scrolling("encoder", head, body)
    told = (
        "Measured on two views each of a thousand images. RankMe: effective dimensions, more is better. α-ReQ: decay "
        "of the spectrum, near 1 is best. Alignment: distance of two views, less is better. Uniformity: less is "
        "better. Clusters kept: whether two views fall into one cluster, 1 is in full."
    )
    return f'<details><summary>Without labels</summary>{table}<p class="soft">{told}</p></details>'


def _portrait(run: Run) -> str:
    """One scenario in pictures, where an evaluation left them."""
    if not (told := run.portrait):
        return ""
    drawn = {
        "Each point is a test image, near to those that the encoder finds alike (t-SNE), coloured by its class.": (
            portrait.embedding_map
        ),
        "What is taken for what by the linear classifier.": portrait.mistakes,
    }
    html = [f"<section><h2>{escape(told['scenario'])}, looked at closely</h2>"]
    for caption, draw in drawn.items():
        figure = figure_html(plots.both_themes(lambda ink, draw=draw: draw(told, ink)), "bars", caption)  # type: ignore[misc]
        html.append(f'{figure}<p class="soft">{escape(caption)}</p>')
    caption = "The test images of which it is most wrongly sure: what they are → what it takes them for."
    html.append(_picture(run, portrait.HARDEST, "Hardest images", caption))
    return "".join(html) + "</section>\n"


def _yardsticks(run: Run, table: results.Table) -> str:
    described = run.provenance.get("encoders", {})
    items = [
        f"<b>{escape(name)}</b>: {escape(described[name])}" for name in results.encoders(table) if name in described
    ]
    intro = (
        "In percent, on test images, with the 95 % bootstrap interval below. "
        "Bold: better than all others, and no interval overlaps."
    )
    return f"<p>{intro}</p>" + (f'<p class="soft">{"; ".join(items)}.</p>' if items else "")


def _protocol(name: str) -> str:
    return escape(results.title(name))


def _table(table: results.Table) -> str:
    names = results.encoders(table)
    head = "".join(f'<th><i style="background:{plots.color(name)}"></i>{escape(name)}</th>' for name in names)
    body = "".join(_row(scenario, scores, names) for scenario, scores in table.items())
    return _scrolling("scenario", head, body)


def _scrolling(corner: str, head: str, body: str) -> str:
    """A table that scrolls by itself on a narrow screen."""
    table = f"<table><thead><tr><th>{corner}</th>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def _row(scenario: str, scores: Mapping[str, results.Score], names: Sequence[str]) -> str:
    best = results.winner(scores)
    cells = "".join(_cell(scores.get(name), bold=name == best) for name in names)
    # A narrow screen may break the name after its slash.
    kind = ' class="mean"' if scenario == results.MEAN else ""
    return f"<tr{kind}><th>{escape(scenario).replace('/', '/<wbr>')}</th>{cells}</tr>"


def _cell(score: results.Score | None, *, bold: bool) -> str:
    if score is None:
        return "<td>–</td>"
    value = f"<b>{score.value:.1f}</b>" if bold else f"{score.value:.1f}"
    return f"<td>{value}<small>{score.low:.1f}–{score.high:.1f}</small></td>"


def _search(run: Run) -> str:
    """How the architecture was found, if it was."""
    if (found := run.search) is None:
        return ""
    facts = found.facts
    drawn = plots.both_themes(
        lambda ink: plots.probability_map(found.probabilities, facts["decisions"], facts["picks"], ink)
    )
    chances = figure_html(drawn, "bars", "Probabilities of all choices over time") if drawn else ""
    caption = (
        "Probability of every choice over time, darker for more. "
        "A dot marks what was taken, in which the budget had a say."
    )
    text = "".join(f"<p>{escape(sentence)}</p>" for sentence in found.sentences())
    curves = "".join(_curves(found.metrics, plots.SEARCH_CURVES))
    return f"""<section><h2>How its architecture was found</h2>{text}{strings(facts)}{chances}
<p class="soft">{caption}</p><div class="curves">{curves}</div></section>
"""


def _tuning(run: Run) -> str:
    """Which networks were tried before this one was taken, if any were."""
    if run.tuning is None:
        return ""
    drawn = {title: plots.both_themes(draw) for title, draw in run.tuning.figures().items()}
    return run.tuning.section("".join(figure_html(figure, "bars", title) for title, figure in drawn.items()))


def _curves(rows: Sequence[Mapping[str, Any]], panels: Sequence[plots.Curve]) -> list[str]:
    figures = []
    for panel in panels:
        drawn = plots.both_themes(lambda ink, panel=panel: plots.curve(rows, panel, ink))  # type: ignore[misc]
        if drawn:
            figures.append(figure_html(drawn, "", panel.title))
    return figures


def _learning(run: Run) -> str:
    figures = _curves(run.metrics, plots.CURVES)
    if not figures:
        return ""
    note = (
        "Healthy learning: the loss falls, kNN rises, the standard deviation stays well above 0, and the mean cosine "
        "between different images stays well below 1. A deviation near 0 and a cosine near 1 mean collapse."
    )
    return f'<section><h2>How it learned</h2><p>{note}</p><div class="curves">{"".join(figures)}</div></section>\n'


def _pictures(run: Run) -> str:
    sections = []
    for name, (heading, caption) in PICTURES.items():
        if figure := _picture(run, name, heading, caption):
            sections.append(f"<section><h2>{heading}</h2>{figure}</section>\n")
    return "".join(sections)


def _picture(run: Run, name: str, title: str, caption: str) -> str:
    """A file in pictures/ with its caption; nothing where it is absent."""
    path = run.folder / "pictures" / name
    if not path.is_file():
        return ""
    image = f'<img class="pixels" alt="{title}" src="{_data_uri(path.read_bytes())}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _encoder(run: Run) -> str:
    if not run.architecture:
        return ""
    try:
        drawing = architecture_drawing(run.architecture, run.image_shape)
    except ArchitectureError:
        # keras.applications encoders have no string of the grammar; their name still tells what they are.
        drawing = f"<p><code>{escape(run.architecture)}</code></p>"
    return f"<section><h2>The encoder</h2>{drawing}</section>\n"


def _details(run: Run) -> str:
    parts = {"Configuration": run.config, "Provenance": run.provenance}
    blocks = [
        f"<details><summary>{name}</summary><pre>{escape(json.dumps(value, indent=2))}</pre></details>"
        for name, value in parts.items()
        if value
    ]
    return f"<section><h2>In full</h2>{''.join(blocks)}</section>\n"


def _next_steps(run: Run) -> str:
    folder = escape(str(run.folder))
    evaluated = "" if run.rows else f"ssl-keras evaluate {folder}\n"
    return f"""<section><h2>Next</h2><p>Find look-alikes in your photos, take the encoder elsewhere, or learn on:</p>
<pre>{evaluated}ssl-keras embed {folder} --data path/to/photos --out embeddings
ssl-keras export {folder}
ssl-keras pretrain --data path/to/photos --init {folder} --minutes 60
tensorboard --logdir {folder}/tensorboard</pre></section>
"""


def figure_html(drawn: Mapping[str, bytes], style: str, title: str) -> str:
    """A figure in both themes, inside the page."""
    dark = f'<source media="(prefers-color-scheme: dark)" srcset="{_data_uri(drawn["dark"])}">'
    image = f'<img alt="{escape(title)}" src="{_data_uri(drawn["light"])}">'
    return f'<figure class="{style}"><picture>{dark}{image}</picture></figure>'


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values: dict[str, Any] = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ReportError(f"{path} is not JSON: {error}") from error
    return values


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines; none where there is no file."""
    if not path.is_file():
        return []
    # A last line without its end is one that a crash cut short.
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
