"""Encoders by what people call them, loaded."""

from pathlib import Path

import keras

from ssl_keras.experiments.naming import APPLICATIONS, PRESET, SAVED_MODEL, encoder_file
from ssl_keras.networks.imported import from_applications, from_preset, from_saved_model
from ssl_keras.saving import load

USUAL_SIDE = 224
"""Side for a model that was saved without one."""


def load_encoder(name: str, side: int = USUAL_SIDE) -> keras.Model:
    """The encoder of a run folder, a ``.keras`` file, a SavedModel, a keras-hub preset folder, or keras.applications.

    Args:
        name: a path, or ``keras.applications:NAME``.
        side: of the images in pixels, for what comes without it.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is no encoder: its outputs are not vectors.
    """
    path = Path(name)
    if name.startswith(APPLICATIONS):
        return from_applications(name.removeprefix(APPLICATIONS), (side, side, 3))
    if (path / SAVED_MODEL).is_file():
        encoder = from_saved_model(path, side)
    elif (path / PRESET).is_file():
        encoder = from_preset(path, side)
    else:
        encoder = load(str(encoder_file(name)))
    if not hasattr(encoder, "output_shape") or len(encoder.output_shape) != 2:
        raise ValueError(f"{path} is no encoder: images must become one vector each, not {encoder.output_shape}")
    return encoder


def image_shape(encoder: keras.Model) -> tuple[int, int, int]:
    """(H, W, C) of the images that an encoder was made for."""
    height, width, channels = getattr(encoder, "image_shape", encoder.input_shape[1:])
    return height or USUAL_SIDE, width or USUAL_SIDE, channels
