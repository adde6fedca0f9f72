"""Layers that hold all candidates of a choice in one set of weights; the choice enters as probabilities."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

Tensor = Any


@keras.saving.register_keras_serializable("ssl_keras")
class WeightedSum(layers.Layer):
    """Tensors [x_0, x_1, ...] of one shape and weights (n,) to sum_i weights_i · x_i."""

    def call(self, tensors: Sequence[Tensor], weights: Tensor) -> Tensor:
        """The sum, of the tensors' shape."""
        return sum(x * weights[index] for index, x in enumerate(tensors))


class _SharedKernel(layers.Layer):
    """Before a convolution among the bases: it is called with maps and the probabilities of its ``kernels``."""

    kernels: tuple[int, ...]

    def build(self, inputs_shape: Sequence[int | None], chances_shape: Sequence[int]) -> None:
        """Creates the largest kernel."""
        del chances_shape
        super().build(inputs_shape)

    def compute_output_shape(self, inputs_shape: Sequence[int | None], chances_shape: Any = None) -> Any:
        """The convolution's: (B, ceil(H / stride), ceil(W / stride), channels)."""
        del chances_shape
        return super().compute_output_shape(inputs_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config() | {"kernels": self.kernels}
        del config["kernel_size"]
        return config


@keras.saving.register_keras_serializable("ssl_keras")
class EntangledConv2D(_SharedKernel, layers.Conv2D):
    """A convolution whose kernel sizes share one kernel: each is the centre of the largest.

    Called with maps (B, H, W, C) and the probabilities of the kernel sizes, (n,) or for each channel that comes in
    (n, C). The latter may be scaled by a mask of the channels, which then acts as if on the maps.

    Args:
        filters: Channels that it puts out.
        kernels: The n odd kernel sizes to choose from.
        **kwargs: As of ``keras.layers.Conv2D``; "same" padding without bias.
    """

    def __init__(self, filters: int, kernels: Sequence[int], **kwargs: Any) -> None:
        super().__init__(filters, max(kernels), **kwargs)
        self.kernels = tuple(kernels)

    def call(self, inputs: Tensor, chances: Tensor) -> Tensor:
        """The convolution with the mean kernel."""
        return self.convolution_op(inputs, mean_kernel(self.kernel, self.kernels, chances, self.strides[0], inputs))


@keras.saving.register_keras_serializable("ssl_keras")
class EntangledDepthwiseConv2D(_SharedKernel, layers.DepthwiseConv2D):
    """A depthwise convolution whose kernel sizes share one kernel, as in :class:`EntangledConv2D`.

    Args:
        kernels: The n odd kernel sizes to choose from.
        **kwargs: As of ``keras.layers.DepthwiseConv2D``; "same" padding without bias.
    """

    def __init__(self, kernels: Sequence[int], **kwargs: Any) -> None:
        super().__init__(max(kernels), **kwargs)
        self.kernels = tuple(kernels)

    def call(self, inputs: Tensor, chances: Tensor) -> Tensor:
        """The convolution with the mean kernel."""
        kernel = mean_kernel(self.kernel, self.kernels, chances, self.strides[0], inputs)
        return ops.depthwise_conv(inputs, kernel, strides=self.strides, padding=self.padding)


def mean_kernel(kernel: Tensor, kernels: Sequence[int], chances: Tensor, stride: int, inputs: Tensor) -> Tensor:
    """sum_k p_k · (the k × k centre of the kernel, where a k × k convolution of the inputs would read).

    NOTE: that is the same centre but for k below the stride, where "same" padding, which is never negative,
    starts a smaller kernel further to the left, or not, as the size of the input goes.

    Args:
        kernel: The largest, (K, K, ...).
        kernels: The sizes k, odd as K is.
        chances: Their probabilities, (n,) or by channel (n, C).
        stride: Of the convolution with "same" padding.
        inputs: What is convolved, (B, H, W, C).

    Returns:
        (K, K, ...).
    """
    largest, total = kernel.shape[0], 0.0
    for index, size in enumerate(kernels):
        edge = (largest - size) // 2
        centre = kernel[edge : edge + size, edge : edge + size]
        starts = [_start(size, largest, stride, side) for side in ops.shape(inputs)[1:3]]
        placed = ops.pad(centre, [*([start, largest - size - start] for start in starts), [0, 0], [0, 0]])
        total = total + ops.reshape(placed, kernel.shape) * ops.reshape(chances[index], (-1, 1))
    return total


def _start(size: int, largest: int, stride: int, side: int | Tensor) -> int | Tensor:
    """How much further left the largest kernel's first tap reads than the small one's."""
    if size >= stride:
        return (largest - size) // 2
    return _padding(largest, stride, side) - _padding(size, stride, side)


def _padding(size: int, stride: int, side: int | Tensor) -> int | Tensor:
    """Zeros before the first pixel, under "same" padding; a tensor only where the side is open until run time."""
    needed = (-(-side // stride) - 1) * stride + size - side
    return max(needed, 0) // 2 if isinstance(side, int) else ops.maximum(needed, 0) // 2
