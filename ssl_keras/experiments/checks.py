"""Checks of config values, with messages that name the field, the value and what it may be."""

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Iterable
from typing import Any, Literal, Union


class ConfigError(ValueError):
    """A config that cannot be: one sentence that says what is wrong and what would be right."""


def check_types(config: Any) -> None:
    """Compares every field of a dataclass with its annotation.

    Raises:
        ConfigError: A value is of another type, or not one of the listed words.
    """
    hints = typing.get_type_hints(type(config))
    for name, hint in hints.items():
        value = getattr(config, name)
        if not _conforms(value, hint):
            raise ConfigError(
                f"{_where(config, name)} is {value!r}: it must be {_describe(hint)}{_nearest(value, hint)}"
            )


def at_least(config: Any, **bounds: float) -> None:
    """Checks lower bounds by field name; "auto" and other words pass.

    Raises:
        ConfigError: A value lies below its bound.
    """
    for name, low in bounds.items():
        value = getattr(config, name)
        if not isinstance(value, str) and not value >= low:
            raise ConfigError(f"{_where(config, name)} is {value}: it must be at least {low:g}")


def within(config: Any, **bounds: tuple[float, float]) -> None:
    """Checks closed intervals by field name; "auto" and other words pass.

    Raises:
        ConfigError: A value lies outside its interval.
    """
    for name, (low, high) in bounds.items():
        value = getattr(config, name)
        if not isinstance(value, str) and not low <= value <= high:
            raise ConfigError(f"{_where(config, name)} is {value}: it must lie in [{low:g}, {high:g}]")


def nearest(word: str, valid: Iterable[str]) -> str:
    """A clause that helps: the nearest valid word when one is near, else all of them."""
    words = list(valid)
    if close := difflib.get_close_matches(word, words, n=1):
        return f"did you mean {close[0]!r}?"
    return f"valid are {', '.join(words)}"


def _where(config: Any, name: str) -> str:
    return f"{type(config).__name__}.{name}"


def _conforms(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in arguments
    if origin in (Union, types.UnionType):
        return any(_conforms(value, argument) for argument in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and all(_conforms(item, arguments[0]) for item in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _describe(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(repr(word) for word in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(argument) for argument in arguments)
    if origin is tuple:
        return f"a tuple, each {_describe(arguments[0])}"
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return f"a {hint.__name__}(...)"
    names = {int: "a whole number", float: "a number", str: "text", bool: "True or False", type(None): "None"}
    return names[hint]


def _nearest(value: Any, hint: Any) -> str:
    words = [word for word in _words(hint) if isinstance(word, str)]
    if not isinstance(value, str) or not (close := difflib.get_close_matches(value, words, n=1)):
        return ""
    return f" (did you mean {close[0]!r}?)"


def _words(hint: Any) -> Iterable[Any]:
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    return [word for argument in typing.get_args(hint) for word in _words(argument)]


UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}


def amount_of(name: str, value: float | str) -> float:
    """A count that may be written with a unit: 60M, 1.8G, 320k, or a plain number.

    Args:
        name: Of the field, for the message.
        value: As given.

    Raises:
        ConfigError: It is not such a count, or not above 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?(?:e\d+)?)\s*([kmg]?)", str(value).strip().lower())
    amount = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not 0 < amount < math.inf:
        raise ConfigError(f"{name} is {value!r}: it must be a number above 0, such as 60M, 1.8G or 2500000")
    return amount
