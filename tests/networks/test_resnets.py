"""Every ResNet of depth 18 to 200 and width 1 to 4: built and counted; the seven released ones take a step."""

import itertools

import keras
import numpy as np
import pytest

import ssl_keras as sk
from ssl_keras.architecture import families
from ssl_keras.architecture.published import RESNETS

RELEASED = [("resnet50", 1), ("resnet50", 2), ("resnet50", 4), ("resnet101", 1), ("resnet152", 1), ("resnet200", 1)]
RELEASED += [("resnet200", 2)]


def symbolic(name: str, width: int) -> keras.Model:
    """The encoder as a graph whose variables have shapes and no values: four gigabytes would be the largest's."""
    with keras.StatelessScope(initialize_variables=False):
        return sk.build_encoder(families.get(name, width), (224, 224, 3))


DEEP = ("resnet101", "resnet152", "resnet200")
EVERY = [
    pytest.param(name, width, marks=pytest.mark.slow if name in DEEP else ())
    for name, width in itertools.product(RESNETS, (1, 2, 3, 4))
]


@pytest.mark.parametrize(("name", "width"), EVERY)
def test_every_depth_and_width_is_built_and_counted(name: str, width: int) -> None:
    encoder = symbolic(name, width)
    filters = 64 * width * 2**3 * (4 if RESNETS[name][0] == "bottleneck" else 1)
    assert encoder.output_shape == (None, filters)
    counted = sum(int(np.prod(weight.shape)) for weight in encoder.trainable_weights)
    assert counted == sk.cost(families.get(name, width), (224, 224, 3)).params
    assert all(weight._value is None for weight in encoder.weights)
    keras.utils.clear_session()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "width"), RELEASED, ids=lambda value: str(value))
def test_the_released_networks_take_a_step_at_224_px(name: str, width: int) -> None:
    """Two images, two views of each: the whole step of pre-training, on two cores with memory for three copies."""
    keras.utils.clear_session()
    encoder = sk.build_encoder(families.get(name, width), (224, 224, 3))
    heads = {"projector": sk.Projector(encoder.embedding_size, 64, 32), "predictor": sk.Predictor(32, 64, 32)}
    model = sk.ReLICv2(encoder, **heads, negatives=0)
    model.compile(keras.optimizers.SGD(0.1))
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    stem = encoder.get_layer("stage1_block1_conv")
    before = np.array(stem.kernel)
    history = model.fit(sk.view_batches(images, sk.Views.preset(32, size=224), 2), verbose=0).history
    assert np.isfinite(history["loss"][0])
    assert np.all(np.isfinite(stem.kernel)) and not np.array_equal(stem.kernel, before)
