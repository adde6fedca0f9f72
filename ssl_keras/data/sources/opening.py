"""From a specification to a source."""

import os

import numpy as np

from ssl_keras.data.sources.base import Source, from_array
from ssl_keras.data.sources.tfds import open_tfds


def open_source(
    spec: str | os.PathLike[str] | np.ndarray | Source,
    *,
    labels: np.ndarray | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Source:
    """The images that `spec` names.

    Args:
        spec: ``tfds:NAME[:SPLIT]``; an array, uint8 or float in [0, 1], (n, height, width[, channels]);
            or a source, which is returned as it is.
        labels: integers (n,), for an array only.
        data_dir: where prepared TFDS sets are; else ``TFDS_DATA_DIR``, else the TFDS default.

    Raises:
        ValueError: the specification names nothing that can be read; the message says what to do.
    """
    if isinstance(spec, np.ndarray):
        return from_array(spec, labels)
    if labels is not None:
        raise ValueError(f"labels were given for '{spec}'; they are for arrays only.")
    if isinstance(spec, Source):
        return spec
    text = os.fspath(spec)
    return open_tfds(text, data_dir)
