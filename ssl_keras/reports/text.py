"""Values with their intervals, rows as CSV, and those of ``results.json`` as Markdown."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ssl_keras.reports import results


def between(value: float, low: float, high: float, form: str = ".2f") -> str:
    """A value and the ends of its interval or range."""
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of scenarios and encoders for every protocol; the best is bold where no interval overlaps."""
    tables = results.tables(rows).items()
    return "\n".join(f"{results.title(name)} (95 % interval):\n\n{_scenarios(found)}" for name, found in tables)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each row, and above the names of all their columns in the order in which they appear."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _scenarios(scores_of: results.Table) -> str:
    names = results.encoders(scores_of)
    rows = []
    for scenario, scores in scores_of.items():
        best = results.winner(scores)
        rows.append([scenario, *(_score(scores.get(name), bold=name == best) for name in names)])
    return table(["scenario", *names], rows)


def _score(score: results.Score | None, *, bold: bool) -> str:
    if score is None:
        return "–"
    value = f"**{score.value:.1f}**" if bold else f"{score.value:.1f}"
    return f"{value} ({score.low:.1f}–{score.high:.1f})"
