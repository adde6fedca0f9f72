"""Encoders that keras.applications ships, made to take images in [0, 1]."""

import inspect
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
