"""From probabilities to one architecture: the most likely network that a budget allows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from ssl_keras.architecture.grammar import Architecture, Value
from ssl_keras.architecture.latency import LatencyTable
from ssl_keras.architecture.learnable import CostTable, cost_tables

KINDS = ("macs", "params", "latency")
"""What a budget may limit, as the tables of `cost_tables` name it."""
UNITS = {"macs": "multiply-adds", "params": "parameters", "latency": "milliseconds"}
TOLERANCE = 0.03
"""Share of the budget by which a network may miss it."""
STEPS = 2000
"""Costs that differ by less than this part of the budget count as equal where paths are compared."""


@dataclass(frozen=True)
class Budget:
    """A cost to hit, not merely to stay under; one of the three.

    Attributes:
        macs: multiply-adds per image.
        params: trainable parameters.
        latency: milliseconds, by a `LatencyTable`.

    Raises:
        ValueError: none or several are given, or one is not positive.
    """

    macs: float | None = None
    params: float | None = None
    latency: float | None = None

    def __post_init__(self) -> None:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"a budget limits one of {', '.join(KINDS)}; given: {', '.join(given) or 'none'}")
        if not 0 < self.amount < math.inf:
            raise ValueError(f"a budget of {self.amount:g} {self.kind} must be above 0: give how much there is")

    @property
    def kind(self) -> str:
        """Which of them."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def amount(self) -> float:
        """How much of it."""
        amount: float = getattr(self, self.kind)
        return amount

    def __str__(self) -> str:
        return f"{readable(self.amount)} {UNITS[self.kind]}"


def readable(amount: float) -> str:
    """A count as people write it: 1.81 G, 11.2 M, 320 k."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if amount >= size:
            return f"{amount / size:.3g} {unit}"
    return f"{amount:.3g}"


@dataclass(frozen=True)
class Path:
    """Picks for the stages so far, each an index into its decision's values."""

    worth: float
    cost: float
    picks: Mapping[str, int]

    def picks_in(self, space: Architecture) -> dict[str, Value]:
        """The values; of what costs nothing, such as an activation, the first."""
        return {name: values[self.picks.get(name, 0)] for name, values in space.decisions.items()}


def likely_picks(
    space: Architecture,
    chances: Mapping[str, Sequence[float]],
    budget: Budget | None,
    input_shape: Sequence[int],
    tolerance: float = TOLERANCE,
    latency: LatencyTable | None = None,
) -> dict[str, Value]:
    """The picks of the most likely network whose cost is within the tolerance of the budget, or of the nearest.

    Exact but for costs closer than a `STEPS`-th of the budget: stages are decided in order, and of the ways to arrive
    at a cost with the same filters the most likely is kept. NOTE: what a vanished stage would have been counts too,
    with its most likely values.

    Args:
        space: one that a gradient can search.
        chances: decision → probabilities of its values.
        budget: to hit; None takes every decision's most likely value.
        input_shape: (height, width, channels) of the image.
        tolerance: share of the budget.
        latency: what blocks take, for a budget of it.

    Returns:
        Decision → value, for `Architecture.freeze`.
    """
    likely = {name: max(range(len(row)), key=lambda i: row[i]) for name, row in chances.items()}
    if budget is not None:
        worth = {name: [math.log(max(chance, 1e-30)) for chance in row] for name, row in chances.items()}
        paths = _paths(cost_tables(space, input_shape, latency), budget.kind, worth, budget.amount / STEPS)
        likely |= _nearest(paths, budget.amount, tolerance).picks
    return {name: values[likely[name]] for name, values in space.decisions.items()}


def cost_range(
    space: Architecture, kind: str, input_shape: Sequence[int], latency: LatencyTable | None = None
) -> tuple[float, float]:
    """The cost of the cheapest and of the dearest network of a space, of a kind in `KINDS`."""
    low, high = cost_ends(space, kind, input_shape, latency)
    return low.cost, high.cost


def cost_ends(
    space: Architecture, kind: str, input_shape: Sequence[int], latency: LatencyTable | None = None
) -> tuple[Path, Path]:
    """The paths to the cheapest and to the dearest network of a space, by a cost of a kind in `KINDS`."""
    tables = cost_tables(space, input_shape, latency)
    low, high = (max(_paths(tables, kind, {}, math.inf, sign), key=lambda path: path.worth) for sign in (-1, 1))
    return low, high


def checked_budget(
    budget: Budget | None, space: Architecture, shape: Sequence[int], latency: LatencyTable | None
) -> Budget:
    """The budget, if a space reaches it.

    Raises:
        ValueError: there is none, with a proposal; it is out of reach; or it is one of time and there is no table.
    """
    if budget and budget.kind == "latency" and latency is None:
        raise ValueError("a budget of milliseconds needs a table of latencies, which ssl-keras latency measures")
    low, high = cost_range(space, budget.kind if budget else "macs", shape, latency)
    if budget is None:
        proposed = Budget(macs=float(f"{(low * high) ** 0.5:.2g}"))
        raise ValueError(
            f"a search needs a budget, or it only grows the network: this space reaches from {readable(low)} to "
            f"{readable(high)} multiply-adds an image, so try Budget(macs={proposed.amount:g})"
        )
    if not low <= budget.amount <= high:
        raise ValueError(
            f"the budget of {budget} is out of reach: this space's networks have {readable(low)} to {readable(high)}"
        )
    return budget


def _nearest(paths: Sequence[Path], amount: float, tolerance: float) -> Path:
    inside = [path for path in paths if abs(path.cost - amount) <= tolerance * amount]
    if inside:
        return max(inside, key=lambda path: path.worth)
    return min(paths, key=lambda path: abs(path.cost - amount))


def _paths(
    tables: Sequence[CostTable], kind: str, worth: Mapping[str, Sequence[float]], step: float, sign: int = 0
) -> Sequence[Path]:
    """The best path to each cost, in units of `step`, and to each decision that the stage after hangs on.

    Args:
        tables: of the stages.
        kind: of the cost.
        worth: decision → what each value adds to a path's worth.
        step: costs in one of these count as equal.
        sign: of the cost within the worth.
    """
    paths: list[Path] = [Path(0.0, 0.0, {})]
    for index, table in enumerate(tables):
        after = tables[index + 1].decisions if index + 1 < len(tables) else ()
        best: dict[tuple[int, ...], Path] = {}
        for path in paths:
            for picks, cost in _entries(table, kind, path.picks):
                gain = sign * cost + sum(worth[name][pick] for name, pick in picks.items() if name in worth)
                total = path.cost + cost
                own = {**path.picks, **picks}
                key = (int(total / step), *(own[name] for name in after if name in own))
                if key not in best or best[key].worth < path.worth + gain:
                    best[key] = Path(path.worth + gain, total, own)
        paths = list(best.values())
    return paths


def _entries(table: CostTable, kind: str, picked: Mapping[str, int]) -> Iterator[tuple[dict[str, int], float]]:
    """What may be picked in a stage, given what was picked before it, and what it costs."""
    sizes = zip(table.decisions, table.shape, strict=True)
    axes = [(picked[name],) if name in picked else range(size) for name, size in sizes]
    costs = getattr(table, kind)
    for picks in product(*axes):
        place = 0
        for pick, size in zip(picks, table.shape, strict=True):
            place = place * size + pick
        new = {name: pick for name, pick in zip(table.decisions, picks, strict=True) if name not in picked}
        yield new, costs[place]
