"""What TensorFlow wants to be told before anything else."""

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


def skip_graph_rewriting() -> None:
    """Where there are only CPUs: a new graph's first step comes in half of the time, and no step is slower for it.

    Measured on ResNets and MobileNets of 9 to 40 M multiply-adds; for work that makes many graphs and uses each little.
    """
    if all(device.device_type == "CPU" for device in tf.config.list_logical_devices()):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
