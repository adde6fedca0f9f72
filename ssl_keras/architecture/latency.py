"""How long networks take on a device: a table of blocks that were measured there, and sums of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from ssl_keras.architecture.grammar import Architecture
from ssl_keras.architecture.layout import Block, layout
from ssl_keras.architecture.tokens import Value


def key(block: Block) -> str:
    """All that the time of a block hangs on, as text; where in the network it stands is not part of it."""
    size = "x".join(str(side) for side in block.in_size)
    widths = f"{block.in_filters}-{block.mid_filters}-{block.filters}"
    return (
        f"{block.op} {widths} k{block.kernel} s{block.stride} e{block.expansion} g{block.groups} "
        f"se{block.squeeze_filters} {block.activation} {block.shortcut} {size}"
    )


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds of blocks on a device.

    Attributes:
        device: what it was measured on, in words.
        besides: of a network that has no block: calling it, normalisation, pooling.
        blocks: `key` of a block to what it adds.
    """

    device: str
    besides: float
    blocks: Mapping[str, float]

    def of(self, block: Block) -> float:
        """What a block adds.

        Raises:
            ValueError: it was not measured.
        """
        if (name := key(block)) not in self.blocks:
            raise ValueError(f"the latency of '{name}' was not measured: run ssl-keras latency for this space and size")
        return self.blocks[name]

    def predict(self, architecture: Architecture, input_shape: Sequence[int]) -> float:
        """Milliseconds of a whole network.

        Raises:
            ValueError: one of its blocks was not measured.
        """
        return self.besides + sum(self.of(block) for block in layout(architecture, input_shape))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; ``LatencyTable(**values)`` is the inverse."""
        return asdict(self)


def blocks_of(space: Architecture, input_shape: Sequence[int]) -> dict[str, Block]:
    """Every distinct block of a space's networks, by its key.

    Args:
        space: an architecture or a space; a stage hangs on its own decisions and on the filters before it.
        input_shape: (height, width, channels) of the image.
    """
    found: dict[str, Block] = {}
    sizes, filters = {tuple(input_shape[:2])}, {int(input_shape[2])}
    for stage in space.stages:
        decisions = stage.decisions
        after: set[int] = set()
        ends: set[tuple[Any, ...]] = set()
        for values, size, arriving in product(product(*decisions.values()), sizes, filters):
            picks: dict[str, Value] = dict(zip(decisions, values, strict=True))
            frozen = stage.freeze(picks)
            blocks: Iterable[Block] = layout(Architecture((frozen,)), (*size, arriving)) if frozen else ()
            last = None
            for last in blocks:
                found[key(last)] = last
            after.add(last.filters if last else arriving)
            ends.add(last.out_size if last else size)
        sizes, filters = ends, after
    return found
