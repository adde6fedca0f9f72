"""A chief and workers, as KerasTuner's environment variables say, and a watch over them.

The chief holds the oracle; each worker asks it for trials, trains them, and lives on one machine or another with the
same folder. NOTE: KerasTuner's chief waits for ever for a worker that was killed. Here every worker touches a file of
its own every few seconds; a file that stays as it was for `LEASE_S` seconds is that of a worker that is lost, and its
trial goes to the next who asks. No clocks are compared. A process that hangs but lives is not noticed.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ssl_keras.tuning.oracles import Constrained

ID, ADDRESS, PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
BEAT_S, LEASE_S = 5.0, 120.0
"""Seconds between signs of life, and without one until a worker counts as lost: more than network folders cache."""


def role() -> str:
    """This process's: chief, worker, or alone.

    Raises:
        ValueError: some of the variables are set and others are missing.
    """
    missing = [name for name in (ID, ADDRESS, PORT) if name not in os.environ]
    if len(missing) == 3:
        return "alone"
    if missing:
        raise ValueError(f"{missing[0]} is not set, and others of {ID}, {ADDRESS}, {PORT} are: set all, or none")
    return "chief" if "chief" in os.environ[ID] else "worker"


class _Beating:
    """Does something every few seconds in a thread of its own. A context manager."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def beat(self) -> None:
        """What is done."""
        raise NotImplementedError

    def __enter__(self) -> None:
        self.beat()
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(BEAT_S):
            with contextlib.suppress(OSError):  # a shared folder can fail for a moment; the next beat may succeed
                self.beat()


class Heartbeat(_Beating):
    """A worker's signs of life.

    Args:
        folder: shared with the chief, who makes it: a worker may be there first, and the run is not its own.
        tuner_id: of the worker.
    """

    def __init__(self, folder: Path, tuner_id: str) -> None:
        super().__init__()
        self.file = folder / tuner_id

    def beat(self) -> None:
        """One of them."""
        if self.file.parent.is_dir():
            self.file.touch()


class Watchdog(_Beating):
    """The chief's look at its workers.

    Args:
        folder: of the signs of life.
        oracle: that holds the trials.
        say: called with what happened.
        clock: seconds, of the chief alone.
    """

    def __init__(
        self,
        folder: Path,
        oracle: Constrained,
        say: Callable[[str], None] = print,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.folder, self.oracle, self.say, self.clock = folder, oracle, say, clock
        folder.mkdir(parents=True, exist_ok=True)
        self._seen: dict[str, tuple[int, float]] = {}

    def beat(self) -> None:
        """Looks at each, and takes those that gave no sign for lost."""
        for worker in [*self.oracle.tuner_ids]:
            sign, now = self._sign(worker), self.clock()
            before, since = self._seen.get(worker, (-1, now))
            if sign != before:
                self._seen[worker] = sign, now
            elif now - since > LEASE_S:
                del self._seen[worker]
                self._lose(worker)

    def _lose(self, worker: str) -> None:
        trial = self.oracle.lose(worker)
        work = f"trial {trial} goes to the next who asks" if trial else "it had no trial"
        left = "" if self.oracle.tuner_ids else "; no worker is left: start one with the same command"
        self.say(f"worker {worker} gave no sign of life for {LEASE_S:g} s and counts as lost; {work}{left}")

    def _sign(self, worker: str) -> int:
        file = self.folder / worker
        return file.stat().st_mtime_ns if file.is_file() else 0
