"""Names that people type, as things: architectures, saved encoders, run folders."""

import re
from collections.abc import Sequence
from pathlib import Path

from ssl_keras.architecture import families
from ssl_keras.architecture.grammar import Architecture, ArchitectureError, parse
from ssl_keras.architecture.spaces import SMALL_IMAGES
from ssl_keras.architecture.study import STUDIES
from ssl_keras.architecture.tokens import BLOCKS
from ssl_keras.experiments.checks import ConfigError, nearest

APPLICATIONS = "keras.applications:"
"""Before the name of a network that Keras ships."""
SAVED_MODEL, PRESET = "saved_model.pb", "metadata.json"
"""Files by which a folder is known for a SavedModel, or for a preset of keras-hub."""


def named_architecture(text: str, image_size: int) -> Architecture:
    """The architecture that a config or the shell means.

    The rule: what stands before an ``@`` is a family when ``families.names()`` lists it, and what stands after
    it is its width (``resnet18@0.25``); images up to 64 px then take the small-image stem. Anything else is a
    string of the grammar.

    Args:
        text: a family name, with or without a width, or a string of the grammar.
        image_size: side in pixels of the images that it is for.

    Raises:
        ArchitectureError: Neither a family nor a string; the nearest family is named when it looks like one.
    """
    name, at, width = text.strip().partition("@")
    if name in families.names():
        return families.get(name, width=_width(text, width) if at else 1, small_images=image_size <= SMALL_IMAGES)
    looks_like_a_name = "|" not in text and "{" not in text and name.split("_")[0] not in BLOCKS
    if at or looks_like_a_name:
        raise ArchitectureError(
            f"architecture {text!r} is no family ({nearest(name, families.names())}) and no string of the grammar, "
            'as "conv_c32 | basic_r2_c64"'
        )
    return parse(text)


def named_networks(items: Sequence[str]) -> dict[str, str | None]:
    """The networks among what a study is told that are no whole family: name to string, None for one of a family.

    Args:
        items: families, names, or NAME=STRING.

    Raises:
        ConfigError: Two have one name, or a name cannot be one of a file.
    """
    found: dict[str, str | None] = {}
    for item in items:
        name, is_named, text = (part.strip() for part in item.partition("="))
        if item in STUDIES:
            continue
        if name in found:
            raise ConfigError(f"two networks are called {name}: rename one of them")
        if not re.fullmatch(r"[\w.@+-]+", name):
            raise ConfigError(f"{name!r} cannot be the name of a network, which names a file: take letters and digits")
        found[name] = text if is_named else None
    return found


def run_name(data: str, architecture: str, seed: int, mode: str = "relicv2") -> str:
    """A folder name for a run, made of what tells runs apart: ``cifar10-resnet18@0.25-seed0``."""
    network = architecture if re.fullmatch(r"[\w@.]+", architecture) else "net"
    parts = [network, *([] if mode == "relicv2" else [mode]), f"seed{seed}"]
    return "-".join([data_name(data), *(_plain(part) for part in parts)])


def data_name(data: str) -> str:
    """A folder name for what belongs to a source of images: ``cifar10``."""
    return _plain(Path(data).name if Path(data).exists() else data.removeprefix("tfds:").split(":")[0])


def encoder_file(run_or_encoder: str) -> Path:
    """The ``.keras`` file that a run folder or a path means.

    Raises:
        FileNotFoundError: There is none, with what was looked for.
    """
    path = Path(run_or_encoder)
    if path.is_dir():
        if not (path / "encoder.keras").is_file():
            raise FileNotFoundError(
                f"{path} holds no encoder.keras: give the folder of a finished run, "
                "or give `ssl-keras pretrain` the same options again to finish it"
            )
        return path / "encoder.keras"
    if not path.is_file():
        raise FileNotFoundError(f"no encoder at {path}: give a run folder or a .keras file")
    if path.suffix != ".keras":
        raise FileNotFoundError(f"{path} is not a .keras file: give a run folder or a .keras file")
    return path


def place_of(name: str) -> Path:
    """The folder where what is found of an encoder goes: its run folder, or a new one beside it.

    Raises:
        FileNotFoundError: There is no such encoder.
    """
    if name.startswith(APPLICATIONS):
        return Path("runs") / f"{name.removeprefix(APPLICATIONS)}-evaluation"
    path = Path(name)
    if (path / SAVED_MODEL).is_file() or (path / PRESET).is_file():
        return path.with_name(f"{path.name}-evaluation")
    file = encoder_file(name)
    return file.parent if (file.parent / "config.json").is_file() else file.with_name(f"{file.stem}-evaluation")


def _plain(text: str) -> str:
    return re.sub(r"[^\w@.]+", "_", text).strip("_.")


def _width(text: str, width: str) -> float:
    try:
        return float(width)
    except ValueError:
        raise ArchitectureError(f"architecture {text!r}: the width after @ must be a number, not {width!r}") from None
