"""Values that change with the step."""

import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

Tensor = Any


def warmup_cosine(peak: float, steps: int, warmup_steps: int = 0) -> keras.optimizers.schedules.CosineDecay:
    """Linear warm-up from 0 to ``peak`` in ``warmup_steps``, then half a cosine to 0 at ``steps``, no restart.

    Args:
        peak: Highest value.
        steps: All steps, warm-up included.
        warmup_steps: Steps of the warm-up, fewer than ``steps``.

    Raises:
        ValueError: There are no more steps than warm-up steps.
    """
    if not 0 <= warmup_steps < steps:
        raise ValueError(
            f"a schedule of {steps} steps has no room for a warm-up of {warmup_steps}: train longer or warm up less"
        )
    if not warmup_steps:
        return keras.optimizers.schedules.CosineDecay(peak, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup_steps, warmup_target=peak, warmup_steps=warmup_steps
    )


@keras.saving.register_keras_serializable("ssl_keras")
class TargetDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Decay of the target network's moving average: 1 - (1 - base)(cos(pi k / K) + 1) / 2 at step k of K (BYOL, 3.1).

    Args:
        base: Decay at step 0, in [0, 1]; 0.996 for 1000 epochs, 0.99 for 100 to 300, 0.97 for 40 (BYOL).
        steps: K; the decay is 1 from there on. None keeps ``base`` throughout.

    Raises:
        ValueError: ``base`` is out of range, or ``steps`` is not positive.
    """

    def __init__(self, base: float = 0.996, steps: int | None = None) -> None:
        if not 0 <= base <= 1:
            raise ValueError(f"the target's decay must lie in [0, 1], got {base}")
        if steps is not None and steps < 1:
            raise ValueError(f"the target's schedule needs a positive number of steps, got {steps}")
        self.base = base
        self.steps = steps

    def __call__(self, step: Tensor) -> Tensor:
        """The decay at ``step``, in float32."""
        if self.steps is None:
            return ops.convert_to_tensor(self.base, "float32")
        progress = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        return 1.0 - (1.0 - self.base) * (ops.cos(math.pi * progress) + 1.0) / 2.0

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"base": self.base, "steps": self.steps}


@keras.saving.register_keras_serializable("ssl_keras")
class Temperature(keras.optimizers.schedules.LearningRateSchedule):
    """A temperature that falls exponentially: start (end / start)^(k / K) at step k of K, then stays.

    Args:
        start: At step 0, above 0.
        end: From step K on, above 0.
        steps: K.

    Raises:
        ValueError: A temperature or the number of steps is not positive.
    """

    def __init__(self, start: float, end: float, steps: int) -> None:
        if not (start > 0 and end > 0 and steps > 0):
            raise ValueError(f"a temperature from {start:g} to {end:g} in {steps} steps: all must be above 0")
        self.start = start
        self.end = end
        self.steps = steps

    def __call__(self, step: Tensor) -> Tensor:
        """The temperature at ``step``, in float32."""
        progress = ops.clip(ops.cast(step, "float32") / self.steps, 0.0, 1.0)
        return self.start * (self.end / self.start) ** progress

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"start": self.start, "end": self.end, "steps": self.steps}


@dataclass(frozen=True)
class SearchPhases:
    """Which part of a search a step belongs to; arguments as of `ArchitectureSearch`.

    Raises:
        ValueError: An argument is out of range, or no step is left to search in.
    """

    steps: int
    warmup: float
    every: int
    widest_first: float

    def __post_init__(self) -> None:
        if self.steps < 1 or self.every < 1 or not 0 <= self.warmup < 1 or self.first_move >= self.steps:
            raise ValueError(
                f"steps is {self.steps}, every is {self.every}, warmup is {self.warmup:g}: give at least 1 of the "
                "first two, and of the third a share in [0, 1) that leaves steps to search in"
            )
        if not 0 <= self.widest_first <= 1:
            raise ValueError(f"widest_first is {self.widest_first:g}: give a share of the warm-up, from 0 to 1")

    @property
    def first_width(self) -> int:
        """The step from which on widths are drawn."""
        return round(self.widest_first * self.first_move)

    @property
    def first_move(self) -> int:
        """The step with which the architecture begins to move."""
        return round(self.warmup * self.steps)

    @property
    def moves(self) -> int:
        """Steps of the architecture."""
        return (self.steps - self.first_move) // self.every

    def moves_at(self, step: int) -> bool:
        """Whether a step of the weights begins with one of the architecture."""
        return step >= self.first_move and (step - self.first_move) % self.every == 0
