"""The planted truth is true: what a 7 x 7 window sees, what a 3 x 3 one does not, and what the budget says."""

import numpy as np
import planted_truth as planted
import pytest

import ssl_keras as sk


def together(images, offset):
    """How much more often two pixels at an offset are coloured alike than by chance, mean over images (n,)."""
    dots = 2 * images[..., 0] - 1  # -1, 0 (nothing) or 1
    moved = np.roll(dots, [-step for step in offset], axis=(1, 2))
    return np.mean(dots * moved, axis=(1, 2))


@pytest.mark.parametrize("kind", range(len(planted.OFFSETS)))
def test_the_class_is_how_the_dots_of_a_pair_lie_and_nothing_nearer(kind):
    images = planted.dots(np.random.default_rng(0), np.full(200, kind))
    assert images.shape == (200, 16, 16, 3) and set(np.unique(images)) == {0, 0.5, 1}
    own = together(images, planted.OFFSETS[kind]).mean()
    others = [together(images, offset).mean() for number, offset in enumerate(planted.OFFSETS) if number != kind]
    near = [together(images, (y, x)).mean() for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    assert own > 0.03 and max(np.abs([*others, *near])) < own / 4


def test_every_pair_fits_a_7_by_7_window_and_no_3_by_3_one():
    assert all(2 < max(abs(y), abs(x)) <= 6 for y, x in planted.OFFSETS)


def test_the_budget_pays_for_the_kernel_or_for_the_block():
    space = sk.parse(planted.SPACE)
    costs = [
        sk.cost(space.freeze({"stage1.k": kernel, "stage3.r": repeats}), (16, 16, 3)).macs
        for kernel, repeats in ((7, 0), (3, 1), (3, 0), (7, 1))
    ]
    assert costs[0] == pytest.approx(costs[1], rel=0.01)
    assert costs[2] < 0.7 * costs[0] and costs[3] > 1.3 * costs[0]


def test_both_views_share_the_class_and_the_parts_are_drawn_apart():
    batch = next(iter(planted.batches(0)))
    weights, architecture = batch["weights"]["large"], batch["architecture"]["large"]
    assert np.any(weights[:, 0] != weights[:, 1]) and np.any(weights != architecture)
    for view in range(2):
        scores = [together(weights[:, view].numpy(), offset) for offset in planted.OFFSETS]
        assert np.mean(np.argmax(scores, axis=0) == batch["weights"]["label"].numpy()) > 0.9
