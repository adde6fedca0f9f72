"""Encoders: saved and loaded in a new process, any size and channel count, blocks against TensorFlow's own ops."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

import ssl_keras as sk
from ssl_keras.architecture.grammar import ArchitectureError

EVERY_OP = {
    "conv": "conv_k5_s2_c8",
    "conv groups": "conv_c8 | conv_g4_c8",
    "maxpool": "conv_c8 | maxpool",
    "basic": "conv_c4 | basic_r2_s2_c8",
    "basic se gelu": "conv_c4 | basic_r2_k5_c8_se0.25_agelu",
    "bottleneck": "conv_c8 | bottleneck_r2_s2_c16",
    "bottleneck groups": "conv_c8 | bottleneck_c32_g4_w32",
    "mbconv": "conv_c8 | mbconv_r2_s2_c8",
    "mbconv e1 hswish se": "conv_c8 | mbconv_e1_c8_se0.25_ahswish",
    "relu6 swish": "conv_c8_arelu6 | mbconv_e3_c8_aswish",
}


def images(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize("text", EVERY_OP.values(), ids=EVERY_OP)
def test_every_op_survives_saving(text, tmp_path):
    encoder = sk.build_encoder(text, (16, 16, 3))
    encoder(images(8, 16, 16, 3), training=True)  # BN statistics that are not the initial ones
    encoder.save(tmp_path / "e.keras")
    loaded = sk.load(tmp_path / "e.keras")
    assert str(loaded.architecture) == str(sk.parse(text))
    np.testing.assert_array_equal(encoder(images(4, 16, 16, 3)), loaded(images(4, 16, 16, 3)))


@pytest.mark.parametrize("order", ["import ssl_keras, keras", "import keras, ssl_keras"])
def test_a_new_process_gives_identical_embeddings(order, tmp_path):
    encoder = sk.build_encoder("conv_c4 | basic_s2_c8", (16, 16, 3), seed=5)
    encoder.save(tmp_path / "e.keras")
    np.save(tmp_path / "x.npy", images(2, 16, 16, 3))
    program = f"""
        {order}
        import numpy as np
        path = {str(tmp_path / "e.keras")!r}
        x = np.load({str(tmp_path / "x.npy")!r})
        np.save({str(tmp_path / "y.npy")!r}, [keras.saving.load_model(path)(x), ssl_keras.load(path)(x)])
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
    for embeddings in np.load(tmp_path / "y.npy"):
        np.testing.assert_array_equal(embeddings, encoder(images(2, 16, 16, 3)))


@pytest.mark.parametrize("size", [4, 5, 7, 16, 33])
def test_any_size_from_the_total_stride_up(size):
    encoder = sk.build_encoder("conv_c4 | basic_s2_c4 | mbconv_s2_c8", (16, 16, 3))
    assert encoder(images(2, size, size + 1, 3)).shape == (2, 8)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels(channels):
    encoder = sk.build_encoder("conv_c4", (8, 8, channels))
    assert np.all(np.isfinite(encoder(images(2, 8, 8, channels))))


def test_the_first_layer_normalises_by_imagenet_and_is_not_trained():
    encoder = sk.build_encoder("conv_c4", (8, 8, 3))
    x = images(2, 8, 8, 3)
    want = (x - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(encoder.get_layer("normalization")(x), want, rtol=1e-5, atol=1e-5)
    assert not encoder.get_layer("normalization").trainable_variables


def test_the_pyramid_names_the_last_map_at_each_stride():
    encoder = sk.build_encoder("conv_s2_c4 | maxpool | basic_r2_c8 | basic_s2_c16", (32, 32, 3))
    maps = encoder.pyramid()(images(1, 32, 32, 3))
    assert {name: tuple(value.shape) for name, value in maps.items()} == {
        "stride_2": (1, 16, 16, 4),
        "stride_4": (1, 8, 8, 8),
        "stride_8": (1, 4, 4, 16),
    }
    np.testing.assert_allclose(np.mean(maps["stride_8"], (1, 2)), encoder(images(1, 32, 32, 3)), rtol=1e-5)


def test_the_residual_block_is_v15_by_hand():
    """bottleneck: 1x1, 3x3 with the stride, 1x1, each with BN; projection 1x1 with the stride; ReLU after the sum."""
    encoder = sk.build_encoder("bottleneck_s2_c16", (8, 8, 3))
    x = encoder.get_layer("normalization")(images(2, 8, 8, 3))

    def conv(x, name, stride=1):
        y = tf.nn.conv2d(x, encoder.get_layer(f"stage1_block1_{name}").kernel, stride, "SAME")
        return y / np.sqrt(1 + 1e-5)  # BN with its initial statistics

    y = tf.nn.relu(conv(x, "conv1"))
    y = tf.nn.relu(conv(y, "conv2", 2))
    y = tf.nn.relu(conv(y, "conv3") + conv(x, "shortcut", 2))
    np.testing.assert_allclose(encoder(images(2, 8, 8, 3)), np.mean(y, (1, 2)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2"])
def test_no_1x1_convolution_is_strided(name):
    """Of few channels, its gradient crashes in TensorFlow 2.21 on CPUs."""
    layers = sk.build_encoder(sk.families.get(name, width=0.125), (64, 64, 3)).layers
    kernels = [(layer.kernel_size, layer.strides) for layer in layers if isinstance(layer, keras.layers.Conv2D)]
    assert ((1, 1), (1, 1)) in kernels and ((1, 1), (2, 2)) not in kernels


@pytest.mark.parametrize("size", [6, 7])
def test_the_strided_shortcut_is_a_strided_convolution(size):
    encoder = sk.build_encoder("conv_c3 | basic_s2_c5", (size, size, 3))
    x = np.random.default_rng(0).random((2, size, size, 3), np.float32)
    shortcut = next(layer for layer in encoder.layers if layer.name.endswith("_shortcut"))
    start = next(layer for layer in encoder.layers if isinstance(layer, keras.layers.Activation)).output
    inner, outer = (keras.Model(encoder.inputs, tensor) for tensor in (start, shortcut.output))
    want = tf.nn.conv2d(inner(x), shortcut.kernel.value, 2, "SAME")
    np.testing.assert_allclose(outer(x), want, rtol=1e-5, atol=1e-6)


def test_grouped_convolution_equals_tensorflows():
    encoder = sk.build_encoder("conv_c8 | conv_g4_c12", (8, 8, 3))
    kernels = [encoder.get_layer(f"stage2_block1_conv_group{index}").kernel for index in range(4)]
    x = images(2, 8, 8, 8)
    want = tf.concat([tf.nn.conv2d(x[..., 2 * i : 2 * i + 2], kernels[i], 1, "SAME") for i in range(4)], -1)
    middle = keras.Model(
        encoder.get_layer("stage1_block1_conv_act").output, encoder.get_layer("stage2_block1_conv_concat").output
    )
    np.testing.assert_allclose(middle(x), want, rtol=1e-5, atol=1e-5)


def test_equal_calls_give_equal_weights_and_seeds_differ():
    one, two, other = (sk.build_encoder("conv_c4 | basic_c4", (8, 8, 3), seed=seed) for seed in (1, 1, 2))
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one.get_weights()[0], other.get_weights()[0])


@pytest.mark.parametrize(
    ("text", "shape", "word"),
    [
        ("conv_c{8,16}", (8, 8, 3), "space"),
        ("conv_c8", (8, 8), "height, width, channels"),
        ("conv_c8 | conv_g3_c9", (8, 8, 3), "g3"),
    ],
)
def test_bad_input_is_one_sentence(text, shape, word):
    with pytest.raises(ArchitectureError, match=word):
        sk.build_encoder(text, shape)


def test_loading_what_is_not_there_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.keras"):
        sk.load(tmp_path / "nothing.keras")


def test_a_file_of_a_newer_grammar_is_refused():
    with pytest.raises(ArchitectureError, match="upgrade"):
        sk.Encoder("conv_c4", (8, 8, 3), grammar=2)
