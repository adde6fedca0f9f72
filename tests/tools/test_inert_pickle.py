"""The reader of released pickles: what it reads, and that nothing a file names is ever run."""

import collections
import os
import pickle
from pathlib import Path
from typing import Any

import inert_pickle
import numpy as np
import pytest

ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "big-endian": np.arange(3, dtype=">f4"),
    "float64": np.linspace(0, 1, 5),
    "int32 scalar array": np.array(7, np.int32),
    "bool": np.array([True, False]),
    "scalar": np.float32(0.5),
}


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def saved(folder: Path, value: Any, protocol: int = 2) -> Path:
    file = folder / "x.pkl"
    file.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
    return file


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_arrays_of_every_protocol(array: Any, protocol: int, tmp_path: Path) -> None:
    read = inert_pickle.read(saved(tmp_path, {"a": [array]}, protocol))["a"][0]
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype and read.shape == array.shape


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_and_containers(protocol: int, tmp_path: Path) -> None:
    value = {"step": 3, "rate": 0.5, "name": "é", "raw": b"\xff\x00", "empty": b"", "none": None, "t": (1, [2])}
    assert inert_pickle.read(saved(tmp_path, collections.OrderedDict(value), protocol)) == value


def _reconstruct_array() -> None:
    """Stands for JAX's, which pickles an array as a call of it with what NumPy would write."""


def FlatMapping() -> None:
    """Stands for Haiku's class, which pickles as a call of it with a dict."""


def test_jax_and_haiku_are_read_without_either(tmp_path: Path) -> None:
    function, arguments, state = ARRAYS["float32"].__reduce__()
    array = Calls(_reconstruct_array, function, arguments, state, {"weak_type": False})
    content = pickle.dumps(Calls(FlatMapping, {"m": {"w": array}}), 2)
    for here, there in ((FlatMapping, b"haiku._src.data_structures"), (_reconstruct_array, b"jax._src.array")):
        written = f"c{__name__}\n{here.__name__}".encode()
        assert written in content
        content = content.replace(written, b"c" + there + b"\n" + here.__name__.encode())
    np.testing.assert_array_equal(inert_pickle.read(saved(tmp_path, content))["m"]["w"], ARRAYS["float32"])


HOSTILE = {
    "os.system": lambda mark: pickle.dumps(Calls(os.system, f"touch {mark}"), 2),
    "eval": lambda mark: pickle.dumps(Calls(eval, f"open({str(mark)!r}, 'w')"), 4),
    "getattr": lambda mark: pickle.dumps(Calls(getattr, {}, "clear"), 2),
    "within the weights": lambda mark: pickle.dumps(
        {"experiment_state": {"online_params": {"w": Calls(os.system, f"touch {mark}")}}}
    ),
    "within an array of objects": lambda mark: pickle.dumps(
        np.array([Calls(os.system, f"touch {mark}")], dtype=object), 2
    ),
    "numpy.load": lambda mark: b"cnumpy\nload\n(S'" + str(mark).encode() + b"'\ntR.",
    "a dotted name": lambda mark: b"\x80\x04\x8c\x05numpy\x8c\x0bctypes.CDLL\x93.",
    "the table's own module": lambda mark: b"cinert_pickle\nread\n.",
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_pickle_is_refused_and_runs_nothing(make: Any, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    with pytest.raises(inert_pickle.PickleError, match=r"^x\.pkl (is refused.*names|holds an array of type 'O)"):
        inert_pickle.read(saved(tmp_path, make(mark)))
    assert not mark.exists()


def test_the_hostile_pickle_would_have_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    pickle.loads(HOSTILE["os.system"](mark))
    assert mark.exists()


def test_every_stand_in_is_ours_or_a_dict() -> None:
    for name, stand_in in inert_pickle.STAND_INS.items():
        assert stand_in is dict or stand_in.__module__ == "inert_pickle", name


STATES = {"byol.byol_experiment\n_ByolExperimentState": "class", "_codecs\nencode": "function"}


@pytest.mark.parametrize("name", STATES, ids=STATES.values())
def test_a_file_cannot_set_attributes_on_what_stands_in(name: str, tmp_path: Path) -> None:
    # GLOBAL, then BUILD with (None, {"_fields": ()}): pickle would set the attribute on the class itself.
    content = b"c" + name.encode() + b"\n(N}S'_fields'\n(tstb."
    with pytest.raises(inert_pickle.PickleError, match="sets _fields on what stands in"):
        inert_pickle.read(saved(tmp_path, content))
    assert len(inert_pickle.ByolState._fields) == 5


def test_what_is_nested_often_is_looked_at_once(tmp_path: Path) -> None:
    value: list[Any] = [1]
    for _ in range(60):
        value = [value, value]
    read = inert_pickle.read(saved(tmp_path, value))
    for _ in range(60):
        read = read[1]
    assert read == [1]


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(ARRAYS, 2)[:-20], b"cnumpy\ndtype\n(tR."])
def test_a_damaged_file_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(inert_pickle.PickleError, match=r"x\.pkl is no whole pickle"):
        inert_pickle.read(saved(tmp_path, content))


@pytest.mark.parametrize("kind", ["O", "V4", "f4,O", "U3", "m8"])
def test_only_arrays_of_numbers(kind: str, tmp_path: Path) -> None:
    with pytest.raises(inert_pickle.PickleError, match="plain numbers"):
        inert_pickle.read(saved(tmp_path, b"cnumpy\ndtype\n(S'" + kind.encode() + b"'\ntR."))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        inert_pickle.read(tmp_path / "none.pkl")
