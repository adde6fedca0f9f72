"""A linear classifier of clean images, asked about corrupted ones."""

import numpy as np
import pytest

from ssl_keras.data.corruptions import CORRUPTIONS, corrupt
from ssl_keras.data.sources import open_source
from ssl_keras.scenarios import RawPixels, robustness
from ssl_keras.scenarios.linear import fit
from ssl_keras.scenarios.protocol import Images, Labelled
from ssl_keras.scenarios.robustness import corruptions, mce, relative


def split(encoder, start: int, stop: int, size: int = 8) -> Labelled:
    """Some digits."""
    digits = open_source("digits")
    source = open_source(digits.array()[start:stop], labels=digits.labels()[start:stop])
    return Labelled(Images(encoder, source, size))


@pytest.fixture
def few(monkeypatch):
    """Two corruptions, one mild on digits and one not, and few test images."""
    monkeypatch.setattr(robustness, "CORRUPTIONS", ("brightness", "snow"))
    monkeypatch.setattr(robustness, "TEST_IMAGES", 40)


def test_every_corruption_and_all_of_them_give_an_outcome(monkeypatch, small):
    monkeypatch.setattr(robustness, "TEST_IMAGES", 10)
    outcomes = corruptions(split(small, 0, 60), 0)(split(small, 60, 90))
    assert [outcome.metric for outcome in outcomes] == [*(f"top1 {name}" for name in CORRUPTIONS), "top1"]
    assert {outcome.protocol for outcome in outcomes} == {"corruptions"}
    for outcome in outcomes:
        assert outcome.correct.shape == (10,)
        shares = 5 * len(CORRUPTIONS) * outcome.correct
        np.testing.assert_allclose(shares, np.round(shares), atol=1e-9)
        assert list(outcome.chosen) == [f"severity {s}" for s in range(1, 6)]
        assert np.mean(list(outcome.chosen.values())) == pytest.approx(100 * outcome.correct.mean())
    np.testing.assert_allclose(outcomes[-1].correct, np.mean([one.correct for one in outcomes[:-1]], axis=0))


def test_the_answers_are_those_of_the_clean_classifier_about_corrupted_pixels(few):
    encoder = RawPixels(8)
    train, test = split(encoder, 0, 300), split(encoder, 300, 340)
    classifier = fit(train.features, train.labels, 5)
    clean = np.float32(test.source.array()) / 255
    for outcome, name in zip(corruptions(train, 5)(test), ("brightness", "snow"), strict=False):
        right = []
        for severity in range(1, 6):
            stored = np.round(255 * corrupt(clean, name, severity, 5)) / 255
            right.append(classifier.predict(np.float32(stored).reshape(40, -1)) == test.labels)
        np.testing.assert_allclose(outcome.correct, np.mean(right, axis=0))
        expected = dict(zip(outcome.chosen, 100 * np.mean(right, axis=1), strict=True))
        assert outcome.chosen == pytest.approx(expected)


def test_test_images_are_drawn_with_the_seed(few, monkeypatch):
    seen = []
    monkeypatch.setattr(robustness, "corrupt", lambda clean, *_: seen.append(clean) or clean)
    train, test = split(RawPixels(8), 0, 200), split(RawPixels(8), 200, 300)
    for seed in (0, 0, 1):
        corruptions(train, seed)(test)
    first, again, other = seen[:: len(seen) // 3]
    assert first.shape == (40, 8, 8, 3)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_images_are_corrupted_at_the_size_of_the_task(few, monkeypatch):
    sides = []
    monkeypatch.setattr(robustness, "corrupt", lambda clean, *_: sides.append(clean.shape[1]) or clean)
    encoder = RawPixels(4)
    outcomes = corruptions(split(encoder, 0, 300, 16), 0)(split(encoder, 300, 340, 16))
    assert set(sides) == {16} and len(sides) == 10
    assert outcomes[-1].correct.mean() > 0.6


def test_only_classes_that_are_asked_for_are_answers(few, knowing):
    train = Labelled(Images(knowing, _greys([0, 1, 2, 3] * 10), 8))
    # The second class is nobody's: the nearest of the others is taken.
    test = Labelled(Images(knowing, _greys([0, 2, 3] * 10), 8), present_only=True)
    answers = []
    original = robustness._answers
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness, "_answers", lambda *a: answers.append(original(*a)) or answers[-1])
        corruptions(train, 0)(test)
    assert not np.isin(1, answers) and np.isin(3, answers)


def _greys(labels):
    values = np.array(labels, np.uint8)[:, None, None, None] * 80 + 5
    return open_source(np.broadcast_to(values, (len(labels), 8, 8, 3)).copy(), labels=np.array(labels))


def test_mean_corruption_error_by_hand():
    errors = {"fog": (0.1, 0.2, 0.3, 0.4, 0.5), "snow": (0.2, 0.2, 0.2, 0.2, 0.2)}
    reference = {"snow": (0.4, 0.4, 0.4, 0.4, 0.4), "fog": (0.5, 0.5, 0.5, 0.5, 1.0)}
    # 1.5 / 3 and 1 / 2 of the reference's.
    assert mce(errors, reference) == pytest.approx(50)
    reference["fog"] = (0.1, 0.1, 0.1, 0.2, 0.5)
    assert mce(errors, reference) == pytest.approx((150 + 50) / 2)
    assert mce(reference, reference) == pytest.approx(100)


@pytest.mark.parametrize(
    ("errors", "reference", "message"),
    [
        ({"fog": [1] * 5}, {"snow": [1] * 5}, "errors of fog beside a reference with snow: give the same corruptions"),
        ({"fog": [1] * 5}, {"fog": [1] * 4}, "give the same corruptions and severities"),
        ({}, {}, "errors of nothing"),
        ({"fog": [1] * 5}, {"fog": [0] * 5}, "no errors under fog: take one that makes some"),
    ],
)
def test_errors_that_cannot_be_compared_are_refused(errors, reference, message):
    with pytest.raises(ValueError, match=message):
        mce(errors, reference)


def test_errors_relative_to_a_reference_are_found_in_what_an_evaluation_keeps():
    def curve(error):
        return {f"severity {severity}": 100.0 - error for severity in range(1, 6)}

    chosen = {
        "mine / set, corrupted / corruptions, top1 fog": curve(20.0),
        "theirs / set, corrupted / corruptions, top1 fog": curve(40.0),
        "mine / set, corrupted / corruptions": curve(1.0),
        "mine / set, corrupted / linear": {"penalty": 1.0},
    }
    assert relative(chosen, "theirs") == {"set, corrupted": {"mine": 50.0, "theirs": 100.0}}
    assert relative(chosen, "raw pixels") == {}
