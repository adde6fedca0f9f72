"""What an architecture is, block by block: the one reading that cost, networks and drawings share."""

from collections.abc import Sequence
from dataclasses import dataclass

from ssl_keras.architecture.grammar import Architecture, Stage
from ssl_keras.architecture.tokens import ArchitectureError, Value, error_at, tidy

Size = tuple[int | None, int | None]
PLAIN = ("conv", "maxpool")
"""Ops that make stems and heads: no blocks with a shortcut, where depth is counted."""


@dataclass(frozen=True)
class Block:
    """One block, with everything that the stages before it decide.

    Attributes:
        op: key of `BLOCKS`.
        stage: index of the stage, from 0.
        repeat: index within the stage, from 0.
        in_filters: filters that arrive.
        filters: filters that leave.
        kernel: side of the k×k convolution or of the pooling window.
        stride: of that convolution or window.
        expansion: of an mbconv; 1 elsewhere.
        groups: of the k×k convolution of a conv or a bottleneck; 1 elsewhere.
        mid_filters: a bottleneck's mid width, an mbconv's expanded width; otherwise `filters`.
        squeeze_filters: width between the two dense layers of squeeze-and-excitation; 0 = none.
        activation: one of `ACTIVATIONS`; "linear" for a maxpool.
        shortcut: "identity", "projection" (1×1 convolution with the block's stride, and BN) or "none".
        in_size: height and width that arrive; None where open.
        out_size: height and width that leave, ceil(in / stride).
    """

    op: str
    stage: int
    repeat: int
    in_filters: int
    filters: int
    kernel: int
    stride: int
    expansion: float | int
    groups: int
    mid_filters: int
    squeeze_filters: int
    activation: str
    shortcut: str
    in_size: Size
    out_size: Size

    @property
    def name(self) -> str:
        """Such as "stage3_block1"; both count from 1, as messages and decisions do."""
        return f"stage{self.stage + 1}_block{self.repeat + 1}"


def layout(architecture: Architecture, input_shape: Sequence[int | None]) -> tuple[Block, ...]:
    """The blocks from the image on, repeats unrolled.

    NOTE: an mbconv expands to int(e · input filters), should that not be whole.

    Args:
        architecture: without choices.
        input_shape: (height, width, channels); height and width may be None.

    Raises:
        ArchitectureError: the architecture is a space, or a conv's groups do not divide what arrives.
        ValueError: the shape is not one of an image.
    """
    if architecture.is_space:
        name, values = next(iter(architecture.decisions.items()))
        raise ArchitectureError(f"a search space has no layout: {name} is open ({values}); freeze or sample it first")
    size, filters = _check_shape(input_shape)
    blocks: list[Block] = []
    for index, stage in enumerate(architecture.stages):
        groups = stage.number("g") if stage.op == "conv" else 1
        if filters % groups:
            token, position = architecture.locate(index, "g")
            problem = f"{groups} groups do not divide the {filters} filters that arrive; choose a divisor"
            raise error_at(token, index + 1, position, problem)
        for repeat in range(stage.number("r") if stage.op != "maxpool" else 1):
            block = _block(stage, index, repeat, filters, size)
            blocks.append(block)
            size, filters = block.out_size, block.filters
    return tuple(blocks)


def _check_shape(shape: Sequence[int | None]) -> tuple[Size, int]:
    example = "use (height, width, channels) such as (32, 32, 3)"
    if len(shape) != 3:
        raise ValueError(f"input shape {tuple(shape)} has {len(shape)} entries; {example}")
    height, width, channels = shape
    if channels is None or any(side is not None and side < 1 for side in shape):
        raise ValueError(f"input shape {tuple(shape)} is not that of an image; {example}")
    return (height, width), channels


def _block(stage: Stage, index: int, repeat: int, in_filters: int, in_size: Size) -> Block:
    """The block; a stage's stride acts in the first of its repeats."""
    op = stage.op
    given = {name: values[0] for name, values in stage.tokens}
    stride = stage.number("s") if repeat == 0 else 1
    filters = in_filters if op == "maxpool" else stage.number("c")
    expansion = tidy(float(given.get("e", 6))) if op == "mbconv" else 1
    groups = stage.number("g") if op in ("conv", "bottleneck") else 1
    return Block(
        op=op,
        stage=index,
        repeat=repeat,
        in_filters=in_filters,
        filters=filters,
        kernel=stage.number("k"),
        stride=stride,
        expansion=expansion,
        groups=groups,
        mid_filters=_mid_filters(stage, in_filters, filters, expansion, groups),
        squeeze_filters=_squeeze_filters(given.get("se", 0), in_filters),
        activation="linear" if op == "maxpool" else str(given.get("a", "relu")),
        shortcut=_shortcut(op, stride == 1 and in_filters == filters),
        in_size=in_size,
        out_size=(_divide(in_size[0], stride), _divide(in_size[1], stride)),
    )


def _mid_filters(stage: Stage, in_filters: int, filters: int, expansion: float, groups: int) -> int:
    if stage.op == "bottleneck":
        return int(filters / 4 * stage.number("w") / 64) * groups
    return int(expansion * in_filters) if stage.op == "mbconv" else filters


def _squeeze_filters(ratio: Value, in_filters: int) -> int:
    return max(1, int(float(ratio) * in_filters)) if ratio else 0


def _shortcut(op: str, fits: bool) -> str:
    if op in PLAIN:
        return "none"
    if fits:
        return "identity"
    return "none" if op == "mbconv" else "projection"


def _divide(side: int | None, stride: int) -> int | None:
    return None if side is None else -(-side // stride)
