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
    if strategy is not None and distribution.cluster_size() > 1:
        distribution.strategy(strategy)
    tf.config.list_logical_devices()
