"""ReLICv2: an online network predicts an EMA target across views (arXiv 2201.05119). SimCLR and BYOL by switches."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import keras
import tensorflow as tf

from ssl_keras.learning import distribution
from ssl_keras.learning.learner import Batch, Learner, Tensor
from ssl_keras.learning.losses.relicv2 import ReLICv2Loss
from ssl_keras.learning.schedules import TargetDecay
from ssl_keras.networks.heads import Predictor, Projector, clone_with_weights

PAPER_DECAY = TargetDecay(0.996)


class Objective(Protocol):
    """A loss over views: called as :func:`ssl_keras.relicv2_loss`, it returns scalars under its ``terms``."""

    terms: tuple[str, ...]

    def __call__(
        self, online: Tensor, target: Tensor, negatives: Tensor | None = None, *, positives: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms; ``loss`` is what is minimised."""


@keras.saving.register_keras_serializable("ssl_keras")
class ReLICv2(Learner):
    """Learns an encoder from views of images without labels.

    The online side is encoder, projector and predictor; the target side an exponential moving average of
    encoder and projector that keeps its own BN statistics and runs in training mode. Large views pass both
    sides, small ones the online side only, without touching the BN statistics that evaluation uses.

    Other methods differ in switches: SimCLR is ``loss=NTXentLoss()`` with neither predictor nor target, BYOL is
    ``loss=BYOLLoss()``. Without a target the online projections are what is compared with, and the loss decides
    whether gradients reach them.

    Args:
        encoder: The online encoder; also what is evaluated and saved.
        projector: Embeddings to projections; default ``Projector`` of the papers' size.
        predictor: Projections to predictions; "default" is ``Predictor`` of the papers' size, None has none.
        loss: An :class:`Objective`; default ``ReLICv2Loss`` with its defaults.
        negatives: Negatives per anchor drawn from the global batch, 10 in the paper (remembered, unverified);
            0 takes all other images.
        target_decay: The target's decay by step; None has no target network.
        seed: Seed of the negatives.
        name: Name of the model.
    """

    def __init__(
        self,
        encoder: keras.Model,
        *,
        projector: keras.Model | None = None,
        predictor: keras.Model | Literal["default"] | None = "default",
        loss: Objective | None = None,
        negatives: int = 10,
        target_decay: Callable[[Tensor], Tensor] | None = PAPER_DECAY,
        seed: int = 0,
        name: str = "relicv2",
    ) -> None:
        loss = loss or ReLICv2Loss()
        super().__init__(encoder, terms=loss.terms, seed=seed, name=name)
        self.projector = projector or Projector(encoder.output_shape[-1])
        self.predictor = Predictor(self.projector.output_shape[-1]) if predictor == "default" else predictor
        self.target_decay = target_decay
        # Any: what is None without a target is not looked at without one.
        self.target_encoder: Any = clone_with_weights(encoder) if target_decay else None
        self.target_projector: Any = clone_with_weights(self.projector) if target_decay else None
        self.objective_loss = loss
        self.negatives = negatives

    @property
    def learned_variables(self) -> list[Any]:
        """Weights of the online side."""
        return [variable for side in self._online_sides for variable in side.trainable_variables]

    @property
    def _online_sides(self) -> list[keras.Model]:
        return [side for side in (self.encoder, self.projector, self.predictor) if side is not None]

    def objective(self, batch: Batch, training: bool = True) -> dict[str, Tensor]:
        """The loss and its terms on this replica's images."""
        large = batch["large"]
        online, projections = self._online(large, training)
        with_target = self.target_encoder is not None
        target = distribution.gather(self._target(large, training) if with_target else projections, axis=1)
        if "small" in batch:
            small = self._without_statistics(batch["small"]) if training else self._online(batch["small"], False)[0]
            online = tf.concat([online, small], axis=0)
        positions = distribution.rows(large.shape[0])
        return self.objective_loss(online, target, self._negatives(positions, target.shape[1]), positives=positions)

    def _online(self, views: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """Predictions and projections (V, b, P); the same where there is no predictor."""
        projections = self.projector(self.encoder(self.fold(views), training=training), training=training)
        predictions = self.predictor(projections, training=training) if self.predictor else projections
        return self.unfold(predictions, views.shape[1]), self.unfold(projections, views.shape[1])

    def _target(self, views: Tensor, training: bool) -> Tensor:
        embeddings = self.target_encoder(self.fold(views), training=training)
        projections = self.target_projector(embeddings, training=training)
        return tf.stop_gradient(self.unfold(projections, views.shape[1]))

    def _without_statistics(self, views: Tensor) -> Tensor:
        """The online output, BN moving statistics left as they were: small views would skew them."""
        statistics = [variable for side in self._online_sides for variable in side.non_trainable_variables]
        before = [tf.identity(variable.value) for variable in statistics]
        output, _ = self._online(views, True)
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
        if self.target_decay is None:
            return
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
