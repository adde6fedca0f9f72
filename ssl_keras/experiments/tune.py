"""``ssl-keras tune``: the networks of a space tried one by one, the best of them trained and judged.

The run folder is that of the network trained anew, as ``pretrain`` writes it, with tune/ in it: config.json ·
trials.csv · trials.json · pareto.csv · pareto.json · pareto-macs.png · found.json · tensorboard/ (HParams) · oracle/
(what KerasTuner remembers) · networks/ (a checkpoint and the scores of each). Several processes share the trials
where KerasTuner's environment variables say so: the chief writes, the workers train.
"""

import json
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras_tuner
from rich.markup import escape

from ssl_keras.architecture.families import name_of
from ssl_keras.architecture.grammar import Architecture
from ssl_keras.architecture.latency import LatencyTable, blocks_of
from ssl_keras.architecture.spaces import space_for
from ssl_keras.data.sources import Source
from ssl_keras.data.views import ViewBatches
from ssl_keras.experiments import evaluate, pretrain
from ssl_keras.experiments.checks import ConfigError, nearest
from ssl_keras.experiments.config_files import from_dict, to_dict
from ssl_keras.experiments.latency import read_table
from ssl_keras.experiments.naming import named_architecture, run_name
from ssl_keras.experiments.options import Evaluate
from ssl_keras.experiments.progress import CONSOLE, TrainingProgress, show
from ssl_keras.experiments.run_folder import (
    RunFolder,
    check_writable,
    flat,
    refuse_other,
    replacing,
    write_json,
    write_text,
)
from ssl_keras.experiments.search import TRAIN_IMAGES
from ssl_keras.experiments.settings import Pretrain, Tune, pretraining
from ssl_keras.experiments.setup import Schedule, Setup
from ssl_keras.learning import distribution
from ssl_keras.learning.learner import Learner
from ssl_keras.reports import plots
from ssl_keras.reports.tuning import Tried, front_figure
from ssl_keras.tuning import ORACLES, ArchitectureHyperModel, ArchitectureTuner, Goal, goal, pareto, trial_rows
from ssl_keras.tuning.oracles import FAILURES, Constrained
from ssl_keras.tuning.pareto import as_csv
from ssl_keras.tuning.workers import role

FOUND = "found.json"
DRAWN = 200
"""Networks of which the one of median cost stands for all in a plan."""
TUNABLE = ("views", "loss", "heads", "optimization", "mode", "batch_size")
"""Options, and groups of them, that may be tuned along: those that change how a network learns, not from what."""


@dataclass(frozen=True)
class TuneSetup(Setup):
    """What a tuning's config names."""

    config: Tune

    @cached_property
    def space(self) -> Architecture:
        """The space to choose from.

        Raises:
            ConfigError: None is named, and there is no budget that one could be made around.
        """
        if self.config.architecture != "auto":
            return named_architecture(self.config.architecture, self.image_size)
        if self.config.budget is None or self.config.latency is not None:
            raise ConfigError(
                "there is no space to tune: give --architecture, a string with braces, or a budget that a space is "
                "made around, as --macs 60M"
            )
        return space_for(self.config.budget, self.image_size)

    @property
    def architecture(self) -> str:
        """The space, as text."""
        return str(self.space)

    @cached_property
    def latency(self) -> LatencyTable | None:
        """The table of latencies, if there is one.

        Raises:
            ConfigError: It lacks a block of the space.
        """
        if (path := self.config.latency_table) is None:
            return None
        table = read_table(path)
        if missing := [key for key in blocks_of(self.space, self.input_shape) if key not in table.blocks]:
            raise ConfigError(
                f"{path} lacks {len(missing)} blocks of the space, such as '{missing[0]}': measure them with "
                f"ssl-keras latency '{self.space}' --image-size {self.image_size} --out {path}"
            )
        return table

    @cached_property
    def choices(self) -> dict[str, tuple[Any, ...]]:
        """Options that are tuned along, each with its values.

        Raises:
            ConfigError: One does not exist, cannot be tuned, or does not take a value.
        """
        return dict(self._choice(text) for text in self.config.tuning.choices)

    def _choice(self, text: str) -> tuple[str, tuple[Any, ...]]:
        name, _, values = text.partition("=")
        known = [each for each in flat(to_dict(pretraining(self.config))) if each.split(".")[0] in TUNABLE]
        if name not in known:
            raise ConfigError(f"tuning.choices has {text!r}, and {name!r} cannot be tuned: {nearest(name, known)}")
        if not values:
            raise ConfigError(f"tuning.choices has {text!r}: give the values as {name}=0.1,0.2")
        spelled = tuple(_value(word) for word in values.split(","))
        for value in spelled:
            with_settings(pretraining(self.config), {name: value})
        return name, spelled

    @cached_property
    def goal(self) -> Goal:
        """By what networks are judged."""
        wanted = self.config.tuning
        return goal(
            wanted.objective,
            self.source,
            image_size=self.image_size,
            seed=self.config.seed,
            limit=wanted.judged_images,
            data_dir=self.config.data_dir,
        )

    def schedule(self) -> Schedule:
        """Of a trial."""
        wanted = self.config.tuning.epochs
        return replace(super().schedule(), **({} if wanted == "auto" else {"epochs": int(wanted)}))

    def hypermodel(self, folder: Path | None = None) -> ArchitectureHyperModel:
        """The space as KerasTuner sees it, its networks kept in a folder."""
        return ArchitectureHyperModel(
            self.space,
            Trials(self),
            settings=self.choices,
            budget=self.config.budget,
            latency=self.latency,
            folder=folder,
        )

    def oracle(self, hypermodel: ArchitectureHyperModel) -> Constrained:
        """What says which network to try next."""
        wanted = self.config.tuning
        own = {"population": wanted.population, "tournament": wanted.tournament} if wanted.oracle == "evolution" else {}
        objective = keras_tuner.Objective(self.goal.name, self.goal.direction)
        return ORACLES[wanted.oracle](
            hypermodel, seed=self.config.seed, trials=wanted.trials, objective=objective, **own
        )


@dataclass(frozen=True)
class TrialSetup(Setup):
    """A trial's pre-training, from images that all trials share."""

    images: Source

    @cached_property
    def source(self) -> Source:
        """The images to learn from."""
        return self.images


class Trials:
    """How the networks of a tuning learn and are judged: an `Experiment`.

    Args:
        setup: of the tuning.
    """

    def __init__(self, setup: TuneSetup) -> None:
        self.setup = setup
        self.input_shape = setup.input_shape
        self.epochs = setup.schedule().epochs
        self._progress: list[TrainingProgress] = []

    def learner(self, architecture: Architecture, settings: Mapping[str, Any]) -> Learner:
        """As ``pretrain`` makes it."""
        setup = self._setup(settings, architecture)
        with setup.computing():
            return setup.learner(Schedule(self.epochs, setup.schedule().steps_per_epoch))

    def batches(self, settings: Mapping[str, Any]) -> ViewBatches:
        """As ``pretrain`` makes them."""
        return self._setup(settings).batches()

    def score(self, learner: Learner) -> dict[str, float]:
        """By the objective."""
        return self.setup.goal.measure(learner.encoder)

    def progress(self, learner: Learner) -> list[TrainingProgress]:
        """A bar for the training of one network."""
        self.close()
        steps = self.epochs * self.setup.schedule().steps_per_epoch
        terms = tuple(metric.name for metric in learner.metrics)
        self._progress = [TrainingProgress(steps, self.setup.batch_size, terms)]
        return self._progress

    def close(self) -> None:
        """Gives the terminal back, also after an interruption."""
        for bar in self._progress:
            bar.close()

    def _setup(self, settings: Mapping[str, Any], architecture: Architecture | None = None) -> Setup:
        plain = with_settings(pretraining(self.setup.config), settings)
        if architecture is not None:
            plain = replace(plain, architecture=str(architecture))
        return TrialSetup(replace(plain, image_size=self.setup.image_size), self.setup.source)


def run(config: Tune) -> Path:
    """Tries networks, trains the best, evaluates and reports; goes on where an interrupted run stopped.

    Returns:
        The run folder.

    Raises:
        ConfigError: The config does not fit the data or the folder, or trial after trial failed.
        OSError: The data or the folder cannot be used.
        ValueError: The objective names nothing, or the budget affords nothing.
    """
    # Every trial traces a network of its own, which TensorFlow would advise against each time.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    setup = TuneSetup(config)
    name = run_name(config.data, f"tune@{config.tuning.oracle}", config.seed, config.mode)
    out = Path(config.out if config.out != "auto" else f"runs/{name}")
    check_writable(out)
    refuse_early(setup, out)
    if role() == "worker":
        _tuner(setup, out / "tune").search()
        CONSOLE.print("no trial is left; the chief trains the best network")
        return out
    found = tune(setup, out / "tune")
    trained = with_settings(pretraining(config), found["settings"])
    pretrain.run(replace(trained, architecture=found["architecture"], image_size=setup.image_size, out=str(out)))
    return evaluate.run(
        Evaluate(
            encoder=str(out),
            yardsticks=("pixels", "untrained"),
            data_dir=config.data_dir,
            train_images=TRAIN_IMAGES,
            seed=config.seed,
        )
    )


def refuse_early(setup: TuneSetup, out: Path | None) -> None:
    """Whatever would end a later part of the work, before the first begins and before a folder is made.

    Raises:
        ConfigError, ValueError, OSError: As the parts would.
    """
    if distribution.cluster_size() > 1:
        raise ConfigError(
            "tune trains one network in each process: leave TF_CONFIG, and start a chief and workers with "
            "KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT"
        )
    role()
    _ = setup.masks, setup.schedule(), setup.goal
    setup.oracle(setup.hypermodel())
    later = {"architecture", *(name.split(".")[0] for name in setup.choices)}
    wanted = {field.name: setup.resolved[field.name] for field in fields(Pretrain) if field.name not in later}
    if out is not None:
        refuse_other(out, wanted)


def tune(setup: TuneSetup, path: Path) -> dict[str, Any]:
    """Runs the trials into their folder, unless they are finished; returns what `FOUND` holds."""
    with RunFolder(path, setup.resolved, setup.architecture, kind=Tune) as folder:
        if not (folder / FOUND).is_file():
            _tune(setup, folder)
    found: dict[str, Any] = json.loads((path / FOUND).read_text())
    CONSOLE.print(f"found {found['name']}: {found['architecture']}", soft_wrap=True)
    return found


def _tune(setup: TuneSetup, folder: RunFolder) -> None:
    pretrain.check_images(setup, folder)
    tuner = _tuner(setup, folder.path)
    oracle = tuner.own_oracle
    show(f"Tuning into {folder.path}", describe(setup))
    if oracle.trials:
        CONSOLE.print(f"continuing after {len(oracle.end_order)} trials")
    try:
        tuner.search()
    finally:
        tuner.hypermodel.experiment.close()
        rows = trial_rows(tuner.hypermodel, oracle.trials)
        _write_tables(setup, folder.path, rows)
    done = [row for row in rows if row["status"] == "completed"]
    if oracle.failing or not done:
        reason = rows[-1]["reason"] if rows else "the space is exhausted"
        raise ConfigError(
            f"the last {min(len(rows), FAILURES)} trials failed ({reason}): see {folder / 'trials.csv'}, and give the "
            "same command again when it is mended"
        )
    write_json(folder / FOUND, _found(setup, rows))


def _tuner(setup: TuneSetup, path: Path) -> ArchitectureTuner:
    model = setup.hypermodel(path / "networks")
    return ArchitectureTuner(
        model,
        setup.oracle(model),
        path,
        callbacks=model.experiment.progress,  # type: ignore[attr-defined]
        say=lambda sentence: CONSOLE.print(escape(sentence), soft_wrap=True),
    )


def _axes(setup: TuneSetup) -> dict[str, Any]:
    """What the Pareto front is of: the objective, multiply-adds, and time where there is a table."""
    return {setup.goal.name: setup.goal.direction, "macs": "min"} | ({"latency": "min"} if setup.latency else {})


def _write_tables(setup: TuneSetup, path: Path, rows: list[dict[str, Any]]) -> None:
    """All trials, those that no other beats, and a picture of both."""
    axes = _axes(setup)
    front = pareto(rows, axes)
    write_json(path / "trials.json", {"version": 1, "rows": rows})
    write_json(path / "pareto.json", {"version": 1, "axes": axes, "rows": front})
    for name, some in (("trials.csv", rows), ("pareto.csv", front)):
        write_text(path / name, as_csv(some))
    for cost in [*axes][1:] if front else ():
        with replacing(path / f"pareto-{cost}.png") as temporary:
            temporary.write_bytes(front_figure(Tried({}, rows, front, axes), cost, plots.THEMES["light"]))


def _found(setup: TuneSetup, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What there is to say of the best trial; of equals, the first."""
    done = [row for row in rows if row["status"] == "completed"]
    best = (max if setup.goal.direction == "max" else min)(done, key=lambda row: row[setup.goal.name])
    budget = setup.config.budget
    return {
        "architecture": best["architecture"],
        "name": name_of(best["architecture"]),
        "settings": {name: best[name] for name in setup.choices},
        "trial": best["trial"],
        "objective": {"name": setup.goal.name, "direction": setup.goal.direction, "value": best[setup.goal.name]},
        "cost": {name: best[name] for name in ("macs", "params", "latency") if name in best},
        "space": str(setup.space),
        "choices": {name: list(values) for name, values in setup.choices.items()},
        "budget": {budget.kind: budget.amount} if budget else None,
        "oracle": setup.config.tuning.oracle,
        "trials": {"completed": len(done), "failed": len(rows) - len(done)},
    }


def with_settings(config: Pretrain, settings: Mapping[str, Any]) -> Pretrain:
    """A config with some of its options changed, as dotted names say.

    Raises:
        ConfigError: One does not take its value.
    """
    values = to_dict(config)
    for name, value in settings.items():
        *groups, option = name.split(".")
        place = values
        for group in groups:
            place = place[group]
        place[option] = value
    return from_dict(Pretrain, values)


def typical(model: ArchitectureHyperModel, seed: int) -> dict[str, Any]:
    """Hyper-parameters of a network that costs about as much as most trials: the median of some that are affordable."""
    drawn = [values for number in range(DRAWN) if model.affords(values := _drawn(model, seed * DRAWN + number))]
    drawn.sort(key=lambda values: model.cost(model.architecture(values))["macs"])
    return drawn[len(drawn) // 2]


def _drawn(model: ArchitectureHyperModel, seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    return {name: draw.choice([*spelled]) for name, spelled in model.choices.items()}


def describe(setup: TuneSetup) -> dict[str, str]:
    """What is about to happen, in the order to read it."""
    config, wanted = setup.config, setup.config.tuning
    schedule = setup.schedule()
    lines = {
        "images": f"{setup.source.size} of {setup.source.name}",
        "space": str(setup.space),
        "networks": f"{setup.space.size:,}" + (f", up to {config.budget}" if config.budget else ""),
        "tuned along": "; ".join(wanted.choices),
        "objective": f"{setup.goal.name}, {'more' if setup.goal.direction == 'max' else 'less'} is better",
        "trials": f"{wanted.trials} by {wanted.oracle}, {schedule.epochs} epochs of {schedule.steps_per_epoch} steps",
        "batch": f"{setup.batch_size} images",
    }
    return {name: line for name, line in lines.items() if line}


def _value(word: str) -> Any:
    """A word as JSON would read it, else as text."""
    try:
        return json.loads(word)
    except json.JSONDecodeError:
        return word
