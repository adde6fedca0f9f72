"""Fine-tuning: what it learns from, what it may not know, and what it leaves alone."""

from types import SimpleNamespace

import numpy as np
import pytest

import ssl_keras as sk
from ssl_keras.data import shapes
from ssl_keras.data.sources import at_most, open_source
from ssl_keras.data.sources.base import ArraySource, Subset, from_array
from ssl_keras.learning.supervised import Supervised
from ssl_keras.scenarios import finetune as module
from ssl_keras.scenarios.features import RawPixels, weights_hash
from ssl_keras.scenarios.finetune import RATES, finetune, hold_out, semi_supervised, stratified
from ssl_keras.scenarios.linear import linear
from ssl_keras.scenarios.protocol import Images, Labelled


def encoder_of(architecture="conv_c4"):
    return sk.build_encoder(architecture, (16, 16, 3))


def labelled(encoder, source, label="label"):
    return Labelled(Images(encoder, source, 16), label)


def scenes(split, n):
    """The first rendered shapes of a split."""
    drawn = shapes.factors(split, np.arange(n))
    labels = {name: drawn[name] for name in shapes.LABEL_SETS}
    return ArraySource(shapes.render(drawn)[0], split, labels, shapes.LABEL_SETS)


@pytest.fixture(scope="module")
def digits():
    source = open_source("digits")
    return SimpleNamespace(train=at_most(source.split("train"), 400), test=at_most(source.split("test"), 300))


@pytest.fixture
def quick(monkeypatch):
    """Two steps of eight images a run."""
    monkeypatch.setattr(module, "BATCH", 8)
    monkeypatch.setattr(module, "step_budget", lambda images: 2)


@pytest.fixture
def seen(monkeypatch):
    """Rows of the training images of each stream of batches, in the order in which they are made."""
    streams, made = [], module.view_batches

    def record(source, *args, **kwargs):
        streams.append(np.unique(source.indices))
        return made(source, *args, **kwargs)

    monkeypatch.setattr(module, "view_batches", record)
    return streams


@pytest.fixture(scope="module")
def tuned():
    """A random encoder fine-tuned in earnest to tell colours, and how often its step was traced."""
    encoder, traces, objective = encoder_of("conv_c8 | basic_s2_c16"), [], Supervised.objective
    train, test = (labelled(encoder, scenes(split, n), "color") for split, n in (("train", 400), ("test", 300)))

    def counted(self, batch, training=True):
        traces.append(batch["large"].shape)
        return objective(self, batch, training)

    before = weights_hash(encoder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Supervised, "objective", counted)
        answer = finetune(train, 0)
    return SimpleNamespace(encoder=encoder, train=train, test=test, answer=answer, traces=traces, before=before)


def test_it_beats_a_linear_probe_of_the_same_random_encoder(tuned):
    probe = linear(tuned.train, 0)(tuned.test)[0].correct.mean()
    top1, top5 = tuned.answer(tuned.test)
    assert (top1.protocol, top1.metric, top5.metric) == ("finetune", "top1", "top5")
    assert top1.correct.mean() > probe + 0.1
    assert top1.remarks == () and top1.chosen["rate"] in RATES and top1.chosen["images"] == 400


def test_the_given_encoder_is_untouched(tuned):
    tuned.answer(tuned.test)
    assert weights_hash(tuned.encoder) == tuned.before


def test_one_graph_serves_all_rates_and_the_refit(tuned):
    assert tuned.traces == [(module.BATCH, 1, 16, 16, 3)]


def test_test_labels_cannot_matter(tuned):
    images, truth = tuned.test.source.array(), tuned.test.labels
    permuted = np.random.default_rng(0).permutation(truth)
    right, other = (
        tuned.answer(labelled(tuned.encoder, from_array(images, labels)))[0].correct for labels in (truth, permuted)
    )
    # The same answers: right in both exactly where the two sets of labels agree.
    same = truth == permuted
    np.testing.assert_array_equal(right[same], other[same])
    assert right.mean() > 0.9 and not (right & other)[~same].any() and other.mean() < 0.3


def test_the_rate_is_the_best_on_a_held_out_fifth_then_all_images_teach(digits, quick, seen, monkeypatch):
    train = labelled(encoder_of(), at_most(digits.train, 100))
    asked, worth = [], (0.4, 0.8, 0.6, 0.0)

    def logits(self, weights, source):
        """Right on a share of the images: of the three rates the second does best."""
        asked.append(source.indices)
        right = np.arange(source.size) < worth[len(asked) - 1] * source.size
        return np.eye(10)[np.where(right, source.labels(), (source.labels() + 1) % 10)]

    monkeypatch.setattr(module._Tuner, "logits", logits)
    answer = finetune(train, 3)
    assert len(asked) == len(RATES) == 3 and len(seen) == 2
    learned, everything = seen
    for held in asked:
        np.testing.assert_array_equal(held, asked[0])
    assert 15 <= len(held) <= 25 and not np.intersect1d(learned, held).size
    np.testing.assert_array_equal(np.union1d(learned, held), np.arange(100))
    np.testing.assert_array_equal(everything, np.arange(100))
    assert answer(train)[0].chosen["rate"] == RATES[1]


def test_every_run_starts_over_tunes_every_weight_and_follows_from_the_seed(digits, quick, small):
    small.trainable = False
    tuner, twin = (module._Tuner(small, labelled(small, digits.train), 0) for _ in range(2))
    batches = tuner._batches(np.arange(40))
    first, other_rate, again = (tuner._run(batches, rate, 3) for rate in (0.1, 0.3, 0.1))
    same_seed = twin._run(twin._batches(np.arange(40)), 0.1, 3)
    twin.seed = 1
    other_seed = twin._run(twin._batches(np.arange(40)), 0.1, 3)
    for same in (again, same_seed):
        for one, two in zip(first, same, strict=True):
            np.testing.assert_array_equal(one, two)
    for other in (tuner.start, other_rate, other_seed):
        assert all((one != two).any() for one, two in zip(first, other, strict=True))


def test_the_rate_falls_from_its_peak_to_nothing():
    callback, optimizer = module._Cosine(0.3, 10), SimpleNamespace()
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    for step in range(10):
        callback.on_train_batch_begin(step)
        assert optimizer.learning_rate == pytest.approx(0.15 * (1 + np.cos(np.pi * step / 10)))


def test_semi_supervised_sees_its_share_and_nothing_else(digits, quick, seen):
    train = labelled(encoder_of(), digits.train)
    outcomes = semi_supervised(train, 5)(labelled(None, digits.test))
    answers = [outcome for outcome in outcomes if outcome.metric == "top1"]
    assert [outcome.protocol for outcome in answers] == ["finetune 1 %", "finetune 10 %"]
    one, ten = (stratified(digits.train.labels(), share, 5) for share in (0.01, 0.1))
    assert [outcome.chosen["images"] for outcome in answers] == [len(one), len(ten)] == [10, 41]
    # Both are too few to hold any out, so that each is learned from once.
    assert len(seen) == 2
    np.testing.assert_array_equal(seen[0], one)
    np.testing.assert_array_equal(seen[1], ten)
    for outcome in answers:
        assert "too few to hold out a fifth" in outcome.remarks[0] and outcome.chosen["rate"] == RATES[0]


def test_a_share_holds_its_part_of_every_class_and_at_least_one_image():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(4), (300, 100, 20, 1)))
    for share, counts in ((0.01, (3, 1, 1, 1)), (0.1, (30, 10, 2, 1)), (1.0, (300, 100, 20, 1))):
        rows = stratified(labels, share, 0)
        assert (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(np.bincount(labels[rows]), counts)
    one, ten = stratified(labels, 0.01, 0), stratified(labels, 0.1, 0)
    assert np.isin(one, ten).all()
    np.testing.assert_array_equal(one, stratified(labels, 0.01, 0))
    assert (ten != stratified(labels, 0.1, 1)).any()


def test_held_out_is_a_fifth_of_every_class_that_can_spare_it():
    labels = np.repeat(np.arange(3), (50, 10, 1))
    learned, held = hold_out(labels, 0)
    np.testing.assert_array_equal(np.sort(np.concatenate([learned, held])), np.arange(61))
    np.testing.assert_array_equal(np.bincount(labels[held], minlength=3), (10, 2, 0))
    assert (held != hold_out(labels, 1)[1]).any()
    learned, held = hold_out(np.arange(40) % 10, 0)
    assert len(learned) == 40 and not len(held)


def test_the_budget_grows_with_the_images_between_its_ends():
    assert [module.step_budget(images) for images in (1, 1600, 2000, 10**6)] == [200, 200, 250, 4000]


def test_what_cannot_be_tuned(digits):
    test = labelled(RawPixels(), digits.test)
    assert finetune(labelled(RawPixels(), digits.train), 0)(test) == semi_supervised(test, 0)(test) == []
    unknown = from_array(digits.train.array()[:5], np.zeros(5, int), "nothing")
    unknown._label_arrays["label"][:] = -1
    with pytest.raises(ValueError, match="nothing has no image with a known 'label'"):
        finetune(labelled(encoder_of(), unknown), 0)


def test_divergence_is_remarked(digits, quick, monkeypatch):
    monkeypatch.setattr(module, "RATES", (1e30,))
    train = labelled(encoder_of(), Subset(digits.train, np.arange(20), "few"))
    assert "diverged at the rate 1e+30" in finetune(train, 0)(train)[0].remarks[-1]
