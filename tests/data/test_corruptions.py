"""Every corruption by enumeration; some against the paper's definition."""

import colorsys
import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from ssl_keras.data import corruptions
from ssl_keras.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from ssl_keras.data.sources import open_source, take

RULED = ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression")
"""Those that draw nothing."""
PAPER = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)

everyone = pytest.mark.parametrize("name", PAPER)


def scenes(side: int, count: int = 8) -> np.ndarray:
    """Rendered scenes (count, side, side, 3) in [0, 1]."""
    return take(open_source(f"shapes@{side}:test"), count).array() / np.float32(255)


def photographs(count: int = 12) -> np.ndarray:
    """Noise with the spectrum of photographs (count, 32, 32, 3) in [0, 1]."""
    frequency = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32))
    spectrum = np.fft.rfft2(np.random.default_rng(0).normal(size=(count, 3, 32, 32))) / (frequency + 0.02)
    values = np.fft.irfft2(spectrum)
    return (0.5 + 0.2 * values / values.std()).clip(0, 1).transpose(0, 2, 3, 1).astype(np.float32)


def change(images: np.ndarray, name: str, severity: int) -> float:
    return float(np.abs(corrupt(images, name, severity) - images).mean())


def test_all_fifteen_are_there():
    assert tuple(CORRUPTIONS) == PAPER


# ------------------------------------------------------------------------------------------------ of every corruption


@everyone
@pytest.mark.parametrize("size", [(28, 28), (33, 47), (224, 224)])
def test_images_stay_images(name, size):
    images = np.random.default_rng(0).random((2, *size, 3), np.float32)
    images[0] = np.round(images[0])
    before = images.copy()
    for severity in (1, 5) if size[0] < 224 else (5,):
        result = corrupt(images, name, severity)
        assert result.shape == images.shape and result.dtype == np.float32
        assert result.min() >= 0 and result.max() <= 1
        assert np.abs(result - images).mean() > 0.002
    np.testing.assert_array_equal(images, before)


@everyone
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_images_of_one_colour_have_no_gaps(name, value):
    result = corrupt(np.full((2, 32, 32, 3), value, np.float32), name, 5)
    assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1


@everyone
def test_an_image_does_not_depend_on_its_company(name, monkeypatch):
    images = scenes(32, 10)
    whole = corrupt(images, name, 4, seed=3)
    positions = np.array([7, 2, 9])
    np.testing.assert_allclose(corrupt(images[positions], name, 4, 3, positions), whole[positions], atol=1e-5)
    monkeypatch.setattr(corruptions, "_CHUNK", 3)
    np.testing.assert_allclose(corrupt(images, name, 4, seed=3), whole, atol=1e-5)


@everyone
def test_draws_follow_from_seed_name_severity_and_position(name):
    image = scenes(32, 1)
    same = np.repeat(image, 2, axis=0)
    first, second = corrupt(same, name, 3, seed=0)
    other = corrupt(image, name, 3, seed=1)[0]
    np.testing.assert_array_equal(corrupt(same, name, 3, seed=0), [first, second])
    for one in (second, other):
        if name in RULED:
            np.testing.assert_allclose(one, first, atol=1e-6)
        else:
            assert np.abs(one - first).mean() > 0.002


def test_severities_and_names_draw_apart(monkeypatch):
    drawn = []
    for name in ("gaussian_noise", "fog"):
        monkeypatch.setitem(corruptions._table, name, lambda x, s, dice: drawn.append(dice[0].random()) or x)
        corrupt(np.zeros((1, 4, 4, 3), np.float32), name, 1)
        corrupt(np.zeros((1, 4, 4, 3), np.float32), name, 2)
    assert len(set(drawn)) == 4


@everyone
@pytest.mark.parametrize("images", [photographs(), scenes(32), scenes(64)], ids=["photographs", "32", "64"])
def test_severity_grows(name, images):
    changes = [change(images, name, severity) for severity in SEVERITIES]
    assert changes == sorted(changes) and changes[0] > 0.002
    assert changes[-1] > 1.25 * changes[0]


@everyone
def test_the_worst_leaves_something_of_the_image(name):
    images = photographs()
    rest = corrupt(images, name, 5)
    alike = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(images, rest, strict=True)]
    assert np.mean(alike) > 0.4


@everyone
def test_larger_images_are_as_hard(name):
    small, large = (change(scenes(side), name, 3) for side in (32, 64))
    assert 0.4 < large / small < 2.5


# ------------------------------------------------------------------------------------------------ by definition


def test_gaussian_noise_has_the_published_deviation():
    for side, severity, deviation in ((32, 1, 0.04), (32, 5, 0.10), (224, 1, 0.08)):
        noise = corrupt(np.full((4, side, side, 3), 0.5, np.float32), "gaussian_noise", severity) - 0.5
        assert noise.std() == pytest.approx(deviation, rel=0.03)
        assert abs(noise.mean()) < 0.003
    noise = corrupt(np.full((8, 32, 32, 3), 0.5, np.float32), "gaussian_noise", 3) - 0.5
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.08
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("value", [0.1, 0.4])
def test_shot_noise_is_poisson(value):
    noisy = corrupt(np.full((8, 32, 32, 3), value, np.float32), "shot_noise", 5)
    assert noisy.mean() == pytest.approx(value, rel=0.02)
    assert noisy.var() == pytest.approx(value / 50, rel=0.05)
    np.testing.assert_allclose(noisy * 50, np.round(noisy * 50), atol=1e-4)


def test_impulse_noise_is_salt_and_pepper():
    noisy = corrupt(np.full((8, 32, 32, 3), 0.5, np.float32), "impulse_noise", 5)
    assert set(np.unique(noisy)) == {0, 0.5, 1}
    for extreme in (0, 1):
        assert np.mean(noisy == extreme) == pytest.approx(0.035, rel=0.1)


def point(side: int) -> np.ndarray:
    image = np.zeros((1, side, side, 3), np.float32)
    image[:, side // 2, side // 2] = 1
    return image


def spread(image: np.ndarray) -> np.ndarray:
    """Standard deviations in pixels, along and across, of how a point was smeared."""
    weight = image[0, :, :, 0].astype(np.float64)
    places = np.stack(np.mgrid[: weight.shape[0], : weight.shape[1]]).reshape(2, -1)
    return np.sqrt(np.linalg.eigvalsh(np.cov(places, aweights=weight.ravel() / weight.sum()))[::-1])


def test_defocus_makes_a_disc_of_the_radius():
    disc = corrupt(point(224), "defocus_blur", 5)
    assert disc.sum() == pytest.approx(3, rel=1e-4)
    np.testing.assert_allclose(spread(disc), 10 / 2, rtol=0.05)  # of a disc: half its radius
    assert disc.max() == pytest.approx(1 / (np.pi * 10**2), rel=0.05)


def test_motion_makes_a_line_of_the_length():
    line = corrupt(point(224), "motion_blur", 5)
    along, aside = spread(line)
    assert along == pytest.approx(19 / np.sqrt(12), rel=0.1) and aside < 0.8


def test_blurs_keep_the_mean():
    images = photographs()
    for name in ("defocus_blur", "motion_blur"):
        np.testing.assert_allclose(corrupt(images, name, 4).mean(), images.mean(), atol=0.003)


def test_zoom_blur_grows_with_the_distance_from_the_middle():
    stripes = np.zeros((1, 64, 64, 3), np.float32)
    stripes[:, :, ::4] = 1
    rows = corrupt(stripes, "zoom_blur", 5)[0, 32, :, 0]
    assert np.ptp(rows[28:36]) > 3 * np.ptp(rows[:8])


@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_adds_to_the_value_of_hsv(severity):
    images = np.random.default_rng(0).random((1, 12, 12, 3), np.float32)
    images[0, 0, 0] = 0
    added = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    result = corrupt(images, "brightness", severity)
    for pixel, got in zip(images.reshape(-1, 3), result.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel.astype(float))
        np.testing.assert_allclose(got, colorsys.hsv_to_rgb(hue, saturation, min(value + added, 1)), atol=1e-5)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_contrast_draws_values_to_the_mean(severity):
    images = photographs(3)
    left = (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1]
    for image, got in zip(images, corrupt(images, "contrast", severity), strict=True):
        mean = image.reshape(-1, 3).mean(0)
        np.testing.assert_allclose(got, left * image + (1 - left) * mean, atol=1e-5)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_pixelate_is_box_down_and_nearest_up(severity):
    image = scenes(32, 1)[0]
    boxes = round(32 * (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1])
    # Every pixel cut into boxes² parts: then boxes hold whole parts.
    parts = image.astype(float).repeat(boxes, axis=0).repeat(boxes, axis=1)
    means = parts.reshape(boxes, 32, boxes, 32, 3).mean(axis=(1, 3))
    expected = means.repeat(32, axis=0).repeat(32, axis=1)[boxes // 2 :: boxes, boxes // 2 :: boxes]
    np.testing.assert_allclose(corrupt(image[None], "pixelate", severity)[0], expected, atol=1e-5)


def test_jpeg_is_that_of_the_published_quality():
    image = scenes(32, 1)[0]
    file = io.BytesIO()
    Image.fromarray(np.round(255 * image).astype(np.uint8)).save(file, "JPEG", quality=40)
    expected = np.asarray(Image.open(file), np.float32) / 255
    np.testing.assert_allclose(corrupt(image[None], "jpeg_compression", 5)[0], expected, atol=1e-6)


def test_weather_whitens():
    images = 0.5 * photographs()
    for name in ("snow", "frost", "fog"):
        result = corrupt(images, name, 5)
        assert (result - images).mean() > 0.2, name
        assert result.std(axis=-1).mean() < images.std(axis=-1).mean(), name


def test_a_scene_pales_behind_snow():
    red = np.full((1, 32, 32, 3), (0.8, 0.0, 0.0), np.float32)
    pale_grey = 0.5 + 0.5 * (0.8 / 3)
    between_flakes = corrupt(red, "snow", 5).min(axis=(0, 1, 2))
    np.testing.assert_allclose(between_flakes, 0.55 * red[0, 0, 0] + 0.45 * pale_grey, atol=1e-5)


def test_displacements_look_up_between_pixels():
    images = scenes(32, 2)
    moved = np.random.default_rng(0).normal(0, 4, (2, 32, 32, 2)).astype(np.float32)
    for image, shift, got in zip(images, moved, corruptions._displaced(images, moved), strict=True):
        places = np.mgrid[:32, :32] + shift.transpose(2, 0, 1)
        for channel in range(3):
            expected = ndimage.map_coordinates(image[..., channel], places, order=1, mode="nearest")
            np.testing.assert_allclose(got[..., channel], expected, atol=1e-4)


def test_glass_and_elastic_only_move_colours():
    """A plain region stays, and no value is new by much."""
    images = np.full((1, 32, 32, 3), 0.3, np.float32)
    images[:, :, 16:] = 0.7
    for name in ("glass_blur", "elastic_transform"):
        result = corrupt(images, name, 5)
        assert result.min() > 0.29 and result.max() < 0.71
        np.testing.assert_allclose(result[:, :, :6], 0.3, atol=1e-3)
        assert np.abs(result[:, :, 13:19] - images[:, :, 13:19]).mean() > 0.02


def test_strengths_lie_between_those_of_the_two_sizes():
    small, large = (1.0, 2.0, 3.0, 4.0, 5.0), (4.0, 8.0, 12.0, 16.0, 20.0)
    middle = round(np.sqrt(32 * 224))
    for side, factor in ((28, 1), (32, 1), (middle, 2), (224, 4), (512, 4)):
        for severity in SEVERITIES:
            assert corruptions.strength(severity, side, small, large) == pytest.approx(severity * factor, rel=0.01)


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rain", 1), "no corruption 'rain': choose among gaussian_noise, .*jpeg_compression"),
        (("fog", 0), r"severity 0 of fog: give 1 \(mild\) to 5"),
        (("fog", 6), "severity 6 of fog: give 1"),
        (("fog", 1, 0, np.arange(3)), r"positions of shape \(3,\) for 2 images: give one per image"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        corrupt(np.zeros((2, 8, 8, 3), np.float32), *arguments)
