"""Replicas: the one place that names a distribution strategy."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensor = Any

STRATEGIES = ("auto", "none", "mirrored")


def strategy(name: str = "auto") -> tf.distribute.Strategy:
    """The strategy under whose ``scope()`` models are built and compiled.

    Args:
        name: ``none`` is one device; ``mirrored`` copies the model to all local GPUs, or to all logical CPU
            devices where there is no GPU; ``auto`` is ``mirrored`` with more than one GPU, else ``none``.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in STRATEGIES:
        raise ValueError(f"unknown strategy {name!r}: choose one of {', '.join(STRATEGIES)}")
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if name == "none" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = gpus or [device.name for device in tf.config.list_logical_devices("CPU")]
    # On CPU devices the default ring breaks with several steps per execution and with a second strategy.
    cross_device = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=cross_device)


def replicas() -> int:
    """How many replicas take part in a step."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def check_shared(batch_size: int, among: tf.distribute.Strategy) -> None:
    """Refuses a batch that a strategy's replicas cannot share equally.

    Raises:
        ValueError: The replicas do not divide it.
    """
    if batch_size % (count := among.num_replicas_in_sync):
        raise ValueError(
            f"a batch of {batch_size} images cannot be shared by {count} replicas: give a multiple of them"
        )


def divide_by_replicas(loss: Tensor) -> Tensor:
    """A replica's share of the mean loss: the optimizer sums the replicas' gradients."""
    return loss / replicas()


def sum_over_replicas(shares: list[Tensor]) -> list[Tensor]:
    """The sum of each tensor over the replicas, the same on all of them."""
    if replicas() == 1:
        return shares
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, shares)


def mean_of_shares(
    among: tf.distribute.Strategy, function: Callable[..., Tensor], batch: Tensor, *same: Tensor
) -> Tensor:
    """Runs a function on every replica's share of a batch, and takes the mean of what comes out.

    Args:
        among: Whose replicas.
        function: From a share, and what is the same for all, to a tensor; a ``tf.function`` where replicas meet in it.
        batch: Nested tensors whose first axis the number of replicas divides.
        *same: Passed on to every replica.
    """
    count = among.num_replicas_in_sync

    def share(context: Any) -> Tensor:
        return tf.nest.map_structure(lambda part: tf.split(part, count)[context.replica_id_in_sync_group], batch)

    found = among.run(function, args=(among.experimental_distribute_values_from_function(share), *same))
    return among.reduce(tf.distribute.ReduceOp.MEAN, found, axis=None)


def gather(values: Tensor, axis: int) -> Tensor:
    """Concatenates a tensor of every replica along ``axis``, in the order of the global batch."""
    if replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_gather(values, axis=axis)


def rows(images: int) -> Tensor:
    """Positions (images,) of this replica's images in the global batch, int32."""
    if replicas() == 1:
        return tf.range(images)
    replica = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)
    return replica * images + tf.range(images)


def sample_negatives(positions: Tensor, batch: int, count: int, *, seed: int, step: Tensor) -> Tensor:
    """Draws each anchor's negatives, uniformly and without repetition, from the global batch without itself.

    The draw is made for the global batch from (seed, step), so it is the same on any number of replicas.

    Args:
        positions: Rows (b,) of this replica's anchors in the global batch.
        batch: Size of the global batch, more than ``count``.
        count: Negatives per anchor.
        seed: Seed of the run.
        step: Number of the step.

    Returns:
        Rows (b, count) of the global batch, int32.

    Raises:
        ValueError: The batch holds too few other images.
    """
    if not 0 < count < batch:
        raise ValueError(f"{count} negatives need a batch of at least {count + 1}, got {batch}: use a larger batch")
    pair = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
    keys = tf.random.stateless_uniform((batch, batch), pair)
    keys = tf.gather(keys, positions) - 2.0 * tf.one_hot(positions, batch)  # an anchor comes last among its own keys
    return tf.math.top_k(keys, count, sorted=False).indices
