"""A study's folder as a page: do scenarios agree on which network is best, and is there more in it than noise?"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ssl_keras.architecture.cost import cost
from ssl_keras.architecture.study import STUDIES, study
from ssl_keras.reports import agreement, plots, study_plots
from ssl_keras.reports.agreement import Scores, Values
from ssl_keras.reports.page import ReportError, figure_html, whole_page
from ssl_keras.reports.results import title

PROTOCOL, METRIC = "linear", "top1"
"""What the analysis looks at."""
LABEL_FREE = "label_free"
"""The protocol of rows that hold scores of embeddings of the training images, without labels."""
FEW = 5
"""Networks below which correlations are not worth showing."""
SINGLE_RUNS = "of single trainings"

Chosen = Callable[[str], bool]


@dataclass(frozen=True)
class StudyResults:
    """What a study's folder holds.

    Attributes:
        folder: where.
        config: as plain JSON types.
        rows: of the table.
        failures: reasons by trial.
    """

    folder: Path
    config: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    failures: Mapping[str, str]

    @cached_property
    def judged(self) -> list[Mapping[str, Any]]:
        """Rows of the protocol and metric that the analysis looks at."""
        return [row for row in self.rows if row["protocol"] == PROTOCOL and row["metric"] == METRIC]


def filters() -> dict[str, Chosen]:
    """Groups of networks that are looked at by themselves, by the words that say which."""
    published = {name: network for family in STUDIES for name, network in study(family)}

    def params(name: str) -> float:
        return cost(published[name], (224, 224, 3)).params if name in published else np.nan

    def plain_bottleneck(name: str) -> bool:
        text = str(published.get(name, ""))
        return "bottleneck_" in text and "_g" not in text and "_w" not in text

    return {
        "all networks": lambda name: True,
        "ResNets": lambda name: name.startswith("resnet"),
        "MobileNets": lambda name: name.startswith("mobilenet"),
        "bottleneck ResNets of usual width, 12 to 30 M parameters as published (the paper's filter)": (
            lambda name: plain_bottleneck(name) and 12e6 <= params(name) <= 30e6
        ),
        "MobileNets below 10 M parameters as published (the paper's filter)": (
            lambda name: name.startswith("mobilenet") and params(name) < 10e6
        ),
    }


def read_study(folder: Path) -> StudyResults:
    """Reads a study's folder.

    Raises:
        ReportError: It holds no study, or no finished trial.
    """
    if not (folder / "study.json").is_file():
        raise ReportError(f"{folder} holds no study: there is no study.json")
    if not (folder / "table.parquet").is_file():
        raise ReportError(f"{folder} holds no finished trial yet: let ssl-keras study finish one")
    failures = {
        path.stem: json.loads(path.read_text())["reason"] for path in sorted((folder / "failed").glob("*.json"))
    }
    rows = pq.read_table(folder / "table.parquet").to_pylist()
    return StudyResults(folder, json.loads((folder / "study.json").read_text()), rows, failures)


def write_study_report(folder: Path) -> Path:
    """Writes report.html, analysis.json and figures/ from a study's table; returns the page.

    Raises:
        ReportError: The folder holds no study, or no finished trial.
    """
    results = read_study(folder)
    found = agreement.scores(results.judged)
    if not found.networks:
        raise ReportError(f"{folder} has no network with a {PROTOCOL} figure in every scenario")
    told = analysis(results)
    (folder / "analysis.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    page = folder / "report.html"
    page.write_text(_page(results, found, told["groups"], _figures(results, found)), encoding="utf-8")
    return page


def analysis(results: StudyResults) -> dict[str, Any]:
    """Every figure of the page, as plain JSON types."""
    groups = {words: agreement.scores(results.judged, chosen) for words, chosen in filters().items()}
    return {
        "protocol": PROTOCOL,
        "groups": {words: _group(results, found) for words, found in groups.items() if len(found.networks) >= FEW},
    }


def _group(results: StudyResults, found: Scores) -> dict[str, Any]:
    told: dict[str, Any] = {
        "networks": len(found.networks),
        "scenarios": found.scenarios,
        "mean": found.single.mean(0).tolist(),
        "deviation between single trainings of networks": found.single.std(0, ddof=1).tolist(),
        "best": [found.networks[index] for index in found.single.argmax(0)],
    }
    told |= {name: _correlation(found, statistic) for name, statistic in agreement.CORRELATIONS.items()}
    repeats = [*found.repeats.values()]
    told["scores without labels"] = _label_free(results, found)
    told["repeated networks"] = len(repeats)
    if len(repeats) > 1:
        low, high = agreement.reliability_interval(repeats)
        share = agreement.reliability(repeats)
        told["reliability"] = {"value": share.tolist(), "low": low.tolist(), "high": high.tolist()}
        told["seed deviation"] = found.seed_deviation.tolist()
        told["ceiling, mean of pairs"] = agreement.off_diagonal_mean(agreement.ceiling(share))
        told["networks within noise of the best, by scenario"] = agreement.near_best(found).sum(0).tolist()
        told["regret"] = agreement.honest_regret(repeats)
    return told


def _correlation(found: Scores, statistic: Callable[[Values], Values]) -> dict[str, Any]:
    """Of every pair and of the mean of pairs, with intervals over networks."""

    def mean(values: Values) -> float:
        return agreement.off_diagonal_mean(statistic(values))

    low, high = (end.tolist() for end in agreement.interval(found.single, statistic))
    of_mean = [mean(found.single), *(float(end) for end in agreement.interval(found.single, mean))]
    return {"value": statistic(found.single).tolist(), "low": low, "high": high, "mean of pairs": of_mean}


def _label_free(results: StudyResults, found: Scores) -> dict[str, list[float]]:
    """Spearman's correlation of each score with the mean accuracy over scenarios, and its interval over networks."""
    held: dict[str, dict[str, float]] = {}
    for row in results.rows:
        if row["protocol"] == LABEL_FREE:
            held.setdefault(row["metric"], {}).setdefault(row["network"], row["value"])
    told = {}
    for score, values in held.items():
        pairs = np.stack([[values[name] for name in found.networks], found.single.mean(1)], axis=1)
        ends = agreement.interval(pairs, lambda both: agreement.spearman(both)[0, 1])
        told[score] = [float(agreement.spearman(pairs)[0, 1]), *(float(end) for end in ends)]
    return told


def _figures(results: StudyResults, found: Scores) -> dict[str, dict[str, bytes]]:
    """By name, in a light and a dark version; also written into figures/ as PNG and SVG."""
    folder = results.folder / "figures"
    folder.mkdir(exist_ok=True)
    themed: dict[str, dict[str, bytes]] = {}
    for theme, ink in plots.THEMES.items():
        for name, figure in _drawn(found, ink).items():
            themed.setdefault(name, {})[theme] = plots.png(figure)
            if theme == "light":
                (folder / f"{name}.png").write_bytes(plots.drawn(figure, "png"))
                (folder / f"{name}.svg").write_bytes(plots.drawn(figure, "svg"))
    return themed


def _drawn(found: Scores, ink: plots.Ink) -> dict[str, Any]:
    if len(found.networks) < FEW:
        return {}
    return {
        **{
            f"correlation-{name.lower()}": study_plots.correlation_map(
                statistic(found.single), found.scenarios, f"{name}, {len(found.networks)} networks", ink
            )
            for name, statistic in agreement.CORRELATIONS.items()
        },
        "ranks": study_plots.rank_map(found, ink),
        **study_plots.over_facts(found, ink),
    }


def headline(found: Scores) -> str:
    """The sentence that the page begins with."""
    best = {found.networks[index] for index in found.single.argmax(0)}
    count = (
        f"{len(found.networks)} networks, {len(found.scenarios)} scenarios: {len(best)} different networks come first"
    )
    regret = agreement.honest_regret([*found.repeats.values()])
    if regret is None:
        return f"{count}. No network was trained twice yet, so how much of that is luck is not known."
    return (
        f"{count}. Choosing one network for all costs {regret[0]:.1f} points a scenario against one for each, and "
        f"drawing one at random {regret[1]:.1f}."
    )


def _page(
    results: StudyResults, found: Scores, groups: Mapping[str, Any], figures: Mapping[str, Mapping[str, bytes]]
) -> str:
    config = results.config
    trainings = len({(row["network"], row["seed"]) for row in results.rows})
    facts = {
        "Networks": str(len(found.networks)),
        "Trainings": str(trainings),
        "Learned on": str(config["data"]),
        "Method": str(config["mode"]),
        "Image-passes": f"{results.rows[0]['passes']:,}",
        "Judged by": title(PROTOCOL),
    }
    shown = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    return whole_page(
        results.folder.resolve().name,
        f"""<header><h1>ssl_keras · study</h1><p class="headline">{escape(headline(found))}</p>
<dl class="facts">{shown}</dl></header>
{_best(found)}{_noise(found)}{_agreement(groups, found, figures)}{_costs(figures)}{_scores(groups)}{_rest(results)}""",
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(
        f"<tr><th>{escape(first)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for first, *cells in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _best(found: Scores) -> str:
    near, shortfall = agreement.near_best(found), agreement.regret(found.single)
    overall = int(found.single.mean(1).argmax())
    rows = []
    for place, scenario in enumerate(found.scenarios):
        winner = int(found.single[:, place].argmax())
        value, noise = found.single[winner, place], found.seed_deviation[place]
        tied = f"{near[:, place].sum() - 1}" if np.isfinite(noise) else "not known"
        rows.append((scenario, found.networks[winner], f"{value:.1f}", tied, f"{shortfall[overall, place]:.1f}"))
    name = found.networks[overall]
    return f"""<section><h2>The best network of every scenario</h2>
<p>Others within noise: those whose distance from the best is less than 95 % of differences between two trainings of one
and the same network; among them the order says nothing. The last column is what {escape(name)}, the best on average,
lacks.</p>
{_table(("scenario", "best", "top-1 %", "others within noise", f"{name} lacks"), rows)}</section>
"""


def _noise(found: Scores) -> str:
    repeats = [*found.repeats.values()]
    if len(repeats) < 2:
        return "<section><h2>Networks or luck?</h2><p>No two networks were trained more than once yet.</p></section>\n"
    share = agreement.reliability(repeats)
    low, high = agreement.reliability_interval(repeats)
    rows = [
        (
            scenario,
            f"{found.single[:, place].std(ddof=1):.2f}",
            f"{found.seed_deviation[place]:.2f}",
            f"{100 * share[place]:.0f} ({100 * low[place]:.0f} to {100 * high[place]:.0f})",
        )
        for place, scenario in enumerate(found.scenarios)
    ]
    heads = ("scenario", "between networks, points", "between seeds, points", "share of networks, %")
    return f"""<section><h2>Networks or luck?</h2>
<p>Standard deviation of accuracy between networks (one training each), and between trainings of one network that differ
in the seed alone ({len(repeats)} networks). The share is that of the variance of single trainings which lies between
networks (ICC, with a 95 % interval over networks). A scenario with a small share cannot agree with any other.</p>
{_table(heads, rows)}</section>
"""


def _agreement(groups: Mapping[str, Any], found: Scores, figures: Mapping[str, Mapping[str, bytes]]) -> str:
    drawn = [name for name in figures if name.startswith("correlation-")]
    if not drawn:
        return ""
    maps = "".join(figure_html(figures[name], "", f"Correlations between scenarios, {name}") for name in drawn)
    rows = []
    for words, group in groups.items():
        low, high = group["Spearman"]["mean of pairs"][1:]
        values = [f"{group[name]['mean of pairs'][0]:.2f}" for name in agreement.CORRELATIONS]
        top = f"{group['ceiling, mean of pairs']:.2f}" if "ceiling, mean of pairs" in group else "–"
        rows.append((words, str(group["networks"]), *values, f"{low:.2f} to {high:.2f}", top))
    heads = ("networks", "how many", *agreement.CORRELATIONS, "95 % of Spearman's", "ceiling")
    return f"""<section><h2>Do scenarios agree?</h2>
<p>Correlation of accuracy over networks, mean of all pairs of scenarios. The ceiling is what two scenarios would show
that agree entirely, given how much of a single training is luck. Few outliers can make correlations large, so the
groups are stated; intervals are over networks.</p>
{_table(heads, rows)}
<div class="curves">{maps}</div>
{figure_html(figures["ranks"], "bars", "Place of every network in every scenario")}
<p class="soft">Place of every network in every scenario, darker is better; networks by their mean place.</p></section>
"""


def _scores(groups: Mapping[str, Any]) -> str:
    if not groups or not next(iter(groups.values()))["scores without labels"]:
        return ""
    rows = [
        (f"{score}, {words}", str(group["networks"]), f"{value:.2f}", f"{low:.2f} to {high:.2f}")
        for words, group in groups.items()
        for score, (value, low, high) in group["scores without labels"].items()
    ]
    heads = ("score", "networks", "Spearman", "95 % interval")
    return f"""<section><h2>Could it have been told without labels?</h2>
<p>Rank correlation of scores of the embeddings of training images, which need no labels, with the mean accuracy over
scenarios; over networks. RankMe and kept clusters would be large for good networks, alignment and uniformity small.</p>
{_table(heads, rows)}</section>
"""


def _costs(figures: Mapping[str, Mapping[str, bytes]]) -> str:
    drawn = [name for name in figures if name.startswith("accuracy-over-")]
    if not drawn:
        return ""
    shown = "".join(figure_html(figures[name], "", name.replace("-", " ")) for name in drawn)
    return f"""<section><h2>What goes with accuracy</h2>
<p>One panel a scenario, one point a network. The bar at the right edge of a panel is two standard deviations from
training to training of one network.</p>{shown}</section>
"""


def _rest(results: StudyResults) -> str:
    failed = "".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in results.failures.items())
    failures = f"<h3>Failed</h3><ul>{failed}</ul>" if failed else ""
    return f"""<section><h2>In full</h2>{failures}
<p>table.parquet and table.csv have one row per network, seed, scenario, protocol and metric; analysis.json has every
correlation with its interval; figures/ has the plots as PNG and SVG.</p>
<details><summary>Configuration</summary><pre>{escape(json.dumps(results.config, indent=2))}</pre></details></section>
"""
