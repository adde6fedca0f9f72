"""Every serialisable class goes through tests/contracts.py; a new one fails here until it is given an example."""

import subprocess
import sys

import keras
import pytest

import ssl_keras as sk
from ssl_keras.networks.batch_norm import BatchNormalization
from ssl_keras.networks.entangled import EntangledConv2D, EntangledDepthwiseConv2D, WeightedSum
from ssl_keras.networks.heads import Segmenter
from ssl_keras.networks.mixed_activation import MixedActivation
from ssl_keras.saving import register
from tests.contracts import assert_serialisable

EXAMPLES = {
    "Encoder": lambda: sk.build_encoder("conv_c4", (8, 8, 3), seed=3),
    "Supernet": lambda: sk.build_supernet("conv_c4 | mbconv_k{3,5}_c4", (8, 8, 3), seed=3),
    "BatchNormalization": lambda: BatchNormalization(momentum=0.9, epsilon=1e-5),
    "WeightedSum": lambda: WeightedSum(),
    "MixedActivation": lambda: MixedActivation(("relu", "silu")),
    "EntangledConv2D": lambda: EntangledConv2D(4, (3, 5), padding="same", use_bias=False),
    "EntangledDepthwiseConv2D": lambda: EntangledDepthwiseConv2D((3, 5), padding="same", use_bias=False),
    "Projector": lambda: sk.Projector(4, 6, 5, synchronized=False),
    "Predictor": lambda: sk.Predictor(4, 6, 5),
    "Segmenter": lambda: Segmenter(5, seed=9),
    "ReLICv2Loss": lambda: sk.ReLICv2Loss(0.1, 1.0, 0.5, False),
    "NTXentLoss": lambda: sk.NTXentLoss(0.3),
    "BYOLLoss": lambda: sk.BYOLLoss(),
    "LARS": lambda: sk.LARS(0.2, 0.8, 1e-4, 1e-2),
    "TargetDecay": lambda: sk.TargetDecay(0.97, 40),
    "Temperature": lambda: sk.Temperature(2.0, 0.5, 30),
    "ArchitectureSearch": lambda: sk.ArchitectureSearch(
        sk.Supervised(sk.build_supernet("conv_c4 | mbconv_k{3,5}_c4", (8, 8, 3)), 5),
        sk.Budget(params=800),
        steps=10,
        warmup=0.2,
        every=3,
        estimator="gumbel",
        samples=3,
        temperature=(3.0, 1.0),
        cost_weight=2.0,
        entropy_weight=0.1,
        sandwich=True,
        order=2,
        seed=4,
    ),
    "ReLICv2": lambda: sk.ReLICv2(
        sk.build_encoder("conv_c4", (8, 8, 3)),
        projector=sk.Projector(4, 6, 5),
        predictor=sk.Predictor(5, 6, 5),
        negatives=3,
        target_decay=sk.TargetDecay(0.9),
    ),
    "Supervised": lambda: sk.Supervised(sk.build_encoder("conv_c4", (8, 8, 3)), 5),
}


def ours():
    register()
    objects = keras.saving.get_custom_objects()
    return sorted(name.removeprefix("ssl_keras>") for name in objects if name.startswith("ssl_keras>"))


def test_every_registered_class_has_an_example():
    assert ours() == sorted(EXAMPLES)


def test_the_contract_holds_for_a_learner_without_predictor_and_target():
    encoder, projector = sk.build_encoder("conv_c4", (8, 8, 3)), sk.Projector(4, 6, 5)
    assert_serialisable(
        sk.ReLICv2(encoder, projector=projector, predictor=None, target_decay=None, loss=sk.NTXentLoss())
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_contract(name):
    assert_serialisable(EXAMPLES[name]())


def test_a_learner_is_saved_and_loaded_whole(tmp_path):
    learner = EXAMPLES["ReLICv2"]()
    learner.compile(keras.optimizers.SGD(0.1))
    learner.save(tmp_path / "learner.keras")
    loaded = sk.load(tmp_path / "learner.keras")
    for a, b in zip(learner.get_weights(), loaded.get_weights(), strict=True):
        assert (a == b).all()


@pytest.mark.parametrize("module", ["networks.encoder", "learning.schedules"])
def test_any_module_may_be_the_first_to_be_imported(module):
    """Keras registers our classes as soon as it is imported, also when one of our modules imports it."""
    code = f"import ssl_keras, importlib; importlib.import_module('ssl_keras.{module}')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
