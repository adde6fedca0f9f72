"""What long work says while it runs."""

import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from ssl_keras.learning import distribution

CONSOLE = Console(highlight=False, quiet=not distribution.is_chief())
LINE_EVERY_S = 30.0
"""Seconds between lines where the output is no terminal (a log file, say)."""


def show(title: str, facts: dict[str, str]) -> None:
    """Prints a titled list of facts."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, text in facts.items():
        table.add_row(f"  [dim]{name}[/]", text)
    CONSOLE.print(f"[bold]{title}[/]")
    CONSOLE.print(table)


class Counter:
    """A bar with a rate and the time left; a line now and then where there is no terminal. A context manager.

    Args:
        what: What is counted, as in "masks".
        total: How many there are.
        done: How many were there before.
    """

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        self.what, self.total, self.before = what, total, done
        self._start = self._last_line = time.perf_counter()
        columns = (BarColumn(24), TextColumn("{task.description}"), TimeRemainingColumn(compact=True))
        self._progress = Progress(*columns, console=CONSOLE, disable=not CONSOLE.is_terminal)
        self._task = self._progress.add_task(what, total=total, completed=done)

    def __enter__(self) -> "Counter":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def __call__(self, done: int) -> None:
        """Moves on to ``done``."""
        now = time.perf_counter()
        rate = (done - self.before) / max(now - self._start, 1e-9)
        text = f"{done:,} of {self.total:,} {self.what}  {rate:.0f} a second"
        self._progress.update(self._task, completed=done, description=text)
        if not CONSOLE.is_terminal and now - self._last_line > LINE_EVERY_S:
            self._last_line = now
            CONSOLE.print(f"{text}  {(self.total - done) / max(rate, 1e-9) / 60:.1f} min left", soft_wrap=True)


class TrainingProgress(keras.callbacks.Callback):
    """A bar with loss terms, images/s and time left; a line now and then where there is no terminal.

    Args:
        steps: Updates of the whole run.
        batch_size: Images in a global batch.
        terms: Names of the logs to show.
    """

    def __init__(self, steps: int, batch_size: int, terms: tuple[str, ...]) -> None:
        super().__init__()
        self.steps, self.batch_size, self.terms = steps, batch_size, terms
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._start = (0.0, 0)
        self._last_line = 0.0
        self._measured = ""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Shows the bar."""
        self._last_line = time.perf_counter()
        if CONSOLE.is_terminal:
            columns = (BarColumn(24), TextColumn("{task.description}"), TimeRemainingColumn(compact=True))
            self._progress = Progress(*columns, console=CONSOLE)
            self._task = self._progress.add_task("tracing the first step", total=self.steps, completed=self.model.step)
            self._progress.start()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Moves on."""
        now, step = time.perf_counter(), self.model.step
        if not self._start[0]:
            self._start = (now, step)  # the first step is mostly tracing: the rate is counted from here
            return
        since, at = self._start
        rate = (step - at) * self.batch_size / (now - since)
        terms = "  ".join(f"{name} {float(value):.3f}" for name, value in (logs or {}).items() if name in self.terms)
        text = f"step {step}/{self.steps}  {terms}  {self._measured}  {rate:.0f} images/s"
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=step, description=text)
        elif now - self._last_line > LINE_EVERY_S:
            self._last_line = now
            left = (self.steps - step) * self.batch_size / max(rate, 1e-9)
            CONSOLE.print(f"{text}  {left / 60:.1f} min left", soft_wrap=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keeps what the monitors measured."""
        shown = {"knn": "kNN {:.1f} %", "rankme": "rank {:.0f}"}
        self._measured = "  ".join(shown[name].format(value) for name, value in (logs or {}).items() if name in shown)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Takes the bar away."""
        self.close()

    def close(self) -> None:
        """Gives the terminal back, also after an interruption."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
