"""Encoders that others made, as models that take images in [0, 1] and give one vector each."""

import importlib
import inspect
import os
from typing import Any

import keras


def from_applications(name: str, input_shape: tuple[int, int, int], weights: str | None = "imagenet") -> keras.Model:
    """A network of ``keras.applications`` without its classifier: images (B, H, W, 3) in [0, 1] to (B, D).

    Args:
        name: As Keras spells it; ``ResNet50``, say.
        input_shape: (H, W, 3).
        weights: What Keras takes; ``imagenet`` is downloaded by Keras on first use, None draws them.

    Raises:
        ValueError: There is no such network.
    """
    networks = {
        key: value for key, value in vars(keras.applications).items() if inspect.isfunction(value) and key[0].isupper()
    }
    if name not in networks:
        raise ValueError(f"keras.applications has no network {name!r}; it has {', '.join(sorted(networks))}")
    images = keras.Input((None, None, input_shape[2]), name="images")
    network = networks[name](include_top=False, weights=weights, input_shape=input_shape, pooling="avg")
    return keras.Model(images, network(_preprocessing(name)(images * 255.0)), name=name.lower())


def _preprocessing(network: str) -> Any:
    """``preprocess_input`` of the module of keras.applications that offers a network."""
    modules = [module for module in vars(keras.applications).values() if inspect.ismodule(module)]
    offering = [module for module in modules if hasattr(module, network) and hasattr(module, "preprocess_input")]
    # MobileNetV3's module holds its preprocessing alone; it changes nothing, as the network rescales by itself.
    return offering[0].preprocess_input if offering else lambda images: images


def from_saved_model(path: str | os.PathLike[str], side: int) -> keras.Model:
    """A SavedModel that takes images (B, side, side, 3) in [0, 1] and gives (B, D), as ``ssl-keras export`` writes it.

    Raises:
        ValueError: It has neither an endpoint ``serve`` nor ``serving_default``, or does not take such images.
    """
    faults = []
    for endpoint in ("serve", "serving_default"):
        try:
            layer = keras.layers.TFSMLayer(os.fspath(path), call_endpoint=endpoint, trainable=False)
            images = keras.Input((side, side, 3), name="images")
            outputs = layer(images)
            return keras.Model(images, next(iter(outputs.values())) if isinstance(outputs, dict) else outputs)
        except (ValueError, TypeError, AttributeError, OSError) as error:
            faults.append(" ".join(str(error).split())[:160])
    raise ValueError(f"{os.fspath(path)} is no SavedModel of an encoder of {side} px images: {faults[0]}")


def from_preset(path: str | os.PathLike[str], side: int) -> keras.Model:
    """A backbone of keras-hub from a preset folder, or by a preset's name; feature maps are averaged.

    Raises:
        ValueError: keras-hub is not installed, or the preset is no image backbone.
    """
    try:
        hub = importlib.import_module("keras_hub")
    except ImportError as error:
        raise ValueError(f"{os.fspath(path)} is a keras-hub preset: pip install 'ssl_keras[hub]' ({error})") from error
    backbone = hub.models.Backbone.from_preset(os.fspath(path))
    images = keras.Input((side, side, 3), name="images")
    try:
        converter = hub.layers.ImageConverter.from_preset(os.fspath(path), image_size=(side, side))
        prepared = converter(images * 255.0)
    except (ValueError, FileNotFoundError):  # a preset without one takes images as they are
        prepared = images
    features = backbone(prepared)
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D()(features)
    return keras.Model(images, features, name=backbone.name)
