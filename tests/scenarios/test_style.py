"""Style changes, content stays."""

from types import SimpleNamespace

import numpy as np
import pytest

import ssl_keras as sk
from ssl_keras.data import shapes
from ssl_keras.scenarios import RawPixels, style
from tests.scenarios.conftest import given


def test_content_stays_and_every_style_class_is_of_the_asked_half(monkeypatch):
    drawn = []

    def render(scene, side):
        drawn.append(scene)
        return np.zeros((40, 4, 4, 3)), None

    monkeypatch.setattr(style.shapes, "render", render)
    (_, first), (_, second) = (style.scenes("test", 40, unseen, 32) for unseen in (False, True))
    np.testing.assert_array_equal(first["shape"], second["shape"])
    seen, unseen = drawn
    original = shapes.factors("test", np.arange(40))
    for name, values in original.items():
        if name not in (*style.STYLE, "hue"):
            np.testing.assert_array_equal(seen[name], values, err_msg=name)
            np.testing.assert_array_equal(unseen[name], values, err_msg=name)
    for name in style.STYLE:
        half = len(shapes.LABEL_SETS[name]) // 2
        assert seen[name].max() < half <= unseen[name].min()
    every = shapes.factors("test", np.arange(4000))
    for scene in drawn:
        for hue, color in zip(scene["hue"], scene["color"], strict=True):
            assert hue in every["hue"][every["color"] == color]


def test_the_drop_is_the_difference_and_pairs_images(monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(style, "TRAIN", 60)
    monkeypatch.setattr(style, "TEST", 50)
    calls = []

    def fake_extract(encoder, source, side):
        calls.append(source.size)
        labels = shapes.factors("train" if len(calls) == 1 else "test", np.arange(source.size))["shape"]
        clear = np.eye(len(shapes.LABEL_SETS["shape"]))[labels].astype(np.float32)
        return clear if len(calls) < 3 else rng.normal(size=clear.shape).astype(np.float32)

    monkeypatch.setattr(style, "extract", fake_extract)
    found = style.restyled({"it": RawPixels()}, 32)["it"]
    assert calls == [60, 50, 50]
    calls.clear()
    rng = np.random.default_rng(0)
    exam = SimpleNamespace(images=SimpleNamespace(encoder=RawPixels(), image_size=32))
    seen, unseen, worst = style.restyling(None, 0)(exam)
    assert (seen.protocol, unseen.protocol, worst.metric) == ("style, seen", "style, unseen", "worst_group")
    assert seen.correct.all() and 100 * unseen.correct.mean() == pytest.approx(found["other style"].value)
    backgrounds = style.scenes("test", 50, True, 32)[1]["background"]
    shares = [unseen.correct[backgrounds == one].mean() for one in np.unique(backgrounds)]
    assert worst.estimate[0] == pytest.approx(100 * min(shares))
    assert found["same style"].value == 100 and found["other style"].value < 60
    assert found["drop"].value == pytest.approx(found["same style"].value - found["other style"].value)
    assert found["drop"].low < found["drop"].value < found["drop"].high


def test_the_interval_of_a_share_is_near_the_binomials():
    hits = np.random.default_rng(1).random(900) < 0.3
    found = style.share(hits, 0)
    spread = 100 * 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / 900)
    assert found.value == pytest.approx(100 * hits.mean())
    assert found.high - found.low == pytest.approx(2 * spread, rel=0.1)


def test_neighbours_are_other_images(monkeypatch):
    labels = np.arange(40) % 4
    distinct = np.eye(40, dtype=np.float32)
    monkeypatch.setattr(style, "extract", lambda encoder, source, side: distinct)
    images = sk.open_source(np.zeros((40, 4, 4, 3), np.uint8), labels=labels)
    # Nothing is alike, so that a perfect score could only come from an image finding itself.
    assert style.cue_conflict({"it": RawPixels()}, images, 4, k=1)["it"].value < 50
    monkeypatch.setattr(style, "extract", lambda encoder, source, side: np.eye(4, dtype=np.float32)[labels])
    assert style.cue_conflict({"it": RawPixels()}, images, 4, k=5)["it"].value == 100
    assert style.cues(None, 0)(given(np.eye(4, dtype=np.float32)[labels], labels))[0].correct.all()
