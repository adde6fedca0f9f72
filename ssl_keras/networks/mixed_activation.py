"""The convex combination of activations, which computes only the one that is picked where one is."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras import layers

Tensor = Any


@keras.saving.register_keras_serializable("ssl_keras")
class MixedActivation(layers.Layer):
    """Maps x and probabilities (n,) to sum_i probabilities_i · activation_i(x).

    Of probabilities that are 1 and 0, values and the gradient of the maps are those of one activation and cost as
    much. The gradient of the probabilities is that of the sum all the same, as straight-through choices need it. NOTE:
    there is no second derivative by maps and probabilities.

    Args:
        activations: The n names, as Keras knows them.
        **kwargs: As of ``keras.layers.Layer``.
    """

    def __init__(self, activations: Sequence[str], **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # probabilities stay float32, so that only a 1 counts as one
        self.activations = tuple(activations)

    def call(self, inputs: Tensor, chances: Tensor) -> Tensor:
        """The combination, of the maps' shape."""
        functions = [keras.activations.get(name) for name in self.activations]

        @tf.custom_gradient
        def mixed(x: Tensor, weights: Tensor) -> Any:
            def blended(x: Tensor) -> Tensor:
                shares = tf.unstack(tf.cast(weights, x.dtype))
                return tf.add_n([function(x) * share for function, share in zip(functions, shares, strict=True)])

            cases = [*functions, blended]
            case = tf.where(tf.reduce_max(weights) == 1, tf.argmax(weights, output_type=tf.int32), len(functions))

            def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
                slopes = [partial(_gradient, each, x, upstream) for each in cases]
                along = [tf.reduce_sum(tf.cast(upstream * function(x), weights.dtype)) for function in functions]
                return tf.switch_case(case, slopes), tf.stack(along)

            return tf.switch_case(case, [partial(each, x) for each in cases]), gradient

        return mixed(tf.convert_to_tensor(inputs), tf.convert_to_tensor(chances))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"activations": self.activations}


def _gradient(function: Any, x: Tensor, upstream: Tensor) -> Tensor:
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = function(x)
    return tape.gradient(out, x, upstream)
