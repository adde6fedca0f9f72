"""A small network that learns where objects are from noisy maps of them, and then from its own, cleaner output.

The maps come from `ssl_keras.data.saliency`, so neither a human mask nor a pre-trained weight is behind it. A network
too small to remember the maps' mistakes, which differ from image to image, learns what they have in common; its output
then takes part in the next round's targets (the idea of Nguyen et al., "DeepUSPS", 2019; ReLICv2 takes its masks from
such a procedure). NOTE: network, schedule and the mixing of targets are our choice, sized for minutes on one core.
Measured: on ECSSD the fusion is worse than the learning-free maps alone, by 0.005 in max-F (one network, 4000 images,
ten passes), so `ssl-keras masks` leaves it out unless asked.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from PIL import Image

from ssl_keras.data.saliency import fused, sharpened

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

SIDE = 64
"""Side in pixels of the squares that images are squeezed to."""
WIDTHS = (16, 32, 64, 96)
"""Channels at 1/2, 1/4, 1/8 and 1/16 of the side."""
PASSES = (4, 3, 3)
"""Passes over the images in each round."""
BATCH = 32
RATE = 2e-3
"""Highest learning rate, of Adam; it falls to 0 by a cosine."""


def build_mask_network(seed: int = 0) -> keras.Model:
    """A fully convolutional network, an encoder and a decoder with sums across; about 20 M MACs an image.

    Args:
        seed: Of the initial weights.

    Returns:
        Images (b, SIDE, SIDE, 3) in [0, 1] to logits of saliency (b, SIDE, SIDE).
    """
    seeds = iter(range(1000 * seed, 1000 * (seed + 1)))

    def convolve(x: Any, width: int, stride: int = 1, size: int = 3) -> Any:
        initial = keras.initializers.HeNormal(seed=next(seeds))
        x = keras.layers.Conv2D(width, size, stride, "same", use_bias=False, kernel_initializer=initial)(x)
        return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.95)(x))

    image = x = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(4.0, -2.0)(x)
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
    x = keras.layers.Conv2D(1, 3, padding="same", kernel_initializer=keras.initializers.HeNormal(seed=next(seeds)))(x)
    x = keras.layers.UpSampling2D(interpolation="bilinear")(x)
    return keras.Model(image, keras.layers.Reshape((SIDE, SIDE))(x), name="mask_network")


def learn_masks(images: Pixels, maps: Pixels, *, seed: int = 0, say: Callable[[int], None]) -> keras.Model:
    """Trains a mask network, in rounds: first on the maps, then on the mean of them and its own output.

    Args:
        images: (n, SIDE, SIDE, 3).
        maps: Noisy saliency (n, SIDE, SIDE), 0..255.
        seed: Of weights, order and augmentation.
        say: Told after each of the `steps` how many are done.
    """
    network = build_mask_network(seed)
    total = steps(len(images))
    warmup = total // 20
    rate = keras.optimizers.schedules.CosineDecay(0.0, total - warmup, warmup_target=RATE, warmup_steps=warmup)
    network.compile(keras.optimizers.Adam(rate), keras.losses.BinaryCrossentropy(from_logits=True))
    generator = np.random.default_rng(seed)
    targets, done = maps, 0
    for number, passes in enumerate(PASSES):
        if number:
            own = predict_masks(network, images)
            targets = np.round((maps.astype(np.float32) + own) / 2).astype(np.uint8)
        for rows in _rows(generator, len(images), passes):
            network.train_on_batch(*_augmented(images[rows], targets[rows], generator))
            done += 1
            say(done)
    return network


def steps(images: int) -> int:
    """Updates that `learn_masks` makes with so many images."""
    return sum(PASSES) * max(1, images // BATCH)


def predict_masks(network: keras.Model, images: Pixels) -> Pixels:
    """Saliency (n, SIDE, SIDE) in 0..255 of images (n, SIDE, SIDE, 3): the mean of an image's and its mirror's."""
    found = np.empty(images.shape[:-1], np.uint8)
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH].astype(np.float32) / 255
        both = network.predict_on_batch(np.concatenate([part, part[:, :, ::-1]]))
        saliency = 1 / (1 + np.exp(-both))
        mean = (saliency[: len(part)] + saliency[len(part) :, :, ::-1]) / 2
        found[start : start + BATCH] = np.round(255 * mean)
    return found


def refined(network: keras.Model, images: Sequence[Pixels], maps: Sequence[Floats]) -> list[Floats]:
    """What a mask network makes of images, fused with the maps of the kind that it learned from.

    Args:
        network: Of `learn_masks`.
        images: Each (H, W, 3), of any size.
        maps: For each image (H, W) in [0, 1].

    Returns:
        For each image (H, W) in [0, 1]; 0.5 divides it best.
    """
    found = predict_masks(network, np.stack([squeeze(image) for image in images]))
    own = [sharpened(image, score) for image, score in zip(images, found, strict=True)]
    return [fused(*pair) for pair in zip(own, maps, strict=True)]


def squeeze(image: Pixels) -> Pixels:
    """An image (H, W, 3) or a map (H, W) as a square of `SIDE`."""
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _rows(generator: np.random.Generator, size: int, passes: int) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of each batch; every pass has its own order, and drops what does not fill a batch."""
    for _ in range(passes):
        order = generator.permutation(size)
        for start in range(0, max(1, size // BATCH) * BATCH, BATCH):
            yield order[start : start + BATCH]


def _augmented(images: Pixels, targets: Pixels, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Mirrored, shifted and zoomed together; the images in other light and colour, some of them grey."""
    count = len(images)
    pixels, truth = images.astype(np.float32) / 255, targets.astype(np.float32) / 255
    mirrored = generator.random(count) < 0.5
    pixels[mirrored], truth[mirrored] = pixels[mirrored, :, ::-1], truth[mirrored, :, ::-1]
    # Whole rows and columns, so that one gather cuts and zooms.
    side = (SIDE * generator.uniform(0.7, 1, (count, 2))).astype(int)
    start = (generator.random((count, 2)) * (SIDE - side + 1)).astype(int)
    y, x = (start[:, axis, None] + np.arange(SIDE) * side[:, axis, None] // SIDE for axis in (0, 1))
    image = np.arange(count)[:, None, None]
    pixels, truth = pixels[image, y[:, :, None], x[:, None]], truth[image, y[:, :, None], x[:, None]]
    gain = generator.uniform(0.7, 1.3, (count, 1, 1, 1)) * generator.uniform(0.85, 1.15, (count, 1, 1, 3))
    pixels = pixels * gain.astype(np.float32) + generator.uniform(-0.1, 0.1, (count, 1, 1, 1)).astype(np.float32)
    grey = generator.random(count) < 0.1
    pixels[grey] = pixels[grey].mean(axis=-1, keepdims=True)
    return np.clip(pixels, 0, 1), truth
