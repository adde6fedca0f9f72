"""Replicas and hosts: the one place that names a distribution strategy."""

import functools
import json
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensor = Any

CLUSTER = "TF_CONFIG"
"""The environment variable that tells a worker its cluster and its place in it."""


def strategy(name: str = "auto") -> tf.distribute.Strategy:
    """The strategy under whose ``scope()`` models are built and compiled.

    Args:
        name: ``none`` is one device. ``mirrored`` copies the model to all local GPUs, or to all logical CPU devices
            where there is no GPU. ``multiworker`` does so on every host of the cluster that the environment variable
            TF_CONFIG describes; ask for it before anything else, TensorFlow takes it only then. ``tpu`` is the TPU that
            TPU_NAME names, or the one of this machine. ``auto`` is ``multiworker`` where TF_CONFIG names several
            workers, else ``mirrored`` with more than one GPU, else ``none``.

    Raises:
        ValueError: The name is unknown, or what it needs is not there.
    """
    if name == "auto":
        name = "multiworker" if cluster_size() > 1 else "mirrored" if len(_devices("GPU")) > 1 else "none"
    if name not in STRATEGIES:
        raise ValueError(f"unknown strategy {name!r}: choose one of auto, {', '.join(STRATEGIES)}")
    return STRATEGIES[name]()


def _mirrored() -> tf.distribute.Strategy:
    # On CPU devices the default ring breaks with several steps per execution and with a second strategy.
    cross_device = None if _devices("GPU") else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(_devices("GPU") or _devices("CPU"), cross_device_ops=cross_device)


@functools.cache
def _multiworker() -> tf.distribute.Strategy:
    """One for all the process's life, as the connections of the workers are."""
    if not cluster_size():
        raise ValueError(
            f"strategy 'multiworker' needs {CLUSTER} in the environment of every worker: start them on one machine "
            "with `ssl-keras launch --workers N VERB ...`; the README shows it for several"
        )
    return tf.distribute.MultiWorkerMirroredStrategy()


@functools.cache
def _tpu() -> tf.distribute.Strategy:
    address = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(address)
        if address != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"TensorFlow {tf.__version__} found no TPU {address!r}. On a machine that has one, install the build that "
            "can see it, in place of tensorflow or tensorflow-cpu: pip install 'ssl_keras[tpu]' "
            f"({' '.join(str(error).split())[:120]})"
        ) from error


STRATEGIES: dict[str, Callable[[], tf.distribute.Strategy]] = {
    "none": tf.distribute.get_strategy,
    "mirrored": _mirrored,
    "multiworker": _multiworker,
    "tpu": _tpu,
}


def cluster_size() -> int:
    """Workers in the cluster that the environment describes; 0 where it describes none.

    Raises:
        ValueError: The description is no JSON, or names no worker.
    """
    text = os.environ.get(CLUSTER)
    if not text:
        return 0
    try:
        return sum(len(hosts) for job, hosts in json.loads(text)["cluster"].items() if job in ("chief", "worker"))
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{CLUSTER} is {text[:80]!r}: give JSON such as {EXAMPLE}") from error


EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


def is_chief() -> bool:
    """Whether this process writes what a run leaves behind: the only one, or the first of a cluster's workers."""
    if cluster_size() < 2:
        return True
    told = json.loads(os.environ[CLUSTER])
    task = told.get("task", {})
    return task.get("type") == "chief" or ("chief" not in told["cluster"] and task.get("index", 0) == 0)


def spans_hosts(among: tf.distribute.Strategy) -> bool:
    """Whether a strategy's replicas live in several processes."""
    return isinstance(among, tf.distribute.MultiWorkerMirroredStrategy)


def step_over_hosts(
    among: tf.distribute.Strategy, step: Callable[[Tensor], dict[str, Tensor]], count: int
) -> Callable[[Any], dict[str, Tensor]]:
    """A function of an iterator that makes some steps on all replicas and averages what the last one returns.

    Args:
        among: Whose replicas.
        step: From a replica's share of a batch to scalars by name.
        count: Steps.
    """

    def one(batch: Tensor) -> dict[str, Tensor]:
        logs = among.run(step, args=(batch,))
        return {name: among.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None) for name, value in logs.items()}

    @tf.function(reduce_retracing=True, autograph=False)
    def all_of_them(iterator: Any) -> dict[str, Tensor]:
        for _ in range(count - 1):
            one(next(iterator))
        return one(next(iterator))

    return all_of_them


def makes_views(among: tf.distribute.Strategy) -> bool:
    """Whether the views are made by the device that learns: a TPU, whose host has too few cores for them."""
    return isinstance(among, tf.distribute.TPUStrategy)


def check_agreed(number: int, what: str) -> None:
    """Refuses to go on where the workers see different numbers; where there are several, they wait for one another.

    Args:
        number: What this worker sees.
        what: Of which thing, for the message.

    Raises:
        OSError: Another worker sees another number.
    """
    among = tf.distribute.get_strategy()
    if not spans_hosts(among):
        return
    seen = tf.constant([number, number * number], tf.float64)

    def here() -> Tensor:
        return seen

    @tf.function
    def everywhere() -> Tensor:
        return among.reduce(tf.distribute.ReduceOp.SUM, among.run(here), axis=None)

    total, squares = everywhere().numpy()
    count = among.num_replicas_in_sync
    if count * squares != total * total:
        raise OSError(
            f"this worker finds {what} {number}, another one does not: give all of them the same images, and an --out "
            "on storage that they share"
        )


def _devices(kind: str) -> list[str]:
    return [device.name for device in tf.config.list_logical_devices(kind)]


def replicas() -> int:
    """How many replicas take part in a step."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def check_shared(batch_size: int, among: tf.distribute.Strategy) -> None:
    """Refuses a batch that a strategy's replicas cannot share equally.

    Raises:
        ValueError: The replicas do not divide it.
    """
    share, left = divmod(batch_size, count := among.num_replicas_in_sync)
    if left:
        raise ValueError(
            f"a batch of {batch_size} images cannot be shared by {count} replicas: give a multiple of them"
        )
    # Views draw the place of hue for four images at once.
    if makes_views(among) and share not in (1, 2) and share % 4:
        raise ValueError(
            f"a batch of {batch_size} images gives each of {count} replicas {share}, and where they make the views it "
            f"has to be a multiple of 4: give a batch of {4 * count * round(share / 4 + 0.5)}"
        )


def divide_by_replicas(loss: Tensor) -> Tensor:
    """A replica's share of the mean loss: the optimizer sums the replicas' gradients."""
    return loss / replicas()


def sum_over_replicas(shares: list[Tensor]) -> list[Tensor]:
    """The sum of each tensor over the replicas, the same on all of them."""
    if replicas() == 1:
        return shares
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, shares)


def clip_the_sum(optimizer: Any, gradients: list[Tensor]) -> list[Tensor]:
    """Each replica's share of the clipped sum of all replicas' gradients, where an optimizer clips.

    Keras clips what it is given, which is one replica's share of the sum. A share of what was clipped already lies
    within the optimizer's bound and is left as it is. On one replica nothing is done, and the optimizer clips.
    """
    clips = any(getattr(optimizer, name, None) for name in ("clipnorm", "clipvalue", "global_clipnorm"))
    if not clips or replicas() == 1:
        return gradients
    return [gradient / replicas() for gradient in optimizer._clip_gradients(sum_over_replicas(gradients))]


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
    shape = values.shape.as_list()
    shape[axis] *= replicas()
    # Collectives between hosts forget the shape.
    return tf.ensure_shape(tf.distribute.get_replica_context().all_gather(values, axis=axis), shape)


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
