"""The folder that a run lives in: nothing half-written, one run in it, one process on it.

config.json · architecture.txt · encoder.keras · metrics.jsonl · results.json
checkpoint/ · tensorboard/ · pictures/ · report.html
"""

import contextlib
import fcntl
import json
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.config_files import from_dict, to_dict
from ssl_keras.experiments.settings import Pretrain

MAY_DIFFER = ("out", "data_dir", "compute", "monitor")
"""Fields that a continued run may change: where it runs and what is watched, not what is learned."""

PARTS = ("search", "tune", "sliced", "baselines")
"""Folders that a search or a tuning puts into the folder of its run, before the run itself."""


@contextlib.contextmanager
def own_place(path: Path, chief: bool) -> Iterator[Path]:
    """Where a process writes a run: in its folder; as a worker that is not the chief, in one that is thrown away."""
    if chief:
        yield path
    else:
        with tempfile.TemporaryDirectory() as nowhere:
            yield Path(nowhere) / path.name


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Tries to write where the folder is, or would be made; leaves nothing behind.

    Raises:
        OSError: It cannot be made or written, in one sentence.
    """
    path = Path(folder)
    existing = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
    if existing == path and path.is_file():  # what a verb that writes one file will replace
        existing = path.absolute().parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise OSError(f"cannot write in {path}: {error.strerror}; choose another folder with --out") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary neighbour of ``path``, file or folder, that takes its place when the block ends without error.

    The folder around it is made if absent. The temporary name keeps the suffix, because Keras chooses the format
    by it.
    """
    temporary = path.with_name(f".writing-{uuid.uuid4().hex}-{path.name}")
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes text whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


class RunFolder:
    """One run's folder, held by one process. A context manager: leaving it gives the folder back.

    Opening checks that the folder can be written, takes the lock, and compares ``config.json`` with the given
    config (or writes it), all before any work is done.

    Args:
        path: The folder, made if absent.
        config: The config as plain JSON types (``config_files.to_dict``).
        architecture: The canonical architecture string, or space.
        kind: Of the config.

    Raises:
        OSError: The folder cannot be written, or another process holds it.
        ConfigError: The folder holds a different run; the first differing field is named.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: Mapping[str, Any],
        architecture: str,
        kind: type[Pretrain] = Pretrain,
    ) -> None:
        self.path = Path(path)
        self.kind = kind
        self.config = dict(config)
        check_writable(self.path)
        _refuse_foreign(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = _take_lock(self.path)
        try:
            self._claim(architecture)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def close(self) -> None:
        """Gives the folder back."""
        self._lock.close()

    def _claim(self, architecture: str) -> None:
        path = self.path / "config.json"
        if path.is_file():
            refuse_unlike(path, self.config, self.kind)
            return
        write_text(self.path / "architecture.txt", architecture + "\n")
        write_json(path, self.config)


def same_or_new(path: Path, config: Mapping[str, Any], kind: type[Pretrain], may_differ: Sequence[str]) -> None:
    """Writes a config; where there is one, it shall be the same, but for what may differ.

    Args:
        path: Of the file, in a folder of its own.
        config: As plain JSON types.
        kind: Of the config.
        may_differ: Fields, or first parts of them; the file then has the new values.

    Raises:
        ConfigError: The first other field is named, or the folder holds other things.
    """
    if path.is_file():
        refuse_unlike(path, config, kind, may_differ)
    elif held := contents(path.parent):
        raise ConfigError(f"{path.parent} is not empty (it holds {held[0]}): choose another folder with --out")
    write_json(path, config)


def refuse_unlike(
    path: Path, config: Mapping[str, Any], kind: type[Pretrain], may_differ: Sequence[str] = MAY_DIFFER
) -> None:
    """Refuses a config other than the one in a file.

    Args:
        path: Of the file.
        config: As plain JSON types.
        kind: Of the config.
        may_differ: Fields, or first parts of them.

    Raises:
        ConfigError: The first other field is named.
    """
    _refuse_other_run(path.parent, _held(path, kind), config, may_differ)


def refuse_other(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Refuses a folder that holds other things than a run, or a run that differs in a wanted field.

    Args:
        folder: Of a run, or to be one.
        wanted: Fields of its config as plain JSON types.

    Raises:
        ConfigError: The first of those things is named.
    """
    _refuse_foreign(folder)
    if (folder / "config.json").is_file():
        held = _held(folder / "config.json", Pretrain)
        _refuse_other_run(folder, {name: value for name, value in held.items() if name in wanted}, wanted)


def contents(folder: Path) -> list[str]:
    """Names of what a folder holds, hidden files aside; none where it does not exist."""
    return sorted(item.name for item in folder.iterdir() if not item.name.startswith(".")) if folder.exists() else []


def _held(path: Path, kind: type[Pretrain]) -> dict[str, Any]:
    """The config in a file; options that did not exist when its run began have today's defaults."""
    return to_dict(from_dict(kind, json.loads(path.read_text())))


def _refuse_foreign(folder: Path) -> None:
    """A folder that holds other things than a run is left as it is."""
    held = [name for name in contents(folder) if name not in PARTS]
    if held and "config.json" not in held:
        raise ConfigError(f"{folder} is no run folder and not empty (it holds {held[0]}): choose another with --out")


def _take_lock(folder: Path) -> TextIO:
    """Holds ``.lock`` until the process ends, however it ends; the file says who holds it."""
    file = open(folder / ".lock", "a+", encoding="utf-8")  # noqa: SIM115 - held open, closed by the owner
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise OSError(f"{folder} is in use by {holder}: wait for it, or choose another folder with --out") from error
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


def _refuse_other_run(
    folder: Path, held: Mapping[str, Any], wanted: Mapping[str, Any], may_differ: Sequence[str] = MAY_DIFFER
) -> None:
    there, here = flat(held), flat(wanted)
    for key in [*here, *(key for key in there if key not in here)]:
        if not {key, key.split(".")[0]} & {*may_differ} and there.get(key) != here.get(key):
            raise ConfigError(
                f"{folder} holds a run with {key} = {there.get(key)!r}, not {here.get(key)!r}: "
                "choose another folder with --out, or remove this one"
            )


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level of dotted names."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found
