"""BN statistics become the means over the given batches, and nothing else changes."""

import keras
import numpy as np
import pytest

import ssl_keras as sk
from ssl_keras.networks.recalibration import recalibrate


def test_statistics_are_the_mean_over_batches():
    encoder = sk.build_encoder("conv_c4", (8, 8, 3))
    batches = np.random.default_rng(0).random((3, 16, 8, 8, 3), np.float32)
    weights = [variable.numpy() for variable in encoder.trainable_variables]
    recalibrate(encoder, batches)
    normalised = [encoder.get_layer("normalization")(batch) for batch in batches]
    maps = [encoder.get_layer("stage1_block1_conv")(x).numpy() for x in normalised]
    bn = encoder.get_layer("stage1_block1_conv_bn")
    np.testing.assert_allclose(bn.moving_mean, np.mean([m.mean((0, 1, 2)) for m in maps], 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bn.moving_variance, np.mean([m.var((0, 1, 2)) for m in maps], 0), rtol=1e-3)
    for before, variable in zip(weights, encoder.trainable_variables, strict=True):
        np.testing.assert_array_equal(before, variable)


def test_nested_models_and_other_momenta_count():
    inner = sk.build_encoder("conv_c4", (8, 8, 3))
    images = keras.Input((8, 8, 3))
    outer = keras.Model(images, keras.layers.BatchNormalization(momentum=0.5)(inner(images)))
    batches = np.random.default_rng(0).random((2, 16, 8, 8, 3), np.float32)
    recalibrate(outer, batches)
    want = np.mean([np.mean(inner(batch, training=True), 0) for batch in batches], 0)
    np.testing.assert_allclose(outer.layers[-1].moving_mean, want, rtol=1e-4)
    assert np.abs(np.array(inner.get_layer("stage1_block1_conv_bn").moving_mean)).max() > 0


def test_no_batch_is_an_error():
    with pytest.raises(ValueError, match="at least one batch"):
        recalibrate(sk.build_encoder("conv_c4", (8, 8, 3)), [])
