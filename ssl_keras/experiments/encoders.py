"""Saved encoders, loaded."""

import keras

from ssl_keras.experiments.naming import encoder_file
from ssl_keras.saving import load

USUAL_SIDE = 224
"""Side for a model that was saved without one."""


def load_encoder(run_or_encoder: str) -> keras.Model:
    """The encoder of a run folder or a ``.keras`` file.

    Raises:
        FileNotFoundError: There is none.
        ValueError: The file is no encoder: its outputs are not vectors.
    """
    path = encoder_file(run_or_encoder)
    encoder = load(str(path))
    if not hasattr(encoder, "output_shape") or len(encoder.output_shape) != 2:
        raise ValueError(f"{path} is no encoder: images must become one vector each, not {encoder.output_shape}")
    return encoder


def image_shape(encoder: keras.Model) -> tuple[int, int, int]:
    """(H, W, C) of the images that an encoder was made for."""
    height, width, channels = getattr(encoder, "image_shape", encoder.input_shape[1:])
    return height or USUAL_SIDE, width or USUAL_SIDE, channels
