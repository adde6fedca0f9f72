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
