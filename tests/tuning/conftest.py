"""An experiment at the size of a test: what it learned from and how far is counted."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import ssl_keras as sk

SPACE = "conv_c4 | basic_r{0,1}_c4 | basic_s{1,2}_c{4,8} | conv_k1_c{8,16}_a{relu,gelu}"
IMAGES = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)


class Quick(sk.ReLICv2):
    """Learns from the same random views in every step, with nothing traced; tells the step that it begins with."""

    started: Callable[[int], None]

    def compile(self, optimizer: Any, **kwargs: Any) -> None:
        super().compile(optimizer, run_eagerly=True, jit_compile=False)

    def batches(self, stream: Any, start_step: int) -> Any:
        self.started(start_step)
        return tf.data.Dataset.from_tensors({"large": tf.random.stateless_uniform((4, 2, 8, 8, 3), (0, 0))}).repeat()


class Experiment:
    """Two steps an epoch; a network is worth its filters, and less by how far its step is from what was asked."""

    input_shape = (8, 8, 3)

    def __init__(self, epochs: int = 1, kind: type[sk.ReLICv2] = Quick) -> None:
        self.epochs, self.kind = epochs, kind
        self.scored: list[tuple[str, int]] = []
        self.rates: list[float] = []
        self.starts: list[int] = []

    def learner(self, architecture: Any, settings: Mapping[str, Any]) -> Any:
        encoder = sk.build_encoder(architecture, self.input_shape)
        size = encoder.embedding_size
        model = self.kind(encoder, projector=sk.Projector(size, 8, 4), predictor=sk.Predictor(4, 8, 4), negatives=0)
        model.started = self.starts.append
        model.compile(keras.optimizers.SGD(settings.get("rate", 0.1), momentum=0.9))
        return model

    def batches(self, settings: Mapping[str, Any]) -> Any:
        return sk.view_batches(IMAGES, sk.Views.preset(32, size=8), 8)

    def score(self, learner: Any) -> dict[str, float]:
        self.scored.append((str(learner.encoder.architecture), learner.step))
        self.rates.append(float(learner.optimizer.learning_rate))
        return {"worth": float(learner.encoder.embedding_size), "steps": float(learner.step)}


@pytest.fixture
def experiment() -> Experiment:
    return Experiment()
