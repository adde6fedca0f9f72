"""The share of variance between networks, where it is known."""

import numpy as np
import pytest
from study_pilot import share_of_networks

from ssl_keras.reports.agreement import Scores


def shares(generator, networks, between, *, pilots=1):
    """Value, low and high of pilots (each a scenario) of three seeds, whose luck has a deviation of 1."""
    runs = generator.normal(0, between, (networks, 1, pilots)) + generator.normal(0, 1, (networks, 3, pilots))
    names = tuple(map(str, range(networks)))
    repeats = dict(zip(names, runs, strict=True))
    return share_of_networks(Scores(names, tuple(map(str, range(pilots))), runs[:, 0], repeats, {}))


def test_it_is_the_share_that_the_numbers_were_drawn_with():
    (value,), (low,), (high,) = shares(np.random.default_rng(0), 2000, 2.0)
    assert value == pytest.approx(0.8, abs=0.02)
    assert low < value < high < low + 0.05


def test_networks_that_are_all_alike_have_none_and_the_interval_says_how_little_eight_tell():
    value, low, _ = shares(np.random.default_rng(1), 8, 0.0, pilots=400)
    assert np.median(value) < 0.1
    assert np.mean(low > 0) == pytest.approx(0.025, abs=0.02)


def test_an_interval_holds_the_truth_nineteen_times_in_twenty():
    _, low, high = shares(np.random.default_rng(2), 8, 1.0, pilots=400)
    assert np.mean((low <= 0.5) & (high >= 0.5)) == pytest.approx(0.95, abs=0.03)
