"""One stage of an architecture: how it is held, printed, frozen, and read from text."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ssl_keras.architecture.tokens import (
    ACTIVATIONS,
    BLOCKS,
    TOKENS,
    ArchitectureError,
    Value,
    closest,
    error_at,
    format_value,
    nearest_token,
)

OPS = tuple(BLOCKS)


@dataclass(frozen=True)
class Stage:
    """Ops and token values in canonical form; more than one of either is a decision still to be taken.

    Attributes:
        ops: one op, or the ops to choose from.
        tokens: (token, values) pairs in printing order; a token that says what every op does by default is
            left out.
    """

    ops: tuple[str, ...]
    tokens: tuple[tuple[str, tuple[Value, ...]], ...]

    @property
    def op(self) -> str:
        """The op, of a stage without a choice of ops."""
        (op,) = self.ops
        return op

    def values(self, token: str, op: str) -> tuple[Value, ...]:
        """What `token` may be if `op` is picked: as given, else the op's default."""
        for name, values in self.tokens:
            if name == token:
                return values
        default = BLOCKS[op][token]
        assert default is not None, f"{op} holds no {token}"
        return (default,)

    def number(self, token: str) -> int:
        """The whole number that `token` stands for, of a stage without choices."""
        (value,) = self.values(token, self.op)
        return int(value)

    @property
    def decisions(self) -> dict[str, tuple[Value, ...]]:
        """Token, or "op", → values to choose from."""
        ops = {"op": self.ops} if len(self.ops) > 1 else {}
        return ops | {name: values for name, values in self.tokens if len(values) > 1}

    @property
    def may_vanish(self) -> bool:
        """Whether r = 0 is among the choices."""
        return any(name == "r" and 0 in values for name, values in self.tokens)

    def freeze(self, picks: Mapping[str, Value]) -> "Stage | None":
        """The stage with some decisions taken; None where r = 0 is, in every op left."""
        ops = (str(picks["op"]),) if "op" in picks else self.ops
        if picks.get("r") == 0 and all("r" in BLOCKS[op] for op in ops):
            return None
        values = {name: (picks[name],) if name in picks else old for name, old in self.tokens}
        return make_stage(ops, values)

    def __str__(self) -> str:
        return "_".join([_spell("", self.ops), *(_spell(name, values) for name, values in self.tokens)])


def _spell(name: str, values: tuple[Value, ...]) -> str:
    words = [format_value(value) for value in values]
    return name + (words[0] if len(words) == 1 else "{" + ",".join(words) + "}")


def make_stage(ops: tuple[str, ...], values: Mapping[str, tuple[Value, ...]]) -> Stage:
    """The canonical stage: sorted, without tokens that no op lists or that repeat the defaults.

    Numbers ascend, activations stand in the order of the table, ops in its reverse ("{mbconv,basic}").
    """
    kept = []
    for name in TOKENS:
        users = [op for op in ops if name in BLOCKS[op]]
        if name in values and any(values[name] != (BLOCKS[op][name],) for op in users):
            kept.append((name, tuple(sorted(values[name], key=_rank))))
    return Stage(tuple(sorted(ops, key=OPS.index, reverse=True)), tuple(kept))


def _rank(value: Value) -> float:
    return ACTIVATIONS.index(value) if isinstance(value, str) else value


@dataclass
class StageReader:
    """Reads one stage, and remembers where each token stood.

    Attributes:
        text: the stage as written.
        number: of the stage, from 1.
        start: character of the string at which the stage starts, from 1.
        spots: token → (as written, character).
    """

    text: str
    number: int
    start: int
    spots: dict[str, tuple[str, int]] = field(default_factory=dict)

    def read(self) -> Stage:
        """The stage.

        Raises:
            ArchitectureError: anything that can be told wrong without the stages around it.
        """
        (first, start), *rest = self._pieces()
        ops = self._ops(first, start)
        values: dict[str, tuple[Value, ...]] = {}
        for piece, position in rest:
            name = self._name(piece, position, ops)
            if name in values:
                raise self.error(piece, position, f"a second {name!r} ({TOKENS[name].meaning}); keep one")
            self.spots[name] = (piece, position)
            values[name] = self._values(name, piece, position)
        for op in ops:
            if BLOCKS[op].get("c", 1) is None and "c" not in values:
                raise self.error(first, start, f"{op} needs its number of filters; add a token such as 'c64'")
        stage = make_stage(ops, values)
        self._check(stage)
        return stage

    def error(self, token: str, position: int, problem: str) -> ArchitectureError:
        """The error about `token` at `position`."""
        return error_at(token, self.number, position, problem)

    def error_in(self, name: str, problem: str) -> ArchitectureError:
        """The error about the token called `name`, or about the stage if that token is a default."""
        return self.error(*self.spots.get(name, (self.text, self.start)), problem)

    def _pieces(self) -> list[tuple[str, int]]:
        """Tokens and where they start; underscores inside braces do not divide."""
        pieces, begin, opened = [], 0, -1
        for index, letter in enumerate(self.text + "_"):
            if letter == "{":
                if opened >= 0:
                    raise self.error(self.text[begin:], self.start + begin, "a brace inside a brace; close the first")
                opened = index
            elif letter == "}":
                if opened < 0:
                    raise self.error(self.text[begin:], self.start + begin, "'}' without '{' before it")
                opened = -1
            elif letter == "_" and (opened < 0 or index == len(self.text)):
                pieces.append((self.text[begin:index], self.start + begin))
                begin = index + 1
        if opened >= 0:
            raise self.error(*pieces[-1], "'{' is never closed; add '}'")
        for piece, position in pieces:
            if not piece:
                raise self.error(piece, position, "an empty token; tokens are joined by one '_'")
        return pieces

    def _words(self, text: str, token: str, position: int) -> list[str]:
        """The values in a brace, or the one value that stands without."""
        if not text.startswith("{") or not text.endswith("}"):
            if "{" in text or "}" in text:
                raise self.error(token, position, "a brace holds whole values, as in 'k{3,5}'")
            return [text]
        words = text[1:-1].split(",")
        if not all(words):
            what = "an empty choice" if words == [""] else "an empty value in a choice"
            raise self.error(token, position, f"{what}; write values as in 'k{{3,5}}'")
        return words

    def _ops(self, text: str, position: int) -> tuple[str, ...]:
        words = self._words(text, text, position)
        for word in words:
            if word not in BLOCKS:
                known = ", ".join(OPS)
                near = closest(word, OPS)
                raise self.error(text, position, f"no op {word!r} (ops: {known}); nearest valid token {near!r}")
        self._refuse_repeats(words, text, position)
        return tuple(words)

    def _name(self, piece: str, position: int, ops: tuple[str, ...]) -> str:
        """Which token `piece` is; it must suit at least one of the ops."""
        name = "se" if piece.startswith("se") else piece[0]
        if name in TOKENS and any(name in BLOCKS[op] for op in ops):
            return name
        takes = ", ".join(token for token in TOKENS if any(token in BLOCKS[op] for op in ops))
        near = nearest_token(piece, ops)
        raise self.error(piece, position, f"{'/'.join(ops)} takes only {takes}; nearest valid token {near!r}")

    def _values(self, name: str, piece: str, position: int) -> tuple[Value, ...]:
        token = TOKENS[name]
        words = self._words(piece[len(name) :], piece, position)
        values: list[Value] = []
        for word in words:
            absent = name == "r" and word == "0"
            value = 0 if absent and len(words) > 1 else token.read(word)
            if value is None:
                problem = f"{token.meaning} is {token.range}, not {word!r}"
                if absent:
                    problem = "r0 may stand only in a choice, as in 'r{0,1}'"
                raise self.error(piece, position, f"{problem}; nearest valid token {name + token.nearest(word)!r}")
            values.append(value)
        self._refuse_repeats(values, piece, position)
        return tuple(values)

    def _refuse_repeats(self, values: list[str] | list[Value], piece: str, position: int) -> None:
        for index, value in enumerate(values):
            if value in values[:index]:
                raise self.error(piece, position, f"the choice repeats {format_value(value)!r}; keep one")

    def _check(self, stage: Stage) -> None:
        """Rules about several values of one stage."""
        for op in stage.ops:
            if op == "mbconv" and len(expansions := stage.values("e", op)) > 1 and 1 in expansions:
                raise self.error_in("e", "e1 has no expansion convolution and cannot mix with others; drop it")
            if op == "conv":
                for groups in stage.values("g", op):
                    for filters in stage.values("c", op):
                        if int(filters) % int(groups):
                            raise self.error_in("g", f"{groups} groups do not divide {filters} filters of the conv")
            if op == "bottleneck":
                least = min(int(c) for c in stage.values("c", op)), min(int(w) for w in stage.values("w", op))
                if least[0] * least[1] < 256:
                    problem = f"mid width int(c/4 · w/64) is 0 for c{least[0]} and w{least[1]}; raise c or w"
                    raise self.error_in("c", problem)
