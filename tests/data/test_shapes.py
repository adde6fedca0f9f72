"""The rendered scenes: deterministic by index, factors independent, headroom between encoders."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from ssl_keras.data import outlines, patterns, shapes


def scene(n: int = 48, split: str = "train", **replaced: object) -> shapes.Factors:
    found = shapes.factors(split, np.arange(n))
    return found | {name: np.broadcast_to(value, (n,)) for name, value in replaced.items()}


def test_every_image_is_a_function_of_split_and_index_alone() -> None:
    images, masks = shapes.render(shapes.factors("train", np.arange(150)))
    rows = np.array([149, 3, 64, 63])
    some_images, some_masks = shapes.render(shapes.factors("train", rows))
    np.testing.assert_array_equal(some_images, images[rows])
    np.testing.assert_array_equal(some_masks, masks[rows])
    other, _ = shapes.render(shapes.factors("test", rows))
    assert (other != some_images).any(axis=(1, 2, 3)).all()


def test_no_image_appears_twice() -> None:
    keys = np.concatenate([shapes.factors(split, np.arange(n))["key"] for split, n in shapes.SPLITS.items()])
    assert len(set(keys.tolist())) == len(keys) >= 24_000 and shapes.SPLITS["train"] >= 20_000


def test_mix_is_splitmix64() -> None:
    """Against the published generator, in Python's whole numbers."""
    state, mask = 1234567, 2**64 - 1
    for stream in range(5):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        assert int(patterns.mix(np.array([1234567], np.uint64), stream)[0]) == z ^ (z >> 31)


def test_uniform_is_uniform() -> None:
    draws = patterns.uniform(np.arange(100_000, dtype=np.uint64), 3, -1, 3)
    assert draws.dtype == np.float32 and draws.min() >= -1 and draws.max() < 3
    counts = np.histogram(draws, 20, (-1, 3))[0]
    assert ((counts - 5000) ** 2 / 5000).sum() < 45  # chi-square, 19 degrees of freedom, p = 0.0007


@pytest.mark.parametrize("split", shapes.SPLITS)
def test_factors_are_balanced_and_independent(split: str) -> None:
    n = shapes.SPLITS[split]
    found = shapes.factors(split, np.arange(n))
    for one, one_classes in shapes.LABEL_SETS.items():
        assert np.bincount(found[one], minlength=len(one_classes)).min() > 0.85 * n / len(one_classes)
        for other, other_classes in shapes.LABEL_SETS.items():
            if one < other:
                table = np.zeros((len(one_classes), len(other_classes)))
                np.add.at(table, (found[one], found[other]), 1)
                expected = n / table.size
                freedom = table.size - 1
                assert ((table - expected) ** 2 / expected).sum() < freedom + 5 * np.sqrt(2 * freedom), (one, other)


@pytest.mark.parametrize("side", [32, 64])
def test_mask_is_the_outline(side: int) -> None:
    """Pixel by pixel, from the exact distance to the polygon."""
    found = scene(20, shape=np.arange(20) % 10)
    _, masks = shapes.render(found, side)
    axis = (np.arange(side) + 0.5) / side - 0.5
    for row in range(20):
        x, y = np.meshgrid(axis - found["x"][row], axis - found["y"][row])
        c, s = np.cos(found["angle"][row]), np.sin(found["angle"][row])
        half = found["size"][row] / 2
        points = np.stack([(c * x + s * y) / half, -(c * y - s * x) / half], -1).reshape(-1, 2)
        outline = list(outlines.OUTLINES.values())[row % 10]()
        inside = outlines.signed_distance(outline, points).reshape(side, side) < 0
        assert (inside != masks[row]).mean() < 0.01
        assert 0.05 < masks[row].mean() < 0.5


def test_signed_distance_to_a_square() -> None:
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float64)
    points = np.random.default_rng(0).uniform(-2, 2, (500, 2))
    beyond = np.abs(points) - 1
    expected = np.linalg.norm(np.maximum(beyond, 0), axis=-1) + np.minimum(beyond.max(-1), 0)
    np.testing.assert_allclose(outlines.signed_distance(square, points), expected, atol=1e-12)


@pytest.mark.parametrize("name", outlines.OUTLINES)
def test_a_shape_is_told_apart_when_mirrored_and_turned(name: str) -> None:
    """No other shape, at any pose, mirrored or not, covers nearly the same pixels."""
    mine = list(outlines.OUTLINES).index(name)
    poses = np.deg2rad(np.arange(-35, 36, 7)).astype(np.float32)
    still = {"x": np.float32(0), "y": np.float32(0), "size": np.float32(0.6)}
    _, upright = shapes.render(scene(1, shape=mine, angle=np.float32(0), **still))
    for other in range(len(outlines.OUTLINES)):
        if other == mine:
            continue
        _, masks = shapes.render(scene(len(poses), shape=other, angle=poses, **still))
        for candidate in (*masks, *masks[:, :, ::-1]):
            assert (upright[0] & candidate).sum() / (upright[0] | candidate).sum() < 0.85


STYLE = ("texture", "color", "background", "blur")


@pytest.mark.parametrize("factor", shapes.LABEL_SETS)
def test_every_class_of_a_factor_shows(factor: str) -> None:
    """With all else equal, classes give different pictures; style leaves the mask alone."""
    classes = len(shapes.LABEL_SETS[factor])
    base = {name: values[[5] * classes] for name, values in shapes.factors("train", np.arange(6)).items()}
    labels = np.arange(classes)
    drawn = shapes.factors("train", np.arange(4000))
    first = np.array([np.flatnonzero(drawn[factor] == label)[0] for label in labels])
    follows = {"position": ("x", "y"), "pose": ("angle",), "lighting": ("light",), "color": ("hue",)}
    base |= {name: drawn[name][first] for name in (factor, *follows.get(factor, ()))}
    images, masks = shapes.render(base | {"blur": labels if factor == "blur" else np.zeros_like(labels)})
    for one in range(classes):
        for other in range(one):
            assert np.abs(images[one].astype(int) - images[other]).mean() > 0.5
            if factor in STYLE or factor == "lighting":
                np.testing.assert_array_equal(masks[one], masks[other])


def test_light_comes_from_where_the_label_says() -> None:
    plain = scene(400) | {"texture": np.zeros(400, np.int64), "blur": np.zeros(400, np.int64)}
    images, masks = shapes.render(plain)
    labels = plain["lighting"]
    axis = np.arange(32) - 15.5
    # The slope of brightness over the object, by least squares: a pattern on it would add its own.
    angle = np.zeros(400)
    for index, (image, mask) in enumerate(zip(images.mean(-1), masks > 0, strict=True)):
        down, across = np.meshgrid(axis, axis, indexing="ij")
        design = np.stack([across[mask], down[mask], np.ones(mask.sum())], 1)
        slope = np.linalg.lstsq(design, image[mask], rcond=None)[0]
        angle[index] = np.arctan2(slope[1], slope[0])
    turned = np.abs((angle - labels * np.pi / 4 + np.pi) % (2 * np.pi) - np.pi)
    assert np.median(turned) < np.pi / 8


def test_the_object_is_where_the_label_says() -> None:
    found = scene(400)
    _, masks = shapes.render(found)
    axis = (np.arange(32) + 0.5) / 32 - 0.5
    area = masks.sum((1, 2))
    column, row = (masks * axis).sum((1, 2)) / area, (masks * axis[:, None]).sum((1, 2)) / area
    for middle, cell in ((column, found["position"] % 3), (row, found["position"] // 3)):
        nearest = np.abs(middle[:, None] - np.array([-0.13, 0, 0.13])).argmin(1)
        assert (nearest == cell).mean() > 0.85


def test_blur_smooths() -> None:
    def roughness(blur: int) -> float:
        images, _ = shapes.render(scene(blur=blur))
        return float(np.abs(np.diff(images.astype(float), axis=2)).mean())

    assert roughness(0) > 1.3 * roughness(1) > 1.3 * 1.1 * roughness(2)


def test_the_object_stands_out() -> None:
    """Its mean colour differs from that of its background by far more than a grey level."""
    images, masks = shapes.render(scene(300))
    inside = np.array([image[mask == 1].mean(0) for image, mask in zip(images, masks, strict=True)])
    outside = np.array([image[mask == 0].mean(0) for image, mask in zip(images, masks, strict=True)])
    assert np.quantile(np.linalg.norm(inside - outside, axis=1), 0.05) > 25


def test_unknown_split() -> None:
    with pytest.raises(ValueError, match="shapes has no split 'validation'; it has: train, test"):
        shapes.factors("validation", np.arange(2))


# Headroom


def network(width: int = 8) -> keras.Model:
    """A small residual network without a head."""
    layers = keras.layers

    def convolve(x: object, filters: int, stride: int = 1, kernel: int = 3) -> object:
        x = layers.Conv2D(filters, kernel, stride, "same", use_bias=False, kernel_initializer="he_normal")(x)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    inputs = layers.Input((32, 32, 3))
    x = layers.ReLU()(convolve(layers.Rescaling(4.0, -2.0)(inputs), width))
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage and not block else 1
            y = layers.ReLU()(convolve(x, width << stage, stride))
            shortcut = convolve(x, width << stage, stride, 1) if stride > 1 else x
            x = layers.ReLU()(layers.add([shortcut, convolve(y, width << stage)]))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def train_on_shape(encoder: keras.Model, images: np.ndarray, labels: np.ndarray, epochs: int) -> None:
    def augmented(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.pad(tf.image.random_flip_left_right(x), [[0, 0], [3, 3], [3, 3], [0, 0]], "SYMMETRIC")
        return tf.image.random_crop(x, (128, 32, 32, 3)), y

    steps = epochs * (len(images) // 128)
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=0.2, warmup_steps=steps // 10)
    model = keras.Sequential([encoder, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9, nesterov=True), loss)
    rows = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images), seed=0).repeat()
    model.fit(rows.batch(128).map(augmented).prefetch(2), steps_per_epoch=steps, verbose=0)


@pytest.fixture(scope="module")
def scores() -> Iterator[dict[str, dict[str, float]]]:
    """Accuracy of a linear classifier on 2000 images, by encoder and factor."""
    keras.utils.set_random_seed(0)
    train, test = (shapes.factors(split, np.arange(n)) for split, n in (("train", 20_000), ("test", 2_000)))
    images, held_out = (shapes.render(found)[0] / np.float32(255) for found in (train, test))
    encoder = network()

    def linear(features: np.ndarray, held: np.ndarray, penalties: tuple[float, ...]) -> dict[str, float]:
        mean, deviation = features.mean(0), features.std(0) + 1e-6
        features, held = (features - mean) / deviation, (held - mean) / deviation
        return {
            name: max(
                LogisticRegression(C=c, max_iter=100).fit(features, train[name][:2000]).score(held, test[name])
                for c in penalties
            )
            for name in shapes.LABEL_SETS
        }

    def embedded() -> dict[str, float]:
        return linear(encoder.predict(images[:2000], verbose=0), encoder.predict(held_out, verbose=0), (0.1, 1.0))

    found = {"raw": linear(images[:2000].reshape(2000, -1), held_out.reshape(2000, -1), (3e-4,))}
    for start in range(0, 4000, 100):
        encoder(images[start : start + 100], training=True)  # brings its BN statistics to these images
    found["untrained"] = embedded()
    train_on_shape(encoder, images, train["shape"], epochs=3)
    found["trained"] = embedded()
    yield found


@pytest.mark.slow
def test_headroom_on_shape(scores: dict[str, dict[str, float]]) -> None:
    shape = {name: found["shape"] for name, found in scores.items()}
    assert shape["raw"] <= 0.40 and shape["untrained"] <= 0.55 and shape["trained"] >= 0.90, scores


@pytest.mark.slow
def test_each_encoder_is_best_at_another_factor(scores: dict[str, dict[str, float]]) -> None:
    """By accuracy; training on shape makes shape the best also by accuracy over chance."""
    chance = {name: 1 / len(classes) for name, classes in shapes.LABEL_SETS.items()}
    best = {encoder: max(found, key=found.__getitem__) for encoder, found in scores.items()}
    over = {
        encoder: max(found, key=lambda name: (found[name] - chance[name]) / (1 - chance[name]))
        for encoder, found in scores.items()
    }
    assert len(set(best.values())) == 3, scores
    assert best["trained"] == over["trained"] == "shape" not in (over["raw"], over["untrained"]), scores
