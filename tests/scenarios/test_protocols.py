"""The protocols on features alone."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from ssl_keras.scenarios.knn import knn
from ssl_keras.scenarios.linear import PENALTIES, fit, linear, stratified_folds
from ssl_keras.scenarios.softmax_regression import solve


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
    found = solve(features, labels, 5, [penalty])
    assert found.converged.all()
    reached = objective(features, labels, found.weights[0].astype(np.float64), found.intercepts[0], penalty)
    assert reached == pytest.approx(best, rel=2e-5)
    assert found.objectives[0] == pytest.approx(reached, rel=1e-5)
    np.testing.assert_array_equal(
        np.argmax(features @ found.weights[0] + found.intercepts[0], 1) == oracle.predict(features), True
    )


def test_problems_solved_together_equal_problems_solved_alone():
    features, labels = blobs(300)
    features, folds = standardized(features), np.arange(300) % 3
    together = solve(features, labels, 5, [1e-3, 0.1] * 3, left_out=np.repeat(np.arange(3), 2), folds=folds)
    for problem in range(6):
        fold, penalty = problem // 2, (1e-3, 0.1)[problem % 2]
        alone = solve(features[folds != fold], labels[folds != fold], 5, [penalty])
        assert together.objectives[problem] == pytest.approx(alone.objectives[0], rel=2e-5)
        np.testing.assert_allclose(together.weights[problem], alone.weights[0], atol=0.02)


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
    assert solve(features, labels, 5, [0.1]).objectives[0] == pytest.approx(best, rel=1e-4)


def test_cross_validated_accuracy_agrees_with_sklearn_s():
    features, labels = blobs(1200)
    classifier = fit(features, labels, seed=3)
    assert list(classifier.validation) == sorted(PENALTIES)
    for penalty, accuracy in classifier.validation.items():
        oracle = LogisticRegression(C=1 / (penalty * 800), max_iter=2000)
        folds = StratifiedKFold(3, shuffle=True, random_state=0)
        # Other folds than ours: the standard error of one estimate is 1.4 %.
        expected = cross_val_score(oracle, standardized(features), labels, cv=folds).mean()
        assert accuracy == pytest.approx(expected, abs=0.025)


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
    assert max(classifier.validation.values()) > classifier.validation[min(PENALTIES)] + 0.03
    assert classifier.penalty > min(PENALTIES)


def test_test_labels_choose_nothing():
    train, labels = blobs(300)
    test, truth = blobs(200, seed=1)
    outcome = linear(train, labels, test, truth, seed=4)["linear"]
    shuffled = np.random.default_rng(0).permutation(truth)
    other = linear(train, labels, test, shuffled, seed=4)["linear"]
    assert other.chosen == outcome.chosen
    # The same answers: right exactly where the two sets of labels agree with them.
    np.testing.assert_array_equal(outcome.correct[truth == shuffled], other.correct[truth == shuffled])
    assert outcome.correct.mean() > 0.5 > other.correct.mean()


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


def test_an_end_of_the_grid_is_remarked_where_it_matters():
    train, labels = blobs(300)
    test, truth = blobs(50, seed=1)
    too_strong = linear(train, labels, test, truth, penalties=[1.0, 100.0, 1000.0])["linear"]
    assert "end of the grid" in too_strong.remarks[0]
    assert linear(train, labels, test, truth)["linear"].remarks == ()


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
    train, labels = blobs(50)
    test, truth = blobs(40, seed=1)
    outcomes = knn(train, labels, test, truth)
    assert list(outcomes) == ["knn20", "knn200"]
    assert outcomes["knn20"].chosen["k"] == 20 and outcomes["knn20"].remarks == ()
    assert outcomes["knn200"].chosen["k"] == 50
    assert outcomes["knn200"].remarks == ("knn200 used k = 50, the number of training images.",)


def test_knn_counts_a_class_it_never_saw_as_wrong():
    train, labels = blobs(50, classes=2)
    test, _ = blobs(40, seed=1)
    assert not knn(train, labels, test, np.full(40, 7))["knn20"].correct.any()
