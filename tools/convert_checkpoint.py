"""Turns a released ReLICv2 or BYOL checkpoint, a pickle of Haiku's, into an encoder.

    python tools/convert_checkpoint.py relicv2_resnet50.pkl --out encoder.keras

The network is read off the weights; name it (``resnet50``, ``resnet200@2``) to have it checked. Of the file the online
encoder is taken; target, heads and optimizer are left out. Needs neither JAX nor Haiku, and runs nothing that the
file names (``inert_pickle.py``). ``prove_conversion.py`` compares the result with Haiku's own networks.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import inert_pickle
import numpy as np

import ssl_keras as sk
from ssl_keras.architecture import families
from ssl_keras.architecture.grammar import SEPARATOR, Architecture, parse
from ssl_keras.architecture.layout import Block, layout
from ssl_keras.experiments.naming import named_architecture

SIDE = 224
BETWEEN = "/~/"
"""What Haiku writes between a module and one that its constructor made."""
STEM = "initial_conv"
CONVOLUTION = {"kernel": "w"}
NORM = {"gamma": "scale", "beta": "offset", "moving_mean": "mean_ema/average", "moving_variance": "var_ema/average"}
"""Keras's variables of a layer, and Haiku's. NOTE: ``average`` is free of the bias towards zero, ``hidden`` is not."""

Weights = Mapping[str, np.ndarray]


class CheckpointError(ValueError):
    """A checkpoint that does not hold the network; the message is one sentence for the user."""


def convert(path: str | PathLike[str], network: str | None = None) -> Any:
    """The encoder that a checkpoint holds.

    Args:
        path: The released pickle.
        network: A family with or without a width (``resnet50@2``), or a string of the grammar; None reads it off the
            weights.

    Raises:
        FileNotFoundError: There is no such file.
        inert_pickle.PickleError: The file is refused or damaged.
        CheckpointError: It holds no ResNet, or another one.
        ssl_keras.ArchitectureError: ``network`` is no architecture.
    """
    architecture = None if network is None else named_architecture(network, SIDE)
    weights = read_weights(path)
    held = deduce(weights)
    encoder = sk.build_encoder(architecture or held, (SIDE, SIDE, 3))
    variables = haiku_names(encoder)
    wrong = _differences({name: tuple(variable.shape) for name, variable in variables.items()}, weights)
    if wrong:
        hint = "" if architecture in (None, held) else f"; its blocks are those of {spelled(held)}"
        raise CheckpointError(f"{Path(path).name} does not hold {network or spelled(held)}: {wrong}{hint}")
    for name, variable in variables.items():
        variable.assign(weights[name].astype("float32"))
    return encoder


def read_weights(path: str | PathLike[str]) -> Weights:
    """The online ResNet's weights and BN averages by Haiku's names, such as "block_group_0/block_0/conv_0/w".

    A leading device axis is cut to its first entry, as the released evaluation does; BN vectors are (C,).

    Raises:
        As :func:`convert`.
    """
    file, document = Path(path).name, inert_pickle.read(path)
    experiment = _entry(document, "experiment_state", file)
    modules = _entry(experiment, "online_params", file) | _entry(experiment, "online_state", file)
    stems = [name for name in modules if name.endswith(BETWEEN + STEM)]
    if len(stems) != 1:
        raise CheckpointError(
            f"{file} holds {len(stems)} ResNets, not one: its modules are {_some(modules)}, and one must end in {STEM}"
        )
    beginning = stems[0].removesuffix(STEM)
    devices = np.ndim(modules[stems[0]]["w"]) - 4
    weights = {}
    for module, arrays in modules.items():
        below = module.removeprefix(beginning)
        if below != module and below != "logits":
            for key, array in arrays.items():
                weights[f"{below.replace(BETWEEN, '/')}/{key}"] = array[0] if devices else array
    return {
        name: array if name.endswith("/w") else array.reshape(-1)
        for name, array in weights.items()
        if not name.endswith(("/hidden", "/counter"))
    }


def deduce(weights: Weights) -> Architecture:
    """The architecture with the stem's, the blocks' and the widths' numbers of these weights, strides as in a ResNet.

    Raises:
        CheckpointError: There are no blocks.
    """
    depths: dict[int, int] = {}
    for name in weights:
        if found := re.match(r"block_group_(\d+)/block_(\d+)/", name):
            group, block = int(found[1]), int(found[2])
            depths[group] = max(depths.get(group, 0), block + 1)
    first = "block_group_{}/block_0/conv_{}/w"
    last = 2 if first.format(0, 2) in weights else 1
    if not depths or any(first.format(group, last) not in weights for group in depths):
        raise CheckpointError(f"the file's network is no ResNet, its blocks have no convolutions: {_some(weights)}")
    kernel, *_, filters = weights[f"{STEM}/w"].shape
    stages = [f"conv_k{kernel}_s2_c{filters}", "maxpool"]
    for group, depth in sorted(depths.items()):
        filters = weights[first.format(group, last)].shape[-1]
        stages.append(f"{'basic' if last == 1 else 'bottleneck'}_r{depth}_s{2 if group else 1}_c{filters}")
    return parse(SEPARATOR.join(stages))


def haiku_names(encoder: Any) -> dict[str, Any]:
    """Haiku's name of each of an encoder's variables, and the variable."""
    names = {}
    for block in layout(encoder.architecture, (SIDE, SIDE, 3)):
        for ours, theirs in _layers(block):
            layer = encoder.get_layer(f"{block.name}_{ours}")
            for attribute, key in (NORM if ours.endswith("_bn") else CONVOLUTION).items():
                names[f"{theirs}/{key}"] = getattr(layer, attribute)
    return names


def _layers(block: Block) -> Iterator[tuple[str, str]]:
    """Names of a block's layers: within our block, and Haiku's."""
    if block.op == "conv":
        yield from (("conv", STEM), ("conv_bn", "initial_batchnorm"))
    if block.op in ("basic", "bottleneck"):
        home = f"block_group_{block.stage - 2}/block_{block.repeat}/"  # the stem is two stages
        for index in range(2 if block.op == "basic" else 3):
            yield f"conv{index + 1}", f"{home}conv_{index}"
            yield f"conv{index + 1}_bn", f"{home}batchnorm_{index}"
        if block.shortcut == "projection":
            yield from (("shortcut", f"{home}shortcut_conv"), ("shortcut_bn", f"{home}shortcut_batchnorm"))


def spelled(architecture: Architecture) -> str:
    """The name as the shell takes it, else the string."""
    name = families.name_of(architecture)
    return str(architecture) if name.startswith("net-") else name.replace("-x", "@")


def _differences(wanted: Mapping[str, tuple[int, ...]], weights: Weights) -> str:
    """What is missing, left over, or of another shape; nothing when the weights fit."""
    shapes = [
        f"{name} {weights[name].shape} in place of {shape}"
        for name, shape in wanted.items()
        if name in weights and weights[name].shape != shape
    ]
    found = {
        "missing": [name for name in wanted if name not in weights],
        "left over": [name for name in weights if name not in wanted],
        "of another shape": shapes,
    }
    return "; ".join(f"{what} {_some(names)}" for what, names in found.items() if names)


def _some(names: Any, most: int = 3) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _entry(document: Any, key: str, file: str) -> Any:
    if not isinstance(document, dict) or not isinstance(document.get(key), dict):
        found = _some(map(str, document)) if isinstance(document, dict) else type(document).__name__
        raise CheckpointError(f"{file} is no released checkpoint: {key} is missing, there is {found}")
    return document[key]


def main() -> None:
    """Converts one file, and says what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="the released .pkl file")
    parser.add_argument("network", nargs="?", help="resnet50, resnet50@2, ...; read off the weights when left out")
    parser.add_argument("--out", type=Path, help="the .keras file to write; beside the checkpoint when left out")
    arguments = parser.parse_args()
    out = arguments.out or Path(arguments.checkpoint).with_suffix(".keras")
    if out.suffix != ".keras":
        parser.error(f"--out {out} must end in .keras")
    try:
        encoder = convert(arguments.checkpoint, arguments.network)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    out.parent.mkdir(parents=True, exist_ok=True)
    encoder.save(out)
    size, params = encoder.embedding_size, sk.cost(encoder.architecture, (SIDE, SIDE, 3)).params
    print(f"{out}: {spelled(encoder.architecture)}, {params / 1e6:.1f} M parameters, embeddings of {size}")


if __name__ == "__main__":
    main()
