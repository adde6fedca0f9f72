"""Optimizers that Keras does not have."""

from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable("ssl_keras")
class LARS(keras.optimizers.Optimizer):
    """Layer-wise adaptive rate scaling (arXiv 1708.03888), as BYOL and ReLICv2 use it.

    For kernels, g is the gradient plus ``weight_decay`` * w, scaled by ``trust_coefficient`` * |w| / |g| where
    both norms are positive; for vectors (biases, batch normalisation) g is the plain gradient. Then
    m <- momentum * m + g and w <- w - learning_rate * m.

    Args:
        learning_rate: A number or a Keras schedule; the papers scale it by batch size / 256.
        momentum: In [0, 1).
        weight_decay: L2 coefficient that joins the gradient of kernels.
        trust_coefficient: Called eta in the papers, 1e-3.
        name: Name of the optimizer.
        **kwargs: What every Keras optimizer takes.

    Raises:
        ValueError: A value is out of range.
    """

    def __init__(
        self,
        learning_rate: Any = 0.3,
        momentum: float = 0.9,
        weight_decay: float = 1e-6,
        trust_coefficient: float = 1e-3,
        name: str = "lars",
        **kwargs: Any,
    ) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"LARS needs a momentum in [0, 1), got {momentum}")
        if weight_decay < 0 or trust_coefficient <= 0:
            raise ValueError(
                f"LARS needs weight_decay >= 0 and trust_coefficient > 0, got {weight_decay} and {trust_coefficient}"
            )
        # The base class would decay the weights by itself, decoupled from the gradient: LARS does it before scaling.
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum
        self.kernel_decay = weight_decay
        self.trust_coefficient = trust_coefficient

    def build(self, variables: list[Any]) -> None:
        """Creates one momentum slot per variable."""
        if self.built:
            return
        super().build(variables)
        self._momenta = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """Updates one variable in place."""
        learning_rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        momentum = self._momenta[self._get_variable_index(variable)]
        if len(variable.shape) > 1:
            gradient = self._scaled(gradient + self.kernel_decay * variable, variable)
        velocity = self.momentum * momentum + gradient
        self.assign(momentum, velocity)
        self.assign_sub(variable, learning_rate * velocity)

    def _scaled(self, gradient: Tensor, variable: Any) -> Tensor:
        weight_norm, gradient_norm = (
            ops.norm(ops.reshape(variable, (-1,))),
            ops.norm(ops.reshape(gradient, (-1,))),
        )
        both = ops.logical_and(weight_norm > 0, gradient_norm > 0)
        ratio = self.trust_coefficient * weight_norm / ops.where(both, gradient_norm, 1.0)
        return gradient * ops.where(both, ratio, 1.0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "weight_decay": self.kernel_decay,
            "trust_coefficient": self.trust_coefficient,
        }
