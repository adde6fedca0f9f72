"""Images to features: each image passes each encoder once, and the encoder is proved unchanged by it."""

import hashlib
from dataclasses import dataclass

import keras
import numpy as np

from ssl_keras.data.evaluation import evaluation_batches
from ssl_keras.data.sources import Source
from ssl_keras.learning.measures import Floats


@dataclass(frozen=True)
class RawPixels:
    """The yardstick without any learning: its features are the pixels of the resized image.

    Attributes:
        size: side in pixels; there are 3 · size² features.
    """

    size: int = 32


def extract(encoder: keras.Model | RawPixels, source: Source, size: int, batch_size: int = 256) -> Floats:
    """Features of all images of a source, in its order, in inference mode.

    Args:
        encoder: takes float images (b, size, size, 3) in [0, 1] and gives (b, d); or `RawPixels`, which
            resizes to
            its own size instead.
        source: of the images.
        size: side in pixels to which images are resized and cropped (`ssl_keras.data.evaluation`).
        batch_size: images per call of the encoder; the result does not depend on it.

    Returns:
        (n, d).

    Raises:
        ValueError: the encoder's output is not (b, d), or holds values that are not finite.
    """
    if isinstance(encoder, RawPixels):
        batches = evaluation_batches(source, encoder.size, batch_size).as_numpy_iterator()
        return np.concatenate([row["image"].reshape(len(row["image"]), -1) for row in batches])
    images = evaluation_batches(source, size, batch_size).map(lambda row: row["image"])
    features = np.asarray(encoder.predict(images, verbose=0))
    if features.ndim != 2:
        raise ValueError(
            f"Encoder '{encoder.name}' gives features of shape {features.shape[1:]} per image: a vector is needed, "
            "for example by global average pooling."
        )
    if not np.isfinite(features).all():
        raise ValueError(
            f"Encoder '{encoder.name}' gives features that are not finite on {source.name}: its training diverged."
        )
    return features.astype(np.float32, copy=False)


def weights_hash(encoder: keras.Model | RawPixels) -> str:
    """SHA-256, as hexadecimal digits, of every weight in order, BN statistics included; "" for `RawPixels`."""
    if isinstance(encoder, RawPixels):
        return ""
    digest = hashlib.sha256()
    for weight in encoder.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{weight.path}{value.shape}{value.dtype}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
