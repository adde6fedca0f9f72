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
    """How the weights move in a run of about so many epochs.

    Attributes:
        epochs: The length that the values are for.
        optimizer: "sgd" or "lars".
        learning_rate: At a batch of 256.
        weight_decay: Of kernels.
        target_ema: Decay of the target at the start.
    """

    epochs: int
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

RECIPES = (
    Recipe(20, "sgd", 0.4, 1e-4, 0.9),
    Recipe(40, "lars", 0.45, 1e-6, 0.97),
    Recipe(100, "lars", 0.45, 1e-6, 0.99),
    Recipe(300, "lars", 0.3, 1e-6, 0.99),
    Recipe(1000, "lars", 0.2, 1.5e-6, 0.996),
)
"""By length. The first is ours, found on CIFAR-10 (README); the others are BYOL's for ImageNet at a batch of 4096."""


def recipe(wanted: Optimization, epochs: int) -> Recipe:
    """The nearest recipe for this many epochs, with what the settings state in its place."""
    near = min(RECIPES, key=lambda row: abs(math.log(row.epochs / epochs)))
    return Recipe(
        epochs,
        near.optimizer if wanted.optimizer == "auto" else wanted.optimizer,
        near.learning_rate if wanted.learning_rate == "auto" else wanted.learning_rate,
        near.weight_decay if wanted.weight_decay == "auto" else wanted.weight_decay,
        near.target_ema if wanted.target_ema in ("auto", "none") else float(wanted.target_ema),
    )
