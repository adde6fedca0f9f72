"""``ssl-keras search``: images without labels and a budget to an architecture, and to an encoder of it.

The run folder is that of the network trained anew, as ``pretrain`` writes it, with three more: search/ (how the
architecture was found: config.json · metrics.jsonl · probabilities.jsonl · found.json · slice/ · checkpoint/),
sliced/ (the same network trained on from its slice of the supernet) and baselines/ (others of the same cost).
"""

import json
import time
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras

from ssl_keras.architecture import families
from ssl_keras.architecture.cost import cost
from ssl_keras.architecture.derivation import Budget, checked_budget, cost_range, readable
from ssl_keras.architecture.families import name_of
from ssl_keras.architecture.grammar import Architecture, parse
from ssl_keras.architecture.latency import LatencyTable
from ssl_keras.architecture.spaces import SMALL_IMAGES, family_at, random_at, space_for
from ssl_keras.experiments import evaluate, pretrain
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.latency import read_table
from ssl_keras.experiments.naming import named_architecture, run_name
from ssl_keras.experiments.progress import CONSOLE, show
from ssl_keras.experiments.run_folder import RunFolder, check_writable, own_place, refuse_other, replacing, write_json
from ssl_keras.experiments.settings import Pretrain, Search, pretraining
from ssl_keras.experiments.setup import Schedule, Setup, measure_statistics
from ssl_keras.learning import distribution, monitors
from ssl_keras.learning.checkpoints import Checkpoints
from ssl_keras.learning.search import ArchitectureSearch
from ssl_keras.learning.search_monitor import SearchMonitor
from ssl_keras.networks.supernet import build_supernet

FOUND = "found.json"
"""What a finished search says of itself, in search/."""


@dataclass(frozen=True)
class SearchSetup(Setup):
    """What a search's config names; its encoder is a supernet."""

    config: Search

    @cached_property
    def space(self) -> Architecture:
        """The space to search."""
        if self.config.architecture != "auto":
            return named_architecture(self.config.architecture, self.image_size)
        if self.config.latency is not None:
            raise ConfigError(
                "a budget of milliseconds needs the space whose blocks were measured: give --architecture"
            )
        return space_for(self.budget_or_proposal, self.image_size)

    @property
    def budget_or_proposal(self) -> Budget:
        """The budget.

        Raises:
            ConfigError: There is none; one is proposed.
        """
        if self.config.budget is not None:
            return self.config.budget
        if self.config.architecture == "auto":
            known = families.get("resnet18", 0.125, small_images=self.image_size <= SMALL_IMAGES)
            proposed = readable(cost(known, self.input_shape).macs).replace(" ", "")
            reach = "what a ResNet-18 of width 8 costs"
        else:
            low, high = cost_range(self.space, "macs", self.input_shape)
            proposed = readable((low * high) ** 0.5).replace(" ", "")
            reach = f"this space reaches from {readable(low)} to {readable(high)} multiply-adds an image"
        raise ConfigError(
            f"a search needs a budget, or it only grows the network: try --macs {proposed} ({reach}), or --params"
        )

    @cached_property
    def latency(self) -> LatencyTable | None:
        """The table of latencies, if the budget is one."""
        return read_table(self.config.latency_table) if self.config.latency is not None else None

    @property
    def architecture(self) -> str:
        """The space, as text."""
        return str(self.space)

    def encoder(self) -> keras.Model:
        """The supernet, drawn from the seed."""
        return build_supernet(self.space, self.input_shape, seed=self.config.seed)

    def schedule(self) -> Schedule:
        """Of the search: an epoch is a pass over the weights' half."""
        wanted, steps = self.config.search.epochs, self.source.size // 2 // self.batch_size
        if not steps:
            raise ConfigError(
                f"batch_size is {self.batch_size}, but half of the {self.source.size} images of {self.source.name} do "
                f"not fill it: give --batch-size {self.source.size // 2} or less"
            )
        return Schedule(self._epochs if wanted == "auto" else int(wanted), steps)

    def search(self, schedule: Schedule) -> ArchitectureSearch:
        """The compiled search."""
        wanted = self.config.search
        learner = self.supervised(schedule, wanted.label) if wanted.label else self.learner(schedule)
        found = ArchitectureSearch(
            learner,
            self.budget_or_proposal,
            steps=schedule.steps,
            warmup=wanted.warmup,
            widest_first=wanted.widest_first,
            every=wanted.every,
            estimator=wanted.estimator,
            samples=wanted.samples,
            cost_weight=wanted.cost_weight,
            entropy_weight=wanted.entropy_weight,
            sandwich=wanted.sandwich,
            order=wanted.order,
            latency=self.latency,
            seed=self.config.seed,
        )
        found.compile(learner.optimizer)
        return found


def run(config: Search) -> Path:
    """Searches, trains what was found, evaluates and reports; goes on where an interrupted run stopped.

    Returns:
        The run folder.

    Raises:
        ConfigError: The config does not fit the data or the folder, or has no budget.
        OSError: The data or the folder cannot be used.
        DivergedError: The loss is no longer finite; the last good checkpoint is kept.
    """
    setup = SearchSetup(config)
    name = run_name(
        config.data, f"search@{readable(setup.budget_or_proposal.amount).replace(' ', '')}", config.seed, config.mode
    )
    out = Path(config.out if config.out != "auto" else f"runs/{name}")
    check_writable(out)
    refuse_early(setup, out)
    found = search(setup, out / "search")
    trained = replace(pretraining(config), architecture=found["architecture"])
    if config.sliced:
        start = str(out.resolve() / "search" / "slice")
        pretrain.train(replace(trained, init=start, out=str(out / "sliced")))
    pretrain.train(replace(trained, out=str(out)))
    for name, network in baselines(setup, found).items():
        pretrain.train(replace(trained, architecture=str(network), out=str(out / "baselines" / name)))
    if distribution.is_chief():
        evaluate.of_choice(out, config)
    return out


def refuse_early(setup: SearchSetup, out: Path | None) -> None:
    """Whatever would end a later part of the work, before the first begins and before a folder is made.

    Raises:
        ConfigError, ValueError, OSError: As the parts would.
    """
    config = setup.config
    _ = setup.masks, setup.schedule()
    if config.search.label:
        setup.source.labels(config.search.label)
    checked_budget(setup.budget_or_proposal, setup.space, setup.input_shape, setup.latency)
    decided_later = ("architecture",)
    wanted = {field.name: setup.resolved[field.name] for field in fields(Pretrain) if field.name not in decided_later}
    if out is not None:
        refuse_other(out, wanted)


def baselines(setup: SearchSetup, found: dict[str, Any]) -> dict[str, Architecture]:
    """Networks that cost what the budget says, by name; under a budget of time, as many multiply-adds as were found.

    A ResNet ends in as many channels as what was found, since a wider embedding alone helps a classifier.
    """
    budget, seed = setup.budget_or_proposal, setup.config.seed
    embedding = parse(found["architecture"]).stages[-1].number("c")
    if budget.kind == "latency":
        budget = Budget(macs=found["cost"]["macs"])
    return {
        name: random_at(setup.space, budget, setup.input_shape, seed)
        if name == "random"
        else family_at(name, budget, setup.image_size, embedding=embedding)
        for name in setup.config.baselines
    }


def search(setup: SearchSetup, path: Path) -> dict[str, Any]:
    """Runs the search into its folder, unless it is finished; returns what `FOUND` holds."""
    with setup.computing(), own_place(path, distribution.is_chief()) as place:
        with RunFolder(place, setup.resolved, setup.architecture, kind=Search) as folder:
            if not (path / FOUND).is_file():
                _search(setup, folder, path / "checkpoint")
        distribution.check_agreed(0, "the end of the search")
    found: dict[str, Any] = json.loads((path / FOUND).read_text())
    CONSOLE.print(f"found {found['name']}: {found['architecture']}", soft_wrap=True)
    return found


def _search(setup: SearchSetup, folder: RunFolder, kept: Path) -> None:
    started = time.monotonic()
    pretrain.check_images(setup, folder)
    schedule = setup.schedule()
    searching = setup.search(schedule)
    checkpoints = Checkpoints(kept, warn=pretrain.warn)
    step = checkpoints.restore(searching)
    show(f"Searching into {folder.path}", describe(setup, searching, schedule))
    if step:
        CONSOLE.print(f"continuing after step {step}")
    batch = next(iter(setup.batches(setup.config.search.label).halves()[1].dataset()))
    watched = [
        SearchMonitor(folder / "probabilities.jsonl", folder / "tensorboard", batch),
        monitors.Recorder(folder / "metrics.jsonl", folder / "tensorboard", batch_size=setup.batch_size),
        checkpoints,
    ]
    pretrain.fit(setup, searching, schedule, watched, setup.config.search.label)
    pretrain.tell_damaged(setup)
    picks = searching.picks()
    encoder = searching.encoder.slice(picks)
    measure_statistics(encoder, setup.source, setup.image_size)
    with replacing(folder / "slice" / "encoder.keras") as temporary:
        encoder.save(temporary)
    write_json(folder / FOUND, _found(setup, searching, picks, time.monotonic() - started))


def _found(setup: SearchSetup, searching: ArchitectureSearch, picks: dict[str, Any], seconds: float) -> dict[str, Any]:
    architecture = searching.space.freeze(picks)
    spent = cost(architecture, setup.input_shape)
    budget = searching.budget
    return {
        "architecture": str(architecture),
        "name": name_of(architecture),
        "space": str(searching.space),
        "decisions": {name: list(values) for name, values in searching.space.decisions.items()},
        "picks": picks,
        "label": setup.config.search.label,
        "budget": {budget.kind: budget.amount},
        "cost": {"macs": spent.macs, "params": spent.params}
        | ({"latency": setup.latency.predict(architecture, setup.input_shape)} if setup.latency else {}),
        "expected_cost": searching.expected_cost(),
        "entropy": searching.entropy(),
        "this_session_seconds": round(seconds),
    }


def describe(setup: SearchSetup, searching: ArchitectureSearch, schedule: Schedule) -> dict[str, str]:
    """What is about to happen, in the order to read it."""
    low, high = cost_range(searching.space, searching.budget.kind, setup.input_shape, setup.latency)
    phases = searching.phases
    told = setup.describe(searching.learner, schedule) if not setup.config.search.label else {}
    kept = {name: text for name, text in told.items() if name in ("views", "masks", "method", "batch")}
    return {
        "images": f"{setup.source.size} of {setup.source.name}, half for the weights and half for the architecture",
        "space": str(searching.space),
        "networks": f"{searching.space.size:,}, of {readable(low)} to {readable(high)}",
        "budget": str(searching.budget),
        **kept,
        "schedule": f"{schedule.epochs} epochs of half of the images, {schedule.steps} steps; widths are drawn from "
        f"step {phases.first_width} on, the architecture moves from step {phases.first_move} on, every {phases.every}",
    }
