"""Ways to the gradient of a loss in the logits of choices."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from keras import ops

from ssl_keras.networks import choices
from ssl_keras.networks.choices import Choices

Tensor = Any
Estimator = Literal["score", "straight_through", "gumbel", "soft"]

ESTIMATORS: dict[str, Callable[[Choices, Choices, Tensor], dict[str, Tensor]]] = {
    "score": lambda logits, noise, temperature: choices.largest(choices.gumbel_softmax(logits, noise, 1.0)),
    "straight_through": lambda logits, noise, temperature: choices.straight_through(
        choices.gumbel_softmax(logits, noise, temperature)
    ),
    "gumbel": choices.gumbel_softmax,
    "soft": lambda logits, noise, temperature: choices.softmax(logits),
}
"""From logits, uniform noise and a temperature to the choices that a step is made with."""

DRAWS = 64
"""Independent draws that a step may make: one for the weights, the others for the architecture."""


def check_estimator(estimator: str, samples: int, order: int) -> None:
    """Refuses what cannot be estimated.

    Raises:
        ValueError: The name is unknown, there is nothing to compare, or "score" is to be of second order.
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"no estimator is called {estimator!r}: choose one of {', '.join(get_args(Estimator))}")
    if not 2 <= samples < DRAWS:
        raise ValueError(f"samples is {samples}: the estimator compares networks, so give from 2 to {DRAWS - 1}")
    if estimator == "score" and order == 2:
        raise ValueError("order 2 differentiates through a step of the weights, which 'score' does not: take another")


def score(losses: Sequence[Tensor], drawn: Sequence[Choices], logits: Choices) -> Tensor:
    """The mean of the losses of drawn networks, with the score function's gradient in the logits.

    The gradient is sum_k (L_k - mean L) ∇ log p(a_k) / (K - 1): REINFORCE, each loss beside the mean of the others.

    Args:
        losses: K >= 2 scalars L_k, on the same batch.
        drawn: The networks a_k, hard choices, drawn from the softmax of the logits.
        logits: Decision → (n,).
    """
    values = ops.stop_gradient(ops.stack(losses))
    mean = ops.mean(values)
    logs = {name: ops.log_softmax(row) for name, row in logits.items()}
    likely = ops.stack([sum(ops.sum(network[name] * row) for name, row in logs.items()) for network in drawn])
    surrogate = ops.sum((values - mean) * likely) / (len(losses) - 1)
    return mean + surrogate - ops.stop_gradient(surrogate)


def mean_entropy(chances: Choices) -> Tensor:
    """Mean over decisions of the entropy, as a share of its maximum: 1 undecided, 0 decided.

    Args:
        chances: Decision → probabilities (n,).
    """
    shares = [-ops.sum(row * ops.log(ops.maximum(row, 1e-12))) / np.log(row.shape[0]) for row in chances.values()]
    return ops.mean(ops.stack(shares))
