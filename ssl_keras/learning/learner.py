"""What every way of learning shares: one step, its metrics, and ``fit`` on batches of views."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ssl_keras.data.views import ViewBatches
from ssl_keras.learning import distribution
from ssl_keras.learning.multi_worker import MultiWorkerModel

Tensor = Any
Batch = dict[str, Tensor]


class Learner(MultiWorkerModel):
    """An encoder that learns from batches of views by an objective that a subclass states.

    A subclass sets ``encoder``, lists its ``learned_variables``, gives the names of its terms, and writes
    :meth:`objective`; all variables exist before ``compile``, which builds the optimizer.

    Args:
        encoder: The encoder that learns.
        terms: Names of what :meth:`objective` returns, ``loss`` first.
        seed: Seed of what is drawn at random in a step.
        name: Name of the model.
    """

    def __init__(self, encoder: keras.Model, *, terms: tuple[str, ...], seed: int, name: str) -> None:
        super().__init__(name=name)
        self.encoder = encoder
        self.seed = seed
        self._batches: ViewBatches | None = None
        self._trackers = [keras.metrics.Mean(name=term) for term in terms]

    @property
    def step(self) -> int:
        """Updates made so far."""
        return int(self.optimizer.iterations.value.numpy())

    @property
    @abstractmethod
    def learned_variables(self) -> list[Any]:
        """The variables that the optimizer updates."""

    @abstractmethod
    def objective(self, batch: Batch, training: bool = True) -> dict[str, Tensor]:
        """The terms of the loss on this replica's part of a batch; ``loss`` is what is minimised.

        Args:
            batch: Views, and what else a stream gives.
            training: Whether BN takes the batch's statistics and moves its own, or uses its own.
        """

    def after_step(self) -> None:
        """Hook after the optimizer's update."""

    def fold(self, views: Tensor) -> Tensor:
        """Views (b, V, ...) as one batch (b * V, ...). NOTE: BN sees all views jointly; BYOL runs them apart."""
        return tf.reshape(views, (-1, *views.shape[2:]))

    def unfold(self, vectors: Tensor, views: int) -> Tensor:
        """Vectors (b * V, D) of a folded batch as (V, b, D)."""
        return tf.transpose(tf.reshape(vectors, (-1, views, vectors.shape[-1])), (1, 0, 2))

    def compile(self, optimizer: Any, **kwargs: Any) -> None:
        """Configures training; the objective is the learner's own, so there is no ``loss`` argument."""
        super().compile(optimizer=optimizer, **kwargs)
        if not self.optimizer.built:
            # Vectors (biases, batch normalisation) are never decayed.
            self.optimizer.exclude_from_weight_decay([v for v in self.learned_variables if len(v.shape) < 2])
            self.optimizer.build(self.learned_variables)
        self.built = True

    def train_step(self, data: Batch) -> dict[str, Tensor]:
        """One update of the learned variables."""
        return self.update(lambda: self.objective(self.with_views(data)))

    def test_step(self, data: Batch) -> dict[str, Tensor]:
        """The terms on a batch, nothing learned from it and no statistics moved; returns their running means."""
        return self._track(self.objective(self.with_views(data), training=False))

    def with_views(self, batch: Batch) -> Batch:
        """A batch with its views, which on a TPU are made as part of the step."""
        if self._batches is None:
            return batch
        if distribution.spans_hosts(self.distribute_strategy):  # sharing a batch among hosts may forget its size
            share = self._batches.batch_size // distribution.replicas()
            batch = tf.nest.map_structure(lambda part: tf.ensure_shape(part, (share, *part.shape[1:])), batch)
        return self._batches.finish(batch)

    def batches(self, stream: ViewBatches, start_step: int) -> tf.data.Dataset:
        """The batches of a stream, uncut where the device that learns makes the views."""
        distribution.check_shared(stream.batch_size, self.distribute_strategy)
        self._batches = stream
        return stream.dataset(start_step, cut=not distribution.makes_views(self.distribute_strategy))

    def update(self, objective: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """One update of the learned variables by the terms that a function gives; returns their running means."""
        variables = self.learned_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            terms = objective()
            loss = distribution.divide_by_replicas(terms["loss"])
        gradients = distribution.clip_the_sum(self.optimizer, tape.gradient(loss, variables))
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.after_step()
        return self._track(terms)

    def _track(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        for tracker in self._trackers:
            tracker.update_state(terms[tracker.name])
        return {tracker.name: tracker.result() for tracker in self._trackers}

    def fit(self, x: Any, *, epochs: int = 1, **kwargs: Any) -> keras.callbacks.History:
        """As ``keras.Model.fit``; takes a ``ViewBatches``, whose stream begins at this model's own step."""
        if isinstance(x, ViewBatches):
            # The stream is endless and in random order already.
            kwargs = {"steps_per_epoch": x.steps_per_epoch, "shuffle": False, **kwargs}
            x = self.batches(x, self.step)
        return super().fit(x, epochs=epochs, **kwargs)

    def evaluate(self, x: Any, **kwargs: Any) -> Any:
        """As ``keras.Model.evaluate``: the loss on images; a ``ViewBatches`` is gone through once, always alike."""
        if isinstance(x, ViewBatches):
            kwargs = {"steps": x.steps_per_epoch, **kwargs}
            x = self.batches(x, 0)
        # Several steps in one execution would run past the last of an endless stream.
        usual, self.steps_per_execution = self.steps_per_execution, 1
        try:
            return super().evaluate(x, **kwargs)
        finally:
            self.steps_per_execution = usual

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Embeddings of images, by the encoder alone."""
        return self.encoder(images, training=training)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Learner":
        """Rebuilds a learner from its config; parts that are Keras objects are deserialised first."""
        parts = {
            name: keras.saving.deserialize_keras_object(value, custom_objects) if isinstance(value, dict) else value
            for name, value in config.items()
        }
        return cls(**parts)
