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


@pytest.mark.parametrize("constant", [50, 33.3, 10.1])
def test_a_scenario_that_does_not_vary_correlates_with_nothing(values, constant):
    values[:, 2] = constant
    for statistic in agreement.CORRELATIONS.values():
        assert np.isfinite(statistic(values)).all()
        assert statistic(values)[2, :2].tolist() == [0, 0]


def test_the_interval_holds_the_value_and_narrows_with_more_networks(values):
    few, many = (
        agreement.middle(agreement.mean_of_pairs(agreement.resampled(rows, agreement.spearman)))
        for rows in (values, np.concatenate([values] * 9))
    )
    assert few[0] < agreement.mean_of_pairs(agreement.spearman(values)) < few[1]
    assert many[1] - many[0] < 0.6 * (few[1] - few[0])


def test_the_mean_of_pairs_leaves_the_diagonal_out():
    assert agreement.mean_of_pairs(np.array([[1, 0.2, 0.4], [0.2, 1, 0.9], [0.4, 0.9, 1]])) == pytest.approx(0.5)


def trainings(general, own, luck, shape=(400, 3, 6), seed=1):
    """Of networks (n, k, s) whose accuracy is made of normal parts of these deviations."""
    rng = np.random.default_rng(seed)
    n, _, s = shape
    parts = ((general, (n, 1, 1)), (own, (n, 1, s)), (luck, shape))
    return 50 + sum(deviation * rng.normal(size=size) for deviation, size in parts)


def scores_of(runs):
    rows = [row(f"n{network}", seed, f"s{place}", value) for (network, seed, place), value in np.ndenumerate(runs)]
    return agreement.scores(rows)


def test_reliability_is_the_share_of_variance_between_networks():
    share, low, high = agreement.reliability(scores_of(trainings(2, 0, 2, (300, 3, 2))))
    np.testing.assert_allclose(share, 0.5, atol=0.08)
    assert (low < share).all() and (share < high).all() and (high - low < 0.25).all()
    nothing = agreement.reliability(scores_of(trainings(0, 0, 1, (300, 3, 2))))[0]
    assert np.abs(nothing).max() < 0.1


def test_the_interval_of_reliability_holds_the_truth_as_often_as_it_says():
    held = []
    for seed in range(60):
        _, low, high = agreement.reliability(scores_of(trainings(1, 0, 1, (8, 3, 2), seed)))
        held += [*((low <= 0.5) & (high >= 0.5))]
    assert np.mean(held) > 0.88  # of 95 %, by 120 draws


def test_a_scenario_that_does_not_vary_has_no_share():
    runs = trainings(1, 0, 1, (5, 2, 2))
    runs[..., 0] = 33.3
    share, low, high = agreement.reliability(scores_of(runs))
    assert share[0] == high[0] == 0 and low[0] <= 0


def test_the_ceiling_is_what_noise_leaves_of_perfect_agreement():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(3000, 1))
    measured = truth + rng.normal(size=(3000, 2)) * (0.5, 1.5)
    most = agreement.ceiling(np.array([1 / (1 + 0.25), 1 / (1 + 2.25)]))
    for name, statistic in agreement.CORRELATIONS.items():
        rows = measured[:500] if name == "Kendall" else measured
        assert statistic(rows)[0, 1] == pytest.approx(agreement.SEEN_AS[name](most)[0, 1], abs=0.05)
    assert (agreement.ceiling(np.array([-0.2, 0.5]))[0] == 0).all()


@pytest.mark.parametrize("deviations", [(2, 1, 1), (0, 2, 1), (2, 0, 1), (0, 0, 1)])
def test_variance_is_split_into_what_it_was_made_of(deviations):
    # A scenario's own variance is what its networks share in that scenario; all parts have one unit here.
    squares = np.square(deviations)
    value, low, high = agreement.variance_parts(trainings(*deviations))
    np.testing.assert_allclose(value, squares / squares.sum(), atol=0.06)
    assert (low <= value).all() and (value <= high).all() and value.sum() == pytest.approx(1)


def test_luck_that_a_training_has_in_all_scenarios_is_luck():
    rng = np.random.default_rng(4)
    runs = trainings(1, 0, 1) + 2 * rng.normal(size=(400, 3, 1))
    np.testing.assert_allclose(agreement.variance_parts(runs)[0], np.array([1, 0, 5]) / 6, atol=0.06)


@pytest.mark.parametrize(("networks", "deviations", "least"), [(4, (5, 4, 8), 0.82), (16, (8, 3, 4), 0.9)])
def test_the_intervals_of_the_parts_hold_the_truth_about_as_often_as_they_say(networks, deviations, least):
    truth = np.square(deviations) / np.square(deviations).sum()
    held = []
    for seed in range(100):
        _, low, high = agreement.variance_parts(trainings(*deviations, (networks, 3, 11), seed))
        held.append((low <= truth) & (truth <= high))
    assert (np.mean(held, axis=0) > least).all()  # resampling the networks, it would be 0.4 to 0.8


def test_luck_in_common_is_how_much_a_training_goes_well_in_all():
    rng = np.random.default_rng(6)
    runs = trainings(2, 1, 1) + rng.normal(size=(400, 3, 1))
    assert agreement.luck_in_common(scores_of(runs[:150])) == pytest.approx(0.5, abs=0.08)


def test_scenarios_that_agree_entirely_correlate_up_to_the_ceiling_common_luck_included():
    rng = np.random.default_rng(7)
    runs = trainings(1, 0, 1, (300, 3, 4)) + rng.normal(size=(300, 3, 1))
    found = scores_of(runs)
    most = agreement.ceiling(agreement.reliability(found)[0], agreement.luck_in_common(found))
    seen = agreement.mean_of_pairs(agreement.pearson(found.single))
    assert agreement.mean_of_pairs(most) == pytest.approx(seen, abs=0.05) == pytest.approx(2 / 3, abs=0.1)
    drawn = agreement.middle(agreement.shares_by_chance(found))
    share = agreement.reliability(found)[0]
    assert (drawn[0] < share).all() and (share < drawn[1]).all()


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


def test_blocks_are_counted_without_stem_and_head():
    assert agreement.blocks("conv_c8 | maxpool | basic_r2_c8 | mbconv_r3_s2_c16 | conv_k1_c32") == 5


def test_one_of_many_equal_networks_is_told_apart_from_the_first_in_one_case_of_twenty():
    kept = []
    for seed in range(40):
        runs = trainings(0, 0, 1, (60, 2, 1), seed)
        kept.append(agreement.near_best(scores_of(runs)).mean())
    assert np.mean(kept) == pytest.approx(0.95, abs=0.025)


def test_a_network_far_behind_could_not_be_the_best_and_without_repeats_only_the_first_could():
    runs = trainings(0, 0, 1, (10, 3, 1))
    runs[4] -= 20
    assert not agreement.near_best(scores_of(runs))[4, 0]
    alone = agreement.scores([row("a", 0, "x", 50), row("b", 0, "x", 49.99)])
    assert agreement.near_best(alone)[:, 0].tolist() == [True, False]


def test_places_and_regret():
    values = np.array([[10.0, 5], [30, 5], [20, 9]])
    assert agreement.ranks(values).tolist() == [[3, 2.5], [1, 2.5], [2, 1]]
    assert agreement.regret(values).tolist() == [[20, 4], [0, 4], [10, 0]]


def test_regret_of_a_choice_is_not_paid_for_the_luck_of_its_seeds():
    assert np.abs(agreement.regret_of_choice(trainings(0, 0, 1, (200, 3, 8))).mean()) < 0.3
    assert agreement.regret_of_choice(trainings(1, 0, 2, (40, 3, 8))).mean() < 0  # the mean of all is the better guide
    own = np.eye(8).repeat(2, axis=0)[:, None] * 10  # every network is good in one scenario only
    specialists = own + np.random.default_rng(3).normal(scale=0.1, size=(16, 3, 8))
    np.testing.assert_allclose(agreement.regret_of_choice(specialists), 10 * 7 / 8, atol=0.3)
