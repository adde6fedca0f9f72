"""What losses over pairs of views share: their shapes, their unit vectors, the mean over pairs."""

from typing import Any

import keras
from keras import ops

Tensor = Any


def checked_views(loss: str, online: Tensor, target: Tensor, least: int = 2) -> tuple[int, int]:
    """The numbers of online views V and of large ones L.

    Args:
        loss: Name of the function, for the message.
        online: (V, b, P), the large views first.
        target: (L, B, P).
        least: Views that it takes to make a pair.

    Raises:
        ValueError: The shapes disagree, or there are fewer views.
    """
    views, large = online.shape[0], target.shape[0]
    if len(online.shape) != 3 or len(target.shape) != 3 or views < large or online.shape[2] != target.shape[2]:
        raise ValueError(
            f"{loss} needs online (V, b, P) and target (L, B, P) with V >= L, large views first; "
            f"got {tuple(online.shape)} and {tuple(target.shape)}"
        )
    if views < least:
        raise ValueError(f"{loss} has no pair of views left: give two views")
    return views, large


def unit_vectors(vectors: Tensor) -> Tensor:
    """Vectors (..., P) of length 1, in at least float32."""
    dtype = "float64" if keras.backend.standardize_dtype(vectors.dtype) == "float64" else "float32"
    return ops.normalize(ops.cast(vectors, dtype), axis=-1)


def mean_over_pairs(values: Tensor) -> Tensor:
    """The mean of (V, b, L) over images and the V L - L pairs of different views."""
    views, images, large = values.shape
    different = 1 - ops.eye(views, large, dtype=values.dtype)
    return ops.sum(values * different[:, None, :]) / (images * (views - 1) * large)
