"""Every pixel operation against tf.image or a loop in NumPy; every draw against its distribution."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.data import augment, pixels
from ssl_keras.data.augment import Augmentation

OPS = ("brightness", "contrast", "saturation", "hue")
OFF = Augmentation(flip=0, jitter=0, grayscale=0)


def images(batch: int = 6, height: int = 16, width: int = 16) -> np.ndarray:
    """Smooth, noisy, grey and saturated pictures: every branch of hue, and values at both ends."""
    values = np.random.default_rng(0).uniform(-0.3, 1.3, (batch, height, width, 3)).clip(0, 1)
    values[-2:-1] = values[-2:-1, :, :, :1]
    values[-1] = np.round(values[-1])
    return values.astype(np.float32)


def eager(function, *arguments):
    return function(*arguments)


def in_tf_data(function, *arguments):
    dataset = tf.data.Dataset.from_tensors(arguments).map(function)
    return next(iter(dataset))


def whole_program_xla(function, *arguments):
    return tf.function(function, jit_compile=True)(*arguments)


everywhere = pytest.mark.parametrize("run", [eager, in_tf_data, whole_program_xla])


# ------------------------------------------------------------------------------------------------ crop


def scale_and_translate(image: np.ndarray, start, length, size: int) -> np.ndarray:
    """TensorFlow's own resampler, a float image (H, W, 3)."""
    scale = np.float32(size / np.asarray(length))
    return tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=(size, size),
        scale=scale,
        translation=np.float32(-scale * np.asarray(start)),
        kernel_type="keyscubic",
        antialias=True,
    )[0].numpy()


BOXES = np.float32([[[0, 0, 16, 20], [2.5, 3.25, 7.5, 9]], [[1, 0.5, 12, 18], [9.75, 11, 4, 3.5]]])


@everywhere
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("size", [12, 24])
def test_crop_resamples_as_scale_and_translate(run, dtype, size):
    values = images(2, 16, 20)
    given = np.round(values * 255).astype(np.uint8) if dtype is np.uint8 else values
    start, length, flip = BOXES[..., :2], BOXES[..., 2:], np.float32([[0, 1], [1, 0]])
    crops = run(lambda *a: tf.stack(pixels.crop(*a, size), -1), given, start, length, flip)
    for i, v in np.ndindex(2, 2):
        image = given[i].astype(np.float32) / (255 if dtype is np.uint8 else 1)
        expected = scale_and_translate(image, start[i, v], length[i, v], size).clip(0, 1)
        np.testing.assert_allclose(crops[i, v], expected[:, :: -1 if flip[i, v] else 1], atol=2e-5)


@pytest.mark.parametrize("size", [10, 40])
def test_a_crop_of_everything_is_bicubic_resize(size):
    values = images(1)
    box = np.zeros((1, 1, 2), np.float32), np.full((1, 1, 2), 16, np.float32)
    crop = tf.stack(pixels.crop(values, *box, np.zeros((1, 1), np.float32), size), -1)[0, 0]
    expected = tf.image.resize(values, (size, size), "bicubic", antialias=True)[0]
    np.testing.assert_allclose(crop, tf.clip_by_value(expected, 0, 1), atol=2e-5)


@pytest.mark.parametrize("run", [eager, in_tf_data])
def test_crop_of_one_image_is_crop_of_a_batch(run):
    given = np.round(images(1, 16, 20) * 255).astype(np.uint8)
    arguments = BOXES[0, :, :2], BOXES[0, :, 2:], np.float32([0, 1])
    one = run(lambda image, *a: pixels.crop_one(image, *a, 12), given[0], *arguments)
    batch = pixels.crop(given, *(a[None] for a in arguments), 12)
    np.testing.assert_allclose(tf.stack(one), tf.stack(batch)[:, 0], atol=2e-5)


# ------------------------------------------------------------------------------------------------ colour


def gray(values: np.ndarray) -> np.ndarray:
    return tf.image.rgb_to_grayscale(values).numpy()


def adjust(image: np.ndarray, op: str, amount: float) -> np.ndarray:
    """One jitter op on one image, by tf.image where it has that op."""
    if op == "brightness":
        image = image * amount
    elif op == "contrast":
        image = tf.image.adjust_contrast(image, amount).numpy()
    elif op == "saturation":
        image = amount * image + (1 - amount) * gray(image)
    else:
        image = tf.image.adjust_hue(image, amount).numpy()
    return image.clip(0, 1)


@everywhere
@pytest.mark.parametrize("op", OPS[:3])
def test_blends(run, op):
    values, factor = images(), np.linspace(0.4, 1.6, 6).astype(np.float32)
    weights = (1 - factor) * (op == "contrast"), (1 - factor) * (op == "saturation")
    result = run(lambda x, *a: tf.stack(pixels.blend(planes_of(x), *a), -1), values, factor, *weights)
    expected = [adjust(image, op, f) for image, f in zip(values, factor, strict=True)]
    np.testing.assert_allclose(result, expected, atol=1e-5)


def planes_of(values: tf.Tensor) -> pixels.Planes:
    red, green, blue = tf.unstack(values, axis=-1)
    return red, green, blue


@everywhere
def test_hue(run):
    values, turns = images(), np.float32([-0.5, -0.1, 0.05, 0.1, 0.3, 0.5])
    result = run(lambda x, t: tf.stack(pixels.shift_hue(planes_of(x), t), -1), values, turns)
    expected = [tf.image.adjust_hue(image, turn) for image, turn in zip(values, turns, strict=True)]
    np.testing.assert_allclose(result, expected, atol=1e-5)


@everywhere
def test_grayscale_and_solarize(run):
    values, chosen = images(), np.float32([0, 1, 0, 1, 0, 1])
    result = run(lambda x, c: tf.stack(pixels.drop_colour(planes_of(x), c), -1), values, chosen)
    np.testing.assert_allclose(result[1::2], np.repeat(gray(values[1::2]), 3, -1), atol=1e-6)
    np.testing.assert_array_equal(result[::2], values[::2])
    threshold = np.float32([0.5, 0.25, augment.NEVER] * 2)
    result = run(lambda x, t: tf.stack(pixels.solarize(planes_of(x), t), -1), values, threshold)
    for image, out, at in zip(values, result, threshold, strict=True):
        np.testing.assert_allclose(out, np.where(image >= at, 1 - image, image), atol=1e-7)


def blurred(image: np.ndarray, sigma: float, width: int) -> np.ndarray:
    """Gaussian blur by loops, over the taps that are inside the image."""
    for axis in (0, 1):
        image, source = np.zeros_like(image), np.moveaxis(image, axis, 0)
        target = np.moveaxis(image, axis, 0)
        for i in range(len(source)):
            taps = [j for j in range(i - width // 2, i + width // 2 + 1) if 0 <= j < len(source)]
            weights = np.array([np.exp(-((i - j) ** 2) / (2 * sigma**2)) for j in taps])
            target[i] = sum(w * source[j] for w, j in zip(weights / weights.sum(), taps, strict=True))
    return image


@everywhere
def test_blur(run):
    values, sigma = images(3), np.float32([0, 0.6, 2])
    result = run(lambda x, s: tf.stack(pixels.blur(planes_of(x), s, 5), -1), values, sigma)
    np.testing.assert_allclose(result[0], values[0], atol=1e-6)
    for i in (1, 2):
        np.testing.assert_allclose(result[i], blurred(values[i], float(sigma[i]), 5), atol=1e-5)


# ------------------------------------------------------------------------------------------------ all together

RECIPE = (Augmentation(blur=0.5, kernel=0.3), Augmentation(blur=0.2, kernel=0.3, solarize=0.4, hue=0.3))


def orders(draws: augment.Draws) -> np.ndarray:
    """The op in each of the four places, (B, V, 4) indices into OPS, read off strong draws."""
    slot, to_mean, to_gray = (draws[key].numpy() for key in ("slot", "to_mean", "to_gray"))
    result = np.empty((*slot.shape, 4), int)
    for index in np.ndindex(slot.shape):
        blends = np.where(to_mean[index] != 0, 1, np.where(to_gray[index] != 0, 2, 0)).tolist()
        blends.insert(slot[index], 3)
        result[index] = blends
    return result


def reference(image: np.ndarray, draws: dict[str, np.ndarray], order: np.ndarray, size: int) -> np.ndarray:
    """One view by the book, with the draws of one crop."""
    area = draws["area"] * image.shape[0] * image.shape[1]
    tries = np.stack([np.sqrt(area / draws["aspect"]), np.sqrt(area * draws["aspect"])], -1)
    length = next(box for box in tries if (box <= image.shape[:2]).all())
    start = draws["corner"] * (np.array(image.shape[:2]) - length)
    view = scale_and_translate(image, start, length, size).clip(0, 1)
    view = view[:, ::-1] if draws["flip"] else view
    factors = iter(draws["factor"])
    for op in order:
        view = adjust(view, OPS[op], draws["hue"] if OPS[op] == "hue" else next(factors))
    view = np.repeat(gray(view), 3, -1) if draws["grayscale"] else view
    view = blurred(view, draws["sigma"], 5) if draws["sigma"] else view
    return np.where(view >= draws["threshold"], 1 - view, view)


@everywhere
def test_views_by_the_book(run):
    values, size = images(10, 16, 18), 12
    draws = augment.draw(RECIPE, 10, 3, 7)
    result = run(lambda x, d: augment.apply(x, d, RECIPE, size), values, draws)
    order = orders(augment.draw([dataclasses.replace(a, jitter=1) for a in RECIPE], 10, 3, 7))
    for i, v in np.ndindex(10, 2):
        own = {key: value.numpy()[i, v] for key, value in draws.items()}
        np.testing.assert_allclose(result[i, v], reference(values[i], own, order[i, v], size), atol=5e-5)


@pytest.mark.parametrize("part", [slice(4, 8), slice(4, 10), slice(5, 6)])
def test_an_image_does_not_depend_on_its_company(part):
    values, draws = images(10), augment.draw(RECIPE, 10, 0, 0)
    whole = augment.apply(values, draws, RECIPE, 12)
    alone = augment.apply(values[part], {key: value[part] for key, value in draws.items()}, RECIPE, 12)
    np.testing.assert_allclose(alone, whole[part], atol=1e-6)


def test_the_halves_for_single_images_make_the_whole():
    values, draws = images(5), augment.draw(RECIPE, 5, 0, 0)
    crops = [augment.cut_one(values[i], {k: v[i] for k, v in draws.items()}, 12) for i in range(5)]
    red, green, blue = (tf.stack(plane) for plane in zip(*crops, strict=True))
    halves = augment.colour((red, green, blue), draws, RECIPE)
    np.testing.assert_allclose(halves, augment.apply(values, draws, RECIPE, 12), atol=1e-4)


def test_what_is_off_leaves_no_trace():
    values, draws = images(4), augment.draw([OFF], 4, 0, 0)
    crops = [tf.stack(augment.cut_one(values[i], {k: v[i] for k, v in draws.items()}, 12), -1) for i in range(4)]
    np.testing.assert_allclose(augment.apply(values, draws, [OFF], 12), tf.stack(crops), atol=2e-5)


def test_what_is_off_is_not_computed(monkeypatch):
    def refuse(*_):
        raise AssertionError("computed, though no crop asks for it")

    for name in ("blend", "shift_hue", "drop_colour", "blur", "solarize"):
        monkeypatch.setattr(pixels, name, refuse)
    values, draws = images(4), augment.draw([OFF], 4, 0, 0)
    tf.function(lambda x, d: augment.apply(x, d, [OFF], 11)).get_concrete_function(values, draws)
    with pytest.raises(AssertionError, match="no crop asks"):
        augment.apply(values, augment.draw(RECIPE, 4, 0, 0), RECIPE, 11)


# ------------------------------------------------------------------------------------------------ draws

MANY = 4000


@pytest.fixture(scope="module")
def many() -> augment.Draws:
    recipe = [Augmentation(blur=0.1, solarize=0.2), dataclasses.replace(OFF, jitter=1.0, hue=0.5)]
    return augment.draw(recipe, MANY, 1, 2)


def test_draws_follow_from_seed_step_kind_and_position():
    draws = augment.draw(RECIPE, 8, 1, 2)
    again = augment.draw(RECIPE, 8, tf.constant(1), tf.constant(2, tf.int64))
    longer = augment.draw(RECIPE, 13, 1, 2)
    others = [augment.draw(RECIPE, 8, *key) for key in ((2, 2), (1, 3), (2, 1), (1, 2, 1))]
    for key, value in draws.items():
        np.testing.assert_array_equal(value, again[key])
        np.testing.assert_array_equal(value, longer[key][:8])
    for key in ("area", "aspect", "corner"):
        assert all(not np.isin(draws[key], other[key]).any() for other in others), key


def test_draws_are_independent_of_each_other(many):
    columns = [many[key].numpy()[:, 1].reshape(MANY, -1)[:, 0] for key in ("area", "aspect", "corner", "hue", "factor")]
    correlation = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlation).max() < 5 / np.sqrt(MANY)


def test_boxes_are_those_of_rejection_sampling(many):
    rng = np.random.default_rng(0)
    start, length = (value.numpy()[:, 0] for value in augment.boxes(many, 32, 32))
    assert start.min() >= 0 and (start + length).max() <= 32 + 1e-4
    expected = []
    while len(expected) < MANY:
        area, aspect = rng.uniform(0.08, 1), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        if area * aspect <= 1 and area / aspect <= 1:
            expected.append((area, aspect))
    drawn = length[:, 0] * length[:, 1] / 32**2, length[:, 1] / length[:, 0]
    for got, wanted in zip(drawn, np.transpose(expected), strict=True):
        grid = np.quantile(wanted, np.linspace(0, 1, 41))
        distance = np.abs(np.searchsorted(np.sort(got), grid) - np.searchsorted(np.sort(wanted), grid)).max() / MANY
        assert distance < 0.045  # Kolmogorov-Smirnov, far beyond the 0.1 % point for 4000 against 4000
    room = np.maximum(32 - length, 1e-3)
    assert abs((start / room).mean() - 0.5) < 0.02


def test_a_box_that_never_fits_becomes_the_largest_centred_one():
    draws = augment.draw([Augmentation(area=(0.9, 1.0))], 8, 0, 0)
    start, length = (value.numpy()[:, 0] for value in augment.boxes(draws, 4, 64))
    np.testing.assert_allclose(length[:, 0], 4, rtol=1e-5)
    np.testing.assert_allclose(length[:, 1] / 4, draws["aspect"][:, 0, -1], rtol=1e-5)
    np.testing.assert_allclose(start + length / 2, np.broadcast_to([2, 32], (8, 2)), rtol=1e-5)


def test_probabilities(many):
    rates = {
        0.5: many["flip"][:, 0] == 1,
        0.8: many["hue"][:, 0] != 0,
        0.2: many["grayscale"][:, 0] == 1,
        0.1: many["sigma"][:, 0] > 0,
        0.201: many["threshold"][:, 0] == 0.5,
    }
    for rate, happened in rates.items():
        assert abs(np.mean(happened) - rate) < 4.5 * np.sqrt(rate * (1 - rate) / MANY)
    for key, value in (("flip", 0), ("grayscale", 0), ("sigma", 0), ("threshold", augment.NEVER)):
        assert np.all(many[key][:, 1] == value)
    assert np.all((many["factor"][:, 0].numpy() == 1).all(-1) == (many["hue"][:, 0].numpy() == 0))


def test_strengths(many):
    order = orders(many)[:, 1]
    factor = many["factor"].numpy()[:, 1]
    for op, strength in enumerate((0.4, 0.4, 0.2)):
        place = np.nonzero(order == op)[1] - (np.nonzero(order == op)[1] > many["slot"].numpy()[:, 1])
        drawn = factor[np.arange(MANY), place]
        assert 1 - strength <= drawn.min() < 1 - 0.98 * strength
        assert 1 + 0.98 * strength < drawn.max() <= 1 + strength
    assert 0.49 < many["hue"].numpy()[:, 1].max() <= 0.5 and -0.5 <= many["hue"].numpy()[:, 1].min() < -0.49


def test_every_order_of_the_jitter_is_equally_likely(many):
    _, counts = np.unique(orders(many)[:, 1], axis=0, return_counts=True)
    assert len(counts) == 24
    expected = MANY / 24
    assert np.sum((counts - expected) ** 2 / expected) < 49.7  # chi square, 23 degrees of freedom, 0.1 % point


def test_every_hand_of_four_images_holds_every_slot(many):
    hands = np.sort(many["slot"].numpy().reshape(-1, 4, 2), axis=1)
    assert np.all(hands == np.arange(4)[None, :, None])
    for position in range(4):
        counts = np.bincount(many["slot"].numpy()[position::4, 0])
        assert np.abs(counts - MANY / 16).max() < 4 * np.sqrt(MANY / 16)


# ------------------------------------------------------------------------------------------------ bad input

PROBABILITIES = [f.name for f in dataclasses.fields(Augmentation) if not isinstance(f.default, tuple)]


@pytest.mark.parametrize("name", PROBABILITIES)
@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_numbers_outside_the_unit_interval_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"augmentation {name}={value}: give a number in \[0, 1\]"):
        Augmentation(**{name: value})


@pytest.mark.parametrize("name", ["area", "aspect", "sigma"])
@pytest.mark.parametrize("value", [(0, 0.5), (0.5, 0.4), (-1, 1)])
def test_ranges_the_wrong_way_round_are_refused(name, value):
    with pytest.raises(ValueError, match=f"augmentation {name}=.*0 < low <= high"):
        Augmentation(**{name: value})


def test_more_than_the_image_and_more_than_the_circle_are_refused():
    with pytest.raises(ValueError, match="share of the image's area"):
        Augmentation(area=(0.1, 1.2))
    with pytest.raises(ValueError, match=r"at most 0\.5"):
        Augmentation(hue=0.6)
