"""The share of variance between networks, where it is known."""

import numpy as np
import pytest
from study_pilot import share_of_networks


def drawn(generator, networks, seeds, between, within):
    return [generator.normal(0, between) + generator.normal(0, within, seeds) for _ in range(networks)]


def test_it_is_the_share_that_the_numbers_were_drawn_with():
    value, low, high = share_of_networks(drawn(np.random.default_rng(0), 2000, 3, 2.0, 1.0))
    assert value == pytest.approx(0.8, abs=0.02)
    assert low < value < high < low + 0.05


def test_networks_that_are_all_alike_have_none_and_the_interval_says_how_little_eight_tell():
    generator = np.random.default_rng(1)
    found = [share_of_networks(drawn(generator, 8, 3, 0.0, 1.0)) for _ in range(400)]
    assert np.median([value for value, _, _ in found]) < 0.1
    assert np.mean([low > 0 for _, low, _ in found]) == pytest.approx(0.025, abs=0.02)


def test_an_interval_holds_the_truth_nineteen_times_in_twenty():
    generator = np.random.default_rng(2)
    found = [share_of_networks(drawn(generator, 8, 3, 1.0, 1.0)) for _ in range(400)]
    assert np.mean([low <= 0.5 <= high for _, low, high in found]) == pytest.approx(0.95, abs=0.03)
