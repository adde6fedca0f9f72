"""Images as an encoder is evaluated on them: one pinned resize, no augmentation, in order."""

import tensorflow as tf

from ssl_keras.data.pipeline import READERS, WORKERS, untuned
from ssl_keras.data.sources import Source


def resize_crop(images: tf.Tensor, size: int) -> tf.Tensor:
    """Short side to `size` (bicubic, antialiased), then the central square.

    Args:
        images: uint8 (batch, height, width, 3).
        size: side of the result in pixels; images of that size are left untouched.

    Returns:
        float32 (batch, size, size, 3) in [0, 1].
    """
    images = tf.cast(images, tf.float32) / 255.0
    shape = tf.shape(images)
    height, width = shape[1], shape[2]
    short = tf.minimum(height, width)

    def resized() -> tf.Tensor:
        # Rounded half up, and exact for the short side.
        target = tf.stack([(2 * side * size + short) // (2 * short) for side in (height, width)])
        return tf.clip_by_value(tf.image.resize(images, target, "bicubic", antialias=True), 0.0, 1.0)

    images = images if images.shape[1:3] == (size, size) else tf.cond(short == size, lambda: images, resized)
    shape = tf.shape(images)
    top, left = (shape[1] - size) // 2, (shape[2] - size) // 2
    return tf.ensure_shape(images[:, top : top + size, left : left + size], (None, size, size, 3))


def evaluation_batches(source: Source, size: int, batch_size: int) -> tf.data.Dataset:
    """All images of a source in index order; the last batch may be smaller.

    Args:
        source: of the images.
        size: side in pixels to which `resize_crop` brings them.
        batch_size: images per batch.

    Returns:
        Dataset of {"image": float32 (b, size, size, 3) in [0, 1], "index": int64 (b,)}.

    Raises:
        ValueError: `size` or `batch_size` is below 1.
    """
    if size < 1 or batch_size < 1:
        raise ValueError(f"size and batch_size must be at least 1; they are {size} and {batch_size}.")
    indices = tf.data.Dataset.range(source.size)
    if (array := source.array()) is not None:

        def rows(index: tf.Tensor) -> dict[str, tf.Tensor]:
            images = tf.numpy_function(lambda chosen: array[chosen], [index], tf.uint8, stateful=False)
            images.set_shape((None, *array.shape[1:]))
            return {"image": resize_crop(images, size), "index": index}

        return untuned(indices.batch(batch_size).map(rows, num_parallel_calls=WORKERS).prefetch(2))

    def row(index: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"image": resize_crop(source.read(index)[None], size)[0], "index": index}

    return untuned(indices.map(row, num_parallel_calls=READERS).batch(batch_size).prefetch(2))
