"""Figures of a study."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ssl_keras.reports.agreement import FACTS, Scores, Values, ranks
from ssl_keras.reports.plots import COLORS, Ink, blank, dress, shades

KINDS = {"basic": COLORS[0], "bottleneck": COLORS[3], "mbconv": COLORS[5], "mixed": COLORS[1]}
"""Blocks that a network is made of, and their colour."""
STARS = ("*", "P", "X", "D", "^", "v", "s", "p")
"""Marks of networks that are to be found among the others."""
PANELS = 4
"""Panels side by side."""
IN_MILLIONS = ("params", "macs")
"""Of `FACTS`."""


def kind(architecture: str) -> str:
    """What a network's blocks are: a key of `KINDS`."""
    found = {name for name in KINDS if f"{name}_" in architecture}
    return found.pop() if len(found) == 1 else "mixed"


def correlation_map(correlations: Values, names: tuple[str, ...], title: str, ink: Ink) -> Figure:
    """Correlations between scenarios (s, s), written into their fields; blue above 0, orange below."""
    size = 1.6 + 0.42 * len(names)
    figure, axes = blank(size + 0.4, size, ink)
    for sign, shade in ((1, COLORS[0]), (-1, COLORS[3])):
        strength = np.clip(sign * correlations, 0, 1)
        axes.imshow(np.ones_like(strength), alpha=0.85 * strength, cmap=ListedColormap([shade]), vmin=0, vmax=1)
    for row, column in np.ndindex(correlations.shape):
        if row != column:
            text = f"{correlations[row, column]:.2f}".replace("0.", ".")
            strong = abs(correlations[row, column]) > 0.45
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color="#ffffff" if strong else ink.text)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.spines[:].set_visible(False)
    axes.set_title(title, x=0, loc="left", fontsize=10, color=ink.text)
    return figure


def panels(found: Scores, across: Values, label: str, marked: Sequence[str], ink: Ink, *, logarithmic: bool) -> Figure:
    """Accuracy of every network in every scenario over a number (n,), one panel a scenario; larger marks for some."""
    rows = math.ceil(len(found.scenarios) / PANELS)
    figure = Figure(figsize=(9.2, 0.5 + 2.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = np.atleast_1d(figure.subplots(rows, PANELS, sharex=True, squeeze=False)).ravel()
    kinds = [kind(found.facts[name]["architecture"]) for name in found.networks]
    plain = np.array([name not in marked for name in found.networks])
    for place, axes in enumerate(grid):
        axes.set_visible(place < len(found.scenarios))
        if place >= len(found.scenarios):
            continue
        for name in dict.fromkeys(kinds):
            mine = np.array([one == name for one in kinds]) & plain
            values = found.single[mine, place]
            axes.scatter(across[mine], values, s=11, color=KINDS[name], alpha=0.75, linewidths=0, label=name)
        for name, star in zip(marked, cycle(STARS), strict=False):
            index = found.networks.index(name)
            style = {"s": 70, "color": KINDS[kinds[index]], "edgecolors": ink.text, "linewidths": 0.9, "zorder": 3}
            axes.scatter(across[index], found.single[index, place], marker=star, label=name, **style)
        dress(axes, ink, 8)
        axes.grid(axis="y", color=ink.grid)
        axes.set_title(found.scenarios[place], x=0, loc="left", fontsize=9, color=ink.text)
        if np.isfinite(noise := found.seed_deviation[place]):
            _noise_bar(axes, noise, ink)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
    figure.supxlabel(label, fontsize=9, color=ink.text)
    figure.supylabel("top-1, %", fontsize=9, color=ink.text)
    handles, names = grid[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=6, frameon=False, labelcolor=ink.text, fontsize=9)
    return figure


def _noise_bar(axes: Axes, noise: float, ink: Ink) -> None:
    """Two standard deviations of training to training, as a bar in the corner."""
    low, high = axes.get_ylim()
    axes.plot([0.97, 0.97], [low, low + 2 * noise], transform=axes.get_yaxis_transform(), color=ink.text, linewidth=2)
    axes.set_ylim(low, high)


def rank_map(found: Scores, marked: Sequence[str], ink: Ink) -> Figure:
    """The place of every network in every scenario, networks by their mean place; darker is better, marked are bold."""
    places = ranks(found.single)
    order = np.argsort(places.mean(1))
    figure, axes = blank(6.4, 1.4 + 0.13 * len(order), ink)
    axes.imshow(1 - (places[order] - 1) / max(1, len(order) - 1), cmap=shades(), vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(found.scenarios)), found.scenarios, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(order)), [found.networks[index] for index in order], fontsize=5 if len(order) > 40 else 7)
    for tick in axes.get_yticklabels():
        tick.set_fontweight("bold" if tick.get_text() in marked else "normal")
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[:].set_visible(False)
    return figure


def over_facts(found: Scores, marked: Sequence[str], ink: Ink) -> Mapping[str, Figure]:
    """`panels` over the reference scenario and over every fact, by file name."""
    figures = {
        f"accuracy-over-{found.scenarios[0].replace('/', '-')}": panels(
            found, found.single[:, 0], f"{found.scenarios[0]}, top-1 %", marked, ink, logarithmic=False
        )
    }
    for name, words in FACTS.items():
        across, label = (found.fact(name) / 1e6, f"{words}, M") if name in IN_MILLIONS else (found.fact(name), words)
        figures[f"accuracy-over-{name}"] = panels(found, across, label, marked, ink, logarithmic=name != "blocks")
    return figures
