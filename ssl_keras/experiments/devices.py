"""What TensorFlow wants to be told before anything else."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from ssl_keras.learning import distribution

COMMANDS = ("ssl-keras", "cli.py")
"""File names of the command line."""
SHARE = 0.3
"""Of a machine's memory, beyond which work that can go on anew does."""


def start(strategy: str | None) -> None:
    """Starts TensorFlow's devices; workers that learn together are connected first, it takes that only then.

    Args:
        strategy: Of a verb that learns, else None.

    Raises:
        ValueError: The strategy's surroundings are not there.
    """
    workers = distribution.cluster_size()
    if strategy is not None and workers > 1 and not distribution.spans_hosts(distribution.strategy(strategy)):
        raise ValueError(
            f"strategy {strategy!r} with a {distribution.CLUSTER} of {workers} workers would train as many networks: "
            f"give --compute.strategy multiworker, or unset {distribution.CLUSTER}"
        )
    tf.config.list_logical_devices()


def expect_retracing() -> None:
    """For work whose every trial traces a network of its own, which TensorFlow would advise against each time."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextlib.contextmanager
def without_graph_rewriting() -> Iterator[None]:
    """Where there are only CPUs: a new graph's first step comes in half of the time, and no step is slower for it.

    Measured on ResNets and MobileNets of 9 to 40 M multiply-adds; for work that makes many graphs and uses each little.
    """
    usual = tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False)
    only_cpus = all(device.device_type == "CPU" for device in tf.config.list_logical_devices())
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": only_cpus or usual})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": usual})


def start_anew_if_swollen(*further: str) -> None:
    """Starts the command line again in this process's place once it holds more than its share of the memory.

    TensorFlow keeps part of what every graph took, about 0.2 GiB for a network of the study. From Python, and where the
    system does not tell what is held, nothing happens.

    Args:
        further: options of the new start, which go before those of this one.
    """
    statm = Path("/proc/self/statm")
    if Path(sys.argv[0]).name not in COMMANDS or not statm.is_file():
        return
    page = os.sysconf("SC_PAGE_SIZE")
    held, there = int(statm.read_text().split()[1]) * page, os.sysconf("SC_PHYS_PAGES") * page
    if held > SHARE * there:
        print(f"starting anew: {held / 2**30:.1f} GiB are held, most of it by networks that are done with", flush=True)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], *further])
