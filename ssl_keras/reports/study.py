"""A study's folder as a page: its table and its analysis, told in words, tables and figures."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras.reports import agreement, plots, study_plots
from ssl_keras.reports.agreement import FACTS, Scores
from ssl_keras.reports.page import ReportError, figure_html, whole_page
from ssl_keras.reports.results import title
from ssl_keras.reports.study_analysis import EVERYONE, FEW, PARTS, PROTOCOL, StudyResults, analysis, read_study
from ssl_keras.reports.text import between


def write_study_report(folder: Path) -> Path:
    """Writes report.html, analysis.json and figures/ from a study's table; returns the page.

    Raises:
        ReportError: The folder holds no study, or no finished trial.
    """
    results = read_study(folder)
    found = agreement.scores(results.compared)
    if not found.networks:
        raise ReportError(f"{folder} has no network with a {PROTOCOL} figure in every scenario")
    told = analysis(results)
    (folder / "analysis.json").write_text(json.dumps(told, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    page = folder / "report.html"
    page.write_text(_page(results, found, told, _figures(results, found)), encoding="utf-8")
    return page


def _figures(results: StudyResults, found: Scores) -> dict[str, dict[str, bytes]]:
    """By name, in a light and a dark version; also written into figures/ as PNG and SVG."""
    folder = results.folder / "figures"
    folder.mkdir(exist_ok=True)
    everyone = agreement.scores(results.judged)
    themed: dict[str, dict[str, bytes]] = {}
    for theme, ink in plots.THEMES.items():
        for name, figure in _drawn(found, everyone, results.named, ink).items():
            themed.setdefault(name, {})[theme] = plots.png(figure)
            if theme == "light":
                (folder / f"{name}.png").write_bytes(plots.drawn(figure, "png"))
                (folder / f"{name}.svg").write_bytes(plots.drawn(figure, "svg"))
    return themed


def _drawn(compared: Scores, everyone: Scores, named: Sequence[str], ink: plots.Ink) -> dict[str, Any]:
    if len(compared.networks) < FEW or len(compared.scenarios) < 2:
        return {}
    return {
        **{
            f"correlation-{name.lower()}": study_plots.correlation_map(
                statistic(compared.single), compared.scenarios, f"{name}, {len(compared.networks)} networks", ink
            )
            for name, statistic in agreement.CORRELATIONS.items()
        },
        "ranks": study_plots.rank_map(everyone, named, ink),
        **study_plots.over_facts(everyone, named, ink),
    }


def headline(found: Scores, groups: Mapping[str, Any]) -> str:
    """The sentence that the page begins with."""
    best = {found.networks[index] for index in found.single.argmax(0)}
    count = (
        f"{len(found.networks)} networks, {len(found.scenarios)} scenarios: {len(best)} different networks come first"
    )
    parts = groups.get(EVERYONE, {}).get("variance")
    if parts is None:
        return f"{count}. Too few networks were trained more than once to tell how much of that is luck."
    general, own, luck = (100 * parts[name][0] for name in PARTS)
    return (
        f"{count}. Of the variance among the {len(found.repeats)} that were repeated {general:.0f} % is a network's "
        f"in all scenarios, {own:.0f} % its own in one, and {luck:.0f} % luck."
    )


def _page(
    results: StudyResults, found: Scores, told: Mapping[str, Any], figures: Mapping[str, Mapping[str, bytes]]
) -> str:
    config, groups = results.config, told["groups"]
    trainings = len({(row["network"], row["seed"]) for row in results.rows})
    facts = {
        "Networks": f"{len(found.networks)}" + (f", and {len(results.named)} named" if results.named else ""),
        "Trainings": str(trainings),
        "Learned on": str(config["data"]),
        "Method": str(config["mode"]),
        "Image-passes": f"{results.rows[0]['passes']:,}",
        "Judged by": title(PROTOCOL),
    }
    shown = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    top = f"""<header><h1>ssl_keras · study</h1><p class="headline">{escape(headline(found, groups))}</p>
<dl class="facts">{shown}</dl></header>
"""
    answers = (
        _best(found),
        _noise(found, groups),
        _agreement(groups, found, figures),
        _named(told["named"]),
        _costs(figures, groups),
        _scores(groups),
    )
    return whole_page(results.folder.resolve().name, "".join((top, *answers, _rest(results))))


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
        others = f"{near[:, place].sum() - 1}" if found.freedom else "not known"
        value, lacks = found.single[winner, place], shortfall[overall, place]
        rows.append((scenario, found.networks[winner], f"{value:.1f}", others, f"{lacks:.1f}"))
    name = found.networks[overall]
    return f"""<section><h2>The best network of every scenario</h2>
<p>The first of many is told better than it is. Others could be the best for all that single trainings tell: of so many
equal networks, 95 % would be as near to the luckiest. The last column is what {escape(name)}, the best on average,
lacks to each scenario's first, luck included.</p>
{_table(("scenario", "first", "top-1 %", "others that could be", f"{name} lacks"), rows)}</section>
"""


def _noise(found: Scores, groups: Mapping[str, Any]) -> str:
    if not found.freedom or len(found.networks) < 2:
        lack = "It takes two networks, and one of them trained with several seeds."
        return f"<section><h2>Networks or luck?</h2><p>{lack}</p></section>\n"
    share, low, high = agreement.reliability(found)
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
in the seed alone ({len(found.repeats)} networks, {found.freedom} further trainings). The share is that of the variance
of single trainings which lies between networks, with its 95 % interval. A scenario with a small share cannot agree with
any other. All are judged on the same test images, whose luck counts as a difference between networks.</p>
{_table(heads, rows)}{_parts(groups.get(EVERYONE, {}))}</section>
"""


def _parts(group: Mapping[str, Any]) -> str:
    if "variance" not in group:
        return ""
    rows = [
        (name, f"{100 * value:.0f}", f"{100 * low:.0f} to {100 * high:.0f}")
        for name, (value, low, high) in group["variance"].items()
    ]
    lacks = group["regret of one for all, by the training that chose"]
    return f"""<h3>One network for all?</h3>
<p>The variance of the {group["repeated networks"]} repeated networks' accuracy in three parts (scenarios in units of
their deviation). What a network has in all scenarios would make one the best everywhere; what it has in one would not.
Choosing by one training and judging by the others, one network for all lacks {np.mean(lacks):.1f} points a
scenario to one for each ({min(lacks):.1f} to {max(lacks):.1f}, by the training that chose; below 0, the choice for all,
which rests on all scenarios, was the better one).</p>
{_table(("part", "share, %", "95 % interval"), rows)}"""


def _agreement(groups: Mapping[str, Any], found: Scores, figures: Mapping[str, Mapping[str, bytes]]) -> str:
    drawn = [name for name in figures if name.startswith("correlation-")]
    if not drawn or len(found.scenarios) < 2:
        return ""
    maps = "".join(figure_html(figures[name], "", f"Correlations between scenarios, {name}") for name in drawn)
    rows = []
    for words, group in groups.items():
        low, high = group["Spearman"]["mean of pairs"][1:]
        values = [f"{group[name]['mean of pairs'][0]:.2f}" for name in agreement.CORRELATIONS]
        most = group["Spearman"].get("ceiling, mean of pairs")
        top = between(*most) if most else "–"
        rows.append((words, str(group["networks"]), *values, f"{low:.2f} to {high:.2f}", top))
    heads = ("networks", "how many", *agreement.CORRELATIONS, "95 % of Spearman's", "its ceiling")
    return f"""<section><h2>Do scenarios agree?</h2>
<p>Correlation of accuracy over networks, mean of all pairs of scenarios. The ceiling is what two scenarios would show
that agree entirely on networks, given how much of a single training is luck and how much of that luck they share: a
training can go well in all. Few outliers can make correlations large, so the groups are stated; intervals are over
networks and, the ceiling's, over luck.</p>
{_table(heads, rows)}
<div class="curves">{maps}</div>
{figure_html(figures["ranks"], "bars", "Place of every network in every scenario")}
<p class="soft">Place of every network in every scenario, darker is better; networks by their mean place, named ones in
bold.</p></section>
"""


def standings(named: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for each named network, as words under their heads.

    Args:
        named: as in `analysis`.
    """
    rows = []
    for name, stands in named.items():
        drawn = stands["beside"][EVERYONE]
        row = {
            "network": name,
            "multiply-adds, M": f"{stands['macs'] / 1e6:.1f}",
            "mean of scenarios, each training, %": ", ".join(f"{one:.1f}" for one in stands["means of trainings"]),
        }
        for words, beside in stands["beside"].items():
            if words != EVERYONE:
                ends = beside.get("lead over the mean, low and high")
                interval = "" if ends is None else " ({:+.1f} to {:+.1f})".format(*ends)
                head = f"lead over the mean of {beside['networks']} {words}"
                row[head] = f"{beside['lead over the mean']:+.1f}{interval}"
        rows.append(
            row
            | {
                "lead over the best drawn": f"{drawn['lead over the best']:+.1f}",
                "drawn ahead of it": f"{drawn['ahead']} of {drawn['networks']}",
                "drawn that could be as good": str(drawn.get("could be as good", "not known")),
            }
        )
    return rows


def _named(named: Mapping[str, Any]) -> str:
    if not (rows := standings(named)):
        return ""
    return f"""<section><h2>Named networks beside the drawn ones</h2>
<p>The mean of a named network's trainings beside the first trainings of networks drawn from the families. Intervals are
95 %, over the networks drawn and the luck of trainings. The best of many was lucky: a lead over it is understated.
Those that could be as good are not behind by more than the luck of trainings.</p>
{_table([*rows[0]], [[*row.values()] for row in rows])}</section>
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


def _costs(figures: Mapping[str, Mapping[str, bytes]], groups: Mapping[str, Any]) -> str:
    drawn = [name for name in figures if name.startswith("accuracy-over-")]
    if not drawn or not groups:
        return ""
    shown = "".join(figure_html(figures[name], "", name.replace("-", " ")) for name in drawn)
    rows = [[words, *(between(*one) for one in group["goes with accuracy"].values())]
            for words, group in groups.items()]  # fmt: skip
    return f"""<section><h2>What goes with accuracy</h2>
<p>Spearman's correlation with the mean accuracy over scenarios, and its 95 % interval over networks. The bottom of a
network is all up to its second stage of blocks.</p>
{_table(("networks", *FACTS.values()), rows)}
<p>One panel a scenario, one point a network, a larger mark for a named one. The bar at the right edge of a panel is two
standard deviations from training to training of one network.</p>{shown}</section>
"""


def _rest(results: StudyResults) -> str:
    failed = "".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in results.failures.items())
    failures = f"<h3>Failed</h3><ul>{failed}</ul>" if failed else ""
    return f"""<section><h2>In full</h2>{failures}
<p>table.parquet and table.csv have one row per network, seed, scenario, protocol and metric; analysis.json has every
correlation with its interval; figures/ has the plots as PNG and SVG.</p>
<details><summary>Configuration</summary><pre>{escape(json.dumps(results.config, indent=2))}</pre></details></section>
"""
