"""Nothing of the test split reaches what is learned, whatever the protocol; copies of training images are told of."""

import numpy as np
import pytest

import ssl_keras as sk
from ssl_keras.data.sources import open_source
from ssl_keras.data.sources.base import ArraySource, MultiLabels, Segmentation
from ssl_keras.scenarios import evaluation
from ssl_keras.scenarios.evaluation import PROTOCOLS, run
from ssl_keras.scenarios.segmentation import segmentation
from ssl_keras.scenarios.suite import Scenario


class Watched(ArraySource):
    """A test split that refuses to be looked at while a protocol learns."""

    learning = False
    reads = 0

    def array(self):
        self._check()
        return super().array()

    def read(self, index):
        self._check()
        return super().read(index)

    def _labels(self, name):
        self._check()
        return super()._labels(name)

    def segmentation(self):
        self._check()
        return bright(super().array())

    def multi_labels(self):
        self._check()
        return halves_of_rows(super().array())

    def _check(self):
        assert not Watched.learning, "a protocol looked at the test split before it answered"
        Watched.reads += 1


def bright(images):
    """The class of every pixel."""
    return Segmentation(("dark", "bright"), (images[..., 0] > 100).astype(np.uint8).__getitem__)


def halves_of_rows(images):
    """Which halves of an image are the brighter ones of their kind."""
    half = images.shape[1] // 2
    parts = (images[:, :half], images[:, half:], images[:, :, :half], images[:, :, half:])
    means = np.stack([part.mean(axis=(1, 2, 3)) for part in parts], axis=1)
    return MultiLabels(("top", "bottom", "left", "right"), (means > np.median(means, axis=0)).astype(np.int8))


class Lesson(ArraySource):
    """A training split that knows all that protocols ask for."""

    def segmentation(self):
        return bright(self.array())

    def multi_labels(self):
        return halves_of_rows(self.array())


class Halves(ArraySource):
    """A source whose test split is watched."""

    def split(self, name):
        images, labels = self.array(), self._label_arrays
        kind, part = (Watched, slice(0, None, 2)) if name == "test" else (Lesson, slice(1, None, 2))
        mine = {key: value[part] for key, value in labels.items()}
        return kind(images[part], f"halves:{name}", mine, self.label_sets)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_protocol_looks_at_the_test_split_before_it_answers(name, monkeypatch):
    """Neither at images nor at labels, so that no hyper-parameter can depend on them."""

    def watched(lesson, seed):
        Watched.learning, Watched.reads = True, 0
        try:
            answer = PROTOCOLS[name](lesson, seed)
        finally:
            Watched.learning = False
        return answer

    monkeypatch.setattr(evaluation, "PROTOCOLS", {name: watched})
    monkeypatch.setitem(segmentation.__kwdefaults__, "steps", 2)
    digits = open_source("digits")
    halves = Halves(digits.array()[:120], "halves", {"label": digits.labels()[:120]}, digits.label_sets)
    encoder = sk.build_encoder("conv_c4 | basic_s2_c8", (8, 8, 3))
    found = run({"net": encoder}, Scenario("halves", halves), image_size=8, protocols=[name])
    assert found.rows and Watched.reads > 0


def test_test_images_that_are_training_images_are_said(small):
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
    images[5] = images[20]
    images[6] = np.clip(images[21].astype(int) + 1, 0, 255)
    source = Halves(np.roll(images, 1, 0), "copied", {"label": np.arange(40) // 2 % 2}, {"label": ("a", "b")})
    assert np.array_equal(source.split("test").array()[3], source.split("train").array()[10])
    found = run({"small": small}, Scenario("copied", source), image_size=8)
    assert [remark for remark in found.remarks if "copies" in remark] == [
        "halves:test: 1 of 20 images are exact copies of training images and 1 more nearly (10.0 %); they are counted "
        "all the same."
    ]
