"""The like-for-like yardstick: the same encoder, views and steps, with labels instead of the SSL loss."""

from typing import Any

import keras
import tensorflow as tf

from ssl_keras.learning.learner import Batch, Learner, Tensor
from ssl_keras.networks.heads import build_classifier


@keras.saving.register_keras_serializable("ssl_keras")
class Supervised(Learner):
    """Learns an encoder from the large views of labelled images by cross-entropy.

    Args:
        encoder: The encoder that learns.
        classes: Number of classes; batches carry ``label`` (b,) in [0, classes).
        seed: Seed of the classifier's initial weights.
        name: Name of the model.
    """

    def __init__(self, encoder: keras.Model, classes: int, *, seed: int = 0, name: str = "supervised") -> None:
        super().__init__(encoder, terms=("loss", "accuracy"), seed=seed, name=name)
        self.classes = classes
        self.classifier = build_classifier(encoder.output_shape[-1], classes, seed=seed)

    @property
    def learned_variables(self) -> list[Any]:
        """Weights of encoder and classifier."""
        return [*self.encoder.trainable_variables, *self.classifier.trainable_variables]

    def objective(self, batch: Batch, training: bool = True) -> dict[str, Tensor]:
        """Cross-entropy and accuracy in [0, 1], mean over all large views."""
        views = batch["large"].shape[1]
        labels = tf.repeat(tf.cast(batch["label"], tf.int32), views)
        logits = self.classifier(self.encoder(self.fold(batch["large"]), training=training))
        known = tf.cast(labels >= 0, tf.float32)  # an image without a label counts as right, and teaches nothing
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(labels, 0), logits)
        hit = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels) | (labels < 0)
        return {"loss": tf.reduce_mean(known * losses), "accuracy": tf.reduce_mean(tf.cast(hit, tf.float32))}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {"encoder": encoder, "classes": self.classes, "seed": self.seed, "name": self.name}
