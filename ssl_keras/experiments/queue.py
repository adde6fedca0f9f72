"""Work shared by any number of processes and hosts on one folder: who does what, what is done, what failed.

finished/NAME.json · failed/NAME.json · leases/NAME

A lease is a file that its holder touches; one that nobody has touched for `LEASE_S` is up for grabs, and so is one
whose holder ran on this host and is gone. Only a finished item's file counts, and it appears whole or not at all, so
work that is killed is done again and work that is finished is never lost. NOTE: a process that is frozen for longer
than a lease may find that another did its item too: both write the same file.
"""

import contextlib
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
        """What the finished items returned, in order."""
        there = [self.finished(name) for name in self.names if self.finished(name).exists()]
        return [json.loads(path.read_text(encoding="utf-8")) for path in there]

    def failures(self) -> dict[str, str]:
        """Reasons by item."""
        there = {name: self.failed(name) for name in self.names if self.failed(name).exists()}
        return {name: json.loads(path.read_text(encoding="utf-8"))["reason"] for name, path in there.items()}

    def forget_failures(self) -> None:
        """Opens what failed once more."""
        for name in self.names:
            self.failed(name).unlink(missing_ok=True)

    def work(self, do: Callable[[str], dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Does open items, one after another, that nobody else holds.

        Args:
            do: An item's work; what it returns is kept. What it raises is kept as the item's failure, but for an
                interruption or a lack of memory or disk, which end the work.

        Yields:
            Every item that this process did, and its result, None for a failure.
        """
        (self.folder / "leases").mkdir(parents=True, exist_ok=True)
        while item := self._claim():
            name, lease = item
            try:
                with _touched(lease):
                    result = self._attempt(name, do)
            finally:
                lease.unlink(missing_ok=True)
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

    def _claim(self) -> tuple[str, Path] | None:
        for name in self.open_items():
            lease = self.folder / "leases" / name
            if lease.exists() and self._abandoned(lease):
                # Whoever moves it away first may be followed at once by another's new lease, no more.
                with contextlib.suppress(FileNotFoundError):
                    aside = lease.with_name(f".{uuid.uuid4().hex}")
                    lease.rename(aside)
                    aside.unlink()
            with contextlib.suppress(FileExistsError), lease.open("x", encoding="utf-8") as file:
                json.dump({"host": socket.gethostname(), "process": os.getpid()}, file)
                if not self.finished(name).exists() and not self.failed(name).exists():
                    return name, lease
                lease.unlink()
        return None

    def _abandoned(self, lease: Path) -> bool:
        try:
            untouched = self._now() - lease.stat().st_mtime
            holder = json.loads(lease.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        except ValueError:  # killed while it was written
            return untouched > LEASE_S
        here = holder["host"] == socket.gethostname()
        return untouched > LEASE_S or (here and not _alive(holder["process"]))

    def _now(self) -> float:
        """The time by the clock of the file system, which hosts share."""
        probe = self.folder / "leases" / f".{uuid.uuid4().hex}"
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink()


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
