"""The protocols on features alone."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from ssl_keras.scenarios.knn import knn
from ssl_keras.scenarios.linear import PENALTIES, fit, linear, stratified_folds
from ssl_keras.scenarios.low_shot import low_shot
from ssl_keras.scenarios.retrieval import ranks, retrieval
from ssl_keras.scenarios.sgd import Setting, descend, linear_sgd
from ssl_keras.scenarios.softmax_regression import rotate, solve
from tests.scenarios.conftest import given


def blobs(n, d=12, classes=5, seed=0):
    """Correlated features of overlapping classes."""
    rng = np.random.default_rng(seed)
    fixed = np.random.default_rng(99)
    means, mixing = fixed.normal(size=(classes, d)), fixed.normal(size=(d, d)) * np.arange(1, d + 1) ** -1.0
    labels = rng.integers(0, classes, n)
    return ((0.6 * means[labels] + rng.normal(size=(n, d))) @ mixing).astype(np.float32), labels


def standardized(features):
    return (features - features.mean(0)) / features.std(0)


def objective(features, labels, weights, intercept, penalty):
    """The documented objective, row by row."""
    total = 0.0
    for row, label in zip(features.astype(np.float64), labels, strict=True):
        logits = row @ weights + intercept
        total += np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label]
    return total / len(features) + penalty / 2 * (weights**2).sum()


@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 1.0])
def test_one_regression_reaches_sklearn_s_minimum(penalty):
    features, labels = blobs(400)
    features = standardized(features)
    oracle = LogisticRegression(C=1 / (penalty * len(labels)), max_iter=5000, tol=1e-8).fit(
        features.astype(np.float64), labels
    )
    best = objective(features, labels, oracle.coef_.T, oracle.intercept_, penalty)
    rotated = rotate(features)
    found = solve(rotated, labels, 5, [penalty])
    assert found.converged.all()
    weights = rotated.rotation @ found.weights[0]
    reached = objective(features, labels, weights.astype(np.float64), found.intercepts[0], penalty)
    assert reached == pytest.approx(best, rel=2e-5)
    assert found.objectives[0] == pytest.approx(reached, rel=1e-5)
    np.testing.assert_array_equal(
        np.argmax(features @ weights + found.intercepts[0], 1) == oracle.predict(features), True
    )


def test_problems_solved_together_equal_problems_solved_alone():
    features, labels = blobs(300)
    features, folds = rotate(features), np.arange(300) % 3
    together = solve(features, labels, 5, [1e-3, 0.1] * 3, left_out=np.repeat(np.arange(3), 2), folds=folds)
    for problem in range(6):
        fold, penalty = problem // 2, (1e-3, 0.1)[problem % 2]
        others = dataclasses.replace(features, rows=features.rows[folds != fold])
        alone = solve(others, labels[folds != fold], 5, [penalty])
        assert together.objectives[problem] == pytest.approx(alone.objectives[0], rel=2e-5)
        np.testing.assert_allclose(together.weights[problem], alone.weights[0], atol=0.02)


def test_a_row_of_a_negative_fold_is_seen_by_no_problem():
    features, labels = blobs(300)
    features, folds = rotate(features), np.arange(300) % 4 - 1
    for left_out, seen in ((None, folds >= 0), ([1, 1], (folds >= 0) & (folds != 1))):
        found = solve(features, labels, 5, [1e-3, 0.1], left_out=left_out, folds=folds)
        alone = solve(dataclasses.replace(features, rows=features.rows[seen]), labels[seen], 5, [1e-3, 0.1])
        np.testing.assert_allclose(found.objectives, alone.objectives, rtol=2e-5)


def test_a_good_start_changes_the_way_and_not_the_end():
    features, labels = blobs(400)
    rotated = rotate(features)
    cold = solve(rotated, labels, 5, [1e-3])
    warm = solve(rotated, labels, 5, [1e-3], start=(cold.weights, cold.intercepts))
    assert warm.iterations < cold.iterations / 2
    np.testing.assert_allclose(warm.weights, cold.weights, atol=0.02)


def test_constant_and_redundant_features_do_no_harm():
    features, labels = blobs(200)
    wide = np.concatenate([features, features, np.full((200, 3), 7, np.float32)], axis=1)
    classifier = fit(wide, labels, penalties=[0.01])
    assert np.isfinite(classifier.weights).all()
    assert not classifier.weights[-3:].any()
    # Two equal features share one weight: the same model as one feature at half the penalty.
    half = fit(features, labels, penalties=[0.005])
    np.testing.assert_allclose(classifier.weights[:12] + classifier.weights[12:24], half.weights, atol=0.02)


def test_more_features_than_images():
    features, labels = blobs(60, d=200)
    features = standardized(features)
    oracle = LogisticRegression(C=1 / (0.1 * 60), max_iter=5000, tol=1e-8).fit(features.astype(np.float64), labels)
    best = objective(features, labels, oracle.coef_.T, oracle.intercept_, 0.1)
    assert solve(rotate(features), labels, 5, [0.1]).objectives[0] == pytest.approx(best, rel=1e-4)


def test_cross_validated_accuracy_agrees_with_sklearn_s():
    features, labels = blobs(1200)
    classifier = fit(features, labels, seed=3)
    assert 5 + 2 <= len(classifier.validation) <= 5 + 2 + 2 and set(classifier.validation) <= set(PENALTIES)
    for penalty, accuracy in classifier.validation.items():
        oracle = LogisticRegression(C=1 / (penalty * 800), max_iter=2000)
        folds = StratifiedKFold(3, shuffle=True, random_state=0)
        # Other folds than ours: the standard error of one estimate is 1.4 %.
        expected = cross_val_score(oracle, standardized(features), labels, cv=folds).mean()
        assert accuracy == pytest.approx(expected, abs=0.025)


def test_what_lies_on_disk_is_never_held_whole(tmp_path, monkeypatch):
    """At a scaled size: 51 MB of float32 features, judged within a quarter of that."""
    n, d = 100_000, 128
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n)
    stored = np.lib.format.open_memmap(tmp_path / "features.npy", "w+", np.float16, (n, d))
    for first in range(0, n, 10_000):
        rows = slice(first, first + 10_000)
        stored[rows] = rng.normal(size=(10_000, d)) + np.eye(d)[labels[rows]]
    del stored
    monkeypatch.setattr("ssl_keras.scenarios.softmax_regression.IN_MEMORY", 2**20)
    monkeypatch.setattr("ssl_keras.scenarios.softmax_regression._CHUNK", 2048)
    monkeypatch.setattr("ssl_keras.learning.measures._TRAINING_ROWS", 2048)
    monkeypatch.setattr("ssl_keras.learning.measures._BLOCK_ELEMENTS", 2**18)
    features = np.load(tmp_path / "features.npy", mmap_mode="r")
    train, test = given(features, labels), given(np.asarray(features[:200], np.float32), labels[:200])
    tracemalloc.start()
    try:
        classifier = fit(train.features, labels, penalties=[0.01])
        nearest = knn(train, 0)(test)[0].correct
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (classifier.predict(test.features) == test.labels).mean() > 0.6 and nearest.mean() > 0.45
    assert peak < n * d * 4 / 4


def test_the_best_penalty_is_chosen_and_the_larger_among_equals():
    features, labels = blobs(600)
    classifier = fit(features, labels)
    best = max(classifier.validation.values())
    assert classifier.penalty == max(p for p, accuracy in classifier.validation.items() if accuracy == best)
    # One feature that tells the classes apart: all penalties are equally right.
    equal = fit(np.repeat([[-1.0], [1.0]], 30, axis=0).astype(np.float32), np.repeat([0, 1], 30))
    assert set(equal.validation.values()) == {1.0} and equal.penalty == max(PENALTIES)


def test_the_penalty_matters_on_noise():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 150)
    features = rng.normal(size=(150, 100)).astype(np.float32) + 0.3 * labels[:, None].astype(np.float32)
    features[:, 50:] = rng.normal(size=(150, 50))
    classifier = fit(features, labels)
    assert max(classifier.validation.values()) > classifier.validation[min(classifier.validation)] + 0.03
    assert classifier.penalty > min(classifier.validation)


def test_test_labels_choose_nothing():
    train, labels = blobs(300)
    test, truth = blobs(200, seed=1)
    answer = linear(given(train, labels), 4)
    outcome = answer(given(test, truth))[0]
    shuffled = np.random.default_rng(0).permutation(truth)
    other = answer(given(test, shuffled))[0]
    assert other.chosen == outcome.chosen
    # The same answers: right exactly where the two sets of labels agree with them.
    np.testing.assert_array_equal(outcome.correct[truth == shuffled], other.correct[truth == shuffled])
    assert outcome.correct.mean() > 0.5 > other.correct.mean()


def test_the_best_five_hold_the_best_and_more():
    train, labels = blobs(600, classes=8)
    test, truth = blobs(200, classes=8, seed=1)
    first, five = linear(given(train, labels), 0)(given(test, truth))
    assert (first.metric, five.metric) == ("top1", "top5")
    assert five.correct[first.correct].all() and five.correct.mean() > first.correct.mean()
    assert len(linear(given(*blobs(100)), 0)(given(*blobs(50, seed=1)))) == 1  # of five classes all are among five


def test_answers_are_sought_among_the_eligible_classes():
    train, labels = blobs(400)
    test, truth = blobs(200, seed=1)
    some = np.isin(truth, [1, 3])
    eligible = np.isin(np.arange(5), [1, 3])
    for protocol in (linear, knn):
        answer = protocol(given(train, labels), 0)
        among_all, among_two = (
            answer(given(test[some], truth[some], 5, chosen))[0].correct.mean() for chosen in (None, eligible)
        )
        assert among_two > among_all + 0.02


def test_features_on_disk_give_what_features_in_memory_give(tmp_path, monkeypatch):
    train, labels = blobs(500)
    stored = np.lib.format.open_memmap(tmp_path / "f.npy", "w+", np.float32, train.shape)
    stored[:] = train
    whole = fit(train, labels)
    monkeypatch.setattr("ssl_keras.scenarios.softmax_regression.IN_MEMORY", 1000)
    monkeypatch.setattr("ssl_keras.scenarios.softmax_regression._CHUNK", 64)
    parts = fit(np.load(tmp_path / "f.npy", mmap_mode="r"), labels)
    assert isinstance(rotate(stored).rows, np.memmap)
    assert parts.penalty == whole.penalty
    np.testing.assert_allclose(parts.weights, whole.weights, atol=2e-3)


def test_training_statistics_standardise():
    train, labels = blobs(300)
    classifier = fit(train, labels, penalties=[0.01])
    np.testing.assert_allclose(classifier.mean, train.mean(0), rtol=1e-4, atol=1e-5)
    scaled = fit(train * 1000 + 50, labels, penalties=[0.01])
    np.testing.assert_allclose(scaled.weights, classifier.weights, atol=0.02)


def test_same_seed_same_outcome_other_seed_other_folds():
    labels = np.arange(90) % 4
    np.testing.assert_array_equal(stratified_folds(labels, 3, 1), stratified_folds(labels, 3, 1))
    assert (stratified_folds(labels, 3, 1) != stratified_folds(labels, 3, 2)).any()


def test_folds_are_stratified_even_with_tiny_classes():
    labels = np.concatenate([np.zeros(100, int), np.ones(30, int), np.arange(2, 42)])
    folds = stratified_folds(labels, 3, 0)
    assert np.ptp(np.bincount(folds)) <= 1
    for label in (0, 1):
        assert np.ptp(np.bincount(folds[labels == label], minlength=3)) <= 1


def test_an_end_of_the_grid_is_remarked_where_it_matters(monkeypatch):
    train, labels = blobs(300)
    test = given(*blobs(50, seed=1))
    assert linear(given(train, labels), 0)(test)[0].remarks == ()
    monkeypatch.setattr(fit, "__kwdefaults__", {**fit.__kwdefaults__, "penalties": (1.0, 100.0, 1000.0)})
    assert "end of the grid" in linear(given(train, labels), 0)(test)[0].remarks[0]


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        (np.zeros(30, int), {}, "at least two classes"),
        (np.arange(30) % 2, {"penalties": [0.0, 1.0]}, "all positive"),
        (np.arange(30) % 2, {"folds": 31}, "31 folds for 30 images"),
    ],
)
def test_what_cannot_be_fitted_is_refused(labels, options, said):
    with pytest.raises(ValueError, match=said):
        fit(blobs(30)[0], labels, **options)


def test_knn_gives_both_k_and_clips_to_the_training_set():
    outcomes = knn(given(*blobs(50)), 0)(given(*blobs(40, seed=1)))
    assert [outcome.protocol for outcome in outcomes] == ["knn20", "knn200"]
    assert outcomes[0].chosen["k"] == 20 and outcomes[0].remarks == ()
    assert outcomes[1].chosen["k"] == 50
    assert outcomes[1].remarks == ("knn200 used k = 50, the number of training images.",)


def test_knn_counts_a_class_it_never_saw_as_wrong():
    test, _ = blobs(40, seed=1)
    assert not knn(given(*blobs(50, classes=2), 8), 0)(given(test, np.full(40, 7)))[0].correct.any()


def test_gradient_descent_with_one_setting_is_gradient_descent():
    """Two full-batch steps by hand."""
    features, labels = blobs(60, d=3, classes=3)
    weights, velocity = np.zeros((4, 3)), np.zeros((4, 3))
    rows = np.concatenate([features, np.ones((60, 1))], axis=1)
    for step in range(20):
        logits = rows @ weights
        chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        slope = rows.T @ (chances - np.eye(3)[labels]) / 60
        slope[:3] += 0.01 * weights[:3]
        velocity = 0.9 * velocity + slope
        weights = weights - 0.1 * 0.5 * (1 + np.cos(np.pi * step / 20)) * velocity
    found = descend(features, labels, 3, [Setting(0.01, 60, 0.1)], np.ones((1, 60), bool), seed=0)
    np.testing.assert_allclose(found[0], weights, atol=1e-5)


def test_a_row_that_is_not_seen_teaches_nothing():
    features, labels = blobs(128)
    wrong = np.where(np.arange(128) % 2, labels, (labels + 1) % 5)
    seen = np.arange(128)[None] % 2 == 1
    settings = [Setting(0.0, 64, 0.1)]
    one, other = (descend(features, taught, 5, settings, seen, seed=0) for taught in (labels, wrong))
    np.testing.assert_array_equal(one, other)


def test_the_study_s_classifier_is_about_as_good_as_the_convex_one():
    train, test = given(*blobs(900)), given(*blobs(600, seed=1))
    one, other = (protocol(train, 0)(test)[0] for protocol in (linear, linear_sgd))
    assert other.correct.mean() == pytest.approx(one.correct.mean(), abs=0.05)
    assert other.chosen["batch"] in (64, 256)


def test_more_labels_make_better_class_means():
    train, test = given(*blobs(900)), given(*blobs(400, seed=1))
    outcomes = low_shot(train, 0)(test)
    assert [outcome.protocol for outcome in outcomes] == ["low-shot 1", "low-shot 5", "low-shot 10"]
    one, five, ten = (outcome.correct.mean() for outcome in outcomes)
    assert 1 / 5 < one < five < ten + 0.02
    repeated, others = low_shot(train, 0)(test)[0], low_shot(train, 1)(test)[0]
    np.testing.assert_array_equal(repeated.correct, outcomes[0].correct)
    assert (others.correct != outcomes[0].correct).any()


def test_average_precision_by_hand():
    """Four vectors on a circle; the first asks, and finds its class at ranks 1 and 3."""
    angles = np.array([0.0, 0.1, 0.25, 0.3])
    precision, first = ranks(np.stack([np.cos(angles), np.sin(angles)], 1), np.array([0, 0, 1, 0]))
    assert precision[0] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert first.tolist() == [1, 1, 0, 2]


def test_retrieval_among_random_vectors_is_the_share_of_the_class():
    features = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    found = {one.metric: one.correct.mean() for one in retrieval(None, 0)(given(features, np.arange(600) % 3))}
    assert found["map"] == pytest.approx(1 / 3, abs=0.03)
    assert found["recall@1"] == pytest.approx(1 / 3, abs=0.06)
    assert found["recall@10"] == pytest.approx(1 - (2 / 3) ** 10, abs=0.03)
