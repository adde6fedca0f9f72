"""A tuner: asks an oracle what to try, lets the hyper-model train and judge it, and keeps what came out."""

import contextlib
import gc
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from ssl_keras.learning import monitors
from ssl_keras.learning.learner import Learner
from ssl_keras.tuning.hypermodel import ArchitectureHyperModel
from ssl_keras.tuning.oracles import Constrained
from ssl_keras.tuning.workers import Heartbeat, Watchdog, role

ORACLE, ALIVE, TENSORBOARD = "oracle", "alive", "tensorboard"
ASK_AGAIN_S = 0.5
"""What a worker waits before it asks a chief."""


class ArchitectureTuner(keras_tuner.Tuner):
    """KerasTuner's `search` over the networks of a space, alone or as the chief or a worker of several processes.

    It goes on where an earlier one stopped in the same folder. Networks are not saved by it: their checkpoints are the
    hyper-model's. Every trial is shown by TensorBoard's HParams, from the folder tensorboard/.

    Args:
        hypermodel: what is tuned; give it a folder, or a trial that was interrupted starts anew.
        oracle: one of `ORACLES`, of the same hyper-model.
        folder: where the oracle's state goes; one that all processes share.
        callbacks: from a learner that is about to be trained to Keras callbacks.
        say: called with a sentence after every trial, and when a worker is lost.
    """

    def __init__(
        self,
        hypermodel: ArchitectureHyperModel,
        oracle: Constrained,
        folder: str | os.PathLike[str],
        *,
        callbacks: Callable[[Learner], Sequence[Any]] = lambda learner: (),
        say: Callable[[str], None] = print,
    ) -> None:
        self.own_oracle, self.folder, self.callbacks, self.say = oracle, Path(folder), callbacks, say
        self._begun, self._spent = 0.0, list[float]()
        super().__init__(oracle, hypermodel, directory=str(folder), project_name=ORACLE)
        if role() != "worker" and Path(oracle._get_oracle_fname()).is_file():
            oracle.reload()

    def search(self) -> None:
        """Runs trials until the oracle ends them; as a chief, lets the workers run them and waits."""
        watching: Any = contextlib.nullcontext()
        if role() == "worker":
            watching = Heartbeat(self.folder / ALIVE, self.tuner_id)
        elif role() == "chief":
            watching = Watchdog(self.folder / ALIVE, self.own_oracle, self.say)
        if role() != "worker":
            self._describe()
        with watching:
            super().search()

    def run_trial(self, trial: Any) -> dict[str, float]:
        """Builds, trains and judges one network."""
        keras.backend.clear_session()
        gc.collect()
        values = trial.hyperparameters.values
        try:
            learner = self.hypermodel.build(trial.hyperparameters)
            found: dict[str, float] = self.hypermodel.fit(
                trial.hyperparameters,
                learner,
                epochs=values.get("tuner/epochs"),
                initial_epoch=values.get("tuner/initial_epoch", 0),
                callbacks=self.callbacks(learner),
            )
        except Exception:
            self._show(trial, {})  # among the others, without a metric
            raise
        self._show(trial, found)
        return found

    def _show(self, trial: Any, found: dict[str, float]) -> None:
        values = trial.hyperparameters.values
        shown = {name: values[name] for name in self.hypermodel.choices}
        place = self.folder / TENSORBOARD / trial.trial_id
        monitors.write_trial(place, shown, found, str(self.hypermodel.architecture(values)))

    def pre_create_trial(self) -> None:
        """Does not besiege the chief with questions, which KerasTuner's workers do."""
        if role() == "worker":
            time.sleep(ASK_AGAIN_S)

    def on_trial_begin(self, trial: Any) -> None:
        """Looks at the clock."""
        self._begun = time.monotonic()

    def on_trial_end(self, trial: Any) -> None:
        """Tells the oracle, which keeps it, and the user."""
        self.oracle.end_trial(trial)
        self._spent.append(time.monotonic() - self._begun)
        if role() == "alone":
            self.say(self._told(trial.trial_id))

    def _told(self, number: str) -> str:
        oracle = self.own_oracle
        trial, done = oracle.trials[number], len(oracle.end_order)
        network = self.hypermodel.spelling(trial.hyperparameters.values)
        score = f"{trial.score:.4g}" if trial.status == "COMPLETED" else f"failed ({_last_line(trial.message)})"
        best = oracle.get_best_trials()[0]
        sofar = f", best {best.score:.4g} of trial {best.trial_id}" if best.status == "COMPLETED" else ""
        left = (oracle.max_trials - done) * statistics.mean(self._spent) / 60
        return (
            f"trial {number}, {done} of {oracle.max_trials}: {oracle.objective.name} {score}{sofar}; "
            f"{network}; {left:.1f} min left"
        )

    def _describe(self) -> None:
        """What TensorBoard shows trials by."""
        choices = {name: [*spelled] for name, spelled in self.hypermodel.choices.items()}
        costs = ["macs", "params", *(["latency"] if self.hypermodel.latency else [])]
        monitors.write_tuning(self.folder / TENSORBOARD, choices, [self.own_oracle.objective.name, *costs])

    def _populate_initial_space(self) -> None:
        """Nothing: the oracle knows the space, and building a network would tell it nothing."""

    def _get_tuner_fname(self) -> str:
        """A file that is never there: all that there is to remember is the oracle's."""
        return str(self.folder / ORACLE / "no tuner.json")


def _last_line(message: str | None) -> str:
    return (message or "").strip().splitlines()[-1] if message else ""
