"""A small set whose classes are colours, and encoders of known worth."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from ssl_keras.data.sources import open_source

CLASSES = 4


@pytest.fixture(scope="session")
def colours():
    """A source of 400 plain images (8×8); the class is the grey level, in the first quarter of the image."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 400)
    images = rng.integers(0, 256, (400, 8, 8, 3), dtype=np.uint8)
    images[:, :4, :4] = (labels * 80 + 5)[:, None, None, None]
    return open_source(images, labels=labels)


class Knowing(keras.layers.Layer):
    """Reads the class off the first pixel and gives it as a one-hot vector."""

    def call(self, images):
        return keras.ops.one_hot(keras.ops.cast(keras.ops.round((images[:, 0, 0, 0] * 255 - 5) / 80), "int32"), CLASSES)


@pytest.fixture
def knowing():
    return keras.Sequential([keras.Input((None, None, 3)), Knowing()], name="knowing")


@pytest.fixture
def small():
    """An untrained network with BN."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
        ],
        name="small",
    )


def given(features, labels, classes=None, eligible=None):
    """Features and labels as a protocol takes them, without images."""
    classes = classes or int(np.max(labels)) + 1
    return SimpleNamespace(
        features=features,
        labels=np.asarray(labels),
        classes=classes,
        size=len(labels),
        present_only=eligible is not None,
        eligible=np.ones(classes, bool) if eligible is None else np.asarray(eligible),
    )
