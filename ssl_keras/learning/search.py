"""Architecture and weights learned together, without labels: in turn, on disjoint halves of the images.

The bilevel problem is that of DARTS (arXiv 1806.09055): the architecture minimises the loss on one half at the weights
that minimise it on the other. The learner's own objective is the loss, so a search with labels is a search of another
learner.
"""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.architecture.derivation import Budget, checked_budget, cost_ends, likely_picks
from ssl_keras.architecture.grammar import Architecture, Value
from ssl_keras.architecture.latency import LatencyTable
from ssl_keras.data.views import ViewBatches
from ssl_keras.learning import distribution
from ssl_keras.learning.estimators import DRAWS, ESTIMATORS, Estimator, check_estimator, mean_entropy, score
from ssl_keras.learning.hypergradient import first_order, second_order
from ssl_keras.learning.learner import Batch, Learner, Tensor
from ssl_keras.learning.multi_worker import MultiWorkerModel
from ssl_keras.learning.schedules import SearchPhases, Temperature
from ssl_keras.networks import choices
from ssl_keras.networks.choices import Choices
from ssl_keras.networks.expected_cost import ExpectedCost
from ssl_keras.networks.supernet import Supernet

WEIGHTS, ARCHITECTURE = "weights", "architecture"
"""The two parts of a batch, and of the work."""
WIDTHS = ("c", "e")
"""Tokens that decide how many channels there are."""
FULL_MOVE = 10.0
"""Sum of all steps of a logit under the default optimizer. NOTE: our choice; DARTS takes 3e-4 for some 10 000 steps."""


@keras.saving.register_keras_serializable("ssl_keras")
class ArchitectureSearch(MultiWorkerModel):
    """Learns the architecture of a learner's encoder, a `Supernet`, along with its weights.

    After a warm-up, in which the weights learn as the widest networks and then as any, each ``every``-th step begins
    with a step of the architecture; then the weights take theirs, as the learner does alone. All views and replicas of
    a step pass through the same choices; what is drawn follows from (seed, step).

    Args:
        learner: Whose encoder is a `Supernet`; any other part of it that holds one (a target) gets the same choices.
        budget: What the network may cost, to be hit. Without one the loss would only grow the network.
        steps: Of the weights, in the whole search.
        warmup: Share of the steps before the first step of the architecture; 0.25 to 0.33 is usual.
        widest_first: Share of the warm-up in which every stage has as many channels as it may; in the rest, and of all
            other decisions throughout, every value is equally likely. Channels that only wide networks hold learn in
            few of the steps that draw a width; what is deep is not behind in that way, and a warm-up as the dearest
            network alone misjudges networks that leave a stage out (README, results). Once-for-all (arXiv 1908.09791)
            shrinks widths last, too. NOTE: the share is our choice.
        every: Steps of the weights to one of the architecture; 1 to 5 is usual.
        estimator: Of the gradient in the logits. "score" compares the losses of drawn networks on one batch (REINFORCE,
            each beside the mean of the others; TuNAS, arXiv 2008.06120, has a running mean). The rest differentiate
            through the choices: hard samples ("straight_through"), soft ones ("gumbel"), or all by probability ("soft",
            DARTS). NOTE: the default is ours: weights come to rest where a small change of the choices that they serve
            changes nothing, so that its derivative tells little (tools/planted_truth.py), and a comparison still does.
        samples: Networks that "score" compares.
        temperature: Of "gumbel" and "straight_through", at the end of the warm-up and at the end; it falls
            exponentially. NOTE: our choice.
        cost_weight: Weight of |E[cost] / budget - 1| in the architecture's loss. NOTE: our choice.
        entropy_weight: Weight of the decisions' mean entropy (as a share of its maximum) in the architecture's loss;
            it rises from 0 along with the steps. Above 0 it makes up the architecture's mind. NOTE: our choice.
        sandwich: Whether the weights learn in each step from the largest, the smallest and a drawn network at once
            (BigNAS, arXiv 2003.11142), at three times the cost.
        latency: What blocks take on a device, for a budget of milliseconds; `ssl-keras latency` measures it.
        order: 1 takes the weights as given in a step of the architecture; 2 looks through their next step.
        seed: Of the draws.
        name: Name of the model.

    Raises:
        ValueError: There is no budget (one is proposed), or it is out of the space's reach; the encoder is no supernet;
            an argument is out of range.
    """

    def __init__(
        self,
        learner: Learner,
        budget: Budget | None = None,
        *,
        steps: int,
        warmup: float = 0.3,
        widest_first: float = 0.5,
        every: int = 2,
        estimator: Estimator = "score",
        samples: int = 2,
        temperature: tuple[float, float] = (2.0, 0.5),
        cost_weight: float = 1.0,
        entropy_weight: float = 0.0,
        sandwich: bool = False,
        order: Literal[1, 2] = 1,
        latency: LatencyTable | None = None,
        seed: int = 0,
        name: str = "architecture_search",
    ) -> None:
        super().__init__(name=name)
        _check_supernet(learner)
        self.phases = SearchPhases(steps, warmup, every, widest_first)
        check_estimator(estimator, samples, order)
        self.learner = learner
        self.space: Architecture = learner.encoder.architecture
        self.image_shape = learner.encoder.image_shape
        self.latency = latency
        self.budget = checked_budget(budget, self.space, self.image_shape, latency)
        self.estimator, self.samples, self.temperature = estimator, samples, tuple(temperature)
        self.cost_weight, self.entropy_weight = cost_weight, entropy_weight
        self.sandwich, self.order, self.seed = sandwich, order, seed
        self._supernets = [layer for layer in learner._flatten_layers() if isinstance(layer, Supernet)]
        self._expected_cost = ExpectedCost(self.space, self.image_shape, latency)
        self._temperature = Temperature(temperature[0], temperature[1], steps - self.phases.first_move)
        self._logits = {
            name: self.add_weight(shape=(len(values),), initializer="zeros", name=name.replace(".", "_"))
            for name, values in self.space.decisions.items()
        }
        self._architecture_loss = keras.metrics.Mean(name="architecture_loss")
        self._moving = False
        self.built = True

    @property
    def encoder(self) -> Supernet:
        """The supernet."""
        return self.learner.encoder

    @property
    def step(self) -> int:
        """Steps of the weights so far."""
        return self.learner.step

    @property
    def architecture_variables(self) -> list[Any]:
        """The logits of all decisions."""
        return [*self._logits.values()]

    @property
    def learned_variables(self) -> list[Any]:
        """All that moves: the learner's weights, then the logits."""
        return [*self.learner.learned_variables, *self.architecture_variables]

    @property
    def metrics(self) -> list[Any]:
        """The learner's terms. The architecture's loss is no mean over batches, but that of its last step."""
        return list(self.learner.metrics)

    def probabilities(self) -> dict[str, np.ndarray]:
        """Decision → how likely each of its values is, (n,)."""
        return {name: np.asarray(row) for name, row in choices.softmax(self._logits).items()}

    def expected_cost(self) -> float:
        """Mean cost of the networks that the probabilities stand for, of the budget's kind."""
        return float(self._expected_cost(choices.softmax(self._logits))[self.budget.kind])

    def entropy(self) -> float:
        """Mean entropy of the decisions, as a share of its maximum: 1 undecided, 0 decided."""
        return float(mean_entropy(choices.softmax(self._logits)))

    def picks(self) -> dict[str, Value]:
        """The most likely picks whose network meets the budget; see `likely_picks`."""
        chances = {name: row.tolist() for name, row in self.probabilities().items()}
        return likely_picks(self.space, chances, self.budget, self.image_shape, latency=self.latency)

    def derive(self) -> Architecture:
        """The most likely network that meets the budget."""
        return self.space.freeze(self.picks())

    def compile(self, optimizer: Any, architecture_optimizer: Any = None, **kwargs: Any) -> None:
        """Configures training.

        Args:
            optimizer: Of the weights.
            architecture_optimizer: Of the logits; default Adam with beta_1 = 0.5 (K), no weight decay, and a rate that
                allows a logit to move by `FULL_MOVE` in all.
            **kwargs: As of ``keras.Model.compile``.

        Raises:
            ValueError: ``steps_per_execution`` is above 1: which steps move the architecture is decided between them.
        """
        if kwargs.get("steps_per_execution", 1) != 1:
            raise ValueError("a search decides between steps what moves: leave steps_per_execution at 1")
        self.learner.compile(optimizer, **kwargs)
        super().compile(optimizer=self.learner.optimizer, **kwargs)
        self.architecture_optimizer = architecture_optimizer or keras.optimizers.Adam(
            FULL_MOVE / max(1, self.phases.moves), beta_1=0.5, beta_2=0.999
        )
        if not self.architecture_optimizer.built:
            self.architecture_optimizer.build(self.architecture_variables)

    def train_step(self, data: dict[str, Batch]) -> dict[str, Tensor]:
        """One step of the weights, and before it one of the architecture where it is its turn."""
        step = tf.cast(self.learner.optimizer.iterations, tf.int64)
        if self._moving:
            self._move(data, step)
        taken = self._taken(step)
        logs = self.learner.update(lambda: _mean([self._objective(each, data[WEIGHTS]) for each in taken]))
        return {**logs, self._architecture_loss.name: self._architecture_loss.result()}

    def make_train_function(self, force: bool = False) -> Any:
        """Two graphs, with and without a step of the architecture, so that neither holds a condition.

        Collectives (synchronised BN) do not work inside of one, and the warm-up shall not pay for what it does not do.
        """
        if self.train_function is not None and not force:
            return self.train_function
        graphs = {}
        for moving in (False, True):
            super().make_train_function(force=True)
            graphs[moving] = self.train_function

        def train(iterator: Any) -> Any:
            self._moving = self.phases.moves_at(self.step)
            return graphs[self._moving](iterator)

        self.train_function = train
        return train

    def fit(self, x: Any, *, epochs: int = 1, **kwargs: Any) -> keras.callbacks.History:
        """As ``keras.Model.fit``.

        Args:
            x: A ``ViewBatches``, whose images are halved; or a pair of them on images of your own choice, for the
                weights and for the architecture; or a dataset of ``{"weights": batch, "architecture": batch}``.
            epochs: An epoch is one pass over the weights' half.
            **kwargs: As of ``keras.Model.fit``.
        """
        pair = x.halves() if isinstance(x, ViewBatches) else x
        if isinstance(pair, tuple):
            kwargs = {"steps_per_epoch": pair[0].steps_per_epoch, "shuffle": False, **kwargs}
            x = self._paired(*pair)
        return super().fit(x, epochs=epochs, **kwargs)

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Embeddings of images by the supernet, choices by probability."""
        return self.encoder(images, choices.softmax(self._logits), training=training)

    def gap(self, batch: Batch) -> tuple[float, float]:
        """The loss of a batch with choices by probability, and with the most likely value of each decision.

        Changes nothing; the batch is shared by the replicas.
        """
        soft = choices.softmax(self._logits)
        return self._loss_by(soft, batch), self._loss_by(choices.largest(soft), batch)

    def inherited_loss(self, picks: Mapping[str, Value] | Architecture, batch: Batch) -> float:
        """The loss of a batch by one network of the space, with the weights that it has in the supernet.

        Changes nothing; the batch is shared by the replicas, and BN takes the batch's own statistics.

        Args:
            picks: Every decision's value; or the network.
            batch: Views, as the learner takes them.

        Raises:
            ArchitectureError: The network is not in the space.
        """
        hard = choices.one_hot(self.space, picks)
        return self._loss_by({name: tf.constant(row) for name, row in hard.items()}, batch)

    def _loss_by(self, taken: Choices, batch: Batch) -> float:
        kept = [(variable, variable.numpy()) for variable in self.learner.non_trainable_variables]
        loss = distribution.mean_of_shares(self.distribute_strategy, self._loss, batch, taken)
        for variable, value in kept:
            variable.assign(value)
        return float(loss.numpy())

    @tf.function
    def _loss(self, batch: Batch, taken: Choices) -> Tensor:
        return self._objective(taken, batch)["loss"]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "learner": keras.saving.serialize_keras_object(self.learner),
            "budget": {self.budget.kind: self.budget.amount},
            **dataclasses.asdict(self.phases),
            "estimator": self.estimator,
            "samples": self.samples,
            "temperature": list(self.temperature),
            "cost_weight": self.cost_weight,
            "entropy_weight": self.entropy_weight,
            "sandwich": self.sandwich,
            "order": self.order,
            "latency": self.latency and self.latency.to_json(),
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "ArchitectureSearch":
        """Rebuilds a search from its config."""
        learner = keras.saving.deserialize_keras_object(config["learner"], custom_objects)
        latency = config["latency"] and LatencyTable(**config["latency"])
        return cls(**{**config, "learner": learner, "budget": Budget(**config["budget"]), "latency": latency})

    def _paired(self, weights: ViewBatches, architecture: ViewBatches) -> tf.data.Dataset:
        """Batches of both halves from this step on; a batch of the architecture's lasts until its next step."""
        first, every = self.phases.first_move, self.phases.every
        waiting = max(0, first - self.step)
        turn, used = divmod(max(0, self.step - first), every)

        def lasting(number: Tensor, batch: Batch) -> tf.data.Dataset:
            steps = tf.where(number == 0, waiting + every - used, every)
            return tf.data.Dataset.from_tensors(batch).repeat(tf.cast(steps, tf.int64))

        turns = self.learner.batches(architecture, turn).enumerate().flat_map(lasting)
        both = tf.data.Dataset.zip((self.learner.batches(weights, self.step), turns))
        return both.map(lambda one, other: {WEIGHTS: one, ARCHITECTURE: other}).prefetch(1)

    def _objective(self, taken: Choices, batch: Batch) -> dict[str, Tensor]:
        """The learner's terms with all of its supernets in the same choices."""
        with contextlib.ExitStack() as stack:
            for supernet in self._supernets:
                stack.enter_context(supernet.choosing(taken))
            return self.learner.objective(self.learner.with_views(batch))

    def _move(self, data: dict[str, Batch], step: Tensor) -> None:
        """One step of the architecture."""
        variables = self.architecture_variables

        def share_on(part: str) -> Tensor:
            if self.estimator == "score":
                return distribution.divide_by_replicas(self._compared(data[part], step))
            loss = self._objective(self._choices(step, salt=1), data[part])["loss"]
            return distribution.divide_by_replicas(loss)

        def validation_loss() -> Tensor:
            loss = share_on(ARCHITECTURE)
            self._architecture_loss.reset_state()
            self._architecture_loss.update_state(loss * distribution.replicas())
            return loss + distribution.divide_by_replicas(self._control(step))

        if self.order == 1:
            gradients = first_order(validation_loss, variables)
        else:
            rate = self.learner.optimizer.learning_rate
            weights = self.learner.learned_variables
            gradients = second_order(lambda: share_on(WEIGHTS), validation_loss, weights, variables, rate)
        gradients = distribution.clip_the_sum(self.architecture_optimizer, gradients)
        self.architecture_optimizer.apply_gradients(zip(gradients, variables, strict=True))

    def _compared(self, batch: Batch, step: Tensor) -> Tensor:
        """The mean loss of drawn networks; its gradient is the score function's, each beside the mean of the others."""
        drawn = [self._choices(step, salt=1 + number) for number in range(self.samples)]
        return score([self._objective(each, batch)["loss"] for each in drawn], drawn, self._logits)

    def _control(self, step: Tensor) -> Tensor:
        """What holds the architecture to its budget, and makes up its mind."""
        soft = choices.softmax(self._logits)
        missed = tf.abs(self._expected_cost(soft)[self.budget.kind] / self.budget.amount - 1)
        first, last = self.phases.first_move, self.phases.steps
        risen = tf.cast(step - first, tf.float32) / (last - first)
        return self.cost_weight * missed + self.entropy_weight * risen * mean_entropy(soft)

    def _choices(self, step: Tensor, salt: int, warming: Tensor | bool = False) -> dict[str, Tensor]:
        """The choices of a step, the same on every replica."""
        stream = tf.constant(self.seed * DRAWS + salt, tf.int64)
        noise = {
            name: tf.random.stateless_uniform(
                logits.shape, tf.stack([stream, step * len(self._logits) + index]), minval=1e-6, maxval=1 - 1e-6
            )
            for index, (name, logits) in enumerate(self._logits.items())
        }
        temperature = self._temperature(step - self.phases.first_move)
        relaxed = ESTIMATORS[self.estimator](self._logits, noise, temperature)
        if warming is False:
            return relaxed
        uniform = choices.largest(noise)
        return {name: tf.where(warming, uniform[name], relaxed[name]) for name in relaxed}

    def _taken(self, step: Tensor) -> list[dict[str, Tensor]]:
        """The networks that the weights learn as in a step."""
        drawn = self._choices(step, salt=0, warming=step < self.phases.first_move)
        for name, values in self.space.decisions.items():
            if name.rpartition(".")[2] in WIDTHS:
                widest = choices.one_hot_of(values, max(values))
                drawn[name] = tf.where(step < self.phases.first_width, widest, drawn[name])
        return [drawn, *self._ends()] if self.sandwich else [drawn]

    def _ends(self) -> list[dict[str, Tensor]]:
        """The choices of the dearest network and of the cheapest."""
        low, high = cost_ends(self.space, self.budget.kind, self.image_shape, self.latency)
        ends = [choices.one_hot(self.space, path.picks_in(self.space)) for path in (high, low)]
        return [{name: tf.constant(row) for name, row in end.items()} for end in ends]


def _mean(terms: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: tf.add_n([each[name] for each in terms]) / len(terms) for name in terms[0]}


def _check_supernet(learner: Learner) -> None:
    if not isinstance(learner.encoder, Supernet):
        raise ValueError(
            f"the learner's encoder is {type(learner.encoder).__name__}, which has nothing to decide: "
            "give it build_supernet(space, input_shape)"
        )
