"""The counted cost against what Keras builds and what TensorFlow's profiler sees."""

import os
from typing import Any

import keras
import pytest
import tensorflow as tf

from ssl_keras.architecture import families
from ssl_keras.architecture.cost import cost
from ssl_keras.architecture.grammar import BLOCKS, parse
from ssl_keras.networks.encoder import build_encoder

# Every op, and every token that changes the number of weights or where they act.
ODD = [
    "conv_c8",
    "conv_r3_k5_s2_c12_g3_agelu | conv_k1_c24_g12",
    "conv_c8 | maxpool_k5_s3 | maxpool_s1 | basic_c8",
    "conv_c8 | basic_r2_k5_s3_c12_se0.25_aswish | basic_c12_se1",
    "conv_c16 | bottleneck_r2_s2_c64_g4_w32_se0.5 | bottleneck_k5_c64_w16_ahswish",
    "conv_c16 | bottleneck_c100_w48_g3 | bottleneck_s4_c20",
    "conv_c10 | mbconv_r3_k5_s2_e2.5_c14_se0.3_ahswish | mbconv_e1_c14_se0.01 | mbconv_e1_r2_s2_c9",
    "conv_c8 | mbconv_k11_c8_arelu6 | conv_k1_c40 | maxpool | mbconv_k1_e3_c4",
]


def trainable(encoder: keras.Model) -> int:
    return sum(int(keras.ops.size(weight)) for weight in encoder.trainable_weights)


def profiled_flops(encoder: keras.Model, shape: tuple[int, int, int]) -> dict[str, int]:
    """Floating-point operations of one image, by kind of op, as TensorFlow's own profiler counts them."""
    call = tf.function(lambda images: encoder(images, training=False))
    graph = call.get_concrete_function(tf.TensorSpec((1, *shape), tf.float32)).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_file_output(os.devnull).build()
    profile = tf.compat.v1.profiler.profile(graph, options=options, cmd="op")
    found: dict[str, int] = {}
    node: Any = profile
    while node.children:  # a chain of kinds
        (node,) = node.children
        found[node.name] = node.float_ops
    return found


def compare(text: str, shape: tuple[int, int, int]) -> None:
    encoder = build_encoder(text, shape)
    counted = cost(text, shape)
    assert counted.params == trainable(encoder)
    flops = profiled_flops(encoder, shape)
    products = sum(flops.get(op, 0) for op in ("Conv2D", "DepthwiseConv2dNative", "MatMul"))
    assert products == 2 * counted.macs, flops


@pytest.mark.parametrize("text", ODD)
def test_odd_architectures(text: str) -> None:
    compare(text, (17, 12, 3))


def test_odd_architectures_cover_every_op_and_token() -> None:
    seen: dict[str, set[str]] = {op: set() for op in BLOCKS}
    for stage in parse(" | ".join(ODD)).stages:
        seen[stage.op] |= {name for name, _ in stage.tokens}
    assert seen == {op: set(tokens) for op, tokens in BLOCKS.items()}


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_small_families(name: str) -> None:
    compare(str(families.get(name, 0.125, small_images=True)), (32, 32, 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", families.names())
def test_every_family(name: str) -> None:
    compare(str(families.get(name, 0.25).sample(0)), (64, 64, 3))
