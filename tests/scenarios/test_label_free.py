"""Scores without labels, on embeddings of known worth."""

import keras
import numpy as np
import pytest

from ssl_keras.data.sources import open_source
from ssl_keras.learning.measures import alpha_req
from ssl_keras.scenarios.label_free import SCORES, _clusters_kept, goodness, label_free


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_decay_of_a_known_spectrum_is_found(alpha):
    rng = np.random.default_rng(0)
    scales = np.arange(1, 41) ** (-alpha / 2)
    assert alpha_req(rng.normal(size=(20000, 40)) * scales) == pytest.approx(alpha, abs=0.05)


def test_embeddings_that_are_not_finite_have_no_decay():
    assert np.isnan(alpha_req(np.full((8, 4), np.inf)))


def test_clusters_are_kept_by_equal_views_and_lost_by_unrelated_ones():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 400, 6)).astype(np.float32)
    assert _clusters_kept(one, one, 0) == 1.0
    assert _clusters_kept(one, one + 0.01 * other, 0) > 0.9
    assert abs(_clusters_kept(one, other, 0)) < 0.1


def test_a_collapsed_encoder_and_a_spread_one_are_told_apart():
    images = open_source("digits")
    inputs = keras.Input((8, 8, 3))
    pixels = keras.Model(inputs, keras.layers.Flatten()(inputs))
    collapsed = keras.Model(inputs, 1.0 + 1e-4 * keras.layers.GlobalAveragePooling2D()(inputs))
    spread, same = (label_free(encoder, images, 8) for encoder in (pixels, collapsed))
    assert list(spread) == list(SCORES)
    assert spread["RankMe"] > 5 > 1.5 > same["RankMe"]
    assert same["uniformity"] == pytest.approx(0, abs=1e-3) and spread["uniformity"] < -0.1
    assert label_free(pixels, images, 8) == spread


def test_goodness_is_larger_for_the_better_of_two():
    worse = {"RankMe": 10.0, "α-ReQ": 1.8, "alignment": 0.9, "uniformity": -1.0, "clusters kept": 0.1}
    better = {"RankMe": 20.0, "α-ReQ": 0.7, "alignment": 0.2, "uniformity": -3.0, "clusters kept": 0.4}
    bad, good = goodness(worse), goodness(better)
    assert list(good) == list(SCORES)
    assert all(good[name] > bad[name] for name in SCORES)
