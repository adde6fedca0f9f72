"""The scenarios, as a table, and the function that runs encoders through them."""

import difflib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ssl_keras.data.shapes import LABEL_SETS, SIDES
from ssl_keras.data.sources import Source, at_most, open_source
from ssl_keras.learning.measures import Floats, Integers
from ssl_keras.scenarios.features import RawPixels, extract, weights_hash
from ssl_keras.scenarios.knn import knn
from ssl_keras.scenarios.linear import linear
from ssl_keras.scenarios.protocol import Outcome
from ssl_keras.scenarios.results import MEAN, Row, bootstrap, bootstrap_mean

Protocol = Callable[[Floats, Integers, Floats, Integers, int], dict[str, Outcome]]

PROTOCOLS: tuple[Protocol, ...] = (knn, linear)
"""Each gives one or more named outcomes; every scenario goes through all."""


@dataclass(frozen=True)
class Scenario:
    """A labelled task that features are judged on.

    Attributes:
        name: what tables show.
        source: what `open_source` takes, without a split; "{size}" stands for the image size, within what `shapes`
            can render.
        label: which of the source's label sets.
        train: split that kNN and the linear classifier learn from.
        test: split that they are judged on.
    """

    name: str
    source: str | PathLike[str] | Source
    label: str = "label"
    train: str = "train"
    test: str = "test"

    def spec(self, image_size: int) -> str | PathLike[str] | Source:
        """The source to open for encoders that see images of side `image_size`."""
        if not isinstance(self.source, str):
            return self.source
        return self.source.replace("{size}", str(min(max(image_size, SIDES[0]), SIDES[1])))


SUITES: Mapping[str, tuple[Scenario, ...]] = {
    "embedded": (
        *(Scenario(f"shapes/{label}", "shapes@{size}", label) for label in LABEL_SETS),
        Scenario("digits", "digits"),
    ),
    "cifar10": (Scenario("cifar10", "tfds:cifar10"),),
}
"""Named groups of scenarios. A new scenario is a new row; nothing else knows their names."""


@dataclass(frozen=True)
class Evaluation:
    """What `run` found.

    Attributes:
        rows: scenario by scenario, in each encoder by encoder.
        skipped: scenario name to the sentence that says what is missing and how to get it.
        remarks: sentences on departures from a protocol, such as a clipped k.
        chosen: hyper-parameters used, by "encoder / scenario / protocol".
        sources: checksum of every source used, by its name.
    """

    rows: list[Row] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    chosen: dict[str, dict[str, float]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


Answers = dict[tuple[str, str], list[tuple[int, int, npt.NDArray[np.bool_]]]]
"""(encoder, protocol) to, for each scenario: a number of its source, its training images, the right answers."""


def find(scenarios: str | Scenario | Iterable[str | Scenario]) -> tuple[Scenario, ...]:
    """Scenarios by the name of a suite or of a scenario in one; scenarios themselves pass through.

    Raises:
        ValueError: a name that is neither, or two different scenarios of one name.
    """
    wanted = (scenarios,) if isinstance(scenarios, str | Scenario) else tuple(scenarios)
    known = {scenario.name: (scenario,) for scenario in itertools.chain(*SUITES.values())} | dict(SUITES)
    found: dict[str, Scenario] = {}
    for item in wanted:
        if isinstance(item, str) and item not in known:
            nearest = difflib.get_close_matches(item, known, 1)
            hint = f"did you mean '{nearest[0]}'?" if nearest else f"there are: {', '.join(known)}."
            raise ValueError(f"There is no suite or scenario '{item}'; {hint}")
        for scenario in known[item] if isinstance(item, str) else (item,):
            if found.setdefault(scenario.name, scenario) != scenario:
                raise ValueError(f"Two different scenarios are called '{scenario.name}': rename one.")
    return tuple(found.values())


def run(
    encoders: Mapping[str, keras.Model | RawPixels],
    scenarios: str | Scenario | Iterable[str | Scenario],
    *,
    image_size: int,
    seed: int = 0,
    limit_train: int | None = None,
    limit_test: int | None = None,
    data_dir: str | PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Judges frozen encoders on scenarios; images pass each encoder once for all label sets of their source.

    Args:
        encoders: by the names that rows show; models that take (b, size, size, 3) in [0, 1] and give (b, d).
        scenarios: rows of `SUITES`, or names as `find` takes them.
        image_size: side in pixels that images are resized to.
        seed: of subsets, folds and resampling.
        limit_train: at most so many training images of each source, a seeded subset.
        limit_test: the same for test images.
        data_dir: where prepared TFDS sets are, as in `open_source`.
        progress: called with one sentence at each step.

    Returns:
        The rows and what there is to say about them. TFDS sets that are not there are skipped and listed.

    Raises:
        ValueError: no encoder or scenario, none of the sets is there, a source without the label set, or
            features
            that cannot be judged.
        RuntimeError: the weights or BN statistics of an encoder changed meanwhile.
    """
    report = progress or (lambda sentence: None)
    wanted = find(scenarios)
    if not encoders or not wanted:
        raise ValueError("An evaluation needs at least one encoder and one scenario.")
    before = {name: weights_hash(encoder) for name, encoder in encoders.items()}
    evaluation = Evaluation()
    answers: Answers = {}
    for group in _by_source(wanted, image_size):
        splits = _open(group, image_size, data_dir, evaluation, report)
        if splits:
            limited = [
                at_most(source, limit, seed) for source, limit in zip(splits, (limit_train, limit_test), strict=True)
            ]
            _evaluate(encoders, group, limited, image_size, seed, evaluation, answers, report)
    for name, encoder in encoders.items():
        if weights_hash(encoder) != before[name]:
            raise RuntimeError(f"Encoder '{name}' changed while it was evaluated: its results cannot be trusted.")
    if not evaluation.rows:
        raise ValueError("No scenario could be run: " + " ".join(dict.fromkeys(evaluation.skipped.values())))
    evaluation.rows.extend(_means(answers, seed))
    return evaluation


def _by_source(scenarios: Sequence[Scenario], image_size: int) -> list[list[Scenario]]:
    """Scenarios that share their images, together, in the order of first appearance."""
    groups: dict[Any, list[Scenario]] = {}
    for scenario in scenarios:
        spec = scenario.spec(image_size)
        key = (id(spec) if isinstance(spec, Source) else str(spec), scenario.train, scenario.test)
        groups.setdefault(key, []).append(scenario)
    return list(groups.values())


def _open(
    group: Sequence[Scenario],
    image_size: int,
    data_dir: str | PathLike[str] | None,
    evaluation: Evaluation,
    report: Callable[[str], None],
) -> list[Source]:
    """Train and test split; nothing, and a note, where a TFDS set is absent."""
    first = group[0]
    spec = first.spec(image_size)
    try:
        source = open_source(spec, data_dir=data_dir)
        # A source that was opened without a split is often its train split already: do not read it twice.
        train = source if source.name.endswith(f":{first.train}") else source.split(first.train)
        splits = [train, source.split(first.test)]
    except (ValueError, OSError) as error:
        if not (isinstance(spec, str) and spec.startswith("tfds:")):
            raise
        for scenario in group:
            evaluation.skipped[scenario.name] = str(error)
            report(f"{scenario.name} is skipped: {error}")
        return []
    for scenario in group:
        if scenario.label not in train.label_sets:
            known = ", ".join(train.label_sets) or "none"
            raise ValueError(
                f"Scenario '{scenario.name}': {source.name} has no label set '{scenario.label}'; it has: {known}."
            )
    return splits


def _evaluate(
    encoders: Mapping[str, keras.Model | RawPixels],
    group: Sequence[Scenario],
    splits: Sequence[Source],
    image_size: int,
    seed: int,
    evaluation: Evaluation,
    answers: Answers,
    report: Callable[[str], None],
) -> None:
    """Adds the rows and the right answers of one source's scenarios."""
    evaluation.sources.update({source.name: source.checksum() for source in splits})
    rows: dict[str, list[Row]] = {scenario.name: [] for scenario in group}
    for name, encoder in encoders.items():
        report(f"{name}: features of {' and '.join(f'{s.size} images of {s.name}' for s in splits)}")
        features = [extract(encoder, source, image_size) for source in splits]
        for scenario in group:
            train, test = (
                _labelled(found, source.labels(scenario.label), scenario)
                for found, source in zip(features, splits, strict=True)
            )
            for protocol in PROTOCOLS:
                for title, outcome in protocol(*train, *test, seed).items():
                    value, low, high = bootstrap(outcome.correct, seed)
                    sizes = (len(train[0]), len(test[0]))
                    row = Row(name, scenario.name, title, "top1", value, low, high, *sizes, seed)
                    rows[scenario.name].append(row)
                    answers.setdefault((name, title), []).append((len(evaluation.sources), sizes[0], outcome.correct))
                    evaluation.chosen[f"{name} / {scenario.name} / {title}"] = dict(outcome.chosen)
                    evaluation.remarks.extend(f"{name}, {scenario.name}: {remark}" for remark in outcome.remarks)
                    report(f"{name}, {scenario.name}, {title}: {value:.1f} % [{low:.1f}, {high:.1f}]")
    for scenario in group:
        evaluation.rows.extend(rows[scenario.name])


def _means(answers: Answers, seed: int) -> list[Row]:
    """A row per encoder and protocol: the mean over the scenarios, where there are several."""
    rows = []
    for (encoder, protocol), found in answers.items():
        if len(found) > 1:
            together: dict[tuple[int, int, int], list[npt.NDArray[np.bool_]]] = {}
            for source, n_train, correct in found:
                together.setdefault((source, n_train, len(correct)), []).append(correct)
            value, low, high = bootstrap_mean([np.stack(group) for group in together.values()], seed)
            n_train, n_test = (sum(key[position] for key in together) for position in (1, 2))
            rows.append(Row(encoder, MEAN, protocol, "top1", value, low, high, n_train, n_test, seed))
    return rows


def _labelled(features: Floats, labels: Integers, scenario: Scenario) -> tuple[Floats, Integers]:
    """Features and labels of the images whose label is known (not negative)."""
    known = labels >= 0
    if not known.any():
        raise ValueError(f"Scenario '{scenario.name}': a split has no labelled image.")
    return (features, labels) if known.all() else (features[known], np.asarray(labels)[known])
