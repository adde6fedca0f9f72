"""The gradient of a validation loss in the architecture, through one step that the weights take because of it."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from ssl_keras.learning import distribution

Tensor = Any
PERTURBATION = 0.01
"""Length of the finite difference, over the norm of the gradient (DARTS, arXiv 1806.09055, section 2.3)."""


def first_order(loss: Callable[[], Tensor], variables: Sequence[Any]) -> list[Tensor]:
    """The gradient of this replica's share of a loss, 0 where the loss does not depend on a variable."""
    values = [variable.value for variable in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        share = loss()
    found: list[Tensor] = tape.gradient(share, values, unconnected_gradients="zero")
    return found


def second_order(
    train_loss: Callable[[], Tensor],
    validation_loss: Callable[[], Tensor],
    weights: Sequence[Any],
    logits: Sequence[Any],
    rate: Tensor,
) -> list[Tensor]:
    """The gradient of L_val(w - rate ∇_w L_train(w, a), a) in a (DARTS, equations 6 to 8).

    The product with the mixed second derivative is a central finite difference of first derivatives, exact for
    losses that are quadratic in the weights. Weights are moved and put back; what else a loss changes when it is
    evaluated, such as BN statistics, is not.

    Args:
        train_loss: This replica's share of the loss that the weights follow.
        validation_loss: Of the loss that the architecture follows.
        weights: Variables w.
        logits: Variables a.
        rate: The virtual step's learning rate.

    Returns:
        This replica's share of the gradient, one tensor for each of the logits.
    """
    kept = [tf.identity(weight.value) for weight in weights]
    step = distribution.sum_over_replicas(first_order(train_loss, weights))
    _assign(weights, [value - rate * gradient for value, gradient in zip(kept, step, strict=True)])
    found = first_order(validation_loss, [*logits, *weights])
    direct = found[: len(logits)]
    direction = distribution.sum_over_replicas(found[len(logits) :])
    length = PERTURBATION / tf.maximum(tf.linalg.global_norm(direction), 1e-12)
    ends = []
    for sign in (1.0, -1.0):
        _assign(weights, [value + sign * length * way for value, way in zip(kept, direction, strict=True)])
        ends.append(first_order(train_loss, logits))
    _assign(weights, kept)
    mixed = [(plus - minus) / (2 * length) for plus, minus in zip(*ends, strict=True)]
    return [own - rate * other for own, other in zip(direct, mixed, strict=True)]


def _assign(variables: Sequence[Any], values: Sequence[Tensor]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
