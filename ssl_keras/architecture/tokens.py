"""The grammar's vocabulary: ops, tokens, their ranges and defaults, and the error that names a misspelling."""

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

Value = int | float | str

ACTIVATIONS = ("relu", "relu6", "swish", "hswish", "gelu")


class ArchitectureError(ValueError):
    """An architecture string, or a choice within a space, that the grammar does not allow.

    Attributes:
        token: the offending token as written; empty where a whole stage or string is meant.
        stage: number of the stage, counted from 1; 0 where no single stage is meant.
        position: character at which the token starts, counted from 1; 0 where there is none.
    """

    def __init__(self, message: str, token: str = "", stage: int = 0, position: int = 0) -> None:
        super().__init__(message)
        self.token = token
        self.stage = stage
        self.position = position


def error_at(token: str, stage: int, position: int, problem: str) -> ArchitectureError:
    """The error whose message opens with where it is.

    Args:
        token: the offending token, possibly empty.
        stage: number of the stage, from 1.
        position: character of the string, from 1.
        problem: what is wrong, and the remedy.
    """
    shown = f", token {token!r}" if token else ""
    return ArchitectureError(f"stage {stage}, character {position}{shown}: {problem}", token, stage, position)


@dataclass(frozen=True)
class Token:
    """What may follow a token's letter.

    Attributes:
        meaning: the word for messages.
        low: least value.
        high: greatest value.
        usual: a value to suggest where the text holds no number.
        whole: whether decimals are refused.
        odd: whether even numbers are refused.
        words: the values, where they are words rather than numbers.
    """

    meaning: str
    low: int = 1
    high: float = math.inf
    usual: int = 1
    whole: bool = True
    odd: bool = False
    words: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        """The allowed values in words."""
        if self.words:
            return f"one of {', '.join(self.words)}"
        kind = "an odd number" if self.odd else "a whole number" if self.whole else "a number"
        reach = f"of at least {self.low}" if self.high == math.inf else f"from {self.low} to {self.high}"
        return f"{kind} {reach}"

    def nearest(self, text: str) -> str:
        """The valid value that `text` most probably means."""
        if self.words:
            return closest(text, self.words)
        found = re.search(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", text)
        number = min(max(float(found[0]) if found else self.usual, self.low), self.high)
        if self.whole:
            number = math.floor(number)
        if self.odd and number % 2 == 0:
            number -= 1
        return format_value(tidy(number))

    def read(self, text: str) -> Value | None:
        """The value spelt by `text`, None if it is no such value. Numbers have at most 9 digits and 9 decimals."""
        if self.words:
            return text if text in self.words else None
        decimals = "" if self.whole else r"(\.[0-9]{1,9})?"
        if not re.fullmatch(rf"(0|[1-9][0-9]{{0,8}}){decimals}", text):
            return None
        number = tidy(float(text))
        in_range = self.low <= number <= self.high
        return number if in_range and (number % 2 or not self.odd) else None


# In the order in which they are printed.
TOKENS = {
    "r": Token("repeats"),
    "k": Token("kernel", high=11, usual=3, odd=True),
    "s": Token("stride", high=4),
    "e": Token("expansion", usual=6, whole=False),
    "c": Token("filters", usual=64),
    "g": Token("groups"),
    "w": Token("width per group", usual=64),
    "se": Token("squeeze ratio", low=0, high=1, usual=0, whole=False),
    "a": Token("activation", words=ACTIVATIONS),
}

# op → token → default; None marks a token that must be given.
BLOCKS: dict[str, dict[str, Value | None]] = {
    "conv": {"r": 1, "k": 3, "s": 1, "c": None, "g": 1, "a": "relu"},
    "maxpool": {"k": 3, "s": 2},
    "basic": {"r": 1, "k": 3, "s": 1, "c": None, "se": 0, "a": "relu"},
    "bottleneck": {"r": 1, "k": 3, "s": 1, "c": None, "g": 1, "w": 64, "se": 0, "a": "relu"},
    "mbconv": {"r": 1, "k": 3, "s": 1, "e": 6, "c": None, "se": 0, "a": "relu"},
}


def tidy(number: float) -> int | float:
    """An int where the number is whole, so that equal numbers are one value."""
    return int(number) if number == int(number) else number


def format_value(value: Value) -> str:
    """Shortest spelling, never with an exponent."""
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)


def closest(text: str, words: Iterable[str]) -> str:
    """The word that looks most like `text`."""
    return difflib.get_close_matches(text.lower(), list(words), 1, 0.0)[0]


def nearest_token(text: str, ops: Iterable[str]) -> str:
    """The token of one of the ops that looks most like `text`."""
    names = [name for name in TOKENS if any(name in BLOCKS[op] for op in ops)]
    rest = text.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    candidates = [name + token.nearest(rest) for name in names if not (token := TOKENS[name]).words]
    return closest(text, candidates + [f"a{word}" for word in ACTIVATIONS if "a" in names])
