"""An encoder in formats that other programs read, each checked against it."""

import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from rich.table import Table

from ssl_keras.experiments.encoders import image_shape, load_encoder
from ssl_keras.experiments.naming import encoder_file
from ssl_keras.experiments.options import Export
from ssl_keras.experiments.progress import CONSOLE
from ssl_keras.experiments.run_folder import check_writable, replacing
from ssl_keras.networks.batch_norm import of_standard_layers

Floats = npt.NDArray[np.float32]

CHECKED_IMAGES = 8


@dataclass(frozen=True)
class Exporter:
    """One format: its file, how it is written, and how embeddings come out of the file again.

    Attributes:
        file: Name in the export folder.
        write: From the plain functional model and (H, W, C) to the file.
        read: From the file and images (B, H, W, C) to embeddings (B, D).
        needs: Packages beyond those of ssl_keras.
    """

    file: str
    write: Callable[[keras.Model, tuple[int, int, int], Path], None]
    read: Callable[[Path, Floats], Floats]
    needs: tuple[str, ...] = ()


def run(config: Export) -> Path:
    """Writes the formats, and compares each one's embeddings of random images with the encoder's.

    Raises:
        FileNotFoundError: There is no such encoder.
        OSError: The folder cannot be written.
        ValueError: A format that was asked for cannot be written here, or one differs by more than the tolerance.
    """
    path = encoder_file(config.encoder)
    out = path.parent / "export" if config.out == "auto" else Path(config.out)
    wanted, skipped = choose_formats(config.formats)
    check_writable(out)
    encoder = load_encoder(config.encoder)
    shape = image_shape(encoder)
    images = np.random.default_rng(0).random((CHECKED_IMAGES, *shape), np.float32)
    expected = np.asarray(encoder(images, training=False))
    plain = keras.Model(encoder.inputs[0], encoder.outputs[0], name="encoder")
    table = Table("format", "file", "MB", "largest difference", title=f"{out} (tolerance {config.tolerance:g})")
    for name in wanted:
        exporter = EXPORTERS[name]
        with replacing(out / exporter.file) as temporary:
            exporter.write(plain, shape, temporary)
            difference = _difference(exporter.read(temporary, images), expected)
            if not difference <= config.tolerance:
                raise ValueError(
                    f"{name} is not written: its embeddings differ by {difference:.2g}, "
                    f"over the tolerance {config.tolerance:g}"
                )
        table.add_row(name, exporter.file, f"{_megabytes(out / exporter.file):.1f}", f"{difference:.1e}")
    CONSOLE.print(table)
    for sentence in skipped:
        CONSOLE.print(sentence, markup=False)
    return out


def choose_formats(asked: tuple[str, ...] | str) -> tuple[list[str], list[str]]:
    """The formats to write, and a sentence for each one left out.

    Raises:
        ValueError: A format was asked for by name whose packages are not installed.
    """
    missing = {
        name: absent
        for name, exporter in EXPORTERS.items()
        if (absent := [package for package in exporter.needs if importlib.util.find_spec(package) is None])
    }
    sentences = {
        name: f'{name} needs {" and ".join(absent)}: pip install "ssl_keras[{name}]"'
        for name, absent in missing.items()
    }
    if asked == "auto":
        return [name for name in EXPORTERS if name not in missing], [f"left out: {text}" for text in sentences.values()]
    for name in asked:
        if name in sentences:
            raise ValueError(sentences[name])
    return [name for name in EXPORTERS if name in asked], []


def _difference(got: Floats, expected: Floats) -> float:
    """The largest difference relative to the largest component; infinite when shapes differ."""
    if got.shape != expected.shape:
        return float("inf")
    return float(np.max(np.abs(got - expected)) / np.max(np.abs(expected)))


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    return sum(item.stat().st_size for item in files) / 1e6


def _write_keras(model: keras.Model, shape: tuple[int, int, int], path: Path) -> None:
    del shape
    of_standard_layers(model).save(path)


def _read_keras(path: Path, images: Floats) -> Floats:
    return np.asarray(keras.saving.load_model(path, compile=False)(images, training=False))


def _write_savedmodel(model: keras.Model, shape: tuple[int, int, int], path: Path) -> None:
    del shape
    model.export(path, format="tf_saved_model", verbose=False)


def _read_savedmodel(path: Path, images: Floats) -> Floats:
    # The module owns the variables: it has to outlive the call.
    module = tf.saved_model.load(os.fspath(path))
    return np.asarray(module.serve(images))


def write_litert(model: keras.Model, shape: tuple[int, int, int], path: Path, batch_size: int | None = None) -> None:
    """Exports a model of images (H, W, C) to LiteRT; a batch size of None stays free."""
    model.export(path, format="litert", verbose=False, input_signature=[_one_size(shape, batch_size)])


def litert_interpreter(path: Path, threads: int | None = None) -> Any:
    """What runs an exported file; None takes as many threads as LiteRT likes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
        return tf.lite.Interpreter(model_content=path.read_bytes(), num_threads=threads)


def _read_litert(path: Path, images: Floats) -> Floats:
    interpreter = litert_interpreter(path)
    taken = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(taken, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken, images)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def _write_onnx(model: keras.Model, shape: tuple[int, int, int], path: Path) -> None:
    # tf2onnx takes tensors from outside the graph for inputs; as arrays they become constants of it.
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        model.export(path, format="onnx", verbose=False, input_signature=[_one_size(shape)])


def _read_onnx(path: Path, images: Floats) -> Floats:
    onnxruntime = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])


def _one_size(shape: tuple[int, int, int], batch_size: int | None = None) -> keras.InputSpec:
    """Runtimes on devices want one image size; the batch may stay free."""
    return keras.InputSpec(shape=(batch_size, *shape), dtype="float32", name="images")


EXPORTERS = {
    "keras": Exporter("encoder_plain.keras", _write_keras, _read_keras),
    "savedmodel": Exporter("savedmodel", _write_savedmodel, _read_savedmodel),
    "litert": Exporter("encoder.tflite", write_litert, _read_litert),
    "onnx": Exporter("encoder.onnx", _write_onnx, _read_onnx, needs=("tf2onnx", "onnxruntime")),
}
