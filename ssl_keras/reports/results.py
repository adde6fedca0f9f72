"""What ``results.json`` says: rows by scenario and encoder, which differences are real, and a sentence on them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUBJECT = "pretrained"
UNTRAINED, PIXELS, SUPERVISED = "untrained", "raw pixels", "supervised"
SLICED, BASELINES = "from supernet", ("resnet18", "mobilenet_v2", "random")
ENCODERS = (SUBJECT, UNTRAINED, PIXELS, SUPERVISED, SLICED, *BASELINES)
"""Names of the encoders in a run's results, in the order of the report's columns."""

MEAN = "mean"
"""Stands for a scenario in the rows of the mean over all scenarios."""

PROTOCOLS = {
    "linear": "Linear classifier on frozen embeddings",
    "knn20": "20 nearest neighbours",
    "knn200": "200 nearest neighbours",
    "linear_sgd": "Linear classifier by gradient descent, as in the study",
    "low-shot 1": "Nearest class mean, one labelled image a class",
    "low-shot 5": "Nearest class mean, five labelled images a class",
    "low-shot 10": "Nearest class mean, ten labelled images a class",
    "finetune 1 %": "All weights fine-tuned on 1 % of the labels",
    "finetune 10 %": "All weights fine-tuned on 10 % of the labels",
    "finetune": "All weights fine-tuned",
    "corruptions": "Linear classifier, asked about corrupted images",
    "segmentation, frozen": "Segmentation, encoder frozen",
    "segmentation, fine-tuned": "Segmentation, encoder fine-tuned",
    "multi_label": "A logistic regression per class on frozen embeddings",
    "retrieval": "Retrieval among the test images",
    "style, seen": "Linear classifier of shape, in styles that it learned",
    "style, unseen": "Linear classifier of shape, in other styles",
    "shape against texture": "Neighbours of the same shape, where texture says another class",
}

METRICS = ("top1", "mean_per_class", "miou", "map")
"""Metrics of which a scenario's first stands in the table of a protocol."""
BY_KIND = "by kind"
WORDS = {"top5": "top-5", "worst_group": "worst group", BY_KIND: "by kind, top-1"}
"""Further metrics in words."""
UNITS = {"segmentation": "mIoU %", "retrieval": "mean average precision %", "multi_label": "mean average precision %"}
"""Start of a protocol's name to what it counts; others count right answers."""

FORGOTTEN = {
    "color": "its views shift colours and drop them to grey",
    "colour": "its views shift colours and drop them to grey",
    "lighting": "its views change brightness and contrast",
    "light": "its views change brightness and contrast",
    "position": "its views are crops at random places",
    "blur": "its views are crops enlarged by different factors, which changes their sharpness",
    "scale": "its views are crops of random size",
    "pose": "its views are mirrored and cropped",
}
"""Label set to what the augmentation does to it: an encoder that agrees on such views is taught to ignore it."""


@dataclass(frozen=True)
class Score:
    """A top-1 accuracy with its 95 % interval, all in percent."""

    value: float
    low: float
    high: float

    def above(self, other: "Score") -> bool:
        """Whether it is better, and the intervals do not overlap."""
        return self.low > other.high


Table = dict[str, dict[str, Score]]
"""Scenario to encoder to score, under one protocol."""


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``results.json``."""
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return rows


def tables(rows: Sequence[Mapping[str, Any]]) -> dict[str, Table]:
    """The rows of ``results.json`` by protocol, in the order of :data:`PROTOCOLS`, then as they come.

    Further metrics of a protocol are tables of their own, called by both names: "linear, top5". A metric of one kind of
    test images, "top1 fog", is a row of a table of all kinds.
    """
    found: dict[str, Table] = {}
    for row in rows:
        score = Score(float(row["value"]), float(row["low"]), float(row["high"]))
        title, scenario = row["protocol"], row["scenario"]
        counted, _, kind = row["metric"].partition(" ")
        if kind:  # of one kind of test images
            title, scenario = f"{title}, {BY_KIND}", f"{scenario}, {kind}"
        elif counted not in METRICS:
            title = f"{title}, {counted}"
        found.setdefault(title, {}).setdefault(scenario, {}).setdefault(row["encoder"], score)
    order = [*PROTOCOLS, *(protocol for protocol in found if protocol not in PROTOCOLS)]
    return {protocol: found[protocol] for protocol in order if protocol in found}


def title(protocol: str) -> str:
    """A protocol in words, and what its table counts."""
    name, _, metric = protocol.rpartition(", ")
    if protocol not in PROTOCOLS and name in PROTOCOLS:
        return f"{PROTOCOLS[name]}, {WORDS.get(metric, metric)} %"
    unit = next((unit for start, unit in UNITS.items() if protocol.startswith(start)), "top-1 %")
    return f"{PROTOCOLS.get(protocol, protocol)}, {unit}"


def encoders(table: Table) -> list[str]:
    """The encoders of a table: known ones in their order, then others."""
    present = list(dict.fromkeys(name for scores in table.values() for name in scores))
    known = [name for name in ENCODERS if name in present]
    return known + [name for name in present if name not in ENCODERS]


def winner(scores: Mapping[str, Score]) -> str | None:
    """The encoder whose interval lies above all others', if there is one."""
    for name, score in scores.items():
        others = [other for key, other in scores.items() if key != name]
        if others and all(score.above(other) for other in others):
            return name
    return None


def scenarios(table: Table) -> Table:
    """The table without its mean."""
    return {name: scores for name, scores in table.items() if name != MEAN}


def headline(table: Table) -> str:
    """One or two sentences: in how many scenarios pre-training pays, and by how much on average."""
    rivals = [name for name in (UNTRAINED, PIXELS) if any(name in scores for scores in table.values())]
    if not rivals or not any(SUBJECT in scores for scores in table.values()):
        return f"Measured in {_count(len(scenarios(table)), 'scenario')}, with no yardstick to compare with."
    single = scenarios(table)
    wins = [scenario for scenario, scores in single.items() if _beats(scores, rivals)]
    against = _and([_spelled(name) for name in rivals])
    if len(single) == 1:
        sentence = (
            f"The encoder beats {against}, and no 95\u00a0% interval overlaps."
            if wins
            else f"The encoder does not beat {against} with 95\u00a0% intervals that do not overlap."
        )
    else:
        sentence = (
            f"The encoder beats {against} in {len(wins) or 'none'} of {_count(len(single), 'scenario')}, with "
            "95\u00a0% intervals that do not overlap."
        )
    return sentence + _means(table, rivals)


def at_equal_cost(table: Table) -> list[str]:
    """One sentence for each network of the same cost that stands beside a searched one."""
    single, means, sentences = scenarios(table), table.get(MEAN, {}), []
    for name in BASELINES:
        pairs = [(scores[SUBJECT], scores[name]) for scores in single.values() if {SUBJECT, name} <= set(scores)]
        if not pairs:
            continue
        won, lost = (sum(one.above(other) for one, other in ends) for ends in (pairs, [pair[::-1] for pair in pairs]))
        sentence = f"At equal cost and training it beats {name} in {won or 'none'} of {_count(len(pairs), 'scenario')} "
        sentence += f"and loses in {lost or 'none'}, clearly"
        if {SUBJECT, name} <= set(means):
            sentence += f"; on average {means[SUBJECT].value:.1f}\u00a0% against {means[name].value:.1f}\u00a0%"
        sentences.append(sentence + ".")
    return sentences


def losses(table: Table) -> list[str]:
    """One sentence for each scenario where a yardstick without training is clearly better, with the likely reason."""
    sentences = []
    for scenario, scores in scenarios(table).items():
        better = [name for name in (UNTRAINED, PIXELS) if name in scores and scores[name].above(scores[SUBJECT])]
        if better:
            sentences.append(
                f"On {scenario} it loses to {_and([_spelled(name) for name in better])}{_reason(scenario)}."
            )
    return sentences


def _beats(scores: Mapping[str, Score], rivals: Sequence[str]) -> bool:
    return SUBJECT in scores and all(name in scores and scores[SUBJECT].above(scores[name]) for name in rivals)


def _means(table: Table, rivals: Sequence[str]) -> str:
    means = table.get(MEAN, {})
    if SUBJECT not in means:
        return ""
    against = _and([f"{means[name].value:.1f}\u00a0% ({name})" for name in rivals if name in means])
    apart = ", and no interval overlaps" if _beats(means, rivals) else ""
    return f" On average it reaches {means[SUBJECT].value:.1f}\u00a0%, against {against}{apart}."


def _reason(scenario: str) -> str:
    words = scenario.lower().replace("/", " ").replace("_", " ").replace(":", " ").split()
    reasons = [FORGOTTEN[word] for word in words if word in FORGOTTEN]
    if reasons:
        return f": {reasons[0]}, so learning to agree on them is learning to ignore it"
    if "/" in scenario:  # a label set of a source with several
        return ": telling the training images apart asked for other things first"
    return ": images of another kind than those it learned from"


def _spelled(name: str) -> str:
    return {UNTRAINED: "its untrained self"}.get(name, name)


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
