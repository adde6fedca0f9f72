"""Schedules at their corners, against the papers' formulas."""

import math

import numpy as np
import pytest

import ssl_keras as sk


def test_warmup_is_linear_and_the_cosine_ends_at_zero():
    schedule = sk.warmup_cosine(0.4, 110, 10)
    np.testing.assert_allclose([schedule(step) for step in (0, 5, 10)], [0, 0.2, 0.4], rtol=1e-6)
    np.testing.assert_allclose(schedule(60), 0.2, rtol=1e-5)
    np.testing.assert_allclose(schedule(35), 0.2 * (1 + math.cos(math.pi / 4)), rtol=1e-5)
    np.testing.assert_allclose([schedule(110), schedule(500)], [0, 0], atol=1e-7)


def test_without_warmup_it_starts_at_the_peak():
    np.testing.assert_allclose(sk.warmup_cosine(0.4, 100)(0), 0.4)


@pytest.mark.parametrize(("steps", "warmup"), [(10, 10), (0, 0), (5, -1)])
def test_no_room_for_the_warmup(steps, warmup):
    with pytest.raises(ValueError, match="no room"):
        sk.warmup_cosine(0.1, steps, warmup)


@pytest.mark.parametrize("step", [0, 1, 250, 500, 1000])
def test_target_decay_is_byols_formula(step):
    want = 1 - (1 - 0.99) * (math.cos(math.pi * step / 1000) + 1) / 2
    np.testing.assert_allclose(sk.TargetDecay(0.99, 1000)(step), want, rtol=1e-6)


def test_target_decay_stays_at_one_after_the_end_and_can_be_constant():
    assert sk.TargetDecay(0.99, 10)(20) == 1
    np.testing.assert_allclose(sk.TargetDecay(0.9)(10**6), 0.9)


def test_bad_values_are_named():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        sk.TargetDecay(1.5)
    with pytest.raises(ValueError, match="positive"):
        sk.TargetDecay(0.9, 0)
