"""What TensorFlow wants to be told before anything else."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from ssl_keras.learning import distribution


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
