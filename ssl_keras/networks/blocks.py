"""One builder for each op of the grammar: Keras tensors in, Keras tensors out.

Only standard Keras layers are used, so an encoder is a plain functional graph that loads without ssl_keras.
Adding an op is one row in :data:`BUILDERS`, one function here, and one row in the grammar's table.
"""

import zlib
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from ssl_keras.architecture.layout import Block

Tensor = Any

BN_MOMENTUM = 0.9
BN_EPSILON = 1e-5


class BlockBuilder:
    """Makes the layers of one block, with names and initial weights that depend on nothing but its arguments.

    Args:
        block: What to build.
        synchronized: Whether batch normalisation takes its moments over all replicas.
        seed: Initial weights are drawn from (seed, layer name), so that equal calls give equal weights.
    """

    def __init__(self, block: Block, *, synchronized: bool, seed: int) -> None:
        self.block = block
        self.synchronized = synchronized
        self.seed = seed

    def conv(self, x: Tensor, filters: int, *, kernel: int = 1, stride: int = 1, groups: int = 1, name: str) -> Tensor:
        """A convolution without bias. Groups are split and concatenated (12-74x faster than ``groups=`` on CPU)."""
        if groups == 1:
            return self._dense_conv(x, filters, kernel, stride, name)
        parts = keras.ops.split(x, groups, axis=-1)
        convolved = [
            self._dense_conv(part, filters // groups, kernel, stride, f"{name}_group{index}")
            for index, part in enumerate(parts)
        ]
        return layers.Concatenate(name=f"{self.block.name}_{name}_concat")(convolved)

    def _dense_conv(self, x: Tensor, filters: int, kernel: int, stride: int, name: str) -> Tensor:
        return layers.Conv2D(
            filters,
            kernel,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer=self._initializer(name),
            name=f"{self.block.name}_{name}",
        )(x)

    def depthwise(self, x: Tensor, *, kernel: int, stride: int, name: str) -> Tensor:
        """A depthwise convolution without bias."""
        return layers.DepthwiseConv2D(
            kernel,
            strides=stride,
            padding="same",
            use_bias=False,
            depthwise_initializer=self._initializer(name),
            name=f"{self.block.name}_{name}",
        )(x)

    def norm(self, x: Tensor, name: str) -> Tensor:
        """Batch normalisation, momentum 0.9, epsilon 1e-5."""
        return layers.BatchNormalization(
            momentum=BN_MOMENTUM,
            epsilon=BN_EPSILON,
            synchronized=self.synchronized,
            name=f"{self.block.name}_{name}_bn",
        )(x)

    def activate(self, x: Tensor, name: str) -> Tensor:
        """The block's activation."""
        return layers.Activation(ACTIVATIONS[self.block.activation], name=f"{self.block.name}_{name}_act")(x)

    def squeeze_excite(self, x: Tensor) -> Tensor:
        """Squeeze and excitation: two dense layers with bias. NOTE: ReLU inside and a sigmoid gate, as published."""
        if not self.block.squeeze_filters:
            return x
        filters = x.shape[-1]
        gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{self.block.name}_se_pool")(x)
        gate = self._dense(gate, self.block.squeeze_filters, "relu", "se_reduce")
        gate = self._dense(gate, filters, "sigmoid", "se_expand")
        return layers.Multiply(name=f"{self.block.name}_se_scale")([x, gate])

    def _dense(self, x: Tensor, units: int, activation: str, name: str) -> Tensor:
        return layers.Dense(
            units,
            activation=activation,
            kernel_initializer=self._initializer(name),
            name=f"{self.block.name}_{name}",
        )(x)

    def shortcut(self, x: Tensor) -> Tensor:
        """Identity, or a strided 1x1 convolution with batch normalisation."""
        if self.block.shortcut == "identity":
            return x
        x = self.conv(x, self.block.filters, stride=self.block.stride, name="shortcut")
        return self.norm(x, "shortcut")

    def add(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """The sum at the end of a residual block."""
        return layers.Add(name=f"{self.block.name}_add")([x, shortcut])

    def _initializer(self, name: str) -> keras.initializers.Initializer:
        seed = zlib.crc32(f"{self.seed}/{self.block.name}_{name}".encode())
        return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=seed)


def conv(x: Tensor, build: BlockBuilder) -> Tensor:
    """Convolution - BN - activation."""
    block = build.block
    x = build.conv(x, block.filters, kernel=block.kernel, stride=block.stride, groups=block.groups, name="conv")
    return build.activate(build.norm(x, "conv"), "conv")


def maxpool(x: Tensor, build: BlockBuilder) -> Tensor:
    """Max-pooling with "same" padding."""
    block = build.block
    return layers.MaxPooling2D(block.kernel, strides=block.stride, padding="same", name=block.name)(x)


def basic(x: Tensor, build: BlockBuilder) -> Tensor:
    """Two k x k convolutions and a shortcut (ResNet-18/34)."""
    block = build.block
    out = build.conv(x, block.filters, kernel=block.kernel, stride=block.stride, name="conv1")
    out = build.activate(build.norm(out, "conv1"), "conv1")
    out = build.norm(build.conv(out, block.filters, kernel=block.kernel, name="conv2"), "conv2")
    out = build.add(build.squeeze_excite(out), build.shortcut(x))
    return build.activate(out, "out")


def bottleneck(x: Tensor, build: BlockBuilder) -> Tensor:
    """1x1 - k x k (with the stride: v1.5) - 1x1 and a shortcut (ResNet-50 and deeper)."""
    block = build.block
    out = build.activate(build.norm(build.conv(x, block.mid_filters, name="conv1"), "conv1"), "conv1")
    out = build.conv(
        out, block.mid_filters, kernel=block.kernel, stride=block.stride, groups=block.groups, name="conv2"
    )
    out = build.activate(build.norm(out, "conv2"), "conv2")
    out = build.norm(build.conv(out, block.filters, name="conv3"), "conv3")
    out = build.add(build.squeeze_excite(out), build.shortcut(x))
    return build.activate(out, "out")


def mbconv(x: Tensor, build: BlockBuilder) -> Tensor:
    """Expand - depthwise - squeeze-excite - linear projection (MobileNetV2)."""
    block = build.block
    out = x
    if block.expansion != 1:
        out = build.conv(out, block.mid_filters, name="expand")
        out = build.activate(build.norm(out, "expand"), "expand")
    out = build.norm(build.depthwise(out, kernel=block.kernel, stride=block.stride, name="depthwise"), "depthwise")
    out = build.squeeze_excite(build.activate(out, "depthwise"))
    out = build.norm(build.conv(out, block.filters, name="project"), "project")
    return build.add(out, x) if block.shortcut == "identity" else out


BUILDERS: dict[str, Callable[[Tensor, BlockBuilder], Tensor]] = {
    "conv": conv,
    "maxpool": maxpool,
    "basic": basic,
    "bottleneck": bottleneck,
    "mbconv": mbconv,
}

ACTIVATIONS = {"relu": "relu", "relu6": "relu6", "swish": "silu", "hswish": "hard_silu", "gelu": "gelu"}
"""The grammar's names and what Keras calls them."""
