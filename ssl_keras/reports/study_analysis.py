"""A study's table, analysed: do scenarios agree on which network is best, and is there more in it than noise?"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import t as student

from ssl_keras.architecture.cost import cost
from ssl_keras.architecture.grammar import Architecture
from ssl_keras.architecture.study import STUDIES, study
from ssl_keras.reports import agreement
from ssl_keras.reports.agreement import Scores, Values
from ssl_keras.reports.page import ReportError

PARTS = ("in all scenarios", "in one scenario", "luck")
"""What variance is split into."""
PROTOCOL, METRIC = "linear", "top1"
"""What the analysis looks at."""
LABEL_FREE = "label_free"
"""The protocol of rows that hold scores of embeddings of the training images, without labels."""
FEW = 5
"""Networks below which correlations are not worth showing."""
EVERYONE = "all networks"
GROUPS = (EVERYONE, "ResNets", "MobileNets")
"""The first of `filters`: all, and each family."""

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

    @cached_property
    def named(self) -> tuple[str, ...]:
        """Networks that the study was given by name, beside others that were drawn from the families; else none.

        Those of no family were, also where a later command of the study no longer names them.
        """
        given = {entry.partition("=")[0].strip() for entry in self.config["networks"] if entry not in STUDIES}
        there = dict.fromkeys(row["network"] for row in self.judged)
        chosen = tuple(name for name in there if name in given or name not in published())
        return chosen if len(chosen) < len(there) else ()

    @cached_property
    def compared(self) -> list[Mapping[str, Any]]:
        """What is `judged` of networks that are not `named`: chosen ones would pass for a sample."""
        return [row for row in self.judged if row["network"] not in self.named]


@cache
def published() -> dict[str, Architecture]:
    """The networks of all families, by name."""
    return {name: network for family in STUDIES for name, network in study(family)}


@cache
def filters() -> dict[str, Chosen]:
    """Groups of networks that are looked at by themselves, by the words that say which."""
    families = {family: {name for name, _ in study(family)} for family in STUDIES}

    @cache
    def params(name: str) -> float:
        return cost(published()[name], (224, 224, 3)).params

    def plain_bottleneck(name: str) -> bool:
        text = str(published()[name])
        return "bottleneck_" in text and "_g" not in text and "_w" not in text

    return {
        EVERYONE: lambda name: True,
        "ResNets": lambda name: name in families["resnet"],
        "MobileNets": lambda name: name in families["mobilenet"],
        "bottleneck ResNets of usual width, 12 to 30 M parameters as published (the paper's filter)": (
            lambda name: name in families["resnet"] and plain_bottleneck(name) and 12e6 <= params(name) <= 30e6
        ),
        "MobileNets below 10 M parameters as published (the paper's filter)": (
            lambda name: name in families["mobilenet"] and params(name) < 10e6
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
        path.stem: json.loads(path.read_text())["reason"] for path in sorted((folder / "failed").glob("[!.]*.json"))
    }
    rows = pq.read_table(folder / "table.parquet").to_pylist()
    return StudyResults(folder, json.loads((folder / "study.json").read_text()), rows, failures)


def analysis(results: StudyResults) -> dict[str, Any]:
    """Every figure of the page, as plain JSON types."""
    groups = {words: agreement.scores(results.compared, chosen) for words, chosen in filters().items()}
    return {
        "protocol": PROTOCOL,
        "named": {name: _standing(results, name) for name in results.named},
        "places": _places(agreement.scores(results.judged)),
        "groups": {words: _group(results, found) for words, found in groups.items() if len(found.networks) >= FEW},
    }


def _places(found: Scores) -> dict[str, dict[str, list[float]]]:
    """Of every network, named ones too: its place in each scenario, and the points it lacks to the first there."""
    return {
        name: {"rank": rank.tolist(), "regret": lacks.tolist()}
        for name, rank, lacks in zip(
            found.networks, agreement.ranks(found.single), agreement.regret(found.single), strict=True
        )
    }


def _standing(results: StudyResults, name: str) -> dict[str, Any]:
    """What a named network reached, and how it stands beside each group of drawn ones."""
    own = [row for row in results.judged if row["network"] == name]
    beside = {}
    for words in GROUPS:
        drawn = [row for row in results.compared if filters()[words](row["network"])]
        found = agreement.scores([*own, *drawn])
        if len(found.networks) > 1:
            beside[words] = _beside(found, name)
    alone = agreement.scores(own)
    means = alone.repeats.get(name, alone.single).mean(1)
    return {"macs": int(alone.fact("macs")[0]), "means of trainings": means.tolist(), "beside": beside}


def _beside(found: Scores, name: str) -> dict[str, Any]:
    """The mean of one network's trainings beside the first trainings of the others, scenarios averaged.

    So a lead over the mean is fair, and one over the best too small: the best of many was lucky. The interval is
    Welch's, of both chances: which networks were drawn, and from training to training, pooled over the repeated
    networks. Others that could be as good are those not behind by more than luck, 95 % of each pair's.
    """
    index = found.networks.index(name)
    rivals = np.delete(found.single.mean(1), index)
    runs = found.repeats.get(name, found.single[[index]]).mean(1)
    lead = float(runs.mean() - rivals.mean())
    told: dict[str, Any] = {
        "networks": len(rivals),
        "ahead": int((rivals > runs.mean()).sum()),
        "lead over the mean": lead,
        "lead over the best": float(runs.mean() - rivals.max()),
    }
    if found.freedom and len(rivals) > 1:
        luck = float(agreement.pooled_variance(one.mean(1) for one in found.repeats.values()))
        chances = np.array([rivals.var(ddof=1) / len(rivals), luck / len(runs)])
        freedom = chances.sum() ** 2 / (chances**2 / (len(rivals) - 1, found.freedom)).sum()
        reach = student.ppf(0.975, freedom) * np.sqrt(chances.sum())
        told["lead over the mean, low and high"] = [lead - reach, lead + reach]
        margin = student.ppf(0.975, found.freedom) * np.sqrt(luck * (1 + 1 / len(runs)))
        told["could be as good"] = int((rivals > runs.mean() - margin).sum())
    return told


def _group(results: StudyResults, found: Scores) -> dict[str, Any]:
    told: dict[str, Any] = {
        "networks": len(found.networks),
        "repeated networks": len(found.repeats),
        "scenarios": found.scenarios,
        "mean": found.single.mean(0).tolist(),
        "deviation between networks": found.single.std(0, ddof=1).tolist(),
        "best": [found.networks[index] for index in found.single.argmax(0)],
        "scores without labels": _label_free(results, found),
        "goes with accuracy": {name: _goes_with_accuracy(found.fact(name), found) for name in agreement.FACTS},
    }
    if len(found.scenarios) > 1:
        most = _ceiling(found) if found.freedom else None
        told |= {name: _correlation(found, name, most) for name in agreement.CORRELATIONS}
    if found.freedom:
        told["deviation between seeds"] = found.seed_deviation.tolist()
        told["share of networks"] = dict(
            zip(("value", "low", "high"), (part.tolist() for part in agreement.reliability(found)), strict=True)
        )
        if len(found.scenarios) > 1:
            told["luck in common"] = agreement.luck_in_common(found)
        told["could be the best, by scenario"] = agreement.near_best(found).sum(0).tolist()
    if len(found.repeats) > 2 and len(found.scenarios) > 1:
        told["variance"] = _variance(found)
        told["regret of one for all, by the training that chose"] = agreement.regret_of_choice(
            agreement.stacked(found)
        ).tolist()
    return told


def _variance(found: Scores) -> dict[str, list[float]]:
    """Shares of variance of the repeated networks, each with its interval."""
    told = agreement.variance_parts(agreement.stacked(found))
    return {name: [float(part[place]) for part in told] for place, name in enumerate(PARTS)}


def _ceiling(found: Scores) -> tuple[Values, Values]:
    """(s, s) the largest Pearson correlations that luck leaves, and (r, s, s) what they could be."""
    common = agreement.luck_in_common(found)
    shares = agreement.reliability(found)[0], agreement.shares_by_chance(found)
    return agreement.ceiling(shares[0], common), agreement.ceiling(shares[1], common)


def _correlation(found: Scores, name: str, most: tuple[Values, Values] | None) -> dict[str, Any]:
    """Of every pair and of the mean of pairs, with intervals over networks, and what luck leaves of perfect ones."""
    statistic = agreement.CORRELATIONS[name]
    value, draws = statistic(found.single), agreement.resampled(found.single, statistic)
    low, high = agreement.middle(draws)
    ends = agreement.middle(agreement.mean_of_pairs(draws))
    told = {
        "value": value.tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "mean of pairs": [float(part) for part in (agreement.mean_of_pairs(value), *ends)],
    }
    if most:
        ceiling, drawn = (agreement.SEEN_AS[name](part) for part in most)
        ends = agreement.middle(agreement.mean_of_pairs(drawn))
        told |= {
            "ceiling": ceiling.tolist(),
            "ceiling, mean of pairs": [float(part) for part in (agreement.mean_of_pairs(ceiling), *ends)],
        }
    return told


def _label_free(results: StudyResults, found: Scores) -> dict[str, list[float]]:
    """Spearman's correlation of each score with the mean accuracy over scenarios, and its interval over networks."""
    held: dict[str, dict[str, float]] = {}
    for row in results.rows:
        if row["protocol"] == LABEL_FREE and row["value"] is not None:
            held.setdefault(row["metric"], {}).setdefault(row["network"], row["value"])
    told = {}
    for score, values in held.items():
        if not set(found.networks) <= set(values):
            continue  # a network has none, or none that is finite
        told[score] = _goes_with_accuracy([values[name] for name in found.networks], found)
    return told


def _goes_with_accuracy(values: Sequence[float] | Values, found: Scores) -> list[float]:
    """Spearman's correlation of one value a network with its mean over scenarios, and the interval over networks."""
    pairs = np.stack([values, found.single.mean(1)], axis=1)
    return agreement.with_interval(pairs, lambda both: agreement.spearman(both)[0, 1])
