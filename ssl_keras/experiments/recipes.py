"""What a config leaves to ``auto``: by the mode that it names, and by the length of the run."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ssl_keras.experiments.settings import Objective, Optimization
from ssl_keras.learning import relicv2
from ssl_keras.learning.losses.byol import BYOLLoss
from ssl_keras.learning.losses.nt_xent import NTXentLoss
from ssl_keras.learning.losses.relicv2 import ReLICv2Loss


@dataclass(frozen=True)
class Mode:
    """A method, as switches of one learner.

    Attributes:
        loss: From the settings and the temperature to the loss.
        temperature: Where the settings say auto; unused by a loss without one.
        predictor: Whether a predictor stands on the online projector.
        target: Whether there is a target network.
        contrastive: Whether images are told apart from negatives.
    """

    loss: Callable[[Objective, float], relicv2.Objective]
    temperature: float
    predictor: bool
    target: bool
    contrastive: bool = True


@dataclass(frozen=True)
class Recipe:
    """How the weights move.

    Attributes:
        optimizer: "sgd" or "lars".
        learning_rate: At a batch of 256.
        weight_decay: Of kernels.
        target_ema: Decay of the target at the start.
    """

    optimizer: str
    learning_rate: float
    weight_decay: float
    target_ema: float


def _relicv2(wanted: Objective, temperature: float) -> ReLICv2Loss:
    return ReLICv2Loss(temperature, wanted.contrastive_weight, wanted.invariance_weight, wanted.same_view_pairs)


MODES = {
    "relicv2": Mode(_relicv2, 0.2, predictor=True, target=True),
    "relic": Mode(_relicv2, 0.2, predictor=True, target=True),
    "simclr": Mode(lambda wanted, temperature: NTXentLoss(temperature), 0.5, predictor=False, target=False),
    "byol": Mode(lambda wanted, temperature: BYOLLoss(), 1.0, predictor=True, target=True, contrastive=False),
}
"""By name. Version 1 of ReLIC is version 2 without sampled negatives, masks and a contrastive weight (settings)."""

SMALL_BATCH = 512
"""Images up to which plain SGD with momentum is taken. NOTE: our choice; LARS is for the batches of the papers."""
SMALL_BATCH_RECIPES = {1_500: Recipe("sgd", 0.4, 1e-4, 0.9), 30_000: Recipe("sgd", 0.4, 1e-4, 0.99)}
"""By steps. The first was found on CIFAR-10 (README). NOTE: the second is our choice, unmeasured."""
LARGE_BATCH_RECIPES = {
    40: Recipe("lars", 0.45, 1e-6, 0.97),
    100: Recipe("lars", 0.45, 1e-6, 0.99),
    300: Recipe("lars", 0.3, 1e-6, 0.99),
    1000: Recipe("lars", 0.2, 1.5e-6, 0.996),
}
"""By epochs: BYOL's for ImageNet at a batch of 4096."""


def recipe(wanted: Optimization, *, epochs: int, steps: int, batch_size: int) -> Recipe:
    """The recipe nearest to a run's length, with what the settings state in its place."""
    rows, length = (SMALL_BATCH_RECIPES, steps) if batch_size <= SMALL_BATCH else (LARGE_BATCH_RECIPES, epochs)
    near = rows[min(rows, key=lambda known: abs(math.log(known / length)))]
    return Recipe(
        near.optimizer if wanted.optimizer == "auto" else wanted.optimizer,
        near.learning_rate if wanted.learning_rate == "auto" else wanted.learning_rate,
        near.weight_decay if wanted.weight_decay == "auto" else wanted.weight_decay,
        near.target_ema if wanted.target_ema in ("auto", "none") else float(wanted.target_ema),
    )
