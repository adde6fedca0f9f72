"""Hard views: which images are trusted, and that a view's target is true of it."""

import numpy as np
import pytest

from ssl_keras.learning import mask_views
from ssl_keras.learning.mask_views import SIZES, hard_views, trusted

SIDE = 64


@pytest.fixture(scope="module")
def squares():
    """Red squares on blue, their maps, and three maps to mistrust: grey, all background and almost all foreground."""
    generator = np.random.default_rng(0)
    images, maps = np.zeros((11, SIDE, SIDE, 3), np.uint8), np.zeros((11, SIDE, SIDE), np.uint8)
    images[...] = (0, 40, 200)
    for number in range(8):
        top, left = generator.integers(5, 30, 2)
        images[number, top : top + 28, left : left + 28] = (255, 30, 20)
        maps[number, top : top + 28, left : left + 28] = 255
    maps[8], maps[8, 20:40, 20:40], maps[10, 2:] = 100, 150, 255
    return images, maps


def test_only_clear_maps_of_objects_of_a_usual_size_are_trusted(squares):
    _, maps = squares
    rows = trusted(maps)
    assert len(rows) == 5 and set(rows) <= set(range(8))
    with pytest.raises(ValueError, match="no image has a clear foreground"):
        trusted(maps[9:])


def test_views_follow_from_their_seed(squares):
    first, second, other = (hard_views(*squares, 12, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert np.any(first[0] != other[0])


def test_the_target_of_a_view_is_true_of_it(squares, monkeypatch):
    monkeypatch.setattr(mask_views, "_duller", lambda view, generator: view)
    views, targets = hard_views(*squares, 40, 3)
    assert views.shape == (40, SIDE, SIDE, 3) and targets.shape == (40, SIDE, SIDE)
    red = views[..., 0] > 127
    for number in [*range(0, 40, 3), *range(2, 40, 3)]:
        np.testing.assert_array_equal(targets[number] > 127, red[number])
    pasted, shown = targets[1::3] > 250, red[1::3]
    assert np.all(pasted.any(axis=(1, 2))) and np.all(shown[pasted])
    assert np.mean(shown & ~pasted) > 0.03  # squares of the image below, which are ground here


def test_light_and_colour_of_views_differ(squares):
    views, _ = hard_views(*squares, 40, 3)
    assert np.std(views.mean(axis=(1, 2)), axis=0).min() > 5


def test_some_objects_are_cut_by_the_border(squares):
    _, maps = squares
    assert not maps[:8, 0].any() and not maps[:8, :, 0].any()
    _, targets = hard_views(*squares, 40, 0)
    share = np.mean(targets > 127, axis=(1, 2))
    assert np.all(share > SIZES[0] / 2)
    border = np.concatenate([targets[:, 0], targets[:, -1], targets[:, :, 0], targets[:, :, -1]], axis=1)
    assert np.mean(np.any(border > 127, axis=1)) > 0.3
