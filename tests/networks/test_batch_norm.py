"""The fused kernel against Keras's own layer, which composes the same of simple operations."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from ssl_keras.networks.batch_norm import BatchNormalization, of_standard_layers
from ssl_keras.networks.encoder import build_encoder


def trained(kind: type[layers.Layer], maps: np.ndarray, dtype: str) -> dict[str, np.ndarray]:
    """Output, gradients and statistics of one training step, with weights and a loss that treat no value alike."""
    generator = np.random.default_rng(1)
    channels = maps.shape[-1]
    norm = kind(momentum=0.9, epsilon=1e-5, dtype=dtype)
    norm.build(maps.shape)
    norm.set_weights([generator.normal(1, 0.3, channels) ** 2 for _ in range(4)])
    slope = tf.constant(generator.normal(size=maps.shape), "float32")
    images = tf.constant(maps)

    @tf.function
    def step() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(images)
            out = norm(tf.cast(images, norm.compute_dtype), training=True)
            loss = tf.reduce_sum(tf.cast(out, "float32") * slope)
        return out, tape.gradient(loss, [images, norm.gamma.value, norm.beta.value])

    out, gradients = step()
    named = dict(zip(("maps", "gamma", "beta"), gradients, strict=True))
    return {name: np.asarray(tf.cast(value, "float32")) for name, value in {"out": out, **named}.items()} | {
        "mean": np.asarray(norm.moving_mean),
        "variance": np.asarray(norm.moving_variance),
    }


# A vector of channels, half of one, fewer, more than one, and numbers that are filled up.
@pytest.mark.parametrize("channels", [16, 8, 3, 32, 9, 24])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 2e-2)])
def test_a_training_step_is_that_of_keras(channels: int, dtype: str, tolerance: float) -> None:
    maps = np.random.default_rng(0).normal(2, 3, (4, 5, 6, channels)).astype("float32")
    ours, kerass = trained(BatchNormalization, maps, dtype), trained(layers.BatchNormalization, maps, dtype)
    for name, value in kerass.items():
        np.testing.assert_allclose(ours[name], value, atol=tolerance * np.abs(value).max(), err_msg=name)


def test_it_is_the_kernel_that_runs() -> None:
    norm = BatchNormalization()
    norm.build((4, 5, 5, 8))
    graph = tf.function(lambda x: norm(x, training=True)).get_concrete_function(tf.TensorSpec((4, 5, 5, 8))).graph
    assert "FusedBatchNormV3" in {operation.type for operation in graph.get_operations()}


def test_one_pixel_of_one_image_has_no_variance() -> None:
    norm = BatchNormalization(momentum=0.5)
    out = norm(np.full((1, 1, 1, 16), 3.0, "float32"), training=True)
    assert not np.any(out)
    np.testing.assert_allclose(norm.moving_mean, np.full(16, 1.5))
    np.testing.assert_allclose(norm.moving_variance, np.full(16, 0.5))


def test_frozen_it_keeps_its_statistics() -> None:
    norm = BatchNormalization(trainable=False)
    out = norm(np.full((2, 2, 2, 4), 3.0, "float32"), training=True)
    np.testing.assert_allclose(out, np.full((2, 2, 2, 4), 3 / np.sqrt(1 + norm.epsilon)), rtol=1e-6)
    assert not np.any(norm.moving_mean)


def test_standard_layers_give_the_same_and_need_nothing_of_ours() -> None:
    encoder = build_encoder("conv_c8 | basic_s2_c12 | bottleneck_s2_c16_g2_se0.25", (16, 16, 3))
    images = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)
    encoder(images, training=True)  # statistics of its own
    plain = of_standard_layers(keras.Model(encoder.inputs[0], encoder.outputs[0]))
    np.testing.assert_array_equal(plain(images, training=False), encoder(images, training=False))
    assert not [layer.name for layer in plain.layers if type(layer).__module__.startswith("ssl_keras")]
