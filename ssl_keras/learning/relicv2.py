"""ReLICv2: an online network predicts an EMA target across views (arXiv 2201.05119)."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ssl_keras.learning import distribution
from ssl_keras.learning.learner import Batch, Learner, Tensor
from ssl_keras.learning.losses.relicv2 import ReLICv2Loss
from ssl_keras.learning.schedules import TargetDecay
from ssl_keras.networks.heads import Predictor, Projector, clone_with_weights


@keras.saving.register_keras_serializable("ssl_keras")
class ReLICv2(Learner):
    """Learns an encoder from views of images without labels.

    The online side is encoder, projector and predictor; the target side an exponential moving average of
    encoder and projector that keeps its own BN statistics and runs in training mode. Large views pass both
    sides, small ones the online side only, without touching the BN statistics that evaluation uses.

    Args:
        encoder: The online encoder; also what is evaluated and saved.
        projector: Embeddings to projections; default ``Projector`` of the papers' size.
        predictor: Projections to predictions; default ``Predictor`` of the papers' size.
        loss: Called as :class:`ReLICv2Loss`; default its defaults.
        negatives: Negatives per anchor drawn from the global batch, 10 in the paper (remembered, unverified);
            0 takes all other images.
        target_decay: The target's decay by step; default ``TargetDecay(0.996)``.
        seed: Seed of the negatives.
        name: Name of the model.
    """

    def __init__(
        self,
        encoder: keras.Model,
        *,
        projector: keras.Model | None = None,
        predictor: keras.Model | None = None,
        loss: ReLICv2Loss | None = None,
        negatives: int = 10,
        target_decay: Callable[[Tensor], Tensor] | None = None,
        seed: int = 0,
        name: str = "relicv2",
    ) -> None:
        super().__init__(encoder, terms=("loss", "contrastive", "invariance"), seed=seed, name=name)
        self.projector = projector or Projector(encoder.output_shape[-1])
        self.predictor = predictor or Predictor(self.projector.output_shape[-1])
        self.target_encoder = clone_with_weights(encoder)
        self.target_projector = clone_with_weights(self.projector)
        self.objective_loss = loss or ReLICv2Loss()
        self.negatives = negatives
        self.target_decay = target_decay or TargetDecay()

    @property
    def learned_variables(self) -> list[Any]:
        """Weights of the online side."""
        sides = (self.encoder, self.projector, self.predictor)
        return [variable for side in sides for variable in side.trainable_variables]

    def objective(self, batch: Batch) -> dict[str, Tensor]:
        """The loss and its terms on this replica's images."""
        large = batch["large"]
        images, views = large.shape[0], large.shape[1]
        folded = self.fold(large)
        target = self.target_projector(self.target_encoder(folded, training=True), training=True)
        target = distribution.gather(tf.stop_gradient(self.unfold(target, views)), axis=1)
        online = self._online(large)
        if "small" in batch:
            online = tf.concat([online, self._without_statistics(batch["small"])], axis=0)
        positions = distribution.rows(images)
        return self.objective_loss(online, target, self._negatives(positions, target.shape[1]), positives=positions)

    def _online(self, views: Tensor) -> Tensor:
        embeddings = self.encoder(self.fold(views), training=True)
        return self.unfold(self.predictor(self.projector(embeddings, training=True), training=True), views.shape[1])

    def _without_statistics(self, views: Tensor) -> Tensor:
        """The online output, BN moving statistics left as they were: small views would skew them."""
        statistics = [
            v for side in (self.encoder, self.projector, self.predictor) for v in side.non_trainable_variables
        ]
        before = [tf.identity(variable.value) for variable in statistics]
        output = self._online(views)
        with tf.control_dependencies([output]):
            for variable, value in zip(statistics, before, strict=True):
                variable.assign(value)
        return output

    def _negatives(self, positions: Tensor, batch: int) -> Tensor | None:
        if not self.negatives:
            return None
        return distribution.sample_negatives(
            positions, batch, self.negatives, seed=self.seed, step=self.optimizer.iterations
        )

    def after_step(self) -> None:
        """Moves the target towards the new online weights; BN statistics are the target's own (BYOL)."""
        decay = self.target_decay(self.optimizer.iterations)
        pairs = ((self.encoder, self.target_encoder), (self.projector, self.target_projector))
        for online_side, target_side in pairs:
            for online, target in zip(online_side.trainable_variables, target_side.trainable_variables, strict=True):
                target.assign(target + (1.0 - decay) * (online - target))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; the target is built from them and gets its weights from the file."""
        return {
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "projector": keras.saving.serialize_keras_object(self.projector),
            "predictor": keras.saving.serialize_keras_object(self.predictor),
            "loss": keras.saving.serialize_keras_object(self.objective_loss),
            "negatives": self.negatives,
            "target_decay": keras.saving.serialize_keras_object(self.target_decay),
            "seed": self.seed,
            "name": self.name,
        }
