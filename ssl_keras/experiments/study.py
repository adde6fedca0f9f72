"""``ssl-keras study``: many architectures, trained alike, judged in many scenarios, by any number of processes.

The folder: study.json (the config) · finished/, failed/ and leases/ (`ssl_keras.experiments.queue`) · prepared/ (the
scenarios' images at the study's size) · table.parquet and table.csv (one row per architecture, seed, scenario,
protocol and metric) · report.html and figures/.
"""

import base64
import csv
import gc
import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ssl_keras.architecture.cost import Cost, cost
from ssl_keras.architecture.grammar import Architecture
from ssl_keras.architecture.layout import PLAIN
from ssl_keras.architecture.study import STUDIES, study
from ssl_keras.data.prepared import prepared
from ssl_keras.data.sources import Source, at_most
from ssl_keras.data.sources.base import shuffled
from ssl_keras.experiments import devices, pretrain
from ssl_keras.experiments.checks import ConfigError, nearest
from ssl_keras.experiments.config_files import to_dict
from ssl_keras.experiments.families import in_ranges
from ssl_keras.experiments.naming import data_name, named_architecture, named_networks
from ssl_keras.experiments.progress import CONSOLE, show
from ssl_keras.experiments.queue import Queue
from ssl_keras.experiments.run_folder import check_writable, replacing, same_or_new
from ssl_keras.experiments.settings import Study, pretraining
from ssl_keras.experiments.setup import Setup
from ssl_keras.reports.study import write_study_report
from ssl_keras.reports.study_analysis import LABEL_FREE
from ssl_keras.scenarios import run as run_scenarios
from ssl_keras.scenarios import suite
from ssl_keras.scenarios.evaluation import Answered, open_splits
from ssl_keras.scenarios.label_free import label_free
from ssl_keras.scenarios.results import MEAN, provenance

TRAIN, TEST = "train", "test"
OF_MORE = ("segmentation", "multi_label", "restyling", "corruptions", "cues")
"""Protocols that ask for more than prepared images and their labels."""

TRIALS = ("networks", "params", "macs", "count", "repeated", "seeds", "retry")
PLACE = ("out", "data_dir", "compute.strategy", "monitor")
"""Fields that say which trials there are, and where they run: none changes what one comes to."""


@dataclass(frozen=True)
class Trial:
    """One network, trained once.

    Attributes:
        network: its name.
        architecture: what it is.
        seed: of its training.
    """

    network: str
    architecture: Architecture
    seed: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.network}-seed{self.seed}"


@dataclass(frozen=True)
class StudySetup:
    """What a study's config names, opened once for all of its trials."""

    config: Study

    @cached_property
    def shared(self) -> Setup:
        """What all trials have: how they learn and from what, architecture and seed aside."""
        return Setup(pretraining(self.config))

    @property
    def images(self) -> Source:
        """The images to learn from, the same for all trials."""
        return self.shared.source

    @property
    def side(self) -> int:
        """Of the images, in learning and in judging."""
        return self.shared.image_size

    @cached_property
    def networks(self) -> dict[str, Architecture]:
        """By name, in the order to be trained."""
        return networks(self.config, self.side)

    @cached_property
    def trials(self) -> dict[str, Trial]:
        """By name, in order: every network once, then the repeated ones with the other seeds."""
        named = named_networks(self.config.networks)
        drawn = [name for name in self.networks if name not in named]
        repeated = [*drawn[: self.config.repeated], *(name for name in self.networks if name not in drawn)]
        first, *others = self.config.seeds
        wanted = [(name, first) for name in self.networks] + [(name, seed) for seed in others for name in repeated]
        return {trial.name: trial for trial in (Trial(name, self.networks[name], seed) for name, seed in wanted)}

    def scenarios(self, folder: Path) -> tuple[suite.Scenario, ...]:
        """Their images brought to size and drawn, in memory; a set that is not there ends the study.

        Raises:
            ValueError, OSError: A set is not there, with what gets it.
        """
        found: dict[str, Source] = {}
        drawn = []
        for scenario in suite.find(self.config.scenarios):
            key = place_of_images(scenario)
            found[key] = found.get(key) or self._prepared(scenario, folder / "prepared" / key)
            drawn.append(replace(scenario, source=found[key], train=TRAIN, test=TEST))
        return tuple(drawn)

    def _prepared(self, scenario: suite.Scenario, folder: Path) -> Source:
        limits = self.config.train_images, self.config.test_images

        def opened() -> list[Source]:
            splits = open_splits(scenario, self.side, self.config.data_dir)
            return [at_most(split, limit, self.config.seed) for split, limit in zip(splits, limits, strict=True)]

        return prepared(folder, self.side, (TRAIN, TEST), opened)

    def of(self, trial: Trial) -> Setup:
        """What a trial is trained with."""
        plain = replace(self.shared.config, images=None)  # they were drawn once, for all trials
        return Setup(replace(plain, architecture=str(trial.architecture), seed=trial.seed), self.images)


def place_of_images(scenario: suite.Scenario) -> str:
    """The name of a folder, the same for scenarios that share their images and for no others."""
    told = f"{scenario.source} {scenario.train} {scenario.test}"
    return f"{data_name(scenario.name.split('/')[0])}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def networks(config: Study, side: int) -> dict[str, Architecture]:
    """The networks that a study names: those drawn from the families, in turn, then single ones.

    Raises:
        ConfigError: A name that is none, no network in the ranges, or two of one name.
        ArchitectureError, ValueError: An architecture that is none.
    """
    known = {name: network for family in STUDIES for name, network in study(family, config.micro)}
    single: dict[str, Architecture] = {}
    for name, text in named_networks(config.networks).items():
        if text is None and name not in known:
            raise ConfigError(
                f"no network is called {name!r}: {nearest(name, [*STUDIES, *known])}, or give NAME=STRING"
            )
        single[name] = known[name] if text is None else named_architecture(text, side)
        cost(single[name], (side, side, 3))  # a space, or what cannot be built, cannot be counted
    families = [_drawn(config, family, side) for family in STUDIES if family in config.networks]
    drawn = [item for item in chain(*zip_longest(*families)) if item is not None]
    if families and not drawn:
        raise ConfigError(f"no network lies in params {config.params} and macs {config.macs}: give wider ranges")
    return {name: network for name, network in drawn[: config.count] if name not in single} | single


def _drawn(config: Study, family: str, side: int) -> list[tuple[str, Architecture]]:
    """A family's networks in the ranges, in an order that the seed decides; of equal ones the first."""
    distinct = {network: name for name, network in reversed(study(family, config.micro))}
    fits = in_ranges(config.params, config.macs)
    listed = [(name, one) for one, name in reversed(distinct.items()) if fits(cost(one, (side, side, 3)))]
    return [listed[index] for index in shuffled(len(listed), config.seed)]


def run(config: Study) -> Path:
    """Does what trials are open and in nobody else's hands, writes the table and the report; returns the folder.

    Raises:
        ConfigError: The config does not fit the data or the folder, or names no network.
        ValueError, OSError: The data or the folder cannot be used.
    """
    devices.expect_retracing()
    out = place(config)
    check_writable(out)
    setup = StudySetup(config)
    trials = setup.trials
    refuse_early(setup)
    same_or_new(out / "study.json", to_dict(config), Study, (*TRIALS, *PLACE))
    queue = Queue(out, list(trials))
    if config.retry:
        queue.forget_failures()
    _refuse_renamed(queue.results(), trials)
    scenarios = setup.scenarios(out)
    show(f"Studying into {out}", describe(setup, queue))
    begun = time.monotonic()
    with setup.shared.computing():
        for done, (name, result) in enumerate(queue.work(lambda item: run_trial(setup, trials[item], scenarios)), 1):
            write_table(out, queue)
            CONSOLE.print(_progress(name, result, queue, (time.monotonic() - begun) / done), soft_wrap=True)
            if queue.open_items():
                devices.start_anew_if_swollen("--no-retry")
    finish(out, queue)
    return out


def _refuse_renamed(results: list[dict[str, Any]], trials: Mapping[str, Trial]) -> None:
    """A name of a finished network keeps its meaning."""
    wanted = {trial.network: str(trial.architecture) for trial in trials.values()}
    for result in results:
        name, held = result["network"], result["architecture"]
        if wanted.get(name, held) != held:
            raise ConfigError(f"{name} is {held} in this study, not {wanted[name]}: give the new network another name")


def place(config: Study) -> Path:
    """The study's folder."""
    return Path(config.out if config.out != "auto" else "runs/study")


def refuse_early(setup: StudySetup) -> None:
    """What no trial could do, before the first and before a folder is made.

    Raises:
        ConfigError, ValueError, OSError: As the trials would.
    """
    if not setup.trials:
        raise ConfigError(f"count is {setup.config.count}, which leaves no network: give more, or name some")
    for scenario in suite.find(setup.config.scenarios):
        if set(scenario.protocols) & set(OF_MORE):
            raise ConfigError(
                f"scenario {scenario.name} is judged by {', '.join(scenario.protocols)}, and a study keeps images and "
                "labels alone: leave it out"
            )
    own = setup.of(next(iter(setup.trials.values())))
    _ = own.source, own.batch_size, own.masks, own.views


def describe(setup: StudySetup, queue: Queue) -> dict[str, str]:
    """What is about to happen, in the order to read it."""
    config, costs = setup.config, [cost(one, (setup.side, setup.side, 3)).macs for one in setup.networks.values()]
    left, failed = len(queue.open_items()), len(queue.failures())
    return {
        "networks": f"{len(costs)}, of {min(costs) / 1e6:.1f} M to {max(costs) / 1e6:.1f} M MACs",
        "images": f"{config.images or setup.images.size} of {setup.images.name}, at {setup.side} px",
        "method": f"{config.mode}, seeds {', '.join(map(str, config.seeds))}",
        "scenarios": ", ".join(one.name for one in suite.find(config.scenarios)),
        "trials": f"{len(setup.trials)}, {left} of them open" + (f", {failed} failed" if failed else ""),
    }


def run_trial(setup: StudySetup, trial: Trial, scenarios: tuple[suite.Scenario, ...]) -> dict[str, Any]:
    """Trains a network, judges it, and returns what the table holds of it."""
    keras.backend.clear_session()
    gc.collect()  # a network and its graphs refer to one another
    clock = _Clock()
    own = setup.of(trial)
    schedule = own.schedule()
    learner = own.learner(schedule)
    clock.lap("build")
    stamp = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: clock.first("trace"))
    with devices.without_graph_rewriting():
        pretrain.fit(own, learner, schedule, [stamp])
    clock.lap("learn")
    found = run_scenarios(
        {trial.network: learner.encoder},
        scenarios,
        image_size=setup.side,
        seed=setup.config.seed,
        data_dir=setup.config.data_dir,
    )
    clock.lap("judge")
    worth = label_free(learner.encoder, own.source, setup.side, setup.config.seed)
    clock.lap("label-free")
    return {
        "network": trial.network,
        "architecture": str(trial.architecture),
        "seed": trial.seed,
        "mode": setup.config.mode,
        "steps": schedule.steps,
        "passes": schedule.steps * own.batch_size,
        **costs(trial.architecture, setup.side),
        "label_free": {name: value if math.isfinite(value) else None for name, value in worth.items()},
        "seconds": clock.laps,
        "remarks": found.remarks,
        "provenance": provenance(trial.seed, {}, {"precision": setup.config.compute.precision}),
        "right": {name: packed(answered) for name, answered in found.answers.items()},
        "rows": [asdict(row) for row in found.rows if row.scenario != MEAN],
    }


def packed(answered: Answered) -> str:
    """Which test images were answered rightly, in their order: a bit each, eight to a byte, as base64."""
    right = answered.logits.argmax(1) == answered.exam.labels
    return base64.b64encode(np.packbits(right).tobytes()).decode()


class _Clock:
    """Seconds of the parts of a trial."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """What has passed since the last one."""
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 2)
        self._last = now

    def first(self, name: str) -> None:
        """As `lap`, once."""
        if name not in self.laps:
            self.lap(name)


def costs(architecture: Architecture, side: int) -> dict[str, float]:
    """Parameters, multiply-adds, and parameters above the first two stages of blocks over those up to there."""
    spent = cost(architecture, (side, side, 3))
    bottom = _bottom(architecture, spent)
    return {"params": spent.params, "macs": spent.macs, "top_bottom": (spent.params - bottom) / bottom}


def _bottom(architecture: Architecture, spent: Cost) -> int:
    """Parameters of the stem and the first two stages of blocks; plain convolutions and pooling are stem."""
    blocks = [index for index, stage in enumerate(architecture.stages, 1) if stage.op not in PLAIN]
    last = blocks[1] if len(blocks) > 1 else len(architecture.stages)
    stages = tuple(f"stage{number}_" for number in range(1, last + 1))
    return sum(block.params for block in spent.blocks if f"{block.name}_".startswith(stages))


def table(results: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row per architecture, seed, scenario, protocol and metric; then the scores that need no labels."""
    shared = ("network", "architecture", "mode", "passes", "params", "macs", "top_bottom", "seed")
    for result in results:
        for row in result["rows"]:
            own = {name: value for name, value in row.items() if name not in ("encoder", "seed")}
            yield {name: result[name] for name in shared} | own
        for score, value in result["label_free"].items():
            own = {"scenario": "", "protocol": LABEL_FREE, "metric": score, "value": value}
            yield {name: result[name] for name in shared} | own


COLUMNS = {
    **dict.fromkeys(("network", "architecture", "mode"), pa.string()),
    **dict.fromkeys(("passes", "params", "macs"), pa.int64()),
    "top_bottom": pa.float64(),
    "seed": pa.int64(),
    **dict.fromkeys(("scenario", "protocol", "metric"), pa.string()),
    **dict.fromkeys(("value", "low", "high"), pa.float64()),
    **dict.fromkeys(("n_train", "n_test"), pa.int64()),
}
"""Of the table."""


def write_table(folder: Path, queue: Queue) -> None:
    """All that is finished in the folder, as Parquet and as CSV, each whole or not at all."""
    with queue.locked():  # the last to write has read the most
        rows = list(table(queue.results()))
        with replacing(folder / "table.parquet") as temporary:
            pq.write_table(pa.Table.from_pylist(rows, pa.schema([*COLUMNS.items()])), temporary)
        with replacing(folder / "table.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*COLUMNS])
            writer.writeheader()
            writer.writerows(rows)


def finish(out: Path, queue: Queue) -> None:
    """Says what is done, what is not and why, and where the results are."""
    for reason, names in _by_reason(queue.failures()).items():
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        pretrain.warn(f"{len(names)} failed: {reason} ({shown}; failed/ has the tracebacks, --retry does them again)")
    if others := queue.open_items():
        CONSOLE.print(f"{len(others)} trials are in the hands of other processes; start again if one of them is lost")
    if queue.results():
        write_table(out, queue)
        CONSOLE.print(f"results: {out / 'table.csv'}\nreport: {write_study_report(out)}", soft_wrap=True)


def _by_reason(failures: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, reason in failures.items():
        found.setdefault(reason, []).append(name)
    return found


def _progress(name: str, result: Mapping[str, Any] | None, queue: Queue, seconds: float) -> str:
    left = len(queue.open_items())
    rest = f"{left} left, {left * seconds / 3600:.1f} hours if alone" if left else "none left"
    if result is None:
        return f"{name}: failed; {rest}"
    linear = [row["value"] for row in result["rows"] if row["protocol"] == "linear"]
    mean = f"mean linear {np.mean(linear):.1f} %, " if linear else ""
    return f"{name}: {mean}{sum(result['seconds'].values()):.0f} s; {rest}"
