"""Modes as switches of one learner, and what auto becomes."""

import keras
import numpy as np
import pytest

import ssl_keras as sk
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.recipes import MODES, Recipe, recipe
from ssl_keras.experiments.settings import Heads, Objective, Optimization, Pretrain
from ssl_keras.experiments.setup import Schedule, Setup
from ssl_keras.learning.optimizers import LARS

WHAT_A_MODE_IS = {
    "relicv2": (sk.ReLICv2Loss, 0.2, True, True),
    "relic": (sk.ReLICv2Loss, 0.2, True, True),
    "simclr": (sk.NTXentLoss, 0.5, False, False),
    "byol": (sk.BYOLLoss, None, True, True),
}


def setup(**overrides) -> Setup:
    usual = {"data": "digits", "architecture": "conv_c4", "image_size": 8, "batch_size": 16, "images": 32}
    heads = Heads(projector_hidden=6, projection=4)
    return Setup(Pretrain(**{**usual, "heads": heads, "epochs": 2, **overrides}))


@pytest.mark.parametrize("mode", MODES)
def test_one_field_changes_the_method(mode):
    made = setup(mode=mode)
    learner = made.learner(made.schedule())
    loss, temperature, predictor, target = WHAT_A_MODE_IS[mode]
    assert type(learner.objective_loss) is loss
    assert getattr(learner.objective_loss, "temperature", None) == temperature
    assert (learner.predictor is not None, learner.target_decay is not None) == (predictor, target)
    history = learner.fit(made.batches(), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert mode in made.describe(learner, made.schedule())["method"]


def test_switches_outrank_the_mode():
    made = setup(
        mode="simclr",
        heads=Heads(projector_hidden=6, projection=4, predictor_hidden=5),
        loss=Objective(temperature=0.3),
        optimization=Optimization(target_ema=0.8),
    )
    learner = made.learner(made.schedule())
    assert learner.predictor.get_config()["hidden"] == 5
    assert learner.objective_loss.temperature == 0.3
    assert learner.target_decay.base == 0.8
    bare = setup(heads=Heads(6, 4, predictor_hidden=0), optimization=Optimization(target_ema="none"))
    learner = bare.learner(bare.schedule())
    assert learner.predictor is None and learner.target_encoder is None


RUNS = [
    # epochs, steps, batch: optimizer, rate, decay of weights, decay of the target
    ((20, 1_560, 256), ("sgd", 0.4, 1e-4, 0.9)),
    ((200, 1_400, 256), ("sgd", 0.4, 1e-4, 0.9)),
    ((1, 5, 512), ("sgd", 0.4, 1e-4, 0.9)),
    ((100, 20_000, 512), ("sgd", 0.4, 1e-4, 0.99)),
    ((20, 6_000, 4096), ("lars", 0.45, 1e-6, 0.97)),
    ((100, 31_000, 4096), ("lars", 0.45, 1e-6, 0.99)),
    ((300, 94_000, 4096), ("lars", 0.3, 1e-6, 0.99)),
    ((1000, 313_000, 4096), ("lars", 0.2, 1.5e-6, 0.996)),
]


@pytest.mark.parametrize(("run", "values"), RUNS, ids=str)
def test_auto_follows_from_batch_and_length(run, values):
    length = dict(zip(("epochs", "steps", "batch_size"), run, strict=True))
    assert recipe(Optimization(), **length) == recipe(Optimization(target_ema="none"), **length) == Recipe(*values)
    stated = recipe(Optimization("sgd", 0.1, 0.0, target_ema=0.0), **length)
    assert stated == Recipe("sgd", 0.1, 0.0, 0.0)


def test_the_recipe_reaches_the_optimizer():
    made = setup()
    assert isinstance(setup(optimization=Optimization("lars")).optimizer(Schedule(300, 2)), LARS)
    sgd = made.optimizer(Schedule(20, 100))
    assert isinstance(sgd, keras.optimizers.SGD)
    # The rate is for a batch of 256, and there are 16.
    assert float(sgd.learning_rate) == 0.0
    assert made.optimizer(Schedule(20, 100))._learning_rate.warmup_target == pytest.approx(0.4 / 16)


@pytest.mark.parametrize("wrong", [Objective(negatives=3), Objective(contrastive_weight=0.3)], ids=str)
def test_relic_is_version_1(wrong):
    with pytest.raises(ConfigError, match="mode relic"):
        Pretrain(mode="relic", loss=wrong)
