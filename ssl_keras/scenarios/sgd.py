"""The linear classifier of the study: softmax regression by stochastic gradient descent."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ssl_keras.learning.measures import Floats, Integers
from ssl_keras.scenarios.linear import FOLDS, marked, stratified_folds
from ssl_keras.scenarios.protocol import Labelled, Learned, Outcome
from ssl_keras.scenarios.softmax_regression import moments

DECAYS = (0.0, 1e-5, 1e-4, 1e-3)
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
BATCHES = (64, 256)
EPOCHS = 20
MOMENTUM = 0.9


@dataclass(frozen=True)
class Setting:
    """Weight decay, images a step, and learning rate at the start of a cosine to 0."""

    decay: float
    batch: int
    rate: float


def linear_sgd(train: Labelled, seed: int) -> Learned:
    """The protocol (arXiv 2203.08130): 3-fold cross-validation of weight decay, then of batch and learning rate; refit.

    The last epoch counts. NOTE: grid of rates and batches, and the number of epochs, are our own; features are
    standardised, which the study does not say of its own.
    """
    mean, scale, _ = moments(train.features)
    features = (np.asarray(train.features, np.float32) - mean) / scale
    classes, folds = int(train.labels.max()) + 1, stratified_folds(train.labels, FOLDS, seed)

    def best(settings: Sequence[Setting]) -> Setting:
        scores = _validate(features, train.labels, classes, folds, settings, seed)
        return max(zip(scores, range(len(settings)), settings, strict=True))[2]

    first = best([Setting(decay, BATCHES[-1], 0.1) for decay in DECAYS])
    chosen = best([Setting(first.decay, batch, rate) for batch, rate in product(BATCHES, RATES)])
    weights = descend(features, train.labels, classes, [chosen], np.ones((1, len(features)), np.bool_), seed)[0]

    def answer(test: Labelled) -> list[Outcome]:
        asked = (np.asarray(test.features, np.float32) - mean) / scale
        told = {"weight decay": chosen.decay, "batch": chosen.batch, "rate": chosen.rate}
        return marked("linear_sgd", asked @ weights[:-1] + weights[-1], test, told)

    return answer


def _validate(
    features: Floats, labels: Integers, classes: int, folds: Integers, settings: Sequence[Setting], seed: int
) -> list[float]:
    """Mean top-1 over the left-out folds; classifiers of one batch size learn side by side, all folds at once."""
    scores = dict.fromkeys(settings, 0.0)
    for batch in dict.fromkeys(setting.batch for setting in settings):
        mine = [setting for setting in settings if setting.batch == batch]
        pairs = [(setting, fold) for setting in mine for fold in range(FOLDS)]
        seen = np.stack([folds != fold for _, fold in pairs])
        weights = descend(features, labels, classes, [setting for setting, _ in pairs], seen, seed)
        for (setting, fold), one in zip(pairs, weights, strict=True):
            left = folds == fold
            scores[setting] += float(np.mean(np.argmax(features[left] @ one[:-1] + one[-1], axis=1) == labels[left]))
    return [round(scores[setting] / FOLDS, 12) for setting in settings]


def descend(
    features: Floats, labels: Integers, classes: int, settings: Sequence[Setting], seen: np.ndarray, seed: int
) -> Floats:
    """Weights and, as the last row, intercepts (p, d + 1, classes) of p classifiers that learn side by side.

    Args:
        features: (n, d), standardised.
        labels: class indices (n,).
        classes: how many.
        settings: of every classifier; all of one batch size.
        seen: (p, n) which rows each classifier learns from.
        seed: of the order of the rows, the same for all.
    """
    n, d = features.shape
    batch = min(settings[0].batch, n)
    rows = np.concatenate([features, np.ones((n, 1), np.float32)], axis=1)
    weights = np.zeros((d + 1, len(settings), classes), np.float32)
    velocity = np.zeros_like(weights)
    decay = np.array([setting.decay for setting in settings], np.float32)[:, None] * np.ones((d + 1, 1, 1), np.float32)
    decay[-1] = 0.0
    rate = np.array([setting.rate for setting in settings], np.float32)[:, None]
    generator, steps = np.random.default_rng(seed), EPOCHS * (n // batch)
    for step in range(steps):
        if step % (n // batch) == 0:
            order = generator.permutation(n)
        some = order[step % (n // batch) * batch :][:batch]
        slope = _slope(rows[some], labels[some], weights, seen[:, some])
        velocity = MOMENTUM * velocity + slope + decay * weights
        weights -= rate * np.float32(0.5 * (1 + np.cos(np.pi * step / steps))) * velocity
    return weights.transpose(1, 0, 2)


def _slope(rows: Floats, labels: Integers, weights: Floats, seen: np.ndarray) -> Floats:
    """Gradient (d + 1, p, classes) of every classifier's mean loss over those of the rows (b, d + 1) that it sees."""
    size, count, classes = weights.shape
    logits = (rows @ weights.reshape(size, -1)).reshape(len(rows), count, classes)
    logits -= logits.max(axis=2, keepdims=True)
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(axis=2, keepdims=True)
    probabilities[np.arange(len(rows)), :, labels] -= 1.0
    probabilities *= (seen.T / np.maximum(seen.sum(axis=1), 1)).astype(np.float32)[:, :, None]
    return (rows.T @ probabilities.reshape(len(rows), -1)).reshape(size, count, classes)
