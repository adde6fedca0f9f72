"""Watching an architecture come about: what is likely, what it costs, and how far it is from decided."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ssl_keras.learning.learner import Batch
from ssl_keras.learning.monitors import keep_until

Logs = dict[str, Any]
CELL = 12
"""Side in pixels of a probability in TensorBoard's picture."""


class SearchMonitor(keras.callbacks.Callback):
    """Logs what an `ArchitectureSearch` is about to decide, at the end of every epoch.

    ``expected_cost`` of the budget's kind, ``budget_share`` (over the budget), ``architecture_entropy`` (1 undecided,
    0 decided), ``absent_stages`` (mean probability of r = 0 where there is one), ``soft_loss`` and ``hard_loss`` on one
    batch of the architecture's half, with choices by probability and with the most likely ones.

    Args:
        file: JSON lines of the step and every decision's probabilities; a run that goes on appends.
        tensorboard: Folder of the event files, for the picture of the probabilities.
        batch: Of the architecture's half.
    """

    def __init__(self, file: Path, tensorboard: Path, batch: Batch) -> None:
        super().__init__()
        self.file, self.tensorboard, self.batch = file, tensorboard, batch

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Drops what a run that goes on will measure again, and opens the event file."""
        keep_until(self.file, self.model.step)
        self._writer = tf.summary.create_file_writer(str(self.tensorboard))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Measures, logs and writes."""
        search, chances = self.model, self.model.probabilities()
        with self.file.open("a") as file:
            told = {name: [round(float(chance), 5) for chance in row] for name, row in chances.items()}
            file.write(json.dumps({"step": search.step, "probabilities": told}) + "\n")
        with self._writer.as_default(step=search.step):
            tf.summary.image("probabilities", picture(chances)[None])
        if logs is None:
            return
        cost = search.expected_cost()
        logs |= {
            "expected_cost": cost,
            "budget_share": cost / search.budget.amount,
            "architecture_entropy": search.entropy(),
        }
        absent = [row[0] for name, row in chances.items() if name.endswith(".r") and 0 in search.space.decisions[name]]
        if absent:
            logs["absent_stages"] = float(np.mean(absent))
        logs["soft_loss"], logs["hard_loss"] = search.gap(self.batch)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Closes the event file."""
        self._writer.close()


def picture(chances: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Probabilities as grey cells (rows x CELL, columns x CELL, 1): a row for each decision, a cell for each value."""
    cells = np.zeros((len(chances), max(len(row) for row in chances.values())), np.float32)
    for index, row in enumerate(chances.values()):
        cells[index, : len(row)] = row
    return np.kron(cells, np.ones((CELL, CELL), np.float32))[..., None]
