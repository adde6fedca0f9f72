"""Which networks were tried: the part of a report that a tuning adds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

from matplotlib.ticker import FuncFormatter

from ssl_keras.architecture.derivation import Budget, readable
from ssl_keras.reports.plots import COLORS, Ink, blank, png
from ssl_keras.reports.search import strings

SHOWN = 12
"""Networks of the front in the table, at most."""
COSTS = {"macs": "multiply-adds an image", "latency": "milliseconds an image"}


@dataclass(frozen=True)
class Tried:
    """What a tuning left in its folder, as plain JSON types.

    Attributes:
        facts: of found.json.
        rows: of trials.json.
        front: of pareto.json.
        axes: of pareto.json: the objective first, then costs, each with the way that is better.
    """

    facts: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    front: Sequence[Mapping[str, Any]]
    axes: Mapping[str, str]

    def sentences(self) -> list[str]:
        """What was looked for and what was found."""
        facts, goal = self.facts, self.facts["objective"]
        budget = f" of at most {Budget(**facts['budget'])}" if facts["budget"] else ""
        failed = f", {facts['trials']['failed']} more failed" if facts["trials"]["failed"] else ""
        settings = ", ".join(f"{name} {value}" for name, value in facts["settings"].items())
        return [
            f"Of the space below {facts['trials']['completed']} networks{budget} were tried "
            f"({facts['oracle']}{failed}); trial {facts['trial']} is best: {goal['name']} {goal['value']:.4g}, "
            f"{readable(facts['cost']['macs'])} multiply-adds and {readable(facts['cost']['params'])} parameters"
            + (f", with {settings}." if settings else "."),
            "The best of many is told better than it is: what it is worth stands at the top, measured anew on images "
            "that played no part in the choice.",
        ]

    def figures(self) -> dict[str, Callable[[Ink], bytes]]:
        """Title to what draws it: the objective over each cost."""
        return {f"Trials by {COSTS[cost]}": partial(front_figure, self, cost) for cost in [*self.axes][1:]}

    def section(self, figures: str) -> str:
        """The part of the page, around its figures."""
        text = "".join(f"<p>{escape(sentence)}</p>" for sentence in self.sentences())
        caption = "Every point is a network that was tried; those in colour no other one beats in everything."
        return f"""<section><h2>Which networks were tried</h2>{text}{strings(self.facts)}{figures}
<p class="soft">{caption}</p><div class="scroll">{self.table()}</div></section>
"""

    def table(self) -> str:
        """The networks that no other beats in everything, with their place on each axis."""
        head = "".join(f"<th>{escape(axis)}</th>" for axis in (*self.axes, "architecture"))
        body = "".join(
            f"<tr><th>{escape(row['trial'])}</th>{''.join(f'<td>{_short(row[axis])}</td>' for axis in self.axes)}"
            f"<td><code>{escape(row['architecture'])}</code></td></tr>"
            for row in self.front[:SHOWN]
        )
        return f"<table><thead><tr><th>trial</th>{head}</tr></thead><tbody>{body}</tbody></table>"


def _short(value: float) -> str:
    return readable(value) if value >= 1000 else f"{value:.4g}"


def front_figure(tried: Tried, cost: str, ink: Ink) -> bytes:
    """All trials by the objective over a cost; those of the Pareto front stand out.

    Args:
        tried: The trials.
        cost: One of its axes.
        ink: Colours.
    """
    goal = next(iter(tried.axes))
    done = [row for row in tried.rows if row["status"] == "completed"]
    figure, axes = blank(5.4, 3.4, ink)
    for some, label, shade, size in ((done, "tried", COLORS[1], 4), (tried.front, "not beaten", COLORS[0], 7)):
        axes.plot([row[cost] for row in some], [row[goal] for row in some], "o", color=shade, ms=size, label=label)
    axes.set_xlabel(COSTS[cost])
    axes.set_title(goal, x=0, loc="left", fontsize=10, color=ink.text)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda amount, _: readable(amount)))
    axes.grid(axis="y", color=ink.grid)
    axes.legend(frameon=False, labelcolor=ink.text, fontsize=8)
    return png(figure)
