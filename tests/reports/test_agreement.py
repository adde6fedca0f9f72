"""Correlations, reliability, ranks and regret, against definitions written out here."""

import itertools

import numpy as np
import pytest
from scipy import stats

from ssl_keras.reports import agreement


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    quality = rng.normal(size=(20, 1))
    return np.round(60 + 3 * quality + rng.normal(size=(20, 4)), 0)  # rounded, so that there are ties


@pytest.mark.parametrize(
    ("ours", "known"),
    [
        (agreement.pearson, lambda x, y: stats.pearsonr(x, y).statistic),
        (agreement.spearman, lambda x, y: stats.spearmanr(x, y).statistic),
        (agreement.kendall, lambda x, y: stats.kendalltau(x, y, variant="b").statistic),
    ],
)
def test_correlations_are_those_of_scipy_ties_included(values, ours, known):
    found = ours(values)
    for first, second in itertools.product(range(4), repeat=2):
        assert found[first, second] == pytest.approx(known(values[:, first], values[:, second]))


def test_a_scenario_that_does_not_vary_correlates_with_nothing(values):
    values[:, 2] = 50
    for statistic in agreement.CORRELATIONS.values():
        assert np.isfinite(statistic(values)).all()
        assert statistic(values)[0, 2] == 0


def test_the_interval_holds_the_value_and_narrows_with_more_networks(values):
    def mean(rows):
        return agreement.off_diagonal_mean(agreement.spearman(rows))

    low, high = agreement.interval(values, mean)
    assert low < mean(values) < high
    many_low, many_high = agreement.interval(np.concatenate([values] * 9), mean)
    assert many_high - many_low < 0.6 * (high - low)


def repeats(between, within, networks=400, seeds=3):
    rng = np.random.default_rng(1)
    truth = rng.normal(scale=between, size=(networks, 1, len(within)))
    return [*(truth + rng.normal(size=(networks, seeds, len(within))) * np.asarray(within))]


def test_reliability_is_the_share_of_variance_between_networks():
    # Known by construction: 4 / (4 + 1), 4 / (4 + 4), 4 / (4 + 36).
    found = agreement.reliability(repeats(2.0, (1.0, 2.0, 6.0)))
    np.testing.assert_allclose(found, (0.8, 0.5, 0.1), atol=0.06)
    assert np.abs(agreement.reliability(repeats(0.0, (1.0, 2.0)))).max() < 0.06
    low, high = agreement.reliability_interval(repeats(2.0, (1.0, 2.0, 6.0), networks=30))
    assert (low < (0.8, 0.5, 0.1)).all() and (high > (0.8, 0.5, 0.1)).all()


def test_the_ceiling_is_what_noise_leaves_of_perfect_agreement():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(20_000, 1))
    measured = truth + rng.normal(size=(20_000, 2)) * (0.5, 1.5)
    expected = np.array([1 / (1 + 0.25), 1 / (1 + 2.25)])
    assert agreement.pearson(measured)[0, 1] == pytest.approx(agreement.ceiling(expected)[0, 1], abs=0.01)
    assert (agreement.ceiling(np.array([-0.2, 0.5]))[0] == 0).all()


def row(network, seed, scenario, value):
    return {
        "network": network, "seed": seed, "scenario": scenario, "value": value,
        "architecture": "conv_c8", "params": 1, "macs": 2, "top_bottom": 3.0,
    }  # fmt: skip


def test_scores_take_the_first_training_and_leave_out_who_lacks_a_scenario():
    rows = [
        row("a", 0, "x", 10), row("a", 0, "y", 20), row("a", 1, "x", 12), row("a", 1, "y", 24),
        row("b", 0, "x", 30), row("b", 0, "y", 40), row("c", 0, "x", 99),
    ]  # fmt: skip
    found = agreement.scores(rows)
    assert found.networks == ("a", "b") and found.scenarios == ("x", "y")
    np.testing.assert_array_equal(found.single, [[10, 20], [30, 40]])
    assert list(found.repeats) == ["a"]
    # Two trainings: the deviation is half of their distance times the root of two.
    np.testing.assert_allclose(found.seed_deviation, [np.sqrt(2), 2 * np.sqrt(2)])
    assert agreement.scores(rows, lambda name: name == "b").networks == ("b",)


def test_near_the_best_means_within_the_noise_of_two_trainings():
    rows = [row("a", seed, "x", 50 + seed) for seed in (0, 1)] + [row("b", 0, "x", 48.7), row("c", 0, "x", 47)]
    found = agreement.scores(rows)
    # Noise: 1.96 · √2 · √½ = 1.96 points below the best first training, 50.
    assert agreement.near_best(found)[:, 0].tolist() == [True, True, False]
    alone = agreement.scores([row("a", 0, "x", 50), row("b", 0, "x", 49.99)])
    assert agreement.near_best(alone)[:, 0].tolist() == [True, False]


def test_places_and_regret():
    values = np.array([[10.0, 5], [30, 5], [20, 9]])
    assert agreement.ranks(values).tolist() == [[3, 2.5], [1, 2.5], [2, 1]]
    assert agreement.regret(values).tolist() == [[20, 4], [0, 4], [10, 0]]


def test_regret_is_not_paid_for_luck():
    noise = agreement.honest_regret(repeats(0.0, (1.0,) * 8, networks=200))
    assert abs(noise[0]) < 0.3 and abs(noise[1]) < 0.3
    own = np.eye(8).repeat(2, axis=0)[:, None] * 10  # every network is good in one scenario only
    specialists = [*(own + np.random.default_rng(3).normal(scale=0.1, size=(16, 3, 8)))]
    cost, drawn = agreement.honest_regret(specialists)
    assert cost == pytest.approx(10 * 7 / 8, abs=0.3) and drawn == pytest.approx(10 * 7 / 8, abs=0.3)
    assert agreement.honest_regret(specialists[:1]) is None
