"""What to try next: KerasTuner's oracles under a budget, and regularised evolution (arXiv 1802.01548).

Each is told of the space by its hyper-model, proposes only networks that the budget affords and that were not tried,
and draws whatever is random from its seed and the number of the trial: what is refused is never a trial, where
KerasTuner would count it, train nothing, and give up at the third.
"""

import contextlib
import itertools
import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.oracles import BayesianOptimizationOracle, HyperbandOracle, RandomSearchOracle

from ssl_keras.architecture.derivation import readable
from ssl_keras.architecture.grammar import ArchitectureError
from ssl_keras.tuning.hypermodel import ArchitectureHyperModel, Values, write_whole

DRAWS = 2000
"""Random proposals before a space counts as exhausted."""
SCANNED = 200_000
"""Points of a grid that are looked at in search of the next one to try."""
GUESSES = 3
"""Proposals of the Gaussian process before a random one is taken."""
FAILURES = 3
"""Trials that fail one after another before the search stops."""
RUNNING, IDLE, STOPPED, COMPLETED, FAILED = "RUNNING", "IDLE", "STOPPED", "COMPLETED", "FAILED"

Response = dict[str, Any]


class Constrained(keras_tuner.Oracle):
    """What the oracles here share.

    Args:
        hypermodel: the space, its budget, and what its hyper-parameters spell.
        seed: any whole number. NOTE: KerasTuner draws a seed of its own for 0, so one more is what it gets.
        trials: how many.
        **kwargs: of KerasTuner's oracle.

    Raises:
        ValueError: nothing was found that the budget affords.
    """

    trials: dict[str, Any]
    _retry_queue: list[str]

    def __init__(self, hypermodel: ArchitectureHyperModel, *, seed: int = 0, trials: int, **kwargs: Any) -> None:
        self.hypermodel = hypermodel
        # KerasTuner raises at three failures, which in a chief ends neither it nor its workers: see `failing`.
        super().__init__(seed=seed + 1, max_consecutive_failed_trials=-1, **kwargs)
        self.max_trials = trials
        self.verbose = 0
        hypermodel.declare_hyperparameters(self.hyperparameters)
        if self._random_values() is None:
            raise ValueError(
                f"of {DRAWS} networks drawn from the space none is within {hypermodel.budget} ({self._cheapest()}): "
                "give more"
            )

    @property
    def failing(self) -> bool:
        """Whether the last trials all failed, so that no more are begun."""
        last = self.end_order[-FAILURES:]
        return len(last) == FAILURES and all(self.trials[name].status == FAILED for name in last)

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Any:
        """As KerasTuner's; who finds nothing left waits for the others, whose trials are his if they are lost."""
        if self.failing:
            self.tuner_ids.discard(tuner_id)
            return keras_tuner.engine.trial.Trial(self.get_space(), status=STOPPED)
        trial = super().create_trial(tuner_id)
        if trial.status == STOPPED and self.ongoing_trials:
            self.tuner_ids.add(tuner_id)
            trial.status = IDLE
        return trial

    @keras_tuner.synchronized
    def lose(self, tuner_id: str) -> str | None:
        """Takes a worker for lost: its trial, whose number is returned, is for the next who asks."""
        trial = self.ongoing_trials.pop(tuner_id, None)
        self.tuner_ids.discard(tuner_id)
        if trial is not None:
            self._retry_queue.append(trial.trial_id)
            self.save()
        return trial.trial_id if trial is not None else None

    def save(self) -> None:
        """Writes the state whole or not at all, which KerasTuner does not."""
        write_whole(Path(self._get_oracle_fname()), json.dumps(self.get_state()))

    def _save_trial(self, trial: Any) -> None:
        write_whole(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", json.dumps(trial.get_state()))

    def reload(self) -> None:
        """Goes on from a folder; trials that had begun are tried again, from where their networks stand."""
        super().reload()
        # A crash between two files leaves a trial that the oracle does not know of: it is proposed anew, and equal.
        begun = {*self.start_order}
        self.trials = {name: trial for name, trial in self.trials.items() if name in begun}
        if self.failing:  # whoever starts it again has mended something
            self._retry_queue += self.end_order[-FAILURES:]
            del self.end_order[-FAILURES:]
        ended = {*self.end_order}  # KerasTuner counts the last of them among those at work too
        self._retry_queue = [name for name in dict.fromkeys(self._retry_queue) if name not in ended]

    def _draw(self) -> random.Random:
        """All that is random about the next trial."""
        return random.Random(f"{self.seed} {len(self.trials)}")

    def _random_values(self) -> dict[str, Any] | None:
        """Every decision drawn by itself; None where nothing is left to try."""
        draw, known = self._draw(), self._tried()
        points = ({name: draw.choice(values) for name, values in self._axes().items()} for _ in range(DRAWS))
        return self._first_new(points, known)

    def _cheapest(self) -> str:
        """What a network costs at least, as far as draws tell."""
        model, draw, costs = self.hypermodel, self._draw(), list[float]()
        for _ in range(DRAWS):
            values = {name: draw.choice(choices) for name, choices in self._axes().items()}
            with contextlib.suppress(ArchitectureError):
                costs.append(model.cost(model.architecture(values))[model.budget.kind if model.budget else "macs"])
        return f"the cheapest has {readable(min(costs))}" if costs else "none can be built"

    def _axes(self) -> dict[str, list[Any]]:
        """Hyper-parameter to its values."""
        return {name: [*spelled] for name, spelled in self.hypermodel.choices.items()}

    def _tried(self) -> set[str]:
        """What the trials so far spell; different choices may spell the same network."""
        return {self.hypermodel.spelling(trial.hyperparameters.values) for trial in self.trials.values()}

    def _first_new(self, points: Iterable[dict[str, Any]], known: set[str]) -> dict[str, Any] | None:
        """The first that the budget affords and nobody tried."""
        fitting = (
            values
            for values in points
            if self.hypermodel.affords(values) and self.hypermodel.spelling(values) not in known
        )
        return next(fitting, None)

    def _proposed(self, values: Mapping[str, Any] | None) -> Response:
        """A proposal as KerasTuner takes it; without values the search is at its end."""
        return {"status": STOPPED if values is None else RUNNING, "values": values}


class Random(Constrained, RandomSearchOracle):
    """Every decision drawn by itself."""


class Hyperband(Constrained, HyperbandOracle):
    """Many short trials, of which the best go on for longer; brackets follow one another until the trials are spent.

    Args:
        hypermodel: as in `Constrained`; its experiment's epochs are those of the longest trials.
        factor: a round's epochs over those of the round before, and one over the share that goes on.
        **kwargs: as in `Constrained`.
    """

    def __init__(self, hypermodel: ArchitectureHyperModel, *, factor: int = 3, **kwargs: Any) -> None:
        epochs = hypermodel.experiment.epochs
        super().__init__(hypermodel, max_epochs=epochs, factor=factor, hyperband_iterations=None, **kwargs)


class Bayesian(Constrained, BayesianOptimizationOracle):
    """Where a Gaussian process of the trials so far hopes for most.

    Args:
        hypermodel: as in `Constrained`.
        trials: as in `Constrained`; the first third is drawn at random, but three at least. NOTE: our choice;
            KerasTuner draws three for every hyper-parameter.
        **kwargs: as in `Constrained`.
    """

    def __init__(self, hypermodel: ArchitectureHyperModel, *, trials: int, **kwargs: Any) -> None:
        super().__init__(hypermodel, trials=trials, num_initial_points=max(3, trials // 3), **kwargs)

    def populate_space(self, trial_id: str) -> Response:
        """A proposal that is affordable and new; at random where the process insists on others."""
        self._random_state = np.random.RandomState(self._draw().randrange(2**32))
        known = self._tried()
        for _ in range(GUESSES):
            response: Response = super().populate_space(trial_id)
            if response["values"] is None or self._first_new([response["values"]], known):
                return response
        return self._proposed(self._random_values())


class Grid(Constrained):
    """All networks in the order of the space, the last decision moving fastest. NOTE: our own, since KerasTuner's hands
    out what no budget affords.
    """

    def populate_space(self, trial_id: str) -> Response:
        """The first that is affordable and new."""
        axes = self._axes()
        points = (dict(zip(axes, picks, strict=True)) for picks in itertools.product(*axes.values()))
        return self._proposed(self._first_new(itertools.islice(points, SCANNED), self._tried()))


class Evolution(Constrained):
    """Regularised evolution: the best of a sample has a child that differs in one decision, and the oldest dies.

    Algorithm 1 of Real et al., arXiv 1802.01548; the sample is drawn with repetition, as there. NOTE: the paper mutates
    the wiring of cells, here one decision of the grammar or one setting takes another value; there is no identity
    mutation, and no network is tried twice. The population is those trials that were completed last, so several
    workers need no generations.

    Args:
        hypermodel: as in `Constrained`.
        population: how many are alive; as many are drawn at random to begin with. [paper: 100]
        tournament: size of the sample. [paper: 25]
        **kwargs: as in `Constrained`.
    """

    def __init__(
        self, hypermodel: ArchitectureHyperModel, *, population: int = 16, tournament: int = 4, **kwargs: Any
    ) -> None:
        self.population, self.tournament = population, tournament
        super().__init__(hypermodel, **kwargs)

    def populate_space(self, trial_id: str) -> Response:
        """A random network, or a child; a random one too where all that differ in one decision were tried."""
        alive = self.alive()
        if len(self.trials) < self.population or not alive:
            return self._proposed(self._random_values())
        draw = self._draw()
        sample = [draw.choice(alive) for _ in range(self.tournament)]
        best = max if self.objective.direction == "max" else min
        parent = best(sample, key=lambda trial: trial.score)
        child = self._first_new(self._mutants(parent.hyperparameters.values, draw), self._tried())
        return self._proposed(child or self._random_values())

    def alive(self) -> list[Any]:
        """The population, the oldest first."""
        ended = [self.trials[name] for name in dict.fromkeys(self.end_order)]
        return [trial for trial in ended if trial.status == COMPLETED][-self.population :]

    def _mutants(self, parent: Values, draw: random.Random) -> Iterable[dict[str, Any]]:
        """All that differ from a parent in one decision, in random order: decisions first, then their values."""
        axes = self._axes()
        for name in draw.sample([*axes], len(axes)):
            for value in draw.sample(axes[name], len(axes[name])):
                if value != parent[name]:
                    yield {**{each: parent[each] for each in axes}, name: value}


ORACLES: Mapping[str, type[Constrained]] = {
    "random": Random,
    "evolution": Evolution,
    "bayesian": Bayesian,
    "hyperband": Hyperband,
    "grid": Grid,
}
"""Oracles by name."""
