"""What an architecture costs: parameters and multiply-adds, counted exactly without building anything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ssl_keras.architecture.grammar import Architecture, parse
from ssl_keras.architecture.layout import Block, Size, layout


@dataclass(frozen=True)
class BlockCost:
    """One block's share.

    Attributes:
        name: of the block, such as "stage3_block1".
        block: its layout.
        params: trainable parameters.
        macs: multiply-adds per image.
    """

    name: str
    block: Block
    params: int
    macs: int


@dataclass(frozen=True)
class Cost:
    """Of the backbone without heads, per image.

    Attributes:
        params: trainable parameters: convolutions, BN scale and offset, dense layers with bias.
        macs: multiply-adds of convolutions and dense layers; nothing else is counted.
        blocks: block by block.
    """

    params: int
    macs: int
    blocks: tuple[BlockCost, ...]


def cost(architecture: Architecture | str, input_shape: Sequence[int | None]) -> Cost:
    """Count parameters and multiply-adds.

    Args:
        architecture: without choices; its string will do.
        input_shape: (height, width, channels) of the image.

    Raises:
        ArchitectureError: a malformed string, a search space, or a stage that does not fit the one before.
        ValueError: the shape is not one of an image, or leaves height or width open.
    """
    blocks = layout(parse(architecture) if isinstance(architecture, str) else architecture, input_shape)
    if None in input_shape:
        raise ValueError(f"multiply-adds need a size; input shape {tuple(input_shape)} leaves one open")
    counted = tuple(_count(block) for block in blocks)
    return Cost(sum(block.params for block in counted), sum(block.macs for block in counted), counted)


@dataclass
class _Tally:
    """Adds up the layers of one block."""

    params: int = 0
    macs: int = 0

    def conv(self, kernel: int, inputs: int, outputs: int, size: Size, groups: int = 1) -> None:
        """A convolution without bias, and the BN behind it; `size` is that of its output."""
        weights = kernel * kernel * (inputs // groups) * outputs
        self.params += weights + 2 * outputs
        self.macs += weights * (size[0] or 0) * (size[1] or 0)

    def squeeze(self, filters: int, middle: int) -> None:
        """Squeeze-and-excitation: two dense layers with bias, once per image."""
        if middle:
            self.params += 2 * filters * middle + middle + filters
            self.macs += 2 * filters * middle


def _count(block: Block) -> BlockCost:
    tally = _Tally()
    COUNTERS[block.op](tally, block)
    if block.shortcut == "projection":
        tally.conv(1, block.in_filters, block.filters, block.out_size)
    return BlockCost(block.name, block, tally.params, tally.macs)


def _conv(tally: _Tally, block: Block) -> None:
    tally.conv(block.kernel, block.in_filters, block.filters, block.out_size, block.groups)


def _maxpool(tally: _Tally, block: Block) -> None:
    """Pooling has no parameters, and takes maxima, not multiply-adds."""


def _basic(tally: _Tally, block: Block) -> None:
    tally.conv(block.kernel, block.in_filters, block.filters, block.out_size)
    tally.conv(block.kernel, block.filters, block.filters, block.out_size)
    tally.squeeze(block.filters, block.squeeze_filters)


def _bottleneck(tally: _Tally, block: Block) -> None:
    mid = block.mid_filters
    tally.conv(1, block.in_filters, mid, block.in_size)
    tally.conv(block.kernel, mid, mid, block.out_size, block.groups)
    tally.conv(1, mid, block.filters, block.out_size)
    tally.squeeze(block.filters, block.squeeze_filters)


def _mbconv(tally: _Tally, block: Block) -> None:
    mid = block.mid_filters
    if block.expansion != 1:
        tally.conv(1, block.in_filters, mid, block.in_size)
    tally.conv(block.kernel, mid, mid, block.out_size, groups=mid)
    tally.squeeze(mid, block.squeeze_filters)
    tally.conv(1, mid, block.filters, block.out_size)


COUNTERS: dict[str, Callable[[_Tally, Block], None]] = {
    "conv": _conv,
    "maxpool": _maxpool,
    "basic": _basic,
    "bottleneck": _bottleneck,
    "mbconv": _mbconv,
}
