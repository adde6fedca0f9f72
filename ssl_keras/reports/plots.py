"""Figures of a report as PNG bytes, each in a light and a dark version."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ssl_keras.reports.results import ENCODERS, Table, encoders

DPI = 160
COLORS = ("#0072b2", "#999999", "#c9b18c", "#d55e00", "#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#8a6d3b")
"""Told apart under the common colour blindnesses (after Okabe and Ito)."""


@dataclass(frozen=True)
class Ink:
    """Colours of text and grid on a page's background."""

    text: str
    grid: str


THEMES = {"light": Ink("#3c4043", "#e3e3df"), "dark": Ink("#c9ccd1", "#3a3d42")}


@dataclass(frozen=True)
class Curve:
    """One panel of training curves: several keys of ``metrics.jsonl`` against the epoch."""

    title: str
    keys: Mapping[str, str]


CURVES = (
    Curve("Loss", {"loss": "total", "contrastive": "contrastive", "invariance": "invariance"}),
    Curve("kNN accuracy while learning, %", {"knn": "kNN"}),
    Curve("Spread of embeddings", {"embedding_std": "standard deviation", "mean_cosine": "mean cosine"}),
    Curve("RankMe: effective dimensions", {"rankme": "RankMe"}),
    Curve("Learning rate", {"learning_rate": "learning rate"}),
    Curve("Decay of the target network", {"target_decay": "decay"}),
)


def color(encoder: str) -> str:
    """An encoder keeps its colour in every figure."""
    return COLORS[ENCODERS.index(encoder) if encoder in ENCODERS else len(ENCODERS)]


SEARCH_CURVES = (
    Curve("Expected cost, over the budget", {"budget_share": "expected cost / budget"}),
    Curve("How undecided: entropy, share of its maximum", {"architecture_entropy": "entropy"}),
    Curve("Loss on one batch", {"soft_loss": "choices by probability", "hard_loss": "most likely choices"}),
    Curve("Mean probability that a stage is absent", {"absent_stages": "absent"}),
)


def scenario_bars(table: Table, ink: Ink) -> bytes:
    """Accuracy by scenario and encoder, with 95 % intervals, as horizontal bars that start at 0."""
    names = encoders(table)
    thickness = 0.8 / len(names)
    figure, axes = blank(5.4, 0.7 + 0.22 * len(names) * len(table) + 0.1 * len(table), ink)
    for offset, name in enumerate(names):
        places = [row for row, scores in enumerate(table.values()) if name in scores]
        scores = [by_name[name] for by_name in table.values() if name in by_name]
        values = np.array([score.value for score in scores])
        whiskers = np.abs(np.array([[s.low for s in scores], [s.high for s in scores]]) - values)
        heights = np.array(places) + (offset - (len(names) - 1) / 2) * thickness
        axes.barh(heights, values, thickness * 0.86, color=color(name), label=name)
        axes.errorbar(values, heights, xerr=whiskers, fmt="none", ecolor=ink.text, elinewidth=1, capsize=2)
    axes.set_yticks(range(len(table)), list(table))
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("top-1 accuracy, %")
    axes.grid(axis="x", color=ink.grid)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper left", ncols=2, frameon=False, labelcolor=ink.text
    )
    return png(figure)


def severity_curves(chosen: Mapping[str, Mapping[str, float]], ink: Ink) -> bytes | None:
    """Accuracy of every encoder over the severity of the corruptions, mean of all kinds; None without any.

    Args:
        chosen: "encoder / scenario / corruptions" to "severity 1" … "severity 5", in percent.
        ink: Colours.
    """
    found = {key.split(" / ")[0]: levels for key, levels in chosen.items() if key.endswith(" / corruptions")}
    if not found:
        return None
    figure, axes = blank(4.6, 2.7, ink)
    for name, levels in found.items():
        axes.plot(
            range(1, 6), [levels[f"severity {n}"] for n in range(1, 6)], color=color(name), label=name, marker="o"
        )
    axes.set_title("Corrupted images: top-1 %", x=0, loc="left", fontsize=10, color=ink.text)
    axes.set_xticks(range(1, 6))
    axes.set_xlabel("severity")
    axes.set_ylim(0)
    axes.grid(axis="y", color=ink.grid)
    axes.legend(frameon=False, labelcolor=ink.text, fontsize=8)
    return png(figure)


def curve(rows: Sequence[Mapping[str, Any]], panel: Curve, ink: Ink) -> bytes | None:
    """One panel of training curves, or None when nothing in it was measured."""
    figure, axes = blank(4.6, 2.7, ink)
    lines, steps_per_epoch = 0, epoch_length(rows)
    for (key, label), shade in zip(panel.keys.items(), COLORS[:1] + COLORS[3:4] + COLORS[5:], strict=False):
        points = [(row["step"] / steps_per_epoch, value) for row in rows if (value := row.get(key)) is not None]
        if not points:
            continue
        marker = "o" if len(points) < 15 else ""
        axes.plot(*zip(*points, strict=True), color=shade, label=label, linewidth=1.6, marker=marker, markersize=3)
        lines += 1
    if not lines:
        return None
    axes.set_title(panel.title, x=0, loc="left", fontsize=10, color=ink.text)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(axis="y", color=ink.grid)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if lines > 1:
        axes.legend(frameon=False, labelcolor=ink.text, fontsize=8)
    return png(figure)


def probability_map(
    rows: Sequence[Mapping[str, Any]], decisions: Mapping[str, Sequence[Any]], picks: Mapping[str, Any], ink: Ink
) -> bytes | None:
    """How likely every value of every decision was over time, darker for more; what was picked is marked.

    Args:
        rows: ``step`` and ``probabilities``, decision to numbers.
        decisions: Decision to values.
        picks: Decision to the value that was taken.
        ink: Colours.
    """
    if not rows:
        return None
    names = [(name, value) for name, values in decisions.items() for value in values]
    gaps = np.cumsum([0, *(0.5 for _ in decisions)])
    figure, axes = blank(6.4, 0.6 + 0.17 * len(names) + 0.08 * len(decisions), ink)
    steps, place, ticks = [0, *(row["step"] for row in rows)], 0, []
    for (name, values), gap in zip(decisions.items(), gaps[:-1], strict=True):
        table = np.array([row["probabilities"][name] for row in rows]).T
        edges = place + gap + np.arange(len(values) + 1)
        axes.pcolormesh(steps, edges, table, cmap=shades(), vmin=0, vmax=1)
        ticks += [*(edges[:-1] + 0.5)]
        place += len(values)
    axes.set_yticks(
        ticks, [f"{name} = {value}" + (" ●" if picks[name] == value else "") for name, value in names], fontsize=7
    )
    axes.invert_yaxis()
    axes.set_xlabel("step")
    return png(figure)


def shades() -> LinearSegmentedColormap:
    """From transparent to the encoder's colour, so that both themes' grounds show through."""
    return LinearSegmentedColormap.from_list("probability", [f"{COLORS[0]}08", f"{COLORS[0]}ff"])


def epoch_length(rows: Sequence[Mapping[str, Any]]) -> float:
    """Steps per epoch, from the rows that end one; 1 when there is none."""
    return next((row["step"] / row["epoch"] for row in reversed(rows) if row.get("epoch")), 1.0)


def both_themes(draw: Callable[[Ink], bytes | None]) -> dict[str, bytes]:
    """A figure in each theme; empty when there is nothing to draw."""
    drawn = {name: draw(ink) for name, ink in THEMES.items()}
    return {name: png for name, png in drawn.items() if png is not None}


def blank(width: float, height: float, ink: Ink) -> tuple[Figure, Axes]:
    """A figure of a size in inches, with nothing but a base line."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    dress(axes, ink)
    axes.xaxis.label.set_color(ink.text)
    axes.xaxis.label.set_fontsize(9)
    return figure, axes


def dress(axes: Axes, ink: Ink, size: int = 9) -> None:
    """Leaves nothing of the frame but the base line, and tick labels of a size in points."""
    axes.patch.set_alpha(0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(ink.grid)
    axes.tick_params(which="both", colors=ink.text, length=0, labelsize=size)


def png(figure: Figure) -> bytes:
    """The figure as bytes, on a transparent ground."""
    return drawn(figure, "png", transparent=True)


def drawn(figure: Figure, kind: str, *, transparent: bool = False) -> bytes:
    """The figure as the bytes of a file, "png" or "svg"; equal figures are equal bytes."""
    buffer = io.BytesIO()
    undated = {"Date": None} if kind == "svg" else None
    with matplotlib.rc_context({"svg.hashsalt": ""}):
        figure.savefig(buffer, format=kind, dpi=DPI, transparent=transparent, metadata=undated)
    return buffer.getvalue()
