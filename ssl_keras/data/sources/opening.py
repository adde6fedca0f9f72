"""From a specification to a source."""

import os
from collections.abc import Callable, Mapping

import numpy as np

from ssl_keras.data.sources.base import Source, from_array
from ssl_keras.data.sources.dense import LAYOUTS, open_dense
from ssl_keras.data.sources.embedded import open_digits, open_shapes
from ssl_keras.data.sources.folder import open_folder
from ssl_keras.data.sources.tfds import open_tfds

EMBEDDED: Mapping[str, Callable[[str], Source]] = {"shapes": open_shapes, "digits": open_digits}
"""The sets that need no download, by the word their specification starts with."""


def open_source(
    spec: str | os.PathLike[str] | np.ndarray | Source,
    *,
    labels: np.ndarray | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Source:
    """The images that `spec` names.

    Args:
        spec: ``tfds:NAME[:SPLIT]``; ``shapes[@SIDE][:SPLIT]``; ``digits[:SPLIT]``; a folder of images (a folder
            called like one of these is named by a path: ``./digits``);
            ``SET:FOLDER``, a set of `LAYOUTS` and the folder in which its archives were unpacked;
            an array, uint8 or float in [0, 1], (n, height, width[, channels]);
            or a source, which is returned as it is.
        labels: integers (n,), for an array only.
        data_dir: where prepared TFDS sets are; else ``TFDS_DATA_DIR``, else the TFDS default.

    Raises:
        ValueError: the specification names nothing that can be read; the message says what to do.
        FileNotFoundError: it can only be meant as a folder, and there is none.
    """
    if isinstance(spec, np.ndarray):
        return from_array(spec, labels)
    if labels is not None:
        raise ValueError(f"labels were given for '{spec}'; they are for arrays only.")
    if isinstance(spec, Source):
        return spec
    text = os.fspath(spec)
    if text.startswith("tfds:"):
        return open_tfds(text, data_dir)
    word = text.partition(":")[0].partition("@")[0]
    if word in EMBEDDED and not isinstance(spec, os.PathLike):
        return EMBEDDED[word](text)
    if text.startswith(tuple(f"{name}:" for name in LAYOUTS)):
        return open_dense(text)
    try:
        return open_folder(text)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"'{text}' is neither an existing folder nor one of: tfds:NAME, {', '.join(EMBEDDED)}, "
            f"{', '.join(f'{name}:FOLDER' for name in LAYOUTS)}."
        ) from error
