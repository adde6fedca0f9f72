"""Work shared by any number of processes and hosts on one folder: who does what, what is done, what failed.

finished/NAME.json · failed/NAME.json · leases/NAME

A lease is a file that its holder touches; one that nobody has touched for `LEASE_S` is up for grabs, and so is one
whose holder ran on this host and is gone. Leases are taken and given back under one lock, which the system gives back
however a process ends. Only a finished item's file counts, and it appears whole or not at all, so work that is killed
is done again and work that is finished is never lost. NOTE: a process that is frozen for longer than a lease may find
that another did its item too: both write the same file. Hosts of one name that see each other's folder but not each
other's processes (containers) must be given names of their own.
"""

import contextlib
import fcntl
import json
import os
import socket
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ssl_keras.experiments.run_folder import write_json

LEASE_S = 600.0
"""Seconds after which a lease that nobody touched is free."""
HEARTBEAT_S = 60.0


class Queue:
    """Named items of work in a folder.

    Args:
        folder: Shared by all who work on it; made when work begins.
        names: Of the items, in the order to do them; names of files.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder, tuple(names)
        holder = {"host": socket.gethostname(), "process": os.getpid(), "token": uuid.uuid4().hex}
        self._token = json.dumps(holder)

    def finished(self, name: str) -> Path:
        """Where an item's result is, or will be."""
        return self.folder / "finished" / f"{name}.json"

    def failed(self, name: str) -> Path:
        """Where the reason is why an item failed."""
        return self.folder / "failed" / f"{name}.json"

    def open_items(self) -> list[str]:
        """Items that are neither finished nor failed, in order."""
        return [name for name in self.names if not self.finished(name).exists() and not self.failed(name).exists()]

    def results(self) -> list[dict[str, Any]]:
        """What all finished items returned, those of these names first, in order; others were once asked for."""
        here = {path.stem: path for path in sorted((self.folder / "finished").glob("[!.]*.json"))}
        ordered = [*(name for name in self.names if name in here), *(name for name in here if name not in self.names)]
        return [json.loads(here[name].read_text(encoding="utf-8")) for name in ordered]

    def failures(self) -> dict[str, str]:
        """Reasons by item, of those that are not finished."""
        there = [name for name in self.names if self.failed(name).exists() and not self.finished(name).exists()]
        return {name: json.loads(self.failed(name).read_text(encoding="utf-8"))["reason"] for name in there}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Within it no other process is, on any host."""
        leases = self.folder / "leases"
        leases.mkdir(parents=True, exist_ok=True)
        with (leases / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def forget_failures(self) -> None:
        """Opens what failed once more."""
        for name in self.names:
            self.failed(name).unlink(missing_ok=True)

    def work(self, do: Callable[[str], dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Does open items, one after another, that nobody else holds.

        Args:
            do: An item's work; what it returns is kept. What it raises is kept as the item's failure, but for an
                interruption, a MemoryError or an OSError (a full disk, data that went away), which end the work.

        Yields:
            Every item that this process did, and its result, None for a failure.
        """
        while name := self._claim():
            try:
                with _touched(self._lease(name)):
                    result = self._attempt(name, do)
            finally:
                self._give_back(name)
            yield name, result

    def _attempt(self, name: str, do: Callable[[str], dict[str, Any]]) -> dict[str, Any] | None:
        try:
            result = do(name)
            write_json(self.finished(name), result)
        except (MemoryError, OSError):
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            write_json(self.failed(name), {"item": name, "reason": reason, "traceback": traceback.format_exc()})
            return None
        return result

    def _lease(self, name: str) -> Path:
        return self.folder / "leases" / name

    def _claim(self) -> str | None:
        with self.locked():
            for name in self.open_items():
                if not self._lease(name).exists() or self._abandoned(self._lease(name)):
                    self._lease(name).write_text(self._token, encoding="utf-8")
                    return name
        return None

    def _give_back(self, name: str) -> None:
        """Unless it was taken away meanwhile."""
        lease = self._lease(name)
        with self.locked():
            if lease.exists() and lease.read_text(encoding="utf-8") == self._token:
                lease.unlink()

    def _abandoned(self, lease: Path) -> bool:
        untouched = self._now() - lease.stat().st_mtime
        try:
            holder = json.loads(lease.read_text(encoding="utf-8"))
            here, process = holder["host"] == socket.gethostname(), holder["process"]
        except (ValueError, KeyError):  # killed while it was written
            here, process = False, 0
        # A process that asks holds nothing: the lease is of an earlier one with its number.
        return untouched > LEASE_S or (here and (process == os.getpid() or not _alive(process)))

    def _now(self) -> float:
        """The time by the clock of the file system, which hosts share."""
        probe = self.folder / "leases" / ".clock"
        probe.touch()
        return probe.stat().st_mtime


@contextlib.contextmanager
def _touched(lease: Path) -> Iterator[None]:
    """Touches a lease every now and then from a thread of its own."""
    over = threading.Event()

    def touch() -> None:
        while not over.wait(HEARTBEAT_S):
            with contextlib.suppress(OSError):  # the next one may succeed
                os.utime(lease)

    thread = threading.Thread(target=touch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
