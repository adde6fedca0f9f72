"""``ssl-keras latency``: what the blocks of a space take on this machine, and how well they add up to networks."""

import json
import platform
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.architecture.grammar import Architecture, parse
from ssl_keras.architecture.latency import LatencyTable, blocks_of
from ssl_keras.architecture.layout import Block
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.export import litert_interpreter, write_litert
from ssl_keras.experiments.options import Latency
from ssl_keras.experiments.progress import CONSOLE, Counter
from ssl_keras.experiments.run_folder import check_writable, write_json
from ssl_keras.networks.blocks import BUILDERS, BlockBuilder
from ssl_keras.networks.encoder import build_encoder, normalization

Call = Callable[[], Any]

SECONDS, LEAST_CALLS = 0.15, 20
"""How long one model is called, at least. NOTE: our choice."""
INFO = Path("/proc/cpuinfo")
QUANTILE = 0.25
"""Of the times of calls: others on the machine make calls longer, never shorter. NOTE: our choice."""


def run(config: Latency) -> Path:
    """Writes the table, and prints how well it predicts networks drawn from the space.

    Raises:
        ArchitectureError: The space is malformed or does not fit the images.
        ConfigError: The file holds the table of another device.
        OSError: The file cannot be written.
    """
    path = Path(config.out)
    check_writable(path.parent)
    space, shape = parse(config.architecture), (config.image_size, config.image_size, 3)
    device = f"{config.device}, {_processor()}"
    held = _held(path, device)
    missing = {key: block for key, block in blocks_of(space, shape).items() if key not in held.blocks}
    nothing = seconds(_call(_nothing(shape), shape, config.device))
    blocks = dict(held.blocks)
    with Counter("blocks", len(missing)) as say:
        for done, (key, block) in enumerate(missing.items(), 1):
            blocks[key] = 1000 * max(0.0, _block_seconds(block, config.device))
            write_json(path, LatencyTable(device, 1000 * nothing, blocks).to_json())
            say(done)
    table = LatencyTable(device, 1000 * nothing, blocks)
    write_json(path, table.to_json())
    CONSOLE.print(f"wrote {path}: {len(blocks)} blocks, measured on {device}")
    if config.check:
        CONSOLE.print(str(check(table, space, config)))
    return path


def read_table(path: str) -> LatencyTable:
    """A table that `run` wrote.

    Raises:
        ConfigError: There is none.
    """
    if not Path(path).is_file():
        raise ConfigError(f"no table of latencies at {path}: make it with ssl-keras latency --out {path}")
    return LatencyTable(**json.loads(Path(path).read_text()))


def seconds(call: Call) -> float:
    """The lower quartile of a call's times, after a warm-up."""
    for _ in range(3):
        call()
    times: list[float] = []
    spent = 0.0
    while len(times) < LEAST_CALLS or spent < SECONDS:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
        spent += times[-1]
    return float(np.quantile(times, QUANTILE))


def _processor() -> str:
    """The processor and, for graph mode, the accelerators, in words."""
    model = re.search(r"model name\s*: (.+)", INFO.read_text()) if INFO.is_file() else None
    name = model[1] if model else platform.processor() or platform.machine()
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return ", ".join([name, *(str(details.get("device_name", "GPU")) for details in gpus), platform.node()])


def _held(path: Path, device: str) -> LatencyTable:
    """What the file holds already: a run that was interrupted, or another space, on the same device."""
    if not path.is_file():
        return LatencyTable(device, 0.0, {})
    table = read_table(str(path))
    if table.device != device:
        raise ConfigError(f"{path} holds latencies of {table.device}, not of {device}: choose another file with --out")
    return table


def _block_seconds(block: Block, device: str) -> float:
    """What a block adds: the time of a model of it alone, less that of a model which only passes the images on."""
    height, width = (side or 1 for side in block.in_size)
    shape = (height, width, block.in_filters)
    images = keras.Input(shape)
    model = keras.Model(images, BUILDERS[block.op](images, BlockBuilder(block, synchronized=False, seed=0)))
    taken = seconds(_call(model, shape, device))
    keras.backend.clear_session()
    return taken - _passing_seconds(shape, device)


@cache
def _passing_seconds(shape: tuple[int, int, int], device: str) -> float:
    images = keras.Input(shape)
    return seconds(_call(keras.Model(images, keras.layers.Activation("linear")(images)), shape, device))


def _nothing(shape: tuple[int, int, int]) -> keras.Model:
    """An encoder without blocks."""
    images = keras.Input(shape)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(normalization(shape[-1])(images)))


def _call(model: keras.Model, shape: tuple[int, int, int], device: str) -> Call:
    images = np.random.default_rng(0).random((1, *shape), np.float32)
    if device == "graph":
        traced = tf.function(lambda x: model(x, training=False)).get_concrete_function(tf.TensorSpec(images.shape))
        tensor = tf.constant(images)
        return lambda: traced(tensor)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        write_litert(model, shape, file, batch_size=1)
        interpreter = litert_interpreter(file, threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    return interpreter.invoke


@dataclass(frozen=True)
class Check:
    """Whole networks beside their predictions, and each beside itself.

    Attributes:
        errors: of each, |predicted / measured - 1|.
        repeats: of each, |measured again / measured - 1|.
    """

    errors: tuple[float, ...]
    repeats: tuple[float, ...]

    def __str__(self) -> str:
        """As a sentence."""
        return (
            f"predicted {len(self.errors)} networks drawn from the space with a median error of "
            f"{np.median(self.errors):.1%} (largest {max(self.errors):.1%}); the same network measured twice differs "
            f"by {np.median(self.repeats):.1%} (largest {max(self.repeats):.1%})"
        )


def check(table: LatencyTable, space: Architecture, config: Latency) -> Check:
    """Measures ``config.check`` networks drawn from a space, twice each."""
    shape = (config.image_size, config.image_size, 3)
    errors, repeats = [], []
    with Counter("networks", config.check) as say:
        for number in range(config.check):
            network = space.sample(config.seed + number) if space.is_space else space
            measured, again = milliseconds(network, shape, config.device, times=2)
            errors.append(abs(table.predict(network, shape) / measured - 1))
            repeats.append(abs(again / measured - 1))
            say(number + 1)
    return Check(tuple(errors), tuple(repeats))


def milliseconds(network: Architecture, shape: tuple[int, int, int], device: str, times: int = 1) -> list[float]:
    """What one image takes a whole network, measured some times."""
    call = _call(build_encoder(network, shape), shape, device)
    found = [1000 * seconds(call) for _ in range(times)]
    keras.backend.clear_session()
    return found
