"""Counting and numbering the distinct architectures of a space.

A stage that may vanish makes different choices spell the same string: of two equal optional stages in a row,
leaving out the first or the second is one architecture. The strings are therefore counted as the words of a
finite automaton, whose states are the sets of stages that may come next after what has been read.
"""

import math
from collections.abc import Iterable, Sequence

from ssl_keras.architecture.stage import Stage
from ssl_keras.architecture.tokens import BLOCKS, Value

State = frozenset[int]
Branch = tuple[Sequence[Stage], State]


class Options(Sequence[Stage]):
    """The frozen stages that one stage may become, numbered without being held; r = 0 is none of them."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.boxes: list[tuple[str, list[tuple[str, list[Value]]]]] = []
        for op in stage.ops:
            choices = [(name, values) for name, values in stage.tokens if name in BLOCKS[op]]
            self.boxes.append((op, [(name, [v for v in values if (name, v) != ("r", 0)]) for name, values in choices]))

    def __len__(self) -> int:
        return sum(math.prod(len(values) for _, values in box) for _, box in self.boxes)

    def __getitem__(self, index: int) -> Stage:  # type: ignore[override]
        for op, box in self.boxes:
            count = math.prod(len(values) for _, values in box)
            if index < count:
                picks: dict[str, Value] = {"op": op}
                for name, values in box:
                    index, pick = divmod(index, len(values))
                    picks[name] = values[pick]
                frozen = self.stage.freeze(picks)
                assert frozen is not None
                return frozen
            index -= count
        raise IndexError(index)


class Words:
    """The distinct sequences of frozen stages that a space contains, counted and numbered.

    Attributes:
        count: how many there are.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.options = [Options(stage) for stage in stages]
        self.optional = [stage.may_vanish for stage in stages]
        self.symbols: dict[int, list[Stage]] = {}
        self.branches: dict[State, list[Branch]] = {}
        self.first = frozenset([0])
        self._explore()
        # A word only moves forward, so the states sorted by their least member are in order of reading.
        self.counts: dict[State, int] = {}
        for state in sorted(self.branches, key=min, reverse=True):
            longer = sum(len(symbols) * self.counts[after] for symbols, after in self.branches[state])
            self.counts[state] = self._may_end(state) + longer
        self.count = self.counts[self.first]

    def word(self, rank: int) -> tuple[Stage, ...]:
        """The sequence with this number, 0 ≤ rank < count."""
        state, word = self.first, []
        while not (rank == 0 and self._may_end(state)):
            rank -= self._may_end(state)
            for symbols, after in self.branches[state]:
                if rank < len(symbols) * self.counts[after]:
                    pick, rank = divmod(rank, self.counts[after])
                    word.append(symbols[pick])
                    state = after
                    break
                rank -= len(symbols) * self.counts[after]
        return tuple(word)

    def _explore(self) -> None:
        waiting = [self.first]
        while waiting:
            state = waiting.pop()
            if state not in self.branches:
                self.branches[state] = self._branch(state)
                waiting.extend(after for _, after in self.branches[state])

    def _branch(self, state: State) -> list[Branch]:
        """Symbols that may be read in this state, grouped by the state they lead to."""
        reachable = sorted(set().union(*map(self._run, state)))
        if len(reachable) < 2:
            return [(self.options[index], frozenset([index + 1])) for index in reachable]
        owners: dict[Stage, list[int]] = {}
        for index in reachable:
            for symbol in self.symbols.setdefault(index, list(self.options[index])):
                owners.setdefault(symbol, []).append(index)
        groups: dict[State, list[Stage]] = {}
        for symbol, indices in owners.items():
            groups.setdefault(self._prune(index + 1 for index in indices), []).append(symbol)
        return [(symbols, after) for after, symbols in groups.items()]

    def _run(self, start: int) -> range:
        """The stages that may be read next if `start` is the first that is unread."""
        stop = start
        while stop < len(self.options) and self.optional[stop]:
            stop += 1
        return range(start, min(stop + 1, len(self.options)))

    def _may_end(self, state: State) -> bool:
        return any(all(self.optional[start:]) for start in state)

    def _prune(self, starts: Iterable[int]) -> State:
        """Without the members that an earlier one reaches by leaving stages out; keeps the states few."""
        kept: list[int] = []
        for start in sorted(starts):
            if not any(all(self.optional[earlier:start]) for earlier in kept):
                kept.append(start)
        return frozenset(kept)


def match(stages: Sequence[Stage], frozen: Sequence[Stage]) -> list[dict[str, Value]] | None:
    """Every stage's picks, with which the stages become the frozen ones; None where nothing does.

    Stages that may vanish are kept as early as possible.

    Args:
        stages: of a space.
        frozen: of an architecture.
    """
    failed: set[tuple[int, int]] = set()

    def rest(index: int, place: int) -> list[dict[str, Value]] | None:
        if index == len(stages):
            return [] if place == len(frozen) else None
        if (index, place) in failed:
            return None
        present = _picks(stages[index], frozen[place]) if place < len(frozen) else None
        for picks, step in ((present, 1), (_absence(stages[index]), 0)):
            if picks is not None and (found := rest(index + 1, place + step)) is not None:
                return [picks, *found]
        failed.add((index, place))
        return None

    return rest(0, 0)


def _picks(stage: Stage, frozen: Stage) -> dict[str, Value] | None:
    """What makes the one of the other; tokens that the op does not list get their first value."""
    if len(frozen.ops) > 1 or frozen.op not in stage.ops or frozen.decisions:
        return None
    known = BLOCKS[frozen.op]
    picks = {name: frozen.values(name, frozen.op)[0] if name in known else values[0] for name, values in stage.tokens}
    picks["op"] = frozen.op
    allowed = all(picks[name] in values for name, values in stage.tokens)
    return picks if allowed and stage.freeze(picks) == frozen else None


def _absence(stage: Stage) -> dict[str, Value] | None:
    """What makes the stage vanish."""
    if not stage.may_vanish:
        return None
    op = next(op for op in stage.ops if "r" in BLOCKS[op])
    return {name: values[0] for name, values in stage.tokens} | {"r": 0, "op": op}
