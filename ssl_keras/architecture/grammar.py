"""An architecture is a string: parse it, print it, sample it, freeze it.

Stages are joined by " | ", tokens by "_"; braces hold choices, and a string with braces is a search space:

    conv_c32 | mbconv_r2_k{3,5,7}_s2_e{3,6}_c24 | {mbconv,basic}_r2_c48 | conv_k1_c256

Strict both ways: what the grammar does not know is an error, and ``parse(str(a)) == a``.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ssl_keras.architecture.space import Words, match
from ssl_keras.architecture.stage import Stage, StageReader
from ssl_keras.architecture.tokens import (
    ACTIVATIONS,
    BLOCKS,
    ArchitectureError,
    Value,
    closest,
    error_at,
    format_value,
)

__all__ = ["ACTIVATIONS", "BLOCKS", "Architecture", "ArchitectureError", "Stage", "Value", "parse"]

SEPARATOR = " | "


@dataclass(frozen=True)
class Architecture:
    """An architecture, or a space of them; made by `parse`, printed by `str`.

    Attributes:
        stages: in order from the image on.
    """

    stages: tuple[Stage, ...]

    def __str__(self) -> str:
        return SEPARATOR.join(map(str, self.stages))

    def __repr__(self) -> str:
        return f"parse({str(self)!r})"

    @property
    def is_space(self) -> bool:
        """Whether anything is left to decide."""
        return bool(self.decisions)

    @property
    def decisions(self) -> dict[str, tuple[Value, ...]]:
        """Everything left to decide, as "stage2.k" → values (stages count from 1; "op" names the op)."""
        return {
            f"stage{number}.{name}": values
            for number, stage in enumerate(self.stages, 1)
            for name, values in stage.decisions.items()
        }

    @property
    def size(self) -> int:
        """Number of distinct architectures: distinct strings, however many choices lead to each."""
        return self._words.count

    def sample(self, seed: int) -> "Architecture":
        """One of the distinct architectures, each equally likely; a function of the seed and the space alone.

        Args:
            seed: any whole number.
        """
        rank = random.Random(f"{seed} {self}").randrange(self.size)
        return Architecture(self._words.word(rank))

    def freeze(self, choices: Mapping[str, Value]) -> "Architecture":
        """The architecture, or smaller space, after the given decisions.

        Tokens that a picked op does not list are dropped, and so is a stage with r = 0.
        NOTE: names count stages, so they shift behind a stage that a partial freeze drops.

        Args:
            choices: decision → one of its values, as `decisions` names them; those left out stay open.

        Raises:
            ArchitectureError: a decision or a value that is not there.
        """
        picks: list[dict[str, Value]] = [{} for _ in self.stages]
        for name, value in choices.items():
            own = self._own_value(name, value)
            place, token = name.removeprefix("stage").split(".")
            picks[int(place) - 1][token] = own
        frozen = [stage.freeze(picked) for stage, picked in zip(self.stages, picks, strict=True)]
        for number, (stage, picked) in enumerate(zip(frozen, picks, strict=True), 1):
            if stage is not None and picked.get("r") == 0 and "op" not in picked and len(stage.ops) > 1:
                raise ArchitectureError(f"stage {number}: r = 0 is open until its op is picked as well", "r0", number)
        return Architecture(tuple(stage for stage in frozen if stage is not None))

    def picks_of(self, architecture: "Architecture") -> dict[str, Value]:
        """The choices that freeze this space to an architecture: the inverse of `freeze`.

        Where several do, the first of equal stages is kept, and what then decides nothing gets its first value.

        Args:
            architecture: without choices.

        Raises:
            ArchitectureError: it is not in the space.
        """
        picks = match(self.stages, architecture.stages)
        if picks is None:
            raise ArchitectureError(f"the space '{self}' does not hold '{architecture}'")
        return {
            name: picks[int(place) - 1][token]
            for name in self.decisions
            for place, token in [name.removeprefix("stage").split(".")]
        }

    def locate(self, index: int, token: str) -> tuple[str, int]:
        """Where a stage's token stands in the printed string: (as written, character from 1).

        Args:
            index: of the stage, from 0.
            token: its name; a token left out as a default is located at its stage.
        """
        position = 1 + sum(len(str(stage)) + len(SEPARATOR) for stage in self.stages[:index])
        text = str(self.stages[index])
        for name, values in self.stages[index].tokens:
            if name == token:
                written = name + format_value(values[0])
                return written, position + text.index(f"_{written}") + 1
        return text, position

    @cached_property
    def _words(self) -> Words:
        return Words(self.stages)

    def _own_value(self, name: str, value: Value) -> Value:
        """The value as the space holds it, which for 3.0 is 3."""
        decisions = self.decisions
        if name not in decisions:
            near = f"; nearest is {closest(name, decisions)!r}" if decisions else ", as everything is decided"
            raise ArchitectureError(f"nothing to decide called {name!r}{near}", name)
        if value not in decisions[name]:
            values = ", ".join(map(format_value, decisions[name]))
            raise ArchitectureError(f"{name} cannot be {value!r}; its values are {values}", name)
        return decisions[name][decisions[name].index(value)]


def parse(text: str) -> Architecture:
    """Read an architecture or a space from its string.

    Args:
        text: stages joined by " | ".

    Raises:
        ArchitectureError: names the token, the stage, the position and the nearest valid token.
    """
    if not isinstance(text, str):
        raise ArchitectureError(f"an architecture is a string such as 'conv_c32', not {type(text).__name__}")
    if not text.strip():
        raise ArchitectureError("empty architecture; write at least one stage, such as 'conv_c32'")
    readers = _split(text)
    stages = tuple(reader.read() for reader in readers)
    _check_vanishing(stages, readers)
    return Architecture(stages)


def _split(text: str) -> list[StageReader]:
    """One reader per stage; the separator is one bar with one space on each side."""
    readers = []
    pieces = text.split("|")
    start = 0
    for number, piece in enumerate(pieces, 1):
        left, right = " " * (number > 1), " " * (number < len(pieces))
        body = piece.strip()
        if not body:
            raise error_at("", number, start + 1, "an empty stage; remove a '|'")
        if piece != left + body + right:
            raise error_at(piece, number, start + 1, "stages are joined by ' | ', with no other space")
        readers.append(StageReader(body, number, start + len(left) + 1))
        start += len(piece) + 1
    return readers


def _check_vanishing(stages: tuple[Stage, ...], readers: list[StageReader]) -> None:
    """A stage may be absent only where it keeps size and filters, whatever is decided elsewhere."""
    before: set[Value | None] = {None}  # filters that may arrive; None: those of the image
    for stage, reader in zip(stages, readers, strict=True):
        with_filters = [op for op in stage.ops if "c" in BLOCKS[op]]
        if stage.may_vanish:
            for op in with_filters:
                if stage.values("s", op) != (1,):
                    raise reader.error_in("r", "r0 is allowed only where the stride is 1; use 's1' or drop the 0")
                if len(before) > 1 or set(stage.values("c", op)) != before:
                    raise reader.error_in(
                        "r", "r0 is allowed only where c equals the stage before; change c or drop the 0"
                    )
        after: set[Value | None] = set() if len(with_filters) == len(stage.ops) else set(before)
        for op in with_filters:
            after.update(stage.values("c", op))
        before = after
