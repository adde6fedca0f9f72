"""Fresh BN statistics for an encoder whose weights were set without training on the images at hand."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import layers


def recalibrate(encoder: keras.Model, batches: Iterable[Any]) -> None:
    """Sets the moving mean and variance of every BN layer to their mean over batches of images, in place.

    Args:
        encoder: Any Keras model; nested models count.
        batches: Images (B, H, W, C), floats in [0, 1]; weights other than the statistics do not change.

    Raises:
        ValueError: There was no batch.
    """
    normalisations = [layer for layer in encoder._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    variables = [variable for layer in normalisations for variable in (layer.moving_mean, layer.moving_variance)]
    shares = [1 - layer.momentum for layer in normalisations for _ in range(2)]
    totals = [np.zeros(variable.shape) for variable in variables]
    count = 0
    for images in batches:
        for variable in variables:
            variable.assign(np.zeros(variable.shape))
        encoder(images, training=True)
        for total, variable, share in zip(totals, variables, shares, strict=True):
            # From 0, one update leaves (1 - momentum) of the batch's own moment.
            total += keras.ops.convert_to_numpy(variable) / share
        count += 1
    if not count:
        raise ValueError("BN statistics need at least one batch of images: the source gave none")
    for total, variable in zip(totals, variables, strict=True):
        variable.assign(total / count)
