"""Reads a pickle of arrays without running anything that it names.

Loading a pickle calls what the file names. Here a name is looked up in the table :data:`STAND_INS`, and what is
called is ours: plain containers, and arrays made from bytes. Nothing is imported for a file, so neither JAX nor Haiku
is needed, and a name outside the table ends the reading.
"""

import pickle
import re
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class PickleError(ValueError):
    """A pickle that is refused or cannot be read; the message is one sentence for the user."""


def read(path: str | PathLike[str]) -> Any:
    """What a pickle holds: numbers, texts, lists, tuples, dicts and NumPy arrays.

    Haiku's mappings become dicts, JAX's arrays NumPy's, the states of optimizers None.

    Raises:
        FileNotFoundError: There is no such file.
        PickleError: The file names something outside :data:`STAND_INS`, or is no whole pickle.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no checkpoint at {str(file)!r}: give the .pkl file that was released")
    try:
        with file.open("rb") as stream:
            return _plain(_Inert(stream).load(), {})
    except PickleError as error:
        raise PickleError(f"{file.name} {error}") from None
    except Exception as error:  # a damaged pickle fails in whatever way its bytes happen to mean
        raise PickleError(f"{file.name} is no whole pickle ({error}): download it again") from error


class _Inert(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in STAND_INS:
            raise PickleError(
                f"is refused, nothing of it was run: it names {full}, which is neither an array nor a container; if "
                "you trust it, load it where it was made and save it again as dicts of NumPy arrays"
            )
        return STAND_INS[full]


class _Fixed(type):
    """A file may set attributes on what it was given; not on these classes, which serve the next file too."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise PickleError(f"is refused: it sets {name} on what stands in for a class")


class _Function:
    """A function of ours, as nothing but a call: it has no attributes that a file could set."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise PickleError(f"is refused: it sets {name} on what stands in for a function")


class _Kind(metaclass=_Fixed):
    """numpy.dtype, of numbers only."""

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch("[fiub][1248]", code):
            raise PickleError(f"holds an array of type {code!r}: only arrays of plain numbers can be read")
        self.code, self.order = code, "="

    def __setstate__(self, state: Sequence[Any]) -> None:
        self.order = state[1]

    def dtype(self) -> np.dtype[Any]:
        return np.dtype({"<": "<", ">": ">"}.get(self.order, "=") + self.code)


class _Array(metaclass=_Fixed):
    """numpy.ndarray, made from the state that NumPy writes: (version, shape, type, column order, bytes)."""

    array: np.ndarray | None = None

    def __setstate__(self, state: Sequence[Any]) -> None:
        *_, shape, kind, columns_first, data = state
        self.array = np.frombuffer(data, kind.dtype()).reshape(shape, order="F" if columns_first else "C")


def _filled_later(*_: Any) -> _Array:
    return _Array()


def _of_state(state: Sequence[Any]) -> _Array:
    made = _Array()
    made.__setstate__(state)
    return made


def _of_buffer(data: bytes, kind: _Kind, shape: Sequence[int], order: str) -> _Array:
    return _of_state((shape, kind, order == "F", data))


def _scalar(kind: _Kind, data: bytes) -> _Array:
    return _of_state(((), kind, False, data))


def _of_jax(_function: Any, _arguments: Any, state: Sequence[Any], _aval: Any) -> _Array:
    return _of_state(state)


def _bytes(text: str = "", _encoding: str = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    return text.encode("latin1")


class _Ignored(metaclass=_Fixed):
    """Something that nobody will look at."""

    def __new__(cls, *_: Any) -> "_Ignored":
        return object.__new__(cls)


class _ByolFields(NamedTuple):
    online_params: Any
    target_params: Any
    online_state: Any
    target_state: Any
    opt_state: Any


class ByolState(_ByolFields, metaclass=_Fixed):
    """BYOL's state of an experiment, field by field."""


STAND_INS: dict[str, Any] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Kind,
    **{f"numpy.{core}.multiarray._reconstruct": _Function(_filled_later) for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _Function(_scalar) for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _Function(_of_buffer) for core in ("core", "_core")},
    "jax._src.array._reconstruct_array": _Function(_of_jax),
    "jax._src.device_array.reconstruct_device_array": _Function(_of_jax),
    **{f"haiku._src.data_structures.{name}": dict for name in ("FlatMapping", "FlatMap", "frozendict")},
    "collections.OrderedDict": dict,
    "_codecs.encode": _Function(_bytes),
    "__builtin__.bytes": _Function(_bytes),
    "byol.byol_experiment._ByolExperimentState": ByolState,
    "byol.utils.optimizers.AddWeightDecayState": _Ignored,
    "byol.utils.optimizers.ScaleByLarsState": _Ignored,
    **{f"optax._src.{name}": _Ignored for name in ("transform.ScaleState", "base.ScaleState", "base.EmptyState")},
}
"""What a pickle may name, and what it gets. NOTE: the names of BYOL and optax are remembered, not seen in a file."""


def _plain(value: Any, seen: dict[int, Any]) -> Any:
    """The same with NumPy arrays where stand-ins are; what occurs often is looked at once."""
    if id(value) not in seen:
        seen[id(value)] = _made_plain(value, seen)
    return seen[id(value)]


def _made_plain(value: Any, seen: dict[int, Any]) -> Any:
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, ByolState):
        return {name: _plain(entry, seen) for name, entry in zip(ByolState._fields, value, strict=True)}
    if isinstance(value, dict):
        return {key: _plain(entry, seen) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(entry, seen) for entry in value)
    return None if isinstance(value, _Ignored) else value
