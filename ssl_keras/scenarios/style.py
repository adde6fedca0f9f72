"""What happens to an encoder's answers when the style of an image changes and its content stays.

The invariance term of ReLICv2 asks for the same answer under every augmentation, which stands for every style. Two
measurements of that, neither of which the augmentations make by themselves:

* `restyled`: a linear classifier of shape learns from scenes of some backgrounds, textures and colours, and is asked
  about the same objects in the other ones.
* `cue_conflict`: photographs whose texture was replaced by that of another class; are the neighbours those of the
  same shape?
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ssl_keras.data import shapes
from ssl_keras.data.sources import Source, open_source
from ssl_keras.learning.measures import Floats, Integers, knn_predictions
from ssl_keras.scenarios.features import RawPixels, extract
from ssl_keras.scenarios.linear import fit
from ssl_keras.scenarios.protocol import Labelled, Learned, Outcome
from ssl_keras.scenarios.results import bootstrap_by_class, bootstrap_mean

STYLE = ("background", "texture", "color")
"""Factors of `shapes` that are changed together. Light, blur, position and pose stay with the content."""
TRAIN, TEST = 4000, 4000
NEIGHBOURS = 20


@dataclass(frozen=True)
class Share:
    """A share of test images and its 95 % percentile bootstrap interval, in percent; a drop may be negative."""

    value: float
    low: float
    high: float


def scenes(split: str, count: int, unseen: bool, side: int) -> tuple[Source, dict[str, npt.NDArray[Any]]]:
    """Scenes with styles of one half of the classes of each style factor, and their factors.

    The content of image i is that of `shapes`, whichever half its style is from.

    Args:
        split: Of `shapes`.
        count: Images, the first of the split.
        unseen: Whether the styles are from the second half of the classes, which training scenes never have.
        side: In pixels.

    Returns:
        The images and the values (count,) of every factor.
    """
    scene = dict(shapes.factors(split, np.arange(count)))
    for name in STYLE:
        half = len(shapes.LABEL_SETS[name]) // 2
        scene[name] = scene[name] % half + half * unseen
    hues = shapes.factors(split, np.arange(shapes.SPLITS[split]))
    for color in np.unique(scene["color"]):
        # The hue goes with the colour class: take those of scenes that have it.
        rows = np.flatnonzero(scene["color"] == color)
        donors = hues["hue"][hues["color"] == color]
        scene["hue"][rows] = donors[np.arange(len(rows)) % len(donors)]
    images, _ = shapes.render(scene, side)
    return open_source(images), scene


def restyled(encoders: Mapping[str, keras.Model | RawPixels], side: int, seed: int = 0) -> dict[str, dict[str, Share]]:
    """Top-1 on shape in the styles of training and in others, and the drop from one to the other, by encoder.

    Args:
        encoders: By name.
        side: Of the images in pixels; they are rendered at what `shapes` can of it, and resized.
        seed: Of folds and resampling.
    """
    found = {}
    for name, encoder in encoders.items():
        same, other = (right for right, _ in _restyled(encoder, side, seed))
        found[name] = {
            "same style": share(same, seed),
            "other style": share(other, seed),
            "drop": share(same.astype(float) - other, seed),
        }
    return found


def restyling(train: Labelled, seed: int) -> Learned:
    """The protocol of `restyled`: "style, seen", "style, unseen", and the worst background's share in unseen styles.

    It makes its own scenes, of the splits of `shapes`; of the test images the encoder and the size are taken.
    """
    del train

    def answer(test: Labelled) -> list[Outcome]:
        (same, _), (other, backgrounds) = _restyled(test.images.encoder, test.images.image_size, seed)
        worst = bootstrap_by_class(other, backgrounds, seed, worst=True)
        return [
            Outcome("style, seen", same),
            Outcome("style, unseen", other),
            Outcome("style, unseen", None, "worst_group", worst),
        ]

    return answer


def _restyled(encoder: keras.Model | RawPixels, size: int, seed: int) -> list[tuple[npt.NDArray[np.bool_], Integers]]:
    """Right answers on shape, and backgrounds, in the styles of training and in others."""
    side = min(max(size, shapes.SIDES[0]), shapes.SIDES[1])
    images, factors = scenes("train", TRAIN, False, side)
    classifier = fit(extract(encoder, images, size), factors["shape"], seed)
    found = []
    for unseen in (False, True):
        images, factors = scenes("test", TEST, unseen, side)
        right = classifier.predict(extract(encoder, images, size)) == factors["shape"]
        found.append((np.asarray(right), np.asarray(factors["background"])))
    return found


def cues(train: Labelled, seed: int) -> Learned:
    """The protocol of `cue_conflict`, on the test images alone."""
    del train, seed

    def answer(test: Labelled) -> list[Outcome]:
        return [Outcome("shape against texture", _others_predict(test.features, test.labels, NEIGHBOURS))]

    return answer


def cue_conflict(
    encoders: Mapping[str, keras.Model | RawPixels], images: Source, side: int, k: int = NEIGHBOURS, seed: int = 0
) -> dict[str, Share]:
    """Top-1 on the shape class by the k nearest other images, by encoder.

    NOTE: the published measure counts decisions of a classifier of the 16 classes trained on ImageNet; with no such
    training set, neighbours among the images themselves are asked for their shape.

    Args:
        encoders: By name.
        images: The set, labelled by shape.
        side: Of the images in pixels.
        k: Neighbours.
        seed: Of resampling.
    """
    labels = images.labels("label")
    return {
        name: share(_others_predict(extract(encoder, images, side), labels, k), seed)
        for name, encoder in encoders.items()
    }


def share(hits: npt.NDArray[np.bool_] | Floats, seed: int) -> Share:
    """The mean of (n,) values in [-1, 1] with its interval, in percent; images are resampled."""
    return Share(*bootstrap_mean([np.asarray(hits, np.float64)[None]], seed))


def _others_predict(features: Floats, labels: Integers, k: int) -> npt.NDArray[np.bool_]:
    """Whether each image's neighbours, itself left out, vote for its class."""
    hits = np.zeros(len(labels), bool)
    for fold in range(10):
        # A tenth at a time asks the others, so that no image is its own neighbour.
        asked = np.arange(len(labels)) % 10 == fold
        classes = int(labels.max()) + 1
        predicted = knn_predictions(features[~asked], labels[~asked], features[asked], classes, (k,))[0]
        hits[asked] = predicted == labels[asked]
    return hits
