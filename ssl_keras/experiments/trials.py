"""What a tuning's config names: the space, the objective, the oracle, and how each network learns."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras_tuner

from ssl_keras.architecture.grammar import Architecture
from ssl_keras.architecture.latency import LatencyTable, blocks_of
from ssl_keras.architecture.spaces import space_for
from ssl_keras.data.views import ViewBatches
from ssl_keras.experiments.checks import ConfigError, nearest
from ssl_keras.experiments.config_files import from_dict, to_dict
from ssl_keras.experiments.latency import read_table
from ssl_keras.experiments.naming import named_architecture
from ssl_keras.experiments.progress import TrainingProgress
from ssl_keras.experiments.run_folder import flat
from ssl_keras.experiments.settings import Pretrain, Tune, pretraining
from ssl_keras.experiments.setup import Schedule, Setup
from ssl_keras.learning.learner import Learner
from ssl_keras.tuning import ORACLES, ArchitectureHyperModel, Goal, goal
from ssl_keras.tuning.oracles import Constrained

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
        return Setup(replace(plain, image_size=self.setup.image_size, images=None), self.setup.source)


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


def _value(word: str) -> Any:
    """A word as JSON would read it, else as text."""
    try:
        return json.loads(word)
    except json.JSONDecodeError:
        return word
