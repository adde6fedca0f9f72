"""Checkpoints of a learner: everything that a run needs to go on as if it had not been interrupted."""

import json
import math
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ssl_keras.learning import distribution

CANNOT = (OSError, tf.errors.OpError, IndexError)
"""What reading and writing checkpoints raises; the last, where one ends too soon."""


class Checkpoints(keras.callbacks.Callback):
    """Saves weights, target, BN statistics and optimizer slots at epoch ends, and restores the newest.

    The order of the data and all random draws follow from the step, so nothing else has to be kept. A checkpoint takes
    its place when it is complete; one that cannot be written, for want of space say, or not be read any more, is told
    of, and the one before it counts. Of several workers the chief's count, and all of them read those.

    Args:
        folder: Where the checkpoints stand.
        every: Epochs between checkpoints.
        keep: How many of the newest stay.
        warn: Called with the sentence of what went wrong.
    """

    def __init__(self, folder: Path, *, every: int = 1, keep: int = 2, warn: Callable[[str], None] = print) -> None:
        super().__init__()
        self.folder, self.every, self.keep, self.warn = folder, every, keep, warn

    def restore(self, learner: keras.Model) -> int:
        """Loads the newest checkpoint that can be read into a compiled learner.

        Returns:
            Its step, 0 where there is none.

        Raises:
            ValueError: The checkpoint is of another network.
            OSError: There are checkpoints, and none can be read; or the workers read different ones.
        """
        manager = self._manager(learner, self.folder)
        written = list(reversed(manager.checkpoints))
        for path in written:
            try:
                self._read(manager.checkpoint, path)
                break
            except CANNOT as error:
                self.warn(f"checkpoint {path} cannot be read ({_brief(error)}): the one before it counts")
        else:
            if written:
                raise OSError(f"no checkpoint in {self.folder} can be read: remove the run's folder and start again")
        distribution.check_agreed(learner.step, "a checkpoint of step")
        return int(learner.step)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves when due."""
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.params["epochs"]:
            self.save(self.model)

    def save(self, learner: keras.Model) -> bool:
        """Writes a checkpoint of now; tells of it if that fails, and returns whether it did not."""
        try:
            if distribution.is_chief():
                self._manager(learner, self.folder).save(checkpoint_number=learner.step)
            else:  # what the workers hold together is read by all of them at once
                with tempfile.TemporaryDirectory() as nowhere:
                    self._manager(learner, Path(nowhere)).save()
        except CANNOT as error:
            if distribution.is_chief():
                self._remove_pieces(learner.step)
            self.warn(
                f"no checkpoint of step {learner.step} in {self.folder} ({_brief(error)}): the one before it counts"
            )
            return False
        return True

    def _manager(self, learner: keras.Model, folder: Path) -> tf.train.CheckpointManager:
        checkpoint = tf.train.Checkpoint(learner=learner, optimizer=learner.optimizer)
        return tf.train.CheckpointManager(checkpoint, str(folder), self.keep)

    def _read(self, checkpoint: tf.train.Checkpoint, path: str) -> None:
        try:
            checkpoint.restore(path).assert_existing_objects_matched()
        except (ValueError, AssertionError) as error:
            raise ValueError(
                f"checkpoint {path} is of another network ({_brief(error)}): choose another folder with --out"
            ) from error

    def _remove_pieces(self, step: int) -> None:
        for piece in (*self.folder.glob(f"ckpt-{step}.*"), *self.folder.glob(f"ckpt-{step}_temp*")):
            shutil.rmtree(piece) if piece.is_dir() else piece.unlink()


class BestEncoder(keras.callbacks.Callback):
    """Keeps the encoder of the epoch's end at which a score was highest. Give it after the monitor that measures it.

    Args:
        file: Of the encoder; beside it, as JSON, stand the score's name, its value and the step.
        score: Its name in the epoch's logs.
        warn: Called with the sentence of what went wrong; what was kept before then stays.
    """

    def __init__(self, file: Path, score: str, warn: Callable[[str], None] = print) -> None:
        super().__init__()
        self.file, self.score, self.warn = file, score, warn

    @property
    def held(self) -> dict[str, Any]:
        """What is known of the encoder that is kept: score, value and step; empty where there is none."""
        beside = self._beside
        return json.loads(beside.read_text()) if beside.is_file() and self.file.is_file() else {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keeps it, if the score was measured and is the highest so far."""
        value = float((logs or {}).get(self.score, math.nan))
        if math.isnan(value) or value <= self.held.get("value", -math.inf):
            return
        told = json.dumps({"score": self.score, "value": value, "step": self.model.step})
        encoder, beside = (file.with_name(f".{file.name}") for file in (self.file, self._beside))
        try:
            self.model.encoder.save(encoder)
            beside.write_text(told)
            encoder.replace(self.file)
            beside.replace(self._beside)
        except CANNOT as error:
            self.warn(f"the encoder of step {self.model.step} was not kept in {self.file} ({_brief(error)})")

    @property
    def _beside(self) -> Path:
        return self.file.with_suffix(".json")


class SaveOnTermination(keras.callbacks.Callback):
    """Lets SIGTERM, by which a machine is taken away, end training after the step at hand, with a checkpoint.

    Give it after what measures and records, which goes first at an epoch's end. Several workers would have to agree on
    a step; there the signal ends the process as usual.

    Args:
        checkpoints: What saves.

    Raises:
        SystemExit: With status 0, from ``fit``.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        super().__init__()
        self.checkpoints = checkpoints
        self._called = False
        self._former: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Listens."""
        alone = not distribution.spans_hosts(self.model.distribute_strategy)
        if alone and threading.current_thread() is threading.main_thread():
            self._former = signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_called", True))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves and leaves, if called."""
        if batch + 1 != self.params["steps"]:
            self._leave()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves and leaves, if called."""
        self._leave()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Listens no more."""
        self.close()

    def _leave(self) -> None:
        if not self._called:
            return
        self.close()
        saved = self.checkpoints.save(self.model)
        self.checkpoints.warn(
            f"terminated at step {self.model.step}{', which is saved' if saved else ''}: "
            "the same command goes on from the newest checkpoint"
        )
        raise SystemExit(0 if saved else 1)

    def close(self) -> None:
        """Gives the signal back, also after an interruption."""
        if self._former is not None:
            signal.signal(signal.SIGTERM, self._former)
            self._former = None


def _brief(error: BaseException) -> str:
    """The first words of an error."""
    return " ".join(str(error).split())[:160]
