"""Batch normalisation by TensorFlow's fused kernel: Keras's own layer, several times sooner."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

Tensor = Any

FUSED_DTYPES = ("float32", "bfloat16")
"""What the kernel computes in here; anything else is left to Keras."""
VECTOR, HALF_VECTOR = 16, 8
"""Channels that the CPU's kernel takes at a time; it is slow for other numbers. The half is known in float32 only."""


@keras.saving.register_keras_serializable("ssl_keras")
class BatchNormalization(layers.BatchNormalization):
    """Keras's layer of this name, for feature maps, whose training step is one kernel forward and one backward.

    Keras composes moments, scaling and their gradients of a dozen passes over the maps, which on a CPU take longer than
    the convolution before them. Values, gradients and statistics are Keras's to rounding. Where replicas share their
    moments, and in inference, Keras's own code runs. Called with maps (B, H, W, C).

    Args:
        **kwargs: As `keras.layers.BatchNormalization` takes them; the axis stays the last.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        """Maps (B, H, W, C) in the compute dtype."""
        if not (training and self.trainable) or self.compute_dtype not in FUSED_DTYPES or self._shared():
            return super().call(inputs, training=training, mask=mask)
        x, scale, offset = (tf.convert_to_tensor(value) for value in (inputs, self.gamma, self.beta))
        channels = x.shape[-1]
        if channels <= HALF_VECTOR:
            x = tf.cast(x, tf.float32)
        elif spare := -channels % VECTOR:  # still sooner than Keras; in slices, as indices have a slow gradient
            x = tf.pad(x, [[0, 0]] * 3 + [[0, spare]])
            scale, offset = (tf.pad(value, [[0, spare]]) for value in (scale, offset))
        out, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=scale, offset=offset, mean=tf.zeros(0), variance=tf.zeros(0), epsilon=self.epsilon
        )
        # The kernel tells the variance of a sample: n / (n - 1) times that of the maps, which Keras keeps.
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), tf.float32)
        variance *= tf.maximum(count - 1, 1) / count
        for statistic, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            statistic.assign(statistic * self.momentum + now[:channels] * (1 - self.momentum))
        out = tf.slice(out, [0] * 4, [-1, -1, -1, channels])
        return tf.cast(out, self.compute_dtype)

    def _shared(self) -> bool:
        """Whether several replicas take their moments together."""
        return self.synchronized and tf.distribute.get_strategy().num_replicas_in_sync > 1


def of_standard_layers(network: keras.Model) -> keras.Model:
    """A functional network as one that loads without ssl_keras, with the weights that it has."""

    def standard(layer: layers.Layer) -> layers.Layer:
        kind = layers.BatchNormalization if isinstance(layer, BatchNormalization) else type(layer)
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(network, clone_function=standard)
    copy.set_weights(network.get_weights())
    return copy
