"""Configs in files: shipped ones by name, Python files, and the JSON that a run folder holds."""

import dataclasses
import importlib.resources
import json
import re
import runpy
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ssl_keras.experiments import settings
from ssl_keras.experiments.checks import ConfigError, nearest
from ssl_keras.experiments.settings import Pretrain

Config = TypeVar("Config")


def shipped(kind: type[Pretrain] | None = None) -> dict[str, str]:
    """The experiments that ship with ssl_keras, of one kind or of all: name to the first line of its docstring."""
    folder = importlib.resources.files("ssl_keras.configs")
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".py") and item.name != "__init__.py")
    with importlib.resources.as_file(folder) as files:
        chosen = [name for name in names if kind in (None, type(runpy.run_path(str(files / name))["config"]))]
    return {name.removesuffix(".py"): _first_line((folder / name).read_text()) for name in chosen}


def load_config(name_or_path: str, kind: type[Pretrain] = Pretrain) -> Any:
    """The config of a shipped experiment, a Python file that sets ``config``, or a ``config.json``.

    Args:
        name_or_path: What a user types.
        kind: Of the config: what `Pretrain` is to ``ssl-keras pretrain``.

    Raises:
        ConfigError: Nothing of that name, or the file does not give a config; a key that does not exist is
            reported with the nearest one that does.
    """
    path = Path(name_or_path)
    if path.suffix == ".json":
        return from_dict(kind, _read_json(path))
    if path.suffix == ".py":
        return _run_file(path, kind)
    if name_or_path in (names := shipped()):
        with importlib.resources.as_file(importlib.resources.files("ssl_keras.configs")) as folder:
            return _run_file(folder / f"{name_or_path}.py", kind)
    raise ConfigError(
        f"no experiment is called {name_or_path!r} ({nearest(name_or_path, names)}); "
        "a file of your own ends in .py or .json, and a data source goes after --data"
    )


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain JSON types: nested groups become objects, tuples become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


def from_dict(kind: type[Config], values: Mapping[str, Any], where: str = "") -> Config:
    """The inverse of :func:`to_dict`; keys that are absent keep their defaults.

    Raises:
        ConfigError: A key that ``kind`` does not have, or a value that it does not take.
    """
    hints = typing.get_type_hints(kind)
    arguments = {}
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"unknown key {where}{key}: {nearest(key, hints)}")
        if dataclasses.is_dataclass(hints[key]) and isinstance(value, Mapping):
            arguments[key] = from_dict(typing.cast(type[Any], hints[key]), value, f"{where}{key}.")
        else:
            arguments[key] = tuple(value) if isinstance(value, list) else value
    return kind(**arguments)


def _run_file(path: Path, kind: type[Pretrain]) -> Pretrain:
    if not path.is_file():
        raise ConfigError(f"no config file at {path}; shipped experiments: {', '.join(shipped())}")
    try:
        config = runpy.run_path(str(path)).get("config")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except TypeError as error:
        raise ConfigError(f"{path}: {_explain(error)}") from error
    except Exception as error:
        raise ConfigError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    if type(config) is not kind:
        raise ConfigError(
            f"{path} must set `config = {kind.__name__}(...)`, from ssl_keras.experiments.settings; "
            f"it gives {_kind_of(config)}"
        )
    return config


def _kind_of(config: Any) -> str:
    """What a file set instead: its kind, and the verb that takes it."""
    if isinstance(config, Pretrain):
        return f"a {type(config).__name__}, which is for ssl-keras {type(config).__name__.lower()}"
    return repr(config)


def _explain(error: TypeError) -> str:
    """Python's message on an unknown keyword argument, with the nearest field."""
    found = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    kind = getattr(settings, found[1], None) if found else None
    if found is None or not dataclasses.is_dataclass(kind):
        return str(error)
    return f"unknown key {found[2]} in {found[1]}: {nearest(found[2], [f.name for f in dataclasses.fields(kind)])}"


def _read_json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise ConfigError(f"no config file at {path}")
    try:
        values = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold an object of config keys, not a {type(values).__name__}")
    return values


def _first_line(source: str) -> str:
    return source.lstrip().removeprefix('"""').split("\n")[0].removesuffix('"""').rstrip(".")
