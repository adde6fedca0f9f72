"""A space as KerasTuner sees it: its decisions are hyper-parameters, and a trial trains the network they spell."""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras_tuner

from ssl_keras.architecture.cost import cost
from ssl_keras.architecture.derivation import Budget
from ssl_keras.architecture.grammar import Architecture, ArchitectureError, parse
from ssl_keras.architecture.latency import LatencyTable
from ssl_keras.data.views import ViewBatches
from ssl_keras.learning.checkpoints import Checkpoints
from ssl_keras.learning.learner import Learner
from ssl_keras.learning.monitors import StopAtNaN

Values = Mapping[str, Any]
SCORES = "scores.json"


class Experiment(Protocol):
    """What a hyper-model needs to know: how a network learns, and what it is worth.

    What is said of settings is a mapping from the names of the training hyper-parameters to their values.
    """

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""

    @property
    def epochs(self) -> int:
        """Of a whole training, where nobody asks for fewer."""

    def learner(self, architecture: Architecture, settings: Values) -> Learner:
        """A compiled learner of an encoder with new weights, the same for the same arguments."""

    def batches(self, settings: Values) -> ViewBatches:
        """What it learns from."""

    def score(self, learner: Learner) -> Mapping[str, float]:
        """What its encoder is worth; the objective is among the names."""


class ArchitectureHyperModel(keras_tuner.HyperModel):
    """The networks of a space, and the training hyper-parameters that are tuned along with them.

    Every decision of the space (`stage2.k`) and every setting (`optimization.learning_rate`) is one `hp.Choice`.
    NOTE: only whole numbers are choices as they are; others go as text, since KerasTuner's messages between processes
    round them to 32 bits, and its choices do not mix kinds.

    Args:
        space: its string, or as parsed.
        experiment: how its networks are trained and judged.
        settings: names of training hyper-parameters, each with the values to choose from.
        budget: what a network may cost at most; NOTE: a bound here, where a search by gradient hits it.
        latency: milliseconds of blocks, for a budget of them.
        folder: where a network's checkpoints and scores are kept, under a name that follows from the network and its
            settings; so whoever is asked for it again, in this process or another, goes on where it stands. Give
            every experiment a folder of its own. None keeps nothing.

    Raises:
        ArchitectureError: the string is malformed.
        ValueError: there is nothing to choose, or a setting has the name of a decision or repeats a value.
    """

    def __init__(
        self,
        space: str | Architecture,
        experiment: Experiment,
        *,
        settings: Mapping[str, Sequence[Any]] | None = None,
        budget: Budget | None = None,
        latency: LatencyTable | None = None,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self.space = parse(space) if isinstance(space, str) else space
        self.experiment, self.budget, self.latency = experiment, budget, latency
        self.settings = dict(settings or {})
        self.folder = Path(folder) if folder is not None else None
        if budget is not None and budget.kind == "latency" and latency is None:
            raise ValueError("a budget of milliseconds needs a table of latencies, which ssl-keras latency measures")
        self.choices = {name: _spelled(name, values) for name, values in self._open().items()}
        self._costs: dict[str, dict[str, float]] = {}
        super().__init__(name="architecture")

    def _open(self) -> dict[str, Sequence[Any]]:
        decisions = self.space.decisions
        if both := sorted(decisions.keys() & self.settings.keys()):
            raise ValueError(f"the setting {both[0]} has the name of a decision of the space: rename it")
        if not decisions and not self.settings:
            raise ValueError(f"nothing to choose in '{self.space}': put choices in braces, as k{{3,5}}")
        return {**decisions, **self.settings}

    def declare_hyperparameters(self, hp: Any) -> None:
        """Names all of them, without building a network."""
        for name, spelled in self.choices.items():
            hp.Choice(name, [*spelled])

    def architecture(self, values: Values) -> Architecture:
        """The network that hyper-parameters spell.

        Args:
            values: as KerasTuner holds them; names that are not ours are left alone.
        """
        return self.space.freeze({name: self.choices[name][values[name]] for name in self.space.decisions})

    def settings_of(self, values: Values) -> dict[str, Any]:
        """The training hyper-parameters among them."""
        return {name: self.choices[name][values[name]] for name in self.settings}

    def spelling(self, values: Values) -> str:
        """All that makes the training of one trial differ from another's, as text."""
        settings = [f"{name}={value}" for name, value in self.settings_of(values).items()]
        return "; ".join([str(self.architecture(values)), *settings])

    def cost(self, architecture: Architecture) -> dict[str, float]:
        """`macs` and `params` of a network, and `latency` where there is a table of it.

        Raises:
            ArchitectureError: it cannot be built for the images.
            ValueError: one of its blocks is not in the table.
        """
        name = str(architecture)
        if name not in self._costs:
            counted = cost(architecture, self.experiment.input_shape)
            found: dict[str, float] = {"macs": counted.macs, "params": counted.params}
            if self.latency is not None:
                found["latency"] = self.latency.predict(architecture, self.experiment.input_shape)
            self._costs[name] = found
        return self._costs[name]

    def affords(self, values: Values) -> bool:
        """Whether the network that hyper-parameters spell can be built and is within the budget."""
        try:
            found = self.cost(self.architecture(values))
        except ArchitectureError:
            return False
        return self.budget is None or found[self.budget.kind] <= self.budget.amount

    def build(self, hp: Any) -> Learner:
        """A compiled learner of the network that the hyper-parameters spell."""
        self.declare_hyperparameters(hp)
        return self.experiment.learner(self.architecture(hp.values), self.settings_of(hp.values))

    def fit(
        self,
        hp: Any,
        model: Learner,
        *args: Any,
        epochs: int | None = None,
        initial_epoch: int = 0,
        callbacks: Sequence[Any] = (),
        **kwargs: Any,
    ) -> dict[str, float]:
        """Trains a learner that `build` made, and judges it.

        Args:
            hp: the hyper-parameters it was built from.
            model: it.
            *args: ignored; the experiment has the data.
            epochs: up to which it learns, of a schedule of the experiment's whole length.
            initial_epoch: at which it begins, as Keras counts: schedule and data go on from there, as after
                Hyperband's handing on of weights. A checkpoint in the folder knows better.
            callbacks: given to Keras.
            **kwargs: given to Keras.

        Returns:
            The experiment's scores, and the cost.

        Raises:
            FailedTrialError: the network is not within the budget; nothing is trained. The oracles of this package do
                not propose such ones.
            DivergedError: the loss is no longer finite.
        """
        if not self.affords(hp.values):
            raise keras_tuner.errors.FailedTrialError(
                f"{self.architecture(hp.values)} cannot be built, or is not within the budget of {self.budget}"
            )
        epochs = epochs or self.experiment.epochs
        batches = self.experiment.batches(self.settings_of(hp.values))
        model.optimizer.iterations.assign(initial_epoch * batches.steps_per_epoch)
        with self._own_folder(hp.values) as place:
            kept = [Checkpoints(place / "checkpoint")] if place else []
            begun = (kept[0].restore(model) if kept else 0) or model.step
            known = _read_scores(place)
            if str(epochs) not in known:
                model.fit(
                    batches,
                    epochs=epochs,
                    initial_epoch=begun // batches.steps_per_epoch,
                    callbacks=[StopAtNaN(), *callbacks, *kept],
                    **{"verbose": 0, **kwargs},
                )
                known[str(epochs)] = {**self.experiment.score(model), **self.cost(self.architecture(hp.values))}
                _write_scores(place, known)
            else:
                _hand_over(callbacks, model, epochs)
        return {name: float(value) for name, value in known[str(epochs)].items()}

    def place(self, values: Values) -> Path | None:
        """The folder of a network with its settings."""
        name = hashlib.sha256(self.spelling(values).encode()).hexdigest()[:12]
        return self.folder / name if self.folder else None

    @contextlib.contextmanager
    def _own_folder(self, values: Values) -> Iterator[Path | None]:
        """That folder, to oneself: whoever comes second waits, and a process that ends, however it does, leaves it."""
        place = self.place(values)
        if place is None:
            yield None
            return
        place.mkdir(parents=True, exist_ok=True)
        with (place / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (place / "trained.txt").write_text(self.spelling(values) + "\n")
            yield place


def _spelled(name: str, values: Sequence[Any]) -> dict[Any, Any]:
    """How KerasTuner spells each value."""
    whole = all(type(value) is int for value in values)
    spelled = {value if whole else str(value): value for value in values}
    if not values or len(spelled) < len(values):
        raise ValueError(f"{name} has the choices {list(values)}: give one or more, and each once")
    return spelled


def _read_scores(place: Path | None) -> dict[str, dict[str, float]]:
    """Number of epochs to scores."""
    path = place / SCORES if place else None
    return json.loads(path.read_text()) if path and path.is_file() else {}


def _write_scores(place: Path | None, scores: Mapping[str, Mapping[str, float]]) -> None:
    if place:
        write_whole(place / SCORES, json.dumps(scores))


def write_whole(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    temporary.write_text(text)
    temporary.replace(path)


def _hand_over(callbacks: Sequence[Any], model: Learner, epochs: int) -> None:
    """Lets KerasTuner's own callbacks save the weights of a network that needs no further training."""
    for callback in callbacks:
        callback.set_model(model)
        callback.on_epoch_end(epochs - 1, {})
