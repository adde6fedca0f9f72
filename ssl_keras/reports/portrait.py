"""One scenario in pictures: a map of its test images, and the table of mistakes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ssl_keras.reports.plots import Ink, blank, png, shades

FILE = "portrait.json"
HARDEST = "hardest.png"
"""In pictures/."""

CLASS_COLORS = (
    *("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#8a6d3b", "#7f4fc9", "#888888", "#b3b300"),
)


def embedding_map(told: Mapping[str, Any], ink: Ink) -> bytes:
    """Test images as points, by class; the legend is in the order of the classes."""
    figure, axes = blank(5.6, 4.6, ink)
    points, labels = np.array(told["points"]), np.array(told["labels"])
    for number, name in enumerate(told["classes"]):
        mine = labels == number
        axes.scatter(
            points[mine, 0], points[mine, 1], s=6, color=CLASS_COLORS[number], label=name, linewidths=0, alpha=0.8
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_aspect("equal", adjustable="datalim")
    figure.legend(
        loc="outside right center", frameon=False, labelcolor=ink.text, fontsize=8, markerscale=2.5, handletextpad=0.2
    )
    return png(figure)


def mistakes(told: Mapping[str, Any], ink: Ink) -> bytes:
    """Row: what it is; column: what it was taken for; percent of the row."""
    names, table = told["classes"], np.array(told["confusion"])
    others = bool((table[:, -1] > 0.05).any())
    table, columns = (table, [*names, "others"]) if others else (table[:, :-1], names)
    figure, axes = blank(1.6 + 0.46 * len(columns), 1.2 + 0.34 * len(names), ink)
    axes.imshow(table, cmap=shades(), vmin=0, vmax=100, aspect="auto")
    for row, values in enumerate(table):
        for column, value in enumerate(values):
            if value >= 0.5:
                shade = "white" if value > 60 else ink.text
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8, color=shade)
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.spines["bottom"].set_visible(False)
    axes.set_xlabel("taken for, % of the row")
    return png(figure)
