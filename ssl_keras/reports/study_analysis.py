"""A study's table, analysed: do scenarios agree on which network is best, and is there more in it than noise?"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

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


@cache
def published() -> dict[str, Architecture]:
    """The families' networks by name, as published."""
    return {name: network for family in STUDIES for name, network in study(family)}


def named(found: Scores) -> tuple[str, ...]:
    """Networks of no family: those that the study was given by name and string."""
    return tuple(name for name in found.networks if name not in published())


@cache
def filters() -> dict[str, Chosen]:
    """Groups of networks that are looked at by themselves, by the words that say which."""

    @cache
    def params(name: str) -> float:
        return cost(published()[name], (224, 224, 3)).params if name in published() else np.nan

    def plain_bottleneck(name: str) -> bool:
        text = str(published().get(name, ""))
        return "bottleneck_" in text and "_g" not in text and "_w" not in text

    return {
        EVERYONE: lambda name: True,
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
        path.stem: json.loads(path.read_text())["reason"] for path in sorted((folder / "failed").glob("[!.]*.json"))
    }
    rows = pq.read_table(folder / "table.parquet").to_pylist()
    return StudyResults(folder, json.loads((folder / "study.json").read_text()), rows, failures)


def analysis(results: StudyResults) -> dict[str, Any]:
    """Every figure of the page, as plain JSON types."""
    groups = {words: agreement.scores(results.judged, chosen) for words, chosen in filters().items()}
    return {
        "protocol": PROTOCOL,
        "named": {name: _standing(results, name) for name in named(groups[EVERYONE])},
        "groups": {words: _group(results, found) for words, found in groups.items() if len(found.networks) >= FEW},
    }


def _standing(results: StudyResults, name: str) -> dict[str, Any]:
    """A named network beside those drawn from the families, first trainings of each; of no others among the named."""
    found = agreement.scores(results.judged, lambda other: other == name or other in published())
    index, macs, means = found.networks.index(name), found.fact("macs"), found.single.mean(1)
    drawn = np.arange(len(means)) != index
    if not drawn.any():
        return {}
    leads = means[index] - means[drawn]
    low, high = agreement.middle(agreement.resampled(leads, np.mean))
    cheap = leads[macs[drawn] <= macs[index]]
    return {
        "macs": int(macs[index]),
        "means of trainings": found.repeats.get(name, found.single[[index]]).mean(1).tolist(),
        "drawn": len(leads),
        "ahead of it": int((leads < 0).sum()),
        "drawn that cost no more": len(cheap),
        "ahead of it that cost no more": int((cheap < 0).sum()),
        "lead over the mean": [float(leads.mean()), float(low), float(high)],
        "lead over the best": float(leads.min()),
        "scenarios": len(found.scenarios),
        "scenarios where it could be the best": int(agreement.near_best(found)[index].sum()),
    }


def _group(results: StudyResults, found: Scores) -> dict[str, Any]:
    share, low, high = (part.tolist() for part in agreement.reliability(found)) if found.freedom else ([], [], [])
    told: dict[str, Any] = {
        "networks": len(found.networks),
        "repeated networks": len(found.repeats),
        "scenarios": found.scenarios,
        "mean": found.single.mean(0).tolist(),
        "deviation between networks": found.single.std(0, ddof=1).tolist(),
        "best": [found.networks[index] for index in found.single.argmax(0)],
        "scores without labels": _label_free(results, found),
    }
    if len(found.scenarios) > 1:
        told |= {name: _correlation(found, name, np.array(share)) for name in agreement.CORRELATIONS}
    if found.freedom:
        told["deviation between seeds"] = found.seed_deviation.tolist()
        told["share of networks"] = {"value": share, "low": low, "high": high}
        told["could be the best, by scenario"] = agreement.near_best(found).sum(0).tolist()
    if len(found.repeats) > 2 and len(found.scenarios) > 1:
        told["variance"] = _variance(found)
        told["regret of one for all, by the training that chose"] = agreement.regret_of_choice(
            agreement.stacked(found)
        ).tolist()
    return told


def _variance(found: Scores) -> dict[str, list[float]]:
    """Shares of variance, each with its interval over the repeated networks."""
    runs = agreement.stacked(found)
    low, high = agreement.middle(agreement.resampled(runs, agreement.variance_parts))
    values = agreement.variance_parts(runs)
    return {name: [float(part[place]) for part in (values, low, high)] for place, name in enumerate(PARTS)}


def _correlation(found: Scores, name: str, share: Values) -> dict[str, Any]:
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
    if len(share):
        most = agreement.SEEN_AS[name](agreement.ceiling(share))
        told |= {"ceiling": most.tolist(), "ceiling, mean of pairs": float(agreement.mean_of_pairs(most))}
    return told


def _label_free(results: StudyResults, found: Scores) -> dict[str, list[float]]:
    """Spearman's correlation of each score with the mean accuracy over scenarios, and its interval over networks."""
    held: dict[str, dict[str, float]] = {}
    for row in results.rows:
        if row["protocol"] == LABEL_FREE and row["value"] is not None:
            held.setdefault(row["metric"], {}).setdefault(row["network"], row["value"])
    told = {}
    for score, values in held.items():
        if set(values) < set(found.networks):
            continue
        pairs = np.stack([[values[name] for name in found.networks], found.single.mean(1)], axis=1)
        ends = agreement.middle(agreement.resampled(pairs, lambda both: agreement.spearman(both)[0, 1]))
        told[score] = [float(agreement.spearman(pairs)[0, 1]), *(float(end) for end in ends)]
    return told
