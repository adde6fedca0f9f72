"""Encoders run through scenarios."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ssl_keras.data.sources import Source, at_most, open_source
from ssl_keras.learning.measures import Floats
from ssl_keras.scenarios.features import FeatureStore, RawPixels, weights_hash
from ssl_keras.scenarios.finetune import finetune, semi_supervised
from ssl_keras.scenarios.knn import knn
from ssl_keras.scenarios.leakage import copies
from ssl_keras.scenarios.linear import linear
from ssl_keras.scenarios.low_shot import low_shot
from ssl_keras.scenarios.multi_label import multi_label
from ssl_keras.scenarios.protocol import MEAN_PER_CLASS, TOP1, TOP5, Images, Labelled, Outcome, Protocol
from ssl_keras.scenarios.results import MEAN, Row, bootstrap, bootstrap_by_class, bootstrap_mean
from ssl_keras.scenarios.retrieval import retrieval
from ssl_keras.scenarios.robustness import corruptions
from ssl_keras.scenarios.segmentation import segmentation
from ssl_keras.scenarios.sgd import linear_sgd
from ssl_keras.scenarios.style import cues, restyling
from ssl_keras.scenarios.suite import FOLDER, Scenario, find

PROTOCOLS: Mapping[str, Protocol] = {
    "knn": knn,
    "linear": linear,
    "linear_sgd": linear_sgd,
    "low_shot": low_shot,
    "retrieval": retrieval,
    "semi_supervised": semi_supervised,
    "finetune": finetune,
    "corruptions": corruptions,
    "restyling": restyling,
    "cues": cues,
    "segmentation": segmentation,
    "multi_label": multi_label,
}
"""What can be asked of an encoder; each gives one or more named outcomes."""

WITHOUT_LABEL_SET = ("segmentation", "multi_label")
"""Protocols that learn from something else than one class for each image."""

SHOWN = "linear"
"""The protocol whose single answers are kept."""
OF_ANSWERS = (TOP1, TOP5, MEAN_PER_CLASS)
"""Metrics that a scenario chooses among; what else a protocol measures is always reported."""


@dataclass(frozen=True)
class Evaluation:
    """What `run` found.

    Attributes:
        rows: scenario by scenario, in each encoder by encoder.
        skipped: scenario name to the sentence that says what is missing and how to get it.
        remarks: sentences on departures from a protocol, such as a clipped k, and on the data.
        chosen: hyper-parameters used, by "encoder / scenario / protocol".
        sources: checksum of every source used, by its name.
        answers: of the first encoder by the linear classifier, by scenario.
    """

    rows: list[Row] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    chosen: dict[str, dict[str, float]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    answers: dict[str, "Answered"] = field(default_factory=dict)


@dataclass(frozen=True)
class Answered:
    """Test images of a scenario and what was said of them.

    Attributes:
        exam: the images, their features and labels.
        logits: (m, classes).
    """

    exam: Labelled
    logits: Floats


Splits = tuple[str, str]
Answers = dict[tuple[str, str], list[tuple[Splits, int, npt.NDArray[Any]]]]
"""(encoder, protocol) to, for each scenario: the names of its splits, its training images, what every image adds."""


def run(
    encoders: keras.Model | Mapping[str, keras.Model | RawPixels],
    scenarios: str | Scenario | Iterable[str | Scenario],
    *,
    image_size: int | Mapping[str, int],
    protocols: Sequence[str] | None = None,
    seed: int = 0,
    limit_train: int | None = None,
    limit_test: int | None = None,
    data_dir: str | PathLike[str] | None = None,
    features: str | PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Judges encoders on scenarios; images pass each encoder once for all label sets of their source.

    Args:
        encoders: by the names that rows show; models that take (b, size, size, 3) in [0, 1] and give (b, d). Or one.
        scenarios: rows of `SUITES`, or names as `find` takes them.
        image_size: side in pixels that images are resized to; or of every encoder its own.
        protocols: names in `PROTOCOLS`; None: those of each scenario.
        seed: of subsets, folds and resampling.
        limit_train: at most so many training images of each source, a seeded subset.
        limit_test: the same for test images.
        data_dir: where prepared TFDS sets are, as in `open_source`.
        features: a folder that keeps features for later evaluations; None keeps none.
        progress: called with one sentence at each step.

    Returns:
        The rows and what there is to say about them. Sets that are not there are skipped and listed.

    Raises:
        ValueError: no encoder or scenario, an unknown protocol, none of the sets is there, a source without the label
            set, or features that cannot be judged.
        RuntimeError: the weights or BN statistics of an encoder changed meanwhile.
    """
    named = encoders if isinstance(encoders, Mapping) else {encoders.name: encoders}
    wanted = find(scenarios)
    if not named or not wanted:
        raise ValueError("An evaluation needs at least one encoder and one scenario.")
    for name in protocols or ():
        if name not in PROTOCOLS:
            raise ValueError(f"There is no protocol '{name}'; there are: {', '.join(PROTOCOLS)}.")
    sides = dict.fromkeys(named, image_size) if isinstance(image_size, int) else dict(image_size)
    store = FeatureStore(Path(features)) if features is not None else None
    report = progress or (lambda sentence: None)
    judging = _Judging(named, sides, protocols, seed, store, report)
    before = {name: weights_hash(encoder) for name, encoder in named.items()}
    for group in _by_source(wanted):
        splits = _open(group, max(sides.values()), data_dir, protocols, judging.evaluation, report)
        if group := [scenario for scenario in group if scenario.name not in judging.evaluation.skipped]:
            limited = [
                at_most(source, limit, seed) for source, limit in zip(splits, (limit_train, limit_test), strict=True)
            ]
            judging.judge(group, *limited)
    for name, encoder in named.items():
        if weights_hash(encoder) != before[name]:
            raise RuntimeError(f"Encoder '{name}' changed while it was evaluated: its results cannot be trusted.")
    return judging.finished()


def _by_source(scenarios: Sequence[Scenario]) -> list[list[Scenario]]:
    """Scenarios that share their images, together, in the order of first appearance."""
    groups: dict[Any, list[Scenario]] = {}
    for scenario in scenarios:
        source = id(scenario.source) if isinstance(scenario.source, Source) else str(scenario.source)
        groups.setdefault((source, scenario.train, scenario.test), []).append(scenario)
    return list(groups.values())


def open_splits(
    scenario: Scenario, image_size: int, data_dir: str | PathLike[str] | None = None
) -> tuple[Source, Source]:
    """The images that a scenario's protocols learn from, and those that they are judged on.

    Raises:
        ValueError, OSError: they are not there; the message says how to get them.
    """
    source = _opened(scenario, image_size, data_dir)
    train, elsewhere = _train_of(source, scenario), ":" in scenario.test
    return train, open_source(scenario.test, data_dir=data_dir) if elsewhere else source.split(scenario.test)


def open_train(scenario: Scenario, image_size: int, data_dir: str | PathLike[str] | None = None) -> Source:
    """The images that a scenario's protocols learn from; its test images are not opened.

    Raises:
        ValueError, OSError: as `open_splits`.
    """
    return _train_of(_opened(scenario, image_size, data_dir), scenario)


def _opened(scenario: Scenario, image_size: int, data_dir: str | PathLike[str] | None) -> Source:
    prepared = isinstance(scenario.source, str) and scenario.source.startswith("tfds:")
    spec = f"{scenario.source}:{scenario.train}" if prepared else scenario.spec(image_size, data_dir)
    return open_source(spec, data_dir=data_dir)


def _train_of(source: Source, scenario: Scenario) -> Source:
    """A source that was opened without a split is often its train split already: do not read it twice."""
    return source if source.name.endswith(f":{scenario.train}") else source.split(scenario.train)


def _open(
    group: Sequence[Scenario],
    image_size: int,
    data_dir: str | PathLike[str] | None,
    protocols: Sequence[str] | None,
    evaluation: Evaluation,
    report: Callable[[str], None],
) -> list[Source]:
    """Train and test split; nothing, and a note, where a set is absent; a note where it lacks what is asked of it."""
    first = group[0]
    absent = isinstance(first.source, str) and first.source.startswith(("tfds:", FOLDER))
    try:
        train, test = open_splits(first, image_size, data_dir)
    except (ValueError, OSError) as error:
        if not absent:
            raise
        for scenario in group:
            evaluation.skipped[scenario.name] = str(error)
            report(f"{scenario.name} is skipped: {error}")
        return []
    for scenario in group:
        for split in (train, test):
            if scenario.label in split.label_sets or set(protocols or scenario.protocols) <= set(WITHOUT_LABEL_SET):
                continue
            known = ", ".join(split.label_sets) or "none"
            lacking = f"{split.name} has no label set '{scenario.label}'; it has: {known}."
            if not set(scenario.protocols) <= set(WITHOUT_LABEL_SET):
                raise ValueError(f"Scenario '{scenario.name}': {lacking}")
            evaluation.skipped[scenario.name] = f"not judged by {', '.join(protocols or ())}: {lacking}"
            report(f"{scenario.name} is {evaluation.skipped[scenario.name]}")
            break
    return [train, test]


@dataclass
class _Judging:
    """Encoders, and what is found of them, source by source."""

    encoders: Mapping[str, keras.Model | RawPixels]
    sides: Mapping[str, int]
    protocols: Sequence[str] | None
    seed: int
    store: FeatureStore | None
    report: Callable[[str], None]
    evaluation: Evaluation = field(default_factory=Evaluation)
    answers: Answers = field(default_factory=dict)

    def judge(self, group: Sequence[Scenario], train: Source, test: Source) -> None:
        """Adds the rows and the answers of one source's scenarios."""
        rows: dict[str, list[Row]] = {scenario.name: [] for scenario in group}
        for name, encoder in self.encoders.items():
            self.report(f"{name}: {train.size} images of {train.name} and {test.size} of {test.name}")
            seen = [Images(encoder, source, self.sides[name], self.store) for source in (train, test)]
            for scenario in group:
                rows[scenario.name] += self._judge_one(name, scenario, *seen)
        for scenario in group:
            self.evaluation.rows.extend(rows[scenario.name])
        # Nothing looks at a test image before the first answer.
        if train.name != test.name:
            self.evaluation.remarks.extend(copies(train, test))
        self.evaluation.sources.update({source.name: source.checksum() for source in (train, test)})

    def _judge_one(self, name: str, scenario: Scenario, train: Images, test: Images) -> list[Row]:
        lesson = Labelled(train, scenario.label)
        exam = Labelled(test, scenario.label, present_only=scenario.present_only)
        rows = []
        for protocol in self.protocols or scenario.protocols:
            answer = PROTOCOLS[protocol](lesson, self.seed)
            for outcome in answer(exam):
                if outcome.protocol == SHOWN and outcome.logits is not None:
                    self.evaluation.answers.setdefault(scenario.name, Answered(exam, outcome.logits))
                for metric in _metrics(scenario, outcome, exam):
                    rows.append(self._row(name, scenario, lesson, exam, outcome, metric))
        return rows

    def _row(
        self, name: str, scenario: Scenario, lesson: Labelled, exam: Labelled, outcome: Outcome, metric: str
    ) -> Row:
        weights = np.ones(1)
        if outcome.correct is None:
            assert outcome.estimate is not None
            value, low, high = outcome.estimate
        elif metric == MEAN_PER_CLASS:
            value, low, high = bootstrap_by_class(outcome.correct, exam.labels, self.seed)
            counts = np.bincount(exam.labels)
            weights = len(exam.labels) / ((counts > 0).sum() * counts[exam.labels])
        else:
            value, low, high = bootstrap(outcome.correct, self.seed)
        sizes = (lesson.size, exam.size if outcome.correct is None else len(outcome.correct))
        if outcome.correct is not None and metric == scenario.metrics[0]:
            splits = (lesson.images.source.name, exam.images.source.name)
            self.answers.setdefault((name, outcome.protocol), []).append((splits, sizes[0], outcome.correct * weights))
        place = f"{name} / {scenario.name} / {outcome.protocol}"
        further = metric != scenario.metrics[0] and outcome.correct is not None
        self.evaluation.chosen[f"{place}, {metric}" if further else place] = dict(outcome.chosen)
        remarks = [f"{name}, {scenario.name}: {remark}" for remark in outcome.remarks]
        self.evaluation.remarks.extend(remark for remark in remarks if remark not in self.evaluation.remarks)
        self.report(f"{name}, {scenario.name}, {outcome.protocol}: {value:.1f} % [{low:.1f}, {high:.1f}]")
        return Row(name, scenario.name, outcome.protocol, metric, value, low, high, *sizes, self.seed)

    def finished(self) -> Evaluation:
        """All of it, with a row per encoder and protocol for the mean over the scenarios, where there are several."""
        if not self.evaluation.rows:
            skipped = " ".join(dict.fromkeys(self.evaluation.skipped.values()))
            raise ValueError(f"No scenario could be run: {skipped or 'no protocol fits the encoders.'}")
        for (encoder, protocol), found in self.answers.items():
            if len(found) < 2:
                continue
            together: dict[tuple[Splits, int, int], list[npt.NDArray[Any]]] = {}
            for splits, trained, correct in found:
                together.setdefault((splits, trained, len(correct)), []).append(correct)
            value, low, high = bootstrap_mean([np.stack(group) for group in together.values()], self.seed)
            n_train, n_test = sum(key[1] for key in together), sum(key[2] for key in together)
            row = Row(encoder, MEAN, protocol, TOP1, value, low, high, n_train, n_test, self.seed)
            self.evaluation.rows.append(row)
        return self.evaluation


def _metrics(scenario: Scenario, outcome: Outcome, exam: Labelled) -> list[str]:
    """What is reported of an outcome in a scenario."""
    if outcome.metric not in OF_ANSWERS:
        return [outcome.metric]
    own = [outcome.metric] if outcome.metric in scenario.metrics else []
    # A protocol that asks about some of the test images, or several times, has no mean per class.
    single = outcome.correct is not None and outcome.correct.dtype == np.bool_ and len(outcome.correct) == exam.size
    by_class = single and outcome.metric == TOP1 and MEAN_PER_CLASS in scenario.metrics
    return own + ([MEAN_PER_CLASS] if by_class else [])
