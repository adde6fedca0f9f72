"""``ssl-keras study``: many architectures, trained alike, judged in many scenarios, by any number of processes.

The folder: study.json (the config) · finished/, failed/ and leases/ (`ssl_keras.experiments.queue`) · prepared/ (the
scenarios' images at the study's size) · table.parquet and table.csv (one row per architecture, seed, scenario,
protocol and metric) · report.html and figures/.
"""

import csv
import gc
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
from ssl_keras.architecture.study import STUDIES, study
from ssl_keras.data.prepared import prepared
from ssl_keras.data.sources import Source, at_most, open_source
from ssl_keras.data.sources.base import shuffled
from ssl_keras.experiments import devices, pretrain
from ssl_keras.experiments.checks import ConfigError, nearest
from ssl_keras.experiments.config_files import to_dict
from ssl_keras.experiments.families import in_ranges
from ssl_keras.experiments.naming import data_name, named_architecture
from ssl_keras.experiments.progress import CONSOLE, show
from ssl_keras.experiments.queue import Queue
from ssl_keras.experiments.run_folder import check_writable, replacing, same_or_new
from ssl_keras.experiments.settings import Study, pretraining
from ssl_keras.experiments.setup import Setup
from ssl_keras.reports.study import LABEL_FREE, write_study_report
from ssl_keras.scenarios import run as run_scenarios
from ssl_keras.scenarios import suite
from ssl_keras.scenarios.evaluation import open_splits
from ssl_keras.scenarios.label_free import label_free
from ssl_keras.scenarios.results import MEAN

TRAIN, TEST = "train", "test"

MAY_GROW = ("networks", "params", "macs", "count", "repeated", "seeds", "retry")
"""Fields that change which trials there are, and none of them."""


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
    def images(self) -> Source:
        """The images to learn from."""
        return open_source(self.config.data, data_dir=self.config.data_dir)

    @cached_property
    def side(self) -> int:
        """Of the images, in learning and in judging."""
        wanted = self.config.image_size
        return Setup(pretraining(self.config), self.images).image_size if wanted == "auto" else wanted

    @cached_property
    def networks(self) -> dict[str, Architecture]:
        """By name, in the order to be trained."""
        return networks(self.config, self.side)

    @cached_property
    def trials(self) -> dict[str, Trial]:
        """By name, in order: every network once, then the repeated ones with the other seeds."""
        repeated = list(self.networks)[: self.config.repeated]
        first, *others = self.config.seeds
        wanted = [(name, first) for name in self.networks] + [(name, seed) for seed in others for name in repeated]
        found = [Trial(name, self.networks[name], seed) for name, seed in wanted]
        return {trial.name: trial for trial in found}

    def scenarios(self, folder: Path) -> tuple[suite.Scenario, ...]:
        """Their images brought to size and drawn, in memory; a set that is not there ends the study.

        Raises:
            ValueError, OSError: A set is not there, with what gets it.
        """
        found: dict[str, Source] = {}
        drawn = []
        for scenario in suite.find(self.config.scenarios):
            key = data_name(f"{scenario.source}-{scenario.train}-{scenario.test}")  # equal where the images are
            found[key] = found.get(key) or self._prepared(scenario, folder / "prepared" / key)
            drawn.append(replace(scenario, source=found[key], train=TRAIN, test=TEST))
        return tuple(drawn)

    def _prepared(self, scenario: suite.Scenario, folder: Path) -> Source:
        config = self.config
        limits = config.train_images, config.test_images

        def opened() -> list[Source]:
            splits = open_splits(scenario, self.side, config.data_dir)
            return [at_most(split, limit, config.seed) for split, limit in zip(splits, limits, strict=True)]

        return prepared(folder, self.side, (TRAIN, TEST), opened)

    def of(self, trial: Trial) -> Setup:
        """What a trial is trained with."""
        config = replace(pretraining(self.config), architecture=str(trial.architecture), seed=trial.seed)
        return Setup(config, self.images)


def networks(config: Study, side: int) -> dict[str, Architecture]:
    """The networks that a study names: single ones first, then those drawn from the families, in turn.

    Raises:
        ConfigError: A name that is none, no network in the ranges, or two of one name.
        ArchitectureError, ValueError: An architecture that is none.
    """
    known = {name: network for family in STUDIES for name, network in study(family, config.micro)}
    single: dict[str, Architecture] = {}
    for item in config.networks:
        name, is_named, text = (part.strip() for part in item.partition("="))
        if item in STUDIES:
            continue
        if name in single:
            raise ConfigError(f"two networks are called {name}: rename one of them")
        if not is_named and name not in known:
            raise ConfigError(
                f"no network is called {name!r}: {nearest(name, [*STUDIES, *known])}, or give NAME=STRING"
            )
        if not name or set(name) & set('/\\:*?"<>|'):
            raise ConfigError(f"{name!r} cannot be the name of a network, which names a file: take letters and digits")
        single[name] = named_architecture(text, side) if is_named else known[name]
    families = [_drawn(config, family, side) for family in STUDIES if family in config.networks]
    drawn = [item for item in chain(*zip_longest(*families)) if item is not None]
    if families and not drawn:
        raise ConfigError(f"no network lies in params {config.params} and macs {config.macs}: give wider ranges")
    return single | {name: network for name, network in drawn[: config.count] if name not in single}


def _drawn(config: Study, family: str, side: int) -> list[tuple[str, Architecture]]:
    """A family's networks in the ranges, in an order that the seed decides; of equal ones the first."""
    distinct = {network: name for name, network in reversed(study(family, config.micro))}
    listed = [
        (name, network)
        for network, name in reversed(distinct.items())
        if in_ranges(cost(network, (side, side, 3)), config.params, config.macs)
    ]
    return [listed[index] for index in shuffled(len(listed), config.seed)]


def run(config: Study) -> Path:
    """Does what trials are open and in nobody else's hands, writes the table and the report; returns the folder.

    Raises:
        ConfigError: The config does not fit the data or the folder, or names no network.
        ValueError, OSError: The data or the folder cannot be used.
    """
    out = place(config)
    check_writable(out)
    setup = StudySetup(config)
    trials = setup.trials
    refuse_early(setup)
    same_or_new(out / "study.json", to_dict(config), Study, MAY_GROW)
    queue = Queue(out, list(trials))
    if config.retry:
        queue.forget_failures()
    scenarios = setup.scenarios(out)
    show(f"Studying into {out}", describe(setup, queue))
    begun, done = time.monotonic(), 0
    with Setup(pretraining(config), setup.images).computing(), devices.without_graph_rewriting():
        for name, result in queue.work(lambda item: run_trial(setup, trials[item], scenarios)):
            done += 1
            write_table(out, queue.results())
            CONSOLE.print(_progress(name, result, queue, (time.monotonic() - begun) / done), soft_wrap=True)
    finish(out, queue)
    return out


def place(config: Study) -> Path:
    """The study's folder."""
    return Path(config.out if config.out != "auto" else "runs/study")


def refuse_early(setup: StudySetup) -> None:
    """What no trial could do, before the first and before a folder is made.

    Raises:
        ConfigError, ValueError, OSError: As the trials would.
    """
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
        "label_free": worth,
        "seconds": clock.laps,
        "rows": [asdict(row) for row in found.rows if row.scenario != MEAN],
    }


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
    blocks = [index for index, stage in enumerate(architecture.stages, 1) if stage.op not in ("conv", "maxpool")]
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


def write_table(folder: Path, results: list[dict[str, Any]]) -> None:
    """As Parquet and as CSV, each whole or not at all."""
    if not results:
        return
    rows = list(table(results))
    with replacing(folder / "table.parquet") as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)
    with replacing(folder / "table.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def finish(out: Path, queue: Queue) -> None:
    """Says what is done, what is not and why, and where the results are."""
    for reason, names in _by_reason(queue.failures()).items():
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        pretrain.warn(f"{len(names)} failed: {reason} ({shown}; failed/ has the tracebacks, --retry does them again)")
    if others := queue.open_items():
        CONSOLE.print(f"{len(others)} trials are in the hands of other processes; start again if one of them is lost")
    results = queue.results()
    write_table(out, results)
    if results:
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
