"""What is installed, what is missing, and how to mend it. Works where TensorFlow is absent."""

import importlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ssl_keras.experiments.options import Doctor

GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table; ``remedy`` is empty when all is well, ``fatal`` when nothing can run without."""

    what: str
    found: str
    remedy: str = ""
    fatal: bool = False


def run(config: Doctor) -> None:
    """Prints the table.

    Raises:
        SystemExit: with status 1, when something is missing that every verb needs.
    """
    del config
    findings = [*_machine(), *packages(), *_devices(), *_data()]
    table = Table("", "found", "remedy", box=None, pad_edge=False)
    for finding in findings:
        style = "red" if finding.fatal else "yellow" if finding.remedy else ""
        table.add_row(*(escape(text) for text in (finding.what, finding.found, finding.remedy)), style=style)
    console = Console(highlight=False)
    console.print(table)
    if any(finding.fatal for finding in findings):
        raise SystemExit(1)
    console.print("\nready: ssl-keras demo")


def packages(distribution: str = "ssl_keras") -> list[Finding]:
    """Every requirement of a distribution against what is installed; TensorFlow comes under several names."""
    wanted = [Requirement(text) for text in importlib.metadata.requires(distribution) or []]
    findings = [_package(item) for item in wanted if item.marker is None]
    flavours = [item for item in wanted if item.name.startswith("tensorflow") and item.marker is not None]
    present = [item for item in flavours if _version(item.name)]
    findings += [_package(item) for item in present] or [
        Finding("tensorflow", "absent", 'pip install "ssl_keras[cpu]" (or [gpu], [tpu])', fatal=True)
    ]
    onnx = [item.name for item in wanted if item.marker is not None and item.marker.evaluate({"extra": "onnx"})]
    absent = [name for name in onnx if not _version(name)]
    remedy = 'to export ONNX: pip install "ssl_keras[onnx]"' if absent else ""
    return [*findings, Finding("onnx", f"{', '.join(absent)} absent" if absent else "present", remedy)]


def _package(wanted: Requirement) -> Finding:
    version = _version(wanted.name)
    if version is None:
        return Finding(wanted.name, "absent", f'pip install "{wanted.name}{wanted.specifier}"', fatal=True)
    if not wanted.specifier.contains(version, prereleases=True):
        return Finding(wanted.name, version, f'pip install "{wanted.name}{wanted.specifier}"')
    return Finding(wanted.name, version)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _machine() -> Iterable[Finding]:
    yield Finding("ssl_keras", _version("ssl_keras") or "not installed")
    yield Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    yield Finding("cpu", f"{os.cpu_count()} cores, {memory:.0f} GiB memory")


def _devices() -> Iterable[Finding]:
    try:
        tf = importlib.import_module("tensorflow")
        keras = importlib.import_module("keras")
    except ImportError as error:
        yield Finding("devices", f"unknown: {error}")
        return
    gpus = tf.config.list_physical_devices("GPU")
    yield Finding("gpu", ", ".join(device.name for device in gpus) or "none: learning runs on the CPU")
    backend = keras.backend.backend()
    remedy = "" if backend == "tensorflow" else "set KERAS_BACKEND=tensorflow"
    yield Finding("keras backend", backend, remedy, fatal=bool(remedy))


def _data() -> Iterable[Finding]:
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder:
        yield Finding("TFDS_DATA_DIR", "unset: TFDS sets are looked for in ~/tensorflow_datasets")
    elif not Path(folder).is_dir():
        yield Finding("TFDS_DATA_DIR", f"{folder} is no folder", "point it at prepared TFDS sets, or unset it")
    else:
        sets = sorted(item.name for item in Path(folder).iterdir() if item.is_dir() and not item.name.startswith("."))
        yield Finding("TFDS_DATA_DIR", f"{folder}: {', '.join(sets) or 'no sets'}")
