"""The protocol of dense prediction: which class is each pixel of? An FCN on the encoder's feature maps learns it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from ssl_keras.data.pixels import crop
from ssl_keras.data.sources import Source
from ssl_keras.data.sources.base import VOID, Segmentation
from ssl_keras.learning.measures import Integers
from ssl_keras.networks.heads import Segmenter, clone_with_weights
from ssl_keras.scenarios.protocol import Labelled, Learned, Outcome
from ssl_keras.scenarios.results import RESAMPLES, interval

MIOU = "miou"
STEPS, BATCH, RATE = 400, 16, 1e-2
SHARE = 0.5  # least side of a training crop, as a share of the image's short side
_Reals = npt.NDArray[np.float64]
_Singles = npt.NDArray[np.float32]


def segmentation(train: Labelled, seed: int, *, steps: int = STEPS) -> Learned:
    """Learns `Segmenter` heads on a fixed encoder and on a copy of it that learns too; judges both by mIoU.

    ReLICv2 (arXiv 2201.05119, section on semantic segmentation) and BYOL (arXiv 2006.07733, 4.3 and appendix E)
    fine-tune an FCN. NOTE: all of the budget is our choice, the same for both and for every encoder: 400 steps of 16
    crops, Adam with a learning rate that falls from 1e-2 to 0 along half a cosine, no weight decay, nothing tuned on
    held-out images. The papers' head is two 3x3 convolutions on dilated features; ours is `Segmenter`.

    Training crops are squares of `image_size` pixels. Test images are kept whole, as cutting off a street scene's
    sides would change the task: their short side is brought to `image_size`, and the scores are enlarged to the size
    of the labels, which are never resized. Images may vary in size, and are read as they are needed.

    Args:
        train: its images learn; the label set is not used, and images without a label in it count as well.
        seed: of the head's initial weights, of crops and of resampling.
        steps: of the optimizer.

    Returns:
        What judges test images: "segmentation, frozen", where the encoder's BN keeps its statistics, and
        "segmentation, fine-tuned". No outcome for an encoder without ``pyramid()``, `RawPixels` among them: it has
        no maps to stand on.

    Raises:
        ValueError: a source knows no pixel's class, or two do not know the same classes.
    """
    encoder, size = train.images.encoder, train.images.image_size
    known = _known(train.images.source)
    if not hasattr(encoder, "pyramid"):
        return lambda test: []
    crops = _Crops(train.images.source, known, size, seed)
    networks = {
        "segmentation, frozen": _learn(_Network(encoder, known.names, size, seed, frozen=True), crops, steps),
        "segmentation, fine-tuned": _learn(_Network(encoder, known.names, size, seed, frozen=False), crops, steps),
    }

    def judge(test: Labelled) -> list[Outcome]:
        source = test.images.source
        truth = _known(source)
        if truth.names != known.names:
            raise ValueError(f"{source.name} has the classes {truth.names}, learned were {known.names}: take one set.")
        chosen = {"steps": steps, "batch": BATCH, "rate": RATE}
        return [
            Outcome(name, None, MIOU, bootstrap_miou(_confusions(network, source, truth), seed), chosen)
            for name, network in networks.items()
        ]

    return judge


def mean_iou(confusion: npt.ArrayLike) -> _Reals:
    """Mean over the classes of intersection / union: TP / (TP + FP + FN) (Long et al., arXiv 1411.4038, section 5).

    Args:
        confusion: (.., classes, classes), pixels by true class (rows) and predicted class (columns).

    Returns:
        (..) in [0, 1]. A class that is neither true nor predicted anywhere does not count; nan where none counts.
    """
    confusion = np.asarray(confusion, np.float64)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    union = confusion.sum(-1) + confusion.sum(-2) - hits
    with np.errstate(invalid="ignore"):
        return (hits / np.maximum(union, 1)).sum(-1) / np.asarray((union > 0).sum(-1), np.float64)


def bootstrap_miou(confusions: Integers, seed: int) -> tuple[float, float, float]:
    """The mIoU of all images together, and its 95 % percentile bootstrap interval over images.

    NOTE: the interval is widened to hold the value where it would not, as with a class that few images show.

    Args:
        confusions: (n, classes, classes), one per image.
        seed: of the resampling.

    Returns:
        Value, low and high, in percent.

    Raises:
        ValueError: no pixel counts.
    """
    value = float(mean_iou(confusions.sum(0)))
    if np.isnan(value):
        raise ValueError(f"None of the {len(confusions)} test images has a pixel of a known class: all are void.")
    generator, n = np.random.default_rng(seed), len(confusions)
    flat = confusions.reshape(n, -1).astype(np.float64)
    draws = [np.bincount(generator.integers(n, size=n), minlength=n) @ flat for _ in range(RESAMPLES)]
    scores = mean_iou(np.reshape(draws, (RESAMPLES, *confusions.shape[1:])))
    return interval(value, scores[~np.isnan(scores)])  # a resample of images that are all void has no score


def confusion_of(truth: npt.NDArray[np.uint8], predicted: Integers, classes: int) -> Integers:
    """Pixels of each image by class, (n, classes, classes): true class in rows, predicted in columns; void left out.

    Args:
        truth: (n, height, width), class indices or `VOID`.
        predicted: (n, height, width), class indices.
        classes: how many there are.
    """
    pairs = classes * truth.astype(np.int64) + predicted
    counts = [np.bincount(pair[real != VOID], minlength=classes**2) for pair, real in zip(pairs, truth, strict=True)]
    return np.reshape(counts, (len(truth), classes, classes))


class _Network:
    """An FCN on a copy of an encoder: the same weights, seen through images of different sizes."""

    def __init__(self, encoder: keras.Model, names: tuple[str, ...], size: int, seed: int, *, frozen: bool) -> None:
        copy = clone_with_weights(encoder)
        copy.trainable = not frozen
        self._pyramid = copy.pyramid()
        self._head = Segmenter(len(names), seed=seed)
        self.size = size

    def learner(self) -> keras.Model:
        """Crops (b, size, size, 3) in [0, 1] to scores of their pixels (b, size, size, classes)."""
        images = keras.Input((self.size, self.size, 3))
        scores = ops.image.resize(self._head(self._pyramid(images)), (self.size, self.size), "bilinear")
        return keras.Model(images, scores, name="fcn")

    def scorer(self) -> Callable[[_Singles], keras.KerasTensor]:
        """Images (b, height, width, 3) in [0, 1] of any size to scores (b, h, w, classes) of the finest map.

        The encoder's graph is traced for all sizes at once. The head, whose graph could not be, runs without.
        """
        images = keras.Input((None, None, 3))
        pyramid = keras.Model(images, self._pyramid(images), name="maps")
        return lambda seen: self._head(pyramid.predict_on_batch(seen), training=False)


@dataclass(frozen=True)
class _Crops:
    """Training crops, a pure function of (seed, step, position in the batch).

    A crop is a square of U(0.5, 1) times the image's short side anywhere in it, brought to `size` (bicubic) and
    flipped with chance 1/2; its labels are those of the nearest pixels. NOTE: the papers scale by U(0.5, 2) and
    cut 513 pixels; a crop of ours is never larger than the image.
    """

    source: Source
    known: Segmentation
    size: int
    seed: int

    def batch(self, step: int) -> tuple[_Singles, npt.NDArray[np.uint8]]:
        """Images (b, size, size, 3) in [0, 1] and labels (b, size, size)."""
        drawn = np.random.default_rng((self.seed, step)).random((BATCH, 5))
        rows = (drawn[:, 0] * self.source.size).astype(np.int64)
        read = [_read(self.source, row) for row in rows]
        height, width = np.array([image.shape[:2] for image in read]).T
        side = (SHARE + (1 - SHARE) * drawn[:, 1]) * np.minimum(height, width)
        top, left = drawn[:, 2] * (height - side), drawn[:, 3] * (width - side)
        flip = np.round(drawn[:, 4])
        images = np.empty((BATCH, self.size, self.size, 3), np.float32)
        labels = np.empty((BATCH, self.size, self.size), np.uint8)
        for mine in _of_one_shape(read):
            boxes = (np.stack([top, left], 1)[mine], np.stack([side, side], 1)[mine], flip[mine])
            start, length, turned = (ops.convert_to_tensor(part[:, None], "float32") for part in boxes)
            planes = crop(ops.convert_to_tensor(np.stack([read[at] for at in mine])), start, length, turned, self.size)
            images[mine] = np.stack([plane[:, 0] for plane in planes], -1)
            truth = np.stack([self.known.read(rows[at]) for at in mine])
            labels[mine] = _nearest(truth, top[mine], left[mine], side[mine], flip[mine], self.size)
        return images, labels


def _nearest(
    labels: npt.NDArray[np.uint8], top: _Reals, left: _Reals, side: _Reals, flip: _Reals, size: int
) -> npt.NDArray[np.uint8]:
    """The pixels (b, size, size) of labels (b, h, w) nearest to the centres of those of a crop."""
    centres = (np.arange(size) + 0.5) / size
    across = np.where(flip[:, None] > 0, 1 - centres, centres)
    rows = (top[:, None] + centres * side[:, None]).astype(np.int64)
    columns = (left[:, None] + across * side[:, None]).astype(np.int64)
    return labels[np.arange(len(labels))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _learn(network: _Network, crops: _Crops, steps: int) -> _Network:
    """The network, having learned."""
    model = network.learner()
    schedule = keras.optimizers.schedules.CosineDecay(RATE, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=VOID)
    model.compile(keras.optimizers.Adam(schedule), loss)
    for step in range(steps):
        model.train_on_batch(*crops.batch(step))
    return network


def _confusions(network: _Network, source: Source, truth: Segmentation) -> Integers:
    """(n, classes, classes), image by image, in inference mode."""
    scorer, classes = network.scorer(), len(truth.names)
    found = np.empty((source.size, classes, classes), np.int64)
    for rows in np.split(np.arange(source.size), np.arange(BATCH, source.size, BATCH)):
        seen = [_brought(_read(source, row), network.size) for row in rows]
        for mine in _of_one_shape(seen):
            scores = scorer(np.stack([seen[at] for at in mine]))
            for row, score in zip(rows[mine], scores, strict=True):
                labels = truth.read(row)
                enlarged = ops.image.resize(score[None], labels.shape, "bilinear")
                predicted = np.argmax(ops.convert_to_numpy(enlarged), axis=-1)
                found[row] = confusion_of(labels[None], predicted, classes)[0]
    return found


def _brought(image: npt.NDArray[np.uint8], size: int) -> _Singles:
    """An image in [0, 1] whose short side is `size` pixels, whole."""
    sides = image.shape[:2]
    seen = tuple(round(side * size / min(sides)) for side in sides)
    scaled = ops.cast(ops.convert_to_tensor(image[None]), "float32") / 255.0
    if seen != sides:
        scaled = ops.clip(ops.image.resize(scaled, seen, "bicubic", antialias=True), 0.0, 1.0)
    return np.asarray(ops.convert_to_numpy(scaled)[0])


def _of_one_shape(arrays: Sequence[npt.NDArray[Any]]) -> list[Integers]:
    """Places of the arrays that can be stacked."""
    _, group = np.unique([array.shape for array in arrays], axis=0, return_inverse=True)
    return [np.flatnonzero(group == one) for one in range(group.max() + 1)]


def _read(source: Source, row: int) -> npt.NDArray[np.uint8]:
    """One image (height, width, 3)."""
    images = source.array()
    if images is not None:
        return images[row]
    return np.asarray(ops.convert_to_numpy(source.read(ops.convert_to_tensor(row, "int64"))))


def _known(source: Source) -> Segmentation:
    known = source.segmentation()
    if known is None:
        raise ValueError(
            f"{source.name} does not know the class of each pixel: segmentation needs a source that does, such as "
            "shapes, tfds:camvid or cityscapes:FOLDER."
        )
    return known
