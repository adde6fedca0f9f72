"""The design's drawing of rooms and arrows, held against every file's imports."""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import ssl_keras

ROOT = Path(ssl_keras.__file__).parent

# Importer → imported, and no others.
ARROWS = {
    "architecture": set(),
    "data": set(),
    "networks": {"architecture"},
    "learning": {"networks", "data", "architecture"},
    "scenarios": {"learning", "networks", "data"},
    "tuning": {"scenarios", "learning", "networks", "data", "architecture"},
    "reports": {"architecture"},
    "experiments": {"reports", "tuning", "scenarios", "learning", "networks", "data", "architecture"},
    "cli": {"experiments", "reports", "architecture"},
}

# The package's own files find public names and saved classes for every room; they import none of them by name.
DOOR = {"__init__", "saving"}

# `sk.load` builds encoders and learners, so only a room above both may call it.
LOADERS = {"experiments"}

# Where TensorFlow may be named: elsewhere Keras, or plain Python.
TENSORFLOW = (
    "data/*",
    "networks/batch_norm.py",  # a kernel that Keras has no name for
    "networks/mixed_activation.py",  # a gradient of its own, by tape
    "experiments/devices.py",
    "learning/learner.py",
    "learning/relicv2.py",
    "learning/supervised.py",
    "learning/search*",
    "learning/hypergradient.py",
    "learning/monitors*",
    "learning/checkpoints.py",
    "learning/distribution.py",
    "experiments/export*",
    "experiments/doctor.py",
    "experiments/latency.py",
    "cli.py",  # starts it, so that its start-up messages do not bury ours
)

FILES = sorted(ROOT.rglob("*.py"))
NAMES = [str(file.relative_to(ROOT)) for file in FILES]


def room_of(file: Path) -> str:
    """The first folder below the package, or the name of a file that lies in the package itself."""
    return file.relative_to(ROOT).with_suffix("").parts[0]


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Full names of what is imported anywhere in a file, in functions and by `import_module` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
            yield from (f"{base}{node.module or ''}.{alias.name}".replace("..", ".") for alias in node.names)
        elif isinstance(node, ast.Call) and "import_module" in ast.dump(node.func) and node.args:
            yield _beginning(node.args[0])


def _beginning(expression: ast.expr) -> str:
    """The literal beginning of a text: all of it, or an f-string's up to the first brace."""
    if isinstance(expression, ast.JoinedStr):
        expression = expression.values[0]
    return str(expression.value) if isinstance(expression, ast.Constant) else "?"


def imports_of(file: Path) -> set[str]:
    package = ".".join(["ssl_keras", *file.relative_to(ROOT).parent.parts])
    return set(imports(ast.parse(file.read_text()), package))


def rooms_entered(file: Path) -> set[str]:
    """Rooms whose modules, or whose public names on the package, a file imports."""
    rooms = set()
    for name in imports_of(file):
        first, _, rest = name.partition(".")
        if first != "ssl_keras":
            continue
        word = rest.split(".")[0]
        if word in ssl_keras.PUBLIC and word not in ARROWS:
            word = ssl_keras.PUBLIC[word][0].split(".")[0]
        if word != "__version__":
            rooms.add(word)
    return rooms


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_imports_follow_the_arrows(file: Path) -> None:
    room = room_of(file)
    if room in DOOR:
        assert rooms_entered(file) <= {"", *DOOR}
        return
    assert room in ARROWS, f"{file} lies in no room; the design has {', '.join(ARROWS)}"
    allowed = ARROWS[room] | {room} | ({"saving"} if room in LOADERS else set())
    assert rooms_entered(file) <= allowed, f"{room} may import only {', '.join(sorted(allowed))}"


def test_the_arrows_are_one_way() -> None:
    """No room reaches itself by following arrows."""
    for start in ARROWS:
        reached, waiting = set(), list(ARROWS[start])
        while waiting:
            room = waiting.pop()
            if room not in reached:
                reached.add(room)
                waiting.extend(ARROWS[room])
        assert start not in reached


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_tensorflow_is_named_only_where_it_may_be(file: Path) -> None:
    named = {name.split(".")[0] for name in imports_of(file)} & {"tensorflow", "tf2onnx", "tensorflow_datasets"}
    place = file.relative_to(ROOT).as_posix()
    allowed = any(fnmatch(place, pattern) for pattern in TENSORFLOW)
    assert allowed or not named, f"{place} names {', '.join(sorted(named))}"


@pytest.mark.parametrize("file", [file for file in FILES if room_of(file) == "architecture"], ids=lambda f: f.name)
def test_architecture_is_plain_python(file: Path) -> None:
    foreign = {name.split(".")[0] for name in imports_of(file)} - set(sys.stdlib_module_names) - {"ssl_keras"}
    assert not foreign


@pytest.mark.parametrize("file", [file for file in FILES if room_of(file) == "data"], ids=lambda f: f.name)
def test_data_knows_no_keras(file: Path) -> None:
    assert not [name for name in imports_of(file) if name.split(".")[0] == "keras"]


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_only_distribution_names_a_strategy(file: Path) -> None:
    tree = ast.parse(file.read_text())
    words = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    words |= {name.rsplit(".", 1)[-1] for name in imports_of(file)}
    named = sorted(word for word in words if word.endswith("Strategy"))
    if file.relative_to(ROOT).as_posix() == "learning/distribution.py":
        assert named, "this test no longer finds the strategies it looks for"
    else:
        assert not named


# What the checks above must see; each is a line of a file in learning/.
@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import ssl_keras.reports.page", "ssl_keras.reports.page"),
        ("from ssl_keras.reports import page", "ssl_keras.reports.page"),
        ("from ssl_keras import parse", "ssl_keras.parse"),
        ("from .. import reports", "ssl_keras.reports"),
        ("from ..reports import page", "ssl_keras.reports.page"),
        ("from .learner import Learner", "ssl_keras.learning.learner.Learner"),
        ("def f():\n    import tensorflow as tf", "tensorflow"),
        ("importlib.import_module('ssl_keras.reports.page')", "ssl_keras.reports.page"),
        ("import_module(f'ssl_keras.reports.{name}')", "ssl_keras.reports."),
    ],
)
def test_every_way_to_import_is_seen(line: str, name: str) -> None:
    assert set(imports(ast.parse(line), "ssl_keras.learning")) == {name}


def test_every_package_is_in_the_metadata() -> None:
    """setup.cfg lists packages by hand, because configs/ stands outside; a forgotten one would miss in the wheel."""
    listed = (ROOT.parent / "setup.cfg").read_text().split("packages =")[1].split("#")[0].split()
    files = [*ROOT.rglob("__init__.py"), *(ROOT.parent / "configs").rglob("__init__.py")]
    places = [file.parent.relative_to(ROOT if ROOT in file.parents else ROOT.parent).parts for file in files]
    assert set(listed) == {".".join(("ssl_keras", *parts)) for parts in places}
