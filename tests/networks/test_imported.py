"""Networks of keras.applications as encoders of images in [0, 1]."""

import keras
import numpy as np
import pytest

from ssl_keras.networks.imported import from_applications


def test_images_in_0_1_reach_the_network_as_its_own_preprocessing_gives_them():
    encoder = from_applications("MobileNetV2", (32, 32, 3), weights=None)
    x = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    network = next(layer for layer in encoder.layers if isinstance(layer, keras.Model))
    want = network(keras.applications.mobilenet_v2.preprocess_input(255 * x))
    np.testing.assert_allclose(encoder(x), want, rtol=1e-4, atol=1e-5)
    assert encoder.output_shape == (None, 1280)


def test_unknown_names_are_listed():
    with pytest.raises(ValueError, match="ResNet50"):
        from_applications("ResNet51", (32, 32, 3), weights=None)


def test_a_network_that_rescales_by_itself_gets_0_to_255():
    encoder = from_applications("MobileNetV3Small", (32, 32, 3), weights=None)
    x = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    network = next(layer for layer in encoder.layers if isinstance(layer, keras.Model))
    np.testing.assert_allclose(encoder(x), network(255 * x), rtol=1e-4, atol=1e-5)
