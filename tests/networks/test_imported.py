"""Encoders that others made, of images in [0, 1]."""

import sys

import keras
import numpy as np
import pytest

from ssl_keras.networks.imported import from_applications, from_preset, from_saved_model


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


def test_a_saved_model_gives_what_the_network_gave(tmp_path):
    images = keras.Input((None, None, 3))
    network = keras.Model(images, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(5, 3)(images)))
    network.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    encoder = from_saved_model(tmp_path / "saved", 16)
    assert encoder.output_shape == (None, 5)
    x = np.random.default_rng(0).random((3, 16, 16, 3), np.float32)
    np.testing.assert_allclose(encoder.predict_on_batch(x), network(x), rtol=1e-5, atol=1e-6)


def test_a_folder_that_is_no_saved_model_is_named(tmp_path):
    with pytest.raises(ValueError, match="is no SavedModel of an encoder of 16 px images"):
        from_saved_model(tmp_path, 16)


def test_a_preset_of_keras_hub_gives_its_backbone_s_averaged_feature_map(tmp_path):
    hub = pytest.importorskip("keras_hub", reason="needs the extra [hub]")
    backbone = hub.models.ResNetBackbone(
        input_conv_filters=[8], input_conv_kernel_sizes=[3], stackwise_num_filters=[8, 16],
        stackwise_num_blocks=[1, 1], stackwise_num_strides=[1, 2], block_type="basic_block",
    )  # fmt: skip
    backbone.save_to_preset(tmp_path / "preset")
    encoder = from_preset(tmp_path / "preset", 32)
    x = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    want = np.mean(backbone.predict_on_batch(x), axis=(1, 2))
    np.testing.assert_allclose(encoder.predict_on_batch(x), want, rtol=1e-4, atol=1e-5)


def test_a_preset_without_keras_hub_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ValueError, match=r"keras-hub preset: pip install 'ssl_keras\[hub\]'"):
        from_preset(tmp_path, 32)
