"""Spaces that a gradient can search: what they may leave open, and what each of their choices costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil

from ssl_keras.architecture.cost import cost
from ssl_keras.architecture.grammar import Architecture, Stage, Value
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
    """

    decisions: tuple[str, ...]
    shape: tuple[int, ...]
    params: tuple[int, ...]
    macs: tuple[int, ...]


def cost_tables(space: Architecture, input_shape: Sequence[int]) -> tuple[CostTable, ...]:
    """One table per stage; the costs of any network of the space are the sums of its entries.

    A stage hangs on its own decisions and on the filters that the stage before puts out.

    Args:
        space: one that a gradient can search.
        input_shape: (height, width, channels) of the image.

    Raises:
        ArchitectureError: as `check_learnable`.
    """
    check_learnable(space)
    height, width, channels = input_shape
    arriving: tuple[str, tuple[Value, ...]] = ("", (channels,))
    tables = []
    for number, stage in enumerate(space.stages, 1):
        tables.append(_table(stage, number, arriving, (height, width)))
        op = stage.ops[0]
        (stride,) = stage.values("s", op)
        height, width = ceil(height / int(stride)), ceil(width / int(stride))
        if "c" in BLOCKS[op]:
            arriving = (f"stage{number}.c", stage.values("c", op))
    return tuple(tables)


def _table(stage: Stage, number: int, arriving: tuple[str, tuple[Value, ...]], size: tuple[int, int]) -> CostTable:
    own = {token: values for token, values in stage.decisions.items() if token != "a"}
    axes = {arriving[0]: arriving[1]} | {f"stage{number}.{token}": values for token, values in own.items()}
    entries = []
    for filters, *picks in product(*axes.values()):
        frozen = stage.freeze(dict(zip(own, picks, strict=True)) | {"a": "relu"})
        # A stage alone, on an image of what arrives.
        counted = cost(Architecture((frozen,)), (*size, int(filters))) if frozen else None
        entries.append((counted.params, counted.macs) if counted else (0, 0))
    open_axes = {name: values for name, values in axes.items() if len(values) > 1}
    params, macs = zip(*entries, strict=True)
    return CostTable(tuple(open_axes), tuple(map(len, open_axes.values())), params, macs)
