"""Loading what ssl_keras saved, without importing Keras before it is needed."""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

SERIALIZABLE = (
    "networks.encoder",
    "networks.heads",
    "networks.entangled",
    "networks.supernet",
    "learning.losses.relicv2",
    "learning.losses.nt_xent",
    "learning.losses.byol",
    "learning.optimizers",
    "learning.schedules",
    "learning.relicv2",
    "learning.supervised",
    "learning.search",
)
"""The modules whose classes appear in saved files."""


def load(path: str | os.PathLike[str]) -> Any:
    """Loads anything that ssl_keras saved as ``.keras``.

    Args:
        path: The file, or a run folder (its ``encoder.keras`` is taken).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a Keras model.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "encoder.keras"
    if not file.is_file():
        raise FileNotFoundError(
            f"no model at {str(file)!r}: give a .keras file or a run folder with encoder.keras in it"
        )
    register()
    import keras

    return keras.saving.load_model(file)


def register() -> None:
    """Makes our classes known to Keras."""
    for module in SERIALIZABLE:
        importlib.import_module(f"ssl_keras.{module}")


def register_with_keras() -> None:
    """Registers now if Keras is imported already, else as soon as it is.

    So ``keras.saving.load_model`` finds our classes after ``import ssl_keras``, whichever comes first, and
    ``import ssl_keras`` stays quick and works where Keras is absent.
    """
    if "keras" in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _AfterKeras())


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Wraps the loading of the package ``keras`` so that our registration follows it, once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("keras")
        if spec is not None and spec.loader is not None:
            spec.loader = _RegisteringLoader(spec.loader)
        return spec


class _RegisteringLoader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        register()
