"""A small network that corrects the noisy maps of a detector: it sees the image and the map, and gives a better map.

The maps come from `ssl_keras.data.saliency`, so neither a human mask nor a pre-trained weight is behind it. What the
detector finds in easy images is taught on hard views of them (`ssl_keras.learning.mask_views`), with what it finds
there as input: the network learns where it errs (Nguyen et al., "DeepUSPS", 2019, refine such maps too, by networks
that see the image alone; ReLICv2 takes its masks from them). NOTE: this way of refining, the network and its schedule
are our choice, sized for minutes on one core. Measured: on ECSSD, fused with the learning-free maps, max-F is the same
(0.730, not 0.731; interval of the change -0.003 to 0.002), mean absolute error falls from 0.223 to 0.197 and IoU rises
from 0.551 to 0.558 (one network, 6000 other images, six passes), so `ssl-keras masks` leaves it out unless asked.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from PIL import Image

from ssl_keras.data.saliency import fused
from ssl_keras.learning.mask_measures import BETA_SQUARED

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

SIDE = 64
"""Side in pixels of the squares that images are squeezed to."""
WIDTHS = (16, 32, 48, 64)
"""Channels at 1/2, 1/4, 1/8 and 1/16 of the side."""
PASSES = 6
"""Passes over the views."""
BATCH = 32
RATE = 2e-3
"""Highest learning rate, of Adam; it falls to 0 by a cosine."""


def build_mask_network(seed: int = 0) -> keras.Model:
    """A fully convolutional network, an encoder and a decoder with sums across; about 15 M MACs an image.

    Args:
        seed: Of the initial weights.

    Returns:
        Images and maps (b, SIDE, SIDE, 3 + 1) in [0, 1] to logits of saliency (b, SIDE, SIDE).
    """
    seeds = iter(range(1000 * seed, 1000 * (seed + 1)))

    def convolve(x: Any, width: int, stride: int = 1, size: int = 3) -> Any:
        initial = keras.initializers.HeNormal(seed=next(seeds))
        x = keras.layers.Conv2D(width, size, stride, "same", use_bias=False, kernel_initializer=initial)(x)
        return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.95)(x))

    given = keras.Input((SIDE, SIDE, 4))
    x = scaled = keras.layers.Rescaling(4.0, -2.0)(given)
    levels = []
    for number, width in enumerate(WIDTHS):
        x = convolve(x, width, 2)
        x = convolve(x, width) if number else x
        levels.append(x)
    # What the whole image is like, since an object is what differs from it.
    whole = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Add()([x, convolve(whole, WIDTHS[-1], size=1)])
    for width, level in zip(WIDTHS[-2::-1], levels[-2::-1], strict=True):
        x = keras.layers.UpSampling2D(interpolation="bilinear")(convolve(x, width, size=1))
        x = convolve(keras.layers.Add()([x, convolve(level, width, size=1)]), width)
    x = keras.layers.UpSampling2D(interpolation="bilinear")(convolve(x, 8, size=1))
    # The input once more, for edges that half of the side cannot hold.
    x = keras.layers.Concatenate()([x, scaled])
    x = keras.layers.Conv2D(1, 3, padding="same", kernel_initializer=keras.initializers.HeNormal(seed=next(seeds)))(x)
    return keras.Model(given, keras.layers.Reshape((SIDE, SIDE))(x), name="mask_network")


def learn_masks(
    views: Pixels, maps: Pixels, targets: Pixels, *, seed: int = 0, say: Callable[[int], None]
) -> keras.Model:
    """Trains a mask network.

    Args:
        views: Images (n, SIDE, SIDE, 3).
        maps: What the detector finds in them, (n, SIDE, SIDE), 0..255.
        targets: What it should find, likewise.
        seed: Of weights, order and mirroring.
        say: Told after each of the `steps` how many are done.
    """
    network = build_mask_network(seed)
    total = steps(len(views))
    warmup = total // 20
    rate = keras.optimizers.schedules.CosineDecay(0.0, total - warmup, warmup_target=RATE, warmup_steps=warmup)
    network.compile(keras.optimizers.Adam(rate), mask_loss)
    generator = np.random.default_rng(seed)
    for done, rows in enumerate(_rows(generator, len(views)), start=1):
        given, truth = _together(views[rows], maps[rows]), targets[rows].astype(np.float32) / 255
        mirrored = generator.random(len(rows)) < 0.5
        given[mirrored], truth[mirrored] = given[mirrored, :, ::-1], truth[mirrored, :, ::-1]
        network.train_on_batch(given, truth)
        say(done)
    return network


def mask_loss(truth: Any, logits: Any) -> Any:
    """Cross-entropy of pixels plus 1 - F of images, so that small objects count as much as large ones.

    Args:
        truth: (b, h, w) in [0, 1].
        logits: (b, h, w).
    """
    each = ops.mean(ops.binary_crossentropy(truth, logits, from_logits=True), axis=(1, 2))
    found = ops.sigmoid(logits)
    hits, wanted, taken = (ops.sum(x, axis=(1, 2)) for x in (found * truth, truth, found))
    return each + 1 - (1 + BETA_SQUARED) * hits / (BETA_SQUARED * wanted + taken + 1e-3)


def steps(views: int) -> int:
    """Updates that `learn_masks` makes with so many views."""
    return PASSES * max(1, views // BATCH)


def predict_masks(network: keras.Model, images: Pixels, maps: Pixels) -> Pixels:
    """Better maps (n, SIDE, SIDE) of images (n, SIDE, SIDE, 3): the mean of what an image and its mirror give."""
    found = np.empty(maps.shape, np.uint8)
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        given = _together(images[part], maps[part])
        saliency = 1 / (1 + np.exp(-network.predict_on_batch(np.concatenate([given, given[:, :, ::-1]]))))
        mean = (saliency[: len(given)] + saliency[len(given) :, :, ::-1]) / 2
        found[part] = np.round(255 * mean)
    return found


def refined(network: keras.Model, images: Sequence[Pixels], maps: Sequence[Floats]) -> list[Floats]:
    """What a mask network makes of images and their maps, fused with these.

    Args:
        network: Of `learn_masks`.
        images: Each (H, W, 3), of any size.
        maps: Of the detector, for each image (H, W) in [0, 1].

    Returns:
        For each image (H, W) in [0, 1]; 0.5 divides it best.
    """
    squares = np.stack([squeeze(image) for image in images])
    found = predict_masks(network, squares, np.stack([squeeze(as_bytes(each)) for each in maps]))
    return [fused(_enlarged(own, each.shape), each) for own, each in zip(found, maps, strict=True)]


def squeeze(image: Pixels) -> Pixels:
    """An image (H, W, 3) or a map (H, W) as a square of `SIDE`."""
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def as_bytes(found: Floats) -> Pixels:
    """A map in [0, 1] in whole steps, 0..255."""
    return np.round(255 * found).astype(np.uint8)


def _enlarged(score: Pixels, size: tuple[int, ...]) -> Floats:
    """A map (h, w) in 0..255 as one (H, W) in [0, 1]."""
    height, width = size
    pixels = Image.fromarray(score).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(pixels, np.float32) / np.float32(255)


def _together(images: Pixels, maps: Pixels) -> Floats:
    """What the network is given, (b, SIDE, SIDE, 3 + 1) in [0, 1]."""
    return np.concatenate([images, maps[..., None]], axis=-1).astype(np.float32) / np.float32(255)


def _rows(generator: np.random.Generator, size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of each batch; every pass has its own order, and drops what does not fill a batch."""
    for _ in range(PASSES):
        order = generator.permutation(size)
        for start in range(0, max(1, size // BATCH) * BATCH, BATCH):
            yield order[start : start + BATCH]
