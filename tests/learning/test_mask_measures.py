"""Scores of masks against loops over pixels and thresholds."""

import numpy as np
import pytest

from ssl_keras.learning.mask_measures import max_f_gain, score_masks

RNG = np.random.default_rng(0)


def pair(height, width, noise):
    truth = np.zeros((height, width), np.uint8)
    truth[2:-2, 3:-1] = 255
    found = np.clip(truth / 255 * 0.6 + 0.2 + RNG.normal(0, noise, truth.shape), 0, 1).astype(np.float32)
    return found, truth


GOOD = [pair(9, 11, 0.1), pair(8, 8, 0.2), pair(12, 7, 0.3)] * 5
BAD = [(np.clip(found + RNG.normal(0, 0.4, found.shape), 0, 1), truth) for found, truth in GOOD]


def test_scores_against_loops():
    best = 0.0
    for threshold in range(1, 256):
        precisions, recalls = [], []
        for found, truth in GOOD:
            chosen = np.round(found * 255) >= threshold
            hits = np.sum(chosen & (truth > 0))
            precisions.append(hits / chosen.sum() if chosen.any() else 0)
            recalls.append(hits / np.sum(truth > 0))
        p, r = np.mean(precisions), np.mean(recalls)
        best = max(best, 1.3 * p * r / (0.3 * p + r) if p + r else 0)
    scores = score_masks(GOOD)
    assert scores.max_f == pytest.approx(best)
    assert scores.mae == pytest.approx(np.mean([np.abs(found - truth / 255).mean() for found, truth in GOOD]))
    ious = [np.sum((f >= 0.5) & (t > 0)) / np.sum((f >= 0.5) | (t > 0)) for f, t in GOOD]
    assert scores.mean_iou == pytest.approx(np.mean(ious))


def test_the_truth_scores_best_and_its_opposite_worst():
    truth = GOOD[0][1]
    perfect = score_masks([(truth / 255.0, truth)])
    assert (perfect.max_f, perfect.mae, perfect.mean_iou) == (pytest.approx(1), 0, 1)
    opposite = score_masks([(1 - truth / 255.0, truth)])
    assert (opposite.max_f, opposite.mae, opposite.mean_iou) == (0, 1, 0)


def test_the_gain_is_paired():
    good, bad = score_masks(GOOD), score_masks(BAD)
    gain, low, high = max_f_gain(good, bad)
    assert gain == pytest.approx(good.max_f - bad.max_f) and 0 < low < gain < high
    assert max_f_gain(good, good) == (0, 0, 0)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        score_masks([(np.zeros((2, 3)), np.zeros((3, 2)))])
