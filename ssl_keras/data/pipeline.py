"""How streams of images run inside `tf.data`."""

import os
from typing import Final

import tensorflow as tf

WORKERS: Final = max(2, (os.cpu_count() or 2) // 2)
"""Batches prepared at once."""
READERS: Final = 2 * WORKERS
"""Single images read at once."""


def untuned(batches: tf.data.Dataset) -> tf.data.Dataset:
    """A stream whose threads and buffers stay as they were asked for.

    `tf.data` would tune them from a thread of its own, which rests for up to a minute at a time, and whoever drops an
    iterator may wait until it wakes: 30 seconds on average after a training, with both processors idle.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)
