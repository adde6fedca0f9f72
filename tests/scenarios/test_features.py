"""Extraction of features and the hash that proves the encoder unchanged."""

import gc
import weakref

import keras
import numpy as np
import pytest

from ssl_keras.scenarios import features as module
from ssl_keras.scenarios.features import FeatureStore, RawPixels, extract, weights_hash


def test_features_are_the_encoder_s_outputs_in_inference_mode_whatever_the_batch(colours, small):
    small.layers[1].moving_mean.assign(np.full(4, 0.3))
    images = colours.array().astype(np.float32) / 255
    expected = keras.ops.convert_to_numpy(small(images, training=False))
    before = weights_hash(small)
    for batch_size in (400, 256, 33):
        features = extract(small, colours, 8, batch_size)
        assert features.shape == (400, 4) and features.dtype == np.float32
        np.testing.assert_allclose(features, expected, atol=1e-6)
    assert weights_hash(small) == before


def test_features_follow_the_weights_and_keep_no_encoder_alive(colours, monkeypatch):
    def make():
        inputs = keras.Input((8, 8, 3))
        x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(inputs))
        return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))

    encoder = make()
    first = extract(encoder, colours, 8)
    encoder.layers[2].moving_mean.assign(np.full(4, 5.0))
    second = extract(encoder, colours, 8)
    np.testing.assert_allclose(first - second, 5 / np.sqrt(1 + 1e-3), rtol=1e-5)
    monkeypatch.setattr(module, "_GRAPH_BYTES", 0)  # too many weights for a graph
    np.testing.assert_allclose(extract(encoder, colours, 8), second, atol=1e-6)
    watched = weakref.ref(encoder)
    del encoder
    gc.collect()
    assert watched() is None


def test_raw_pixels_are_the_pixels(colours):
    expected = colours.array().reshape(400, -1).astype(np.float32) / 255
    np.testing.assert_allclose(extract(RawPixels(8), colours, 32), expected, atol=1e-7)
    assert extract(RawPixels(4), colours, 32).shape == (400, 48)


def test_images_are_resized_for_the_encoder(colours):
    sizes = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten()])
    assert extract(sizes, colours, 16).shape == (400, 768)


@pytest.mark.parametrize("variable", ["gamma", "moving_mean", "moving_variance"])
def test_hash_sees_every_variable(small, variable):
    before = weights_hash(small)
    weight = getattr(small.layers[1], variable)
    value = keras.ops.convert_to_numpy(weight).copy()
    value[2] = np.nextafter(value[2], np.float32(2))
    weight.assign(value)
    assert weights_hash(small) != before
    value[2] = np.nextafter(value[2], np.float32(-2))
    weight.assign(value)
    assert weights_hash(small) == before


def test_feature_maps_are_refused(colours):
    maps = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3)], name="maps")
    with pytest.raises(ValueError, match=r"'maps' gives features of shape \(6, 6, 2\)"):
        extract(maps, colours, 8)


def test_a_diverged_encoder_is_named(colours, small):
    small.layers[1].gamma.assign(np.full(4, np.nan))
    with pytest.raises(ValueError, match="'small' gives features that are not finite"):
        extract(small, colours, 8)


def test_the_store_makes_features_once(colours, small, tmp_path, monkeypatch):
    store = FeatureStore(tmp_path)
    first = store.features(small, colours, 8)
    np.testing.assert_allclose(first, extract(small, colours, 8), rtol=1e-3)
    assert [np.load(file).dtype for file in tmp_path.iterdir()] == [np.float16]
    monkeypatch.setattr(module, "_batches", lambda *_: pytest.fail("made again"))
    np.testing.assert_array_equal(store.features(small, colours, 8), first)


def test_the_store_tells_encoders_images_and_sizes_apart(colours, small, tmp_path):
    store = FeatureStore(tmp_path)
    for encoder in (small, RawPixels(4), RawPixels(8)):
        store.features(encoder, colours, 8)
    store.features(small, colours, 16)
    store.features(small, colours.split("test"), 8)
    small.layers[1].gamma.assign(np.full(4, 2.0))
    store.features(small, colours, 8)
    assert len([*tmp_path.iterdir()]) == 6


def test_an_interrupted_extraction_leaves_nothing(colours, small, tmp_path, monkeypatch):
    monkeypatch.setattr(np.lib.format, "open_memmap", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        FeatureStore(tmp_path).features(small, colours, 8)
    assert not [*tmp_path.iterdir()]


def test_features_beyond_the_range_of_float16_are_kept_as_float32(colours, small, tmp_path):
    small.layers[1].gamma.assign(np.full(4, 1e5))
    found = FeatureStore(tmp_path).features(small, colours, 8)
    np.testing.assert_allclose(found, extract(small, colours, 8), rtol=1e-6)


def test_many_features_stay_on_disk(colours, small, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "IN_MEMORY", 1000)
    found = FeatureStore(tmp_path).features(small, colours, 8)
    assert isinstance(found, np.memmap)
