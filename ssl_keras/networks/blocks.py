"""One builder for each op of the grammar: Keras tensors in, Keras tensors out.

An encoder is a plain functional graph of standard Keras layers, of which batch normalisation has a faster step.
Adding an op is one row in :data:`BUILDERS`, one function here, and one row in the grammar's table.
"""

import zlib
from collections.abc import Callable
from typing import Any, Literal

import keras
from keras import layers

from ssl_keras.architecture.layout import Block
from ssl_keras.networks.batch_norm import BatchNormalization

Tensor = Any
Width = Literal["filters", "mid_filters"]
"""Which of a block's widths a convolution puts out."""

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
        self.prefix = block.name
        self.synchronized = synchronized
        self.seed = seed

    def conv(
        self,
        x: Tensor,
        width: Width,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        name: str,
        active: bool = True,
    ) -> Tensor:
        """A convolution without bias - BN - activation, the last where ``active``.

        Groups are split and concatenated (12-74x faster than ``groups=`` on CPU).
        """
        filters = getattr(self.block, width)
        if groups == 1:
            return self.finish(self._conv(x, filters, kernel, stride, name), width, name, active)
        parts = [
            self._conv(part, filters // groups, kernel, stride, f"{name}_group{index}")
            for index, part in enumerate(keras.ops.split(x, groups, axis=-1))
        ]
        return self.finish(layers.Concatenate(name=f"{self.prefix}_{name}_concat")(parts), width, name, active)

    def depthwise(self, x: Tensor, *, name: str) -> Tensor:
        """The block's k x k convolution of each channel by itself, without bias - BN - activation."""
        return self.finish(self._depthwise(x, name), "mid_filters", name, True)

    def finish(self, x: Tensor, width: Width, name: str, active: bool) -> Tensor:
        """Batch normalisation, and the activation where ``active``."""
        del width
        x = BatchNormalization(
            momentum=BN_MOMENTUM,
            epsilon=BN_EPSILON,
            synchronized=self.synchronized,
            name=f"{self.prefix}_{name}_bn",
        )(x)
        return self.activate(x, name) if active else x

    def activate(self, x: Tensor, name: str) -> Tensor:
        """The block's activation."""
        return layers.Activation(ACTIVATIONS[self.block.activation], name=f"{self.prefix}_{name}_act")(x)

    def pool(self, x: Tensor) -> Tensor:
        """Max-pooling with "same" padding."""
        return layers.MaxPooling2D(self.block.kernel, strides=self.block.stride, padding="same", name=self.prefix)(x)

    def squeeze_excite(self, x: Tensor) -> Tensor:
        """Squeeze and excitation: two dense layers with bias. NOTE: ReLU inside and a sigmoid gate, as published."""
        if not self.block.squeeze_filters:
            return x
        gate = self.squeeze_gate(layers.GlobalAveragePooling2D(keepdims=True, name=f"{self.prefix}_se_pool")(x))
        return layers.Multiply(name=f"{self.prefix}_se_scale")([x, gate])

    def squeeze_gate(self, pooled: Tensor) -> Tensor:
        """Means of the channels (B, 1, 1, C) to their gates in [0, 1]."""
        hidden = self._dense(self.block.squeeze_filters, "relu", "se_reduce")(pooled)
        return self._dense(pooled.shape[-1], "sigmoid", "se_expand")(hidden)

    def residual(self, out: Tensor, x: Tensor) -> Tensor:
        """The sum at a block's end: with what came in, with its strided 1x1 convolution and BN, or with nothing."""
        if self.block.shortcut == "none":
            return out
        return layers.Add(name=f"{self.prefix}_add")([out, x if self.block.shortcut == "identity" else self.project(x)])

    def project(self, x: Tensor) -> Tensor:
        """What comes in, brought to the form of what goes out: a strided 1x1 convolution with BN."""
        return self.conv(x, "filters", stride=self.block.stride, name="shortcut", active=False)

    def _conv(self, x: Tensor, filters: int, kernel: int, stride: int, name: str) -> Tensor:
        if kernel == 1 and stride > 1:
            # The same values, as means of one pixel each (a slice takes seven times as long); and the gradient of a
            # strided 1x1 convolution of few channels writes past its memory on CPUs (TensorFlow 2.21 with oneDNN, 8 to
            # 16 channels at 64 px: a crash, or worse).
            x, stride = keras.ops.average_pool(x, 1, stride), 1
        return self._convolve(x, filters, kernel, stride, name)

    def _convolve(self, x: Tensor, filters: int, kernel: int, stride: int, name: str) -> Tensor:
        return layers.Conv2D(filters, kernel, strides=stride, **self._weights(name))(x)

    def _depthwise(self, x: Tensor, name: str) -> Tensor:
        return layers.DepthwiseConv2D(self.block.kernel, strides=self.block.stride, **self._weights(name, "depthwise"))(
            x
        )

    def _weights(self, name: str, kind: str = "kernel") -> dict[str, Any]:
        """What all convolutions share."""
        return {
            "padding": "same",
            "use_bias": False,
            f"{kind}_initializer": self._initializer(name),
            "name": f"{self.prefix}_{name}",
        }

    def _dense(self, units: int, activation: str, name: str) -> layers.Layer:
        return layers.Dense(
            units, activation=activation, kernel_initializer=self._initializer(name), name=f"{self.prefix}_{name}"
        )

    def _initializer(self, name: str) -> keras.initializers.Initializer:
        seed = zlib.crc32(f"{self.seed}/{self.prefix}_{name}".encode())
        return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=seed)


def conv(x: Tensor, build: BlockBuilder) -> Tensor:
    """Convolution - BN - activation."""
    block = build.block
    return build.conv(x, "filters", kernel=block.kernel, stride=block.stride, groups=block.groups, name="conv")


def maxpool(x: Tensor, build: BlockBuilder) -> Tensor:
    """Max-pooling."""
    return build.pool(x)


def basic(x: Tensor, build: BlockBuilder) -> Tensor:
    """Two k x k convolutions and a shortcut (ResNet-18/34)."""
    block = build.block
    out = build.conv(x, "filters", kernel=block.kernel, stride=block.stride, name="conv1")
    out = build.conv(out, "filters", kernel=block.kernel, name="conv2", active=False)
    return build.activate(build.residual(build.squeeze_excite(out), x), "out")


def bottleneck(x: Tensor, build: BlockBuilder) -> Tensor:
    """1x1 - k x k (with the stride: v1.5) - 1x1 and a shortcut (ResNet-50 and deeper)."""
    block = build.block
    out = build.conv(x, "mid_filters", name="conv1")
    out = build.conv(out, "mid_filters", kernel=block.kernel, stride=block.stride, groups=block.groups, name="conv2")
    out = build.conv(out, "filters", name="conv3", active=False)
    return build.activate(build.residual(build.squeeze_excite(out), x), "out")


def mbconv(x: Tensor, build: BlockBuilder) -> Tensor:
    """Expand - depthwise - squeeze-excite - linear projection (MobileNetV2)."""
    out = x if build.block.expansion == 1 else build.conv(x, "mid_filters", name="expand")
    out = build.squeeze_excite(build.depthwise(out, name="depthwise"))
    return build.residual(build.conv(out, "filters", name="project", active=False), x)


BUILDERS: dict[str, Callable[[Tensor, BlockBuilder], Tensor]] = {
    "conv": conv,
    "maxpool": maxpool,
    "basic": basic,
    "bottleneck": bottleneck,
    "mbconv": mbconv,
}

ACTIVATIONS = {"relu": "relu", "relu6": "relu6", "swish": "silu", "hswish": "hard_silu", "gelu": "gelu"}
"""The grammar's names and what Keras calls them."""
