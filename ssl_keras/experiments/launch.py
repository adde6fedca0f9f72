"""``ssl-keras launch``: a verb as several workers on one machine. Needs no TensorFlow itself."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType

from rich.console import Console

from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.options import Launch
from ssl_keras.experiments.settings import LEARNING

CONSOLE = Console(highlight=False)
LOOK_S = 0.2
GRACE_S = 20.0
"""What workers that are told to end get before they are killed."""
MODULE = "from ssl_keras.cli import main; main()"


def run(config: Launch) -> None:
    """Starts the workers and waits for them; one that fails ends the others.

    Raises:
        ConfigError: The verb is not one that learns.
        SystemExit: With the status of the first worker that failed, after the last restart.
    """
    if config.command[0] not in LEARNING:
        raise ConfigError(f"{config.command[0]!r} cannot be launched as workers: give {' or '.join(LEARNING)}")
    for attempt in range(config.restarts + 1):
        workers: list[subprocess.Popen[bytes]] = []
        with _passing_on_termination(workers):
            start(config.command, config.workers, workers)
            status = wait(workers)
        if status == 0:
            return
        left = config.restarts - attempt
        CONSOLE.print(
            f"[red]a worker ended with status {status}; the others were ended too[/]"
            + (f"; starting all again, {left} times more at most" if left else ""),
            soft_wrap=True,
        )
    raise SystemExit(status if status > 0 else 1)


def start(command: Sequence[str], count: int, workers: list[subprocess.Popen[bytes]]) -> None:
    """Adds the workers' processes to a list, each told its place in the cluster."""
    hosts = [f"localhost:{port}" for port in free_ports(count)]
    for index in range(count):
        cluster = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        environment = os.environ | {"TF_CONFIG": json.dumps(cluster)}
        workers.append(subprocess.Popen([sys.executable, "-c", MODULE, *command], env=environment))


def wait(workers: Sequence[subprocess.Popen[bytes]]) -> int:
    """Waits until all have ended well, or one has not; returns its status after ending the others."""
    try:
        while True:
            statuses = [worker.poll() for worker in workers]
            failed = [status for status in statuses if status]
            if failed or all(status == 0 for status in statuses):
                return failed[0] if failed else 0
            time.sleep(LOOK_S)
    finally:
        end(workers)


def end(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ends those that still run: politely first."""
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()
    deadline = time.monotonic() + GRACE_S
    for worker in workers:
        try:
            worker.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def free_ports(count: int) -> list[int]:
    """Ports of this machine on which nobody listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def _passing_on_termination(workers: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    def leave(number: int, frame: FrameType | None) -> None:
        end(workers)
        raise SystemExit(128 + number)

    former = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
