"""Spaces that a gradient can search: what they may leave open, and what each of their choices costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil

from ssl_keras.architecture.cost import Cost, cost
from ssl_keras.architecture.grammar import Architecture, Stage, Value
from ssl_keras.architecture.latency import LatencyTable
from ssl_keras.architecture.tokens import BLOCKS, ArchitectureError

BRANCHES = ("mbconv", "bottleneck", "basic")
"""The ops among which a gradient can choose: those with a shortcut around them."""


def check_learnable(space: Architecture) -> None:
    """Refuses, by name, what no gradient can decide.

    Raises:
        ArchitectureError: everything is decided, or a decision is one that only tuning can make.
    """
    if not space.is_space:
        raise ArchitectureError(f"nothing to decide in '{space}': build_encoder builds it")
    arriving_open = False
    for number, stage in enumerate(space.stages, 1):
        for token, values in stage.decisions.items():
            if token in ("s", "g", "w") or (token == "op" and not set(values) <= set(BRANCHES)):
                problem = f"a gradient decides r, k, e, c, se, a and ops among {', '.join(BRANCHES)}"
                raise _refusal(number, token, f"can only be tuned: {problem}")
        own_open = "c" in stage.decisions
        for op in stage.ops:
            if "g" in BLOCKS[op] and stage.values("g", op) != (1,) and (own_open or (op == "conv" and arriving_open)):
                problem = "so the groups' shares of the channels move with the filters, which are open"
                raise _refusal(number, "g", f"is above 1, {problem}")
        if "maxpool" not in stage.ops:
            arriving_open = own_open


def _refusal(number: int, token: str, problem: str) -> ArchitectureError:
    return ArchitectureError(f"stage{number}.{token} {problem}; fix it, or tune the space", token, number)


@dataclass(frozen=True)
class CostTable:
    """What one stage costs, for every combination of the decisions that it hangs on.

    Attributes:
        decisions: their names; one axis each.
        shape: number of values of each.
        params: trainable parameters, flat, the last decision's value moving fastest.
        macs: multiply-adds per image, likewise.
        latency: milliseconds, likewise; 0 without a table of them.
    """

    decisions: tuple[str, ...]
    shape: tuple[int, ...]
    params: tuple[int, ...]
    macs: tuple[int, ...]
    latency: tuple[float, ...]


def cost_tables(
    space: Architecture, input_shape: Sequence[int], latency: LatencyTable | None = None
) -> tuple[CostTable, ...]:
    """One table per stage; the costs of any network of the space are the sums of its entries.

    A stage hangs on its own decisions and on the filters that the stage before puts out.

    Args:
        space: one that a gradient can search.
        input_shape: (height, width, channels) of the image.
        latency: what blocks take on a device.

    Raises:
        ArchitectureError: as `check_learnable`.
        ValueError: the latency of a block was not measured.
    """
    check_learnable(space)
    height, width, channels = input_shape
    arriving: tuple[str, tuple[Value, ...]] = ("", (channels,))
    tables = []
    for number, stage in enumerate(space.stages, 1):
        tables.append(_table(stage, number, arriving, (height, width), latency))
        op = stage.ops[0]
        (stride,) = stage.values("s", op)
        height, width = ceil(height / int(stride)), ceil(width / int(stride))
        if "c" in BLOCKS[op]:
            arriving = (f"stage{number}.c", stage.values("c", op))
    if latency:
        # What a network takes besides its blocks counts once, with the first stage.
        tables[0] = replace(tables[0], latency=tuple(one + latency.besides for one in tables[0].latency))
    return tuple(tables)


def _table(
    stage: Stage,
    number: int,
    arriving: tuple[str, tuple[Value, ...]],
    size: tuple[int, int],
    latency: LatencyTable | None,
) -> CostTable:
    own = {token: values for token, values in stage.decisions.items() if token != "a"}
    axes = {arriving[0]: arriving[1]} | {f"stage{number}.{token}": values for token, values in own.items()}
    any_activation = {"a": stage.decisions["a"][0]} if "a" in stage.decisions else {}  # NOTE: they count as equal
    counted: list[Cost] = []
    for filters, *picks in product(*axes.values()):
        frozen = stage.freeze(dict(zip(own, picks, strict=True)) | any_activation)
        # A stage alone, on an image of what arrives.
        counted.append(cost(Architecture((frozen,)), (*size, int(filters))) if frozen else Cost(0, 0, ()))
    open_axes = {name: values for name, values in axes.items() if len(values) > 1}
    return CostTable(
        decisions=tuple(open_axes),
        shape=tuple(map(len, open_axes.values())),
        params=tuple(each.params for each in counted),
        macs=tuple(each.macs for each in counted),
        latency=tuple(sum(latency.of(one.block) for one in each.blocks) if latency else 0.0 for each in counted),
    )
