"""Which classes does an image show?"""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ssl_keras.data.sources import open_source
from ssl_keras.data.sources.base import ArraySource, MultiLabels
from ssl_keras.scenarios.features import RawPixels
from ssl_keras.scenarios.linear import PENALTIES, stratified_folds
from ssl_keras.scenarios.multi_label import average_precision, bootstrap_map, fit, multi_label
from ssl_keras.scenarios.protocol import Images, Labelled

NAMES = ("red", "green", "blue")


class Several(ArraySource):
    """Images whose classes are given."""

    def __init__(self, images, labels, names=NAMES):
        super().__init__(images, "several")
        self._several = MultiLabels(names, np.asarray(labels, np.int8))

    def multi_labels(self):
        return self._several


def lights(n, seed, noise=120):
    """Images whose channels are bright, each on its own, where the class is shown; some are unsure."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < (0.5, 0.2, 0.1)).astype(np.int8)
    images = 60 * labels[:, None, None] + rng.integers(0, noise, (n, 1, 1, 3)) + rng.integers(0, 20, (n, 4, 4, 3))
    labels[rng.random((n, 3)) < 0.05] = -1
    return Several(images.astype(np.uint8), labels)


def labelled(source):
    return Labelled(Images(RawPixels(4), source, 4))


def once(n):
    return np.ones((1, n), int)


def reference(scores, labels):
    """The development kit's evaluation of one class, line by line, image by image."""
    ranking = sorted((-score, place) for place, score in enumerate(scores))
    positives = sum(label > 0 for label in labels)
    true = false = 0
    curve = []
    for _, place in ranking:
        true += labels[place] > 0
        false += labels[place] == 0
        if true + false:
            curve.append((true / positives, true / (true + false)))
    levels = [max([p for recall, p in curve if recall >= level / 10 - 1e-12], default=0.0) for level in range(11)]
    return sum(levels) / 11


# The figure


def test_eleven_points_by_hand():
    # Ranks:       1  2  3   4  5
    labels = np.array([1, 0, 1, 0, 1])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    # Up to a recall of 1/3 the precision is 1 (0, .1, .2, .3), up to 2/3 it is 2/3 (.4, .5, .6), then 3/5.
    assert average_precision(scores, labels, once(5))[0] == pytest.approx((4 * 1 + 3 * 2 / 3 + 4 * 3 / 5) / 11)
    # An image that is unsure stands nowhere in the ranking, be it first or between.
    for place in (0, 2, 5):
        more = np.insert(labels, place, -1), np.insert(scores, place, 1.0 - 0.1 * place)
        assert average_precision(more[1], more[0], once(6)) == average_precision(scores, labels, once(5))
    # A recall of 3/10 is one of 0.3: four of the eleven precisions are 1.
    labels = np.array([1] * 3 + [0] * 7 + [1] * 7)
    assert average_precision(-np.arange(17.0), labels, once(17))[0] == pytest.approx((4 + 7 * 10 / 17) / 11)
    assert np.isnan(average_precision(np.zeros(3), np.array([0, -1, 0]), once(3)))


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_is_the_definition_s(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    labels = rng.choice([1, 0, -1], n, p=[0.3, 0.5, 0.2])
    labels[rng.integers(n)] = 1
    scores = rng.integers(0, 20, n) / 4.0  # some are equal
    assert average_precision(scores, labels, once(n))[0] == pytest.approx(reference(scores, labels), abs=1e-12)
    # A sample is the list in which images stand as often as they are drawn.
    drawn = np.sort(rng.integers(n, size=n))
    counts = np.stack([np.bincount(drawn, minlength=n), *once(n)])
    found = average_precision(scores, labels, counts)
    if (labels[drawn] > 0).any():
        assert found[0] == pytest.approx(reference(scores[drawn], labels[drawn]), abs=1e-12)
    else:
        assert np.isnan(found[0])
    assert found[1] == pytest.approx(reference(scores, labels), abs=1e-12)


def test_the_mean_is_over_classes_that_are_shown_and_the_interval_over_images():
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 4)) < 0.3).astype(np.int8)
    labels[:, 3] = 0
    scores = labels + rng.normal(size=(80, 4)).astype(np.float32)
    value, low, high = bootstrap_map(scores, labels, 0)
    by_class = [reference(scores[:, name], labels[:, name]) for name in range(3)]
    assert value == pytest.approx(100 * np.mean(by_class))
    generator, draws = np.random.default_rng(1), []
    for _ in range(300):
        rows = np.sort(generator.integers(80, size=80))
        draws.append(np.mean([reference(scores[rows, name], labels[rows, name]) for name in range(3)]))
    np.testing.assert_allclose((low, high), 100 * np.percentile(draws, (2.5, 97.5)), atol=1.5)
    assert bootstrap_map(scores, labels, 0) == (value, low, high) != bootstrap_map(scores, labels, 1)


def test_a_resample_without_any_class_has_no_score():
    labels = np.zeros((5, 2), np.int8)
    labels[0, 0] = 1
    scores = np.zeros((5, 2))
    scores[0] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bootstrap_map(scores, labels, 0) == (100, 100, 100)
    with pytest.raises(ValueError, match="None of the 5 test images shows a class"):
        bootstrap_map(scores, np.minimum(labels, 0), 0)


# The classifiers


def test_every_class_has_sklearn_s_logistic_regression_on_the_images_that_are_sure():
    source = lights(300, 0)
    features, labels = source.array().reshape(300, -1).astype(np.float32), source.multi_labels().labels
    found = fit(features, labels)
    assert found.penalty in PENALTIES and 5 + 2 <= len(found.validation) <= 5 + 2 + 2
    standard = (features - features.mean(0)) / features.std(0)
    for name in range(3):
        sure = labels[:, name] >= 0
        assert 200 < sure.sum() < 300
        oracle = LogisticRegression(C=2 / (found.penalty * sure.sum()), max_iter=5000, tol=1e-8)
        oracle.fit(standard[sure].astype(np.float64), labels[sure, name])
        np.testing.assert_allclose(found.logits(features)[:, name], oracle.decision_function(standard), atol=0.02)


def test_what_an_unsure_image_shows_teaches_nothing():
    features, labels = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32), np.zeros((90, 2), np.int8)
    labels[:, 0] = features[:, 0] > 0
    labels[:, 1] = features[:, 1] > 1
    # Images that would turn the first class around, were they believed.
    labels[60:, 0] = -1
    features[60:, 0] *= -50
    certain = fit(features, labels)
    assert certain.weights[0, 0] > 0.5 * np.abs(certain.weights[:, 0]).max()
    turned = labels.copy()
    turned[60:, 0] = features[60:, 0] < 0
    assert fit(features, turned).weights[0, 0] < certain.weights[0, 0] / 2


def test_the_penalty_is_the_best_by_mean_average_precision():
    source = lights(200, 3, noise=200)
    features, labels = source.array().reshape(200, -1).astype(np.float32), source.multi_labels().labels
    found = fit(features, labels, 1)
    best = max(found.validation.values())
    assert found.penalty == max(p for p, score in found.validation.items() if score == best)
    assert best > min(found.validation.values())
    # By a reference: every class has its own folds.
    standard = ((features - features.mean(0)) / features.std(0)).astype(np.float64)
    scores = []
    for name in range(3):
        sure = np.flatnonzero(labels[:, name] >= 0)
        folds = stratified_folds(labels[sure, name], 3, 1)
        for fold in range(3):
            seen, asked = sure[folds != fold], sure[folds == fold]
            oracle = LogisticRegression(C=2 / (found.penalty * len(seen)), max_iter=5000)
            oracle.fit(standard[seen], labels[seen, name])
            scores.append(reference(oracle.decision_function(standard[asked]), labels[asked, name]))
    assert best == pytest.approx(np.mean(scores), abs=0.02)


def test_the_protocol_finds_what_the_pixels_show():
    train, test = lights(400, 0), lights(300, 1)
    (found,) = multi_label(labelled(train), 0)(labelled(test))
    assert (found.protocol, found.metric, found.correct) == ("multi_label", "map", None)
    value, low, high = found.estimate
    assert low < value < high and found.chosen["penalty"] in PENALTIES and found.remarks == ()
    # Above what any order finds: the precision of all images is the share of the class.
    chance = 100 * np.mean([0.5, 0.2, 0.1])
    assert value > chance + 20
    nothing = Several(np.zeros_like(test.array()), test.multi_labels().labels)
    assert multi_label(labelled(train), 0)(labelled(nothing))[0].estimate[0] < chance + 10
    (again,) = multi_label(labelled(train), 0)(labelled(test))
    assert again.estimate == found.estimate


def test_a_class_that_no_training_image_shows_is_said_and_gets_no_logit():
    train = lights(60, 0)
    train.multi_labels().labels[:, 1] = np.minimum(train.multi_labels().labels[:, 1], 0)
    (found,) = multi_label(labelled(train), 0)(labelled(lights(60, 1)))
    assert found.remarks[-1] == "no training image shows green."
    classifier = fit(train.array().reshape(60, -1).astype(np.float32), train.multi_labels().labels)
    assert not classifier.weights[:, 1].any() and classifier.intercept[1] == 0 and classifier.weights[:, 2].any()


def test_what_cannot_be_learned_or_asked_is_refused():
    train = lights(40, 0)
    images, labels = train.array(), train.multi_labels().labels
    with pytest.raises(ValueError, match="digits:train does not say which classes each image shows"):
        multi_label(labelled(open_source("digits")), 0)
    with pytest.raises(ValueError, match=r"several has the classes \('a', 'b', 'c'\), learned were \('red'"):
        multi_label(labelled(train), 0)(labelled(Several(images, labels, ("a", "b", "c"))))
    with pytest.raises(ValueError, match="0 of 3 classes are shown"):
        multi_label(labelled(Several(images, np.minimum(labels, 0))), 0)
    unsure = labels.copy()
    unsure[2:, 2] = -1
    with pytest.raises(ValueError, match=r"for each class 3 images that are sure of it: 3 of 3 .*, one has 2 images"):
        unsure[0] = 1
        multi_label(labelled(Several(images, unsure)), 0)
