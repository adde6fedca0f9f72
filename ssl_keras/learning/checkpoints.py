"""Checkpoints of a learner: everything that a run needs to go on as if it had not been interrupted."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


class Checkpoints(keras.callbacks.Callback):
    """Saves weights, target, BN statistics and optimizer slots at epoch ends, and restores the newest.

    The order of the data and all random draws follow from the step, so nothing else has to be kept.

    Args:
        folder: Where the checkpoints stand.
        every: Epochs between checkpoints.
        keep: How many of the newest stay.
    """

    def __init__(self, folder: Path, *, every: int = 1, keep: int = 2) -> None:
        super().__init__()
        self.folder, self.every, self.keep = folder, every, keep

    def restore(self, learner: keras.Model) -> int:
        """Loads the newest checkpoint into a compiled learner; returns its step, 0 where there is none."""
        manager = self._manager(learner)
        if manager.latest_checkpoint:
            manager.checkpoint.restore(manager.latest_checkpoint).assert_existing_objects_matched()
        return learner.step

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves when due."""
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.params["epochs"]:
            self._manager(self.model).save(checkpoint_number=self.model.step)

    def _manager(self, learner: keras.Model) -> tf.train.CheckpointManager:
        checkpoint = tf.train.Checkpoint(learner=learner, optimizer=learner.optimizer)
        return tf.train.CheckpointManager(checkpoint, str(self.folder), self.keep)
