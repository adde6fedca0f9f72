"""Sources of images: one interface over TFDS sets, folders, arrays and the embedded sets."""

from ssl_keras.data.sources.base import Source, at_most, take
from ssl_keras.data.sources.opening import open_source

__all__ = ["Source", "at_most", "open_source", "take"]
