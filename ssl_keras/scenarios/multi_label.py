"""The linear protocol where an image has several labels: which classes does it show? VOC 2007's measure judges."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ssl_keras.data.sources import Source
from ssl_keras.data.sources.base import PRESENT, UNSURE, MultiLabels
from ssl_keras.learning.measures import Floats, Integers
from ssl_keras.scenarios.linear import FOLDS, PENALTIES, LinearClassifier, Search, edge, stratified_folds, walk
from ssl_keras.scenarios.protocol import MAP, Labelled, Learned, Outcome
from ssl_keras.scenarios.results import RESAMPLES, interval
from ssl_keras.scenarios.softmax_regression import rotate, solve

LEVELS = 11
"""Recalls from 0 to 1 at which precision is read."""
_BLOCK = 2**24  # counts of drawn images held at a time
_Reals = npt.NDArray[np.float64]


def multi_label(train: Labelled, seed: int) -> Learned:
    """The protocol: `fit` on the training features, then `bootstrap_map` of its logits.

    Transfer to VOC 2007 in ReLICv2 (arXiv 2201.05119) and BYOL (arXiv 2006.07733, appendix D), frozen features. NOTE:
    only those; the papers fine-tune too.

    Args:
        train: its images learn; the label set is not used.
        seed: of folds and resampling.

    Returns:
        What judges test images: one outcome, "multi_label".

    Raises:
        ValueError: a source does not know its images' classes, or two do not know the same ones; or as `fit` and
            `bootstrap_map`.
    """
    known = _known(train.images.source)
    classifier = fit(train.images.features, known.labels, seed)
    remarks = (*edge(classifier), *_unseen(known))

    def answer(test: Labelled) -> list[Outcome]:
        truth = _known(test.images.source)
        if truth.names != known.names:
            raise ValueError(
                f"{test.images.source.name} has the classes {truth.names}, learned were {known.names}: take one set."
            )
        estimate = bootstrap_map(classifier.logits(test.images.features), truth.labels, seed)
        return [Outcome("multi_label", None, MAP, estimate, {"penalty": classifier.penalty}, remarks)]

    return answer


class _OfClass(Search):
    """The search for one class, absent or present, by its average precision."""

    def score(self, rows: Integers, weights: Floats, intercepts: Floats) -> Floats:
        """Average precision (p,) on some images; nan where none of them shows the class."""
        logits = self.features.rows[rows] @ (weights[..., 1] - weights[..., 0]).T + intercepts[:, 1] - intercepts[:, 0]
        once = np.ones((1, len(rows)), np.int64)
        return np.array([average_precision(one, self.labels[rows], once)[0] for one in logits.T], np.float32)


def fit(features: Floats, labels: npt.NDArray[np.int8], seed: int = 0) -> LinearClassifier:
    """One logistic regression per class, all with the penalty that does best by stratified cross-validation.

    Each is `linear.fit` with two classes, absent and present: its objective is the mean cross-entropy + penalty/4 ·
    ‖w‖² (scikit-learn's C = 2 / (penalty · n)). The penalty of the best mean average precision over folds and classes
    wins, the larger one among equals. Images that are unsure of a class take no part in its regression. A class that no
    image shows gets the logit 0.

    Args:
        features: (n, d).
        labels: as in `MultiLabels`, (n, classes).
        seed: of the assignment to folds.

    Raises:
        ValueError: no image shows a class, or too few are sure of one to be divided into folds.
    """
    shown = np.flatnonzero((labels == PRESENT).any(axis=0))
    sure = int((labels != UNSURE).sum(axis=0).min())
    if not len(shown) or sure < FOLDS:
        raise ValueError(
            f"The multi-label protocol needs training images that show classes, and for each class {FOLDS} images that "
            f"are sure of it: {len(shown)} of {labels.shape[1]} classes are shown, one has {sure} images."
        )
    rotated = rotate(features)
    searches = {}
    for name in shown:
        known, present = labels[:, name] != UNSURE, (labels[:, name] == PRESENT).astype(np.int64)
        folds = np.full(len(labels), -1)
        folds[known] = stratified_folds(present[known], FOLDS, seed)
        searches[name] = _OfClass(rotated, present, 2, folds, FOLDS)

    def validate(penalties: Sequence[float]) -> Mapping[float, float]:
        found = [search.validate(penalties) for search in searches.values()]
        return {penalty: float(np.mean([scores[penalty] for scores in found])) for penalty in found[0]}

    penalty, scores = walk(PENALTIES, validate)
    weights, intercept = (
        np.zeros((features.shape[1], labels.shape[1]), np.float32),
        np.zeros(labels.shape[1], np.float32),
    )
    for name, search in searches.items():
        final = solve(rotated, search.labels, 2, [penalty], folds=search.assigned, start=search.start(1))
        weights[:, name] = rotated.rotation @ (final.weights[0, :, 1] - final.weights[0, :, 0])
        intercept[name] = final.intercepts[0, 1] - final.intercepts[0, 0]
    return LinearClassifier(rotated.mean, rotated.scale, weights, intercept, penalty, scores)


def average_precision(scores: Floats, labels: Integers, counts: Integers) -> _Reals:
    """The average precision of one class, as VOC 2007 defines it (Everingham et al., IJCV 2010, section 4.2).

    Images are ranked by score. At each of the recalls 0, 0.1, .., 1 stands the best precision that is reached at that
    recall or a higher one; the average is over these eleven. Images that are unsure of the class are passed over. Of
    equal scores the earlier image ranks first, as in the development kit.

    Args:
        scores: (n,).
        labels: (n,), of one class as in `MultiLabels`.
        counts: (r, n), how often each of r samples holds each image; all ones for the images themselves.

    Returns:
        (r,) in [0, 1]; nan where no image of the sample shows the class.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[labels[order] != UNSURE]
    present = labels[order] == PRESENT
    if not present.any():
        return np.full(len(counts), np.nan)
    drawn = counts[:, order]
    # Precision is highest right after the last copy of an image that shows the class: nowhere else need it be known.
    hits = np.cumsum(drawn[:, present], axis=1)
    precision = hits / np.maximum(np.cumsum(drawn, axis=1)[:, present], 1)
    reached = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    total = hits[:, -1:]
    # In whole numbers, so that a recall of 3/10 is one of 0.3.
    places = [((LEVELS - 1) * hits < level * total).sum(axis=1) for level in range(LEVELS)]
    found = np.take_along_axis(reached, np.stack(places, axis=1), axis=1).mean(axis=1)
    return np.where(total[:, 0] > 0, found, np.nan)


def bootstrap_map(scores: Floats, labels: npt.NDArray[np.int8], seed: int) -> tuple[float, float, float]:
    """The mean of `average_precision` over the classes, and its 95 % percentile bootstrap interval over images.

    A class that no image of a sample shows does not count in it. NOTE: the interval is widened to hold the value where
    it would not, as with a class that few images show.

    Args:
        scores: (n, classes).
        labels: as in `MultiLabels`, (n, classes).
        seed: of the resampling.

    Returns:
        Value, low and high, in percent.

    Raises:
        ValueError: no image shows a class.
    """
    n = len(labels)
    if not (labels == PRESENT).any():
        raise ValueError(f"None of the {n} test images shows a class.")
    generator = np.random.default_rng(seed)
    draws: list[_Reals] = []
    for _ in range(0, RESAMPLES, step := max(1, min(RESAMPLES, _BLOCK // n))):
        counts = [np.bincount(generator.integers(n, size=n), minlength=n) for _ in range(step)]
        draws.append(_mean(scores, labels, np.stack(counts)))
    value = float(_mean(scores, labels, np.ones((1, n), np.int64))[0])
    found = np.concatenate(draws)[:RESAMPLES]
    return interval(value, found[~np.isnan(found)])  # a resample of images that show nothing has no score


def _mean(scores: Floats, labels: npt.NDArray[np.int8], counts: Integers) -> _Reals:
    """(r,) of samples `counts` (r, n); nan where no image of a sample shows a class."""
    each = np.stack([average_precision(*columns, counts) for columns in zip(scores.T, labels.T, strict=True)])
    shown = ~np.isnan(each)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(shown, each, 0).sum(axis=0) / shown.sum(axis=0), np.float64)


def _unseen(known: MultiLabels) -> tuple[str, ...]:
    names = [name for name, column in zip(known.names, known.labels.T, strict=True) if PRESENT not in column]
    return (f"no training image shows {', '.join(names)}.",) if names else ()


def _known(source: Source) -> MultiLabels:
    known = source.multi_labels()
    if known is None:
        raise ValueError(
            f"{source.name} does not say which classes each image shows: multi_label needs a source that does, such as "
            "tfds:voc/2007."
        )
    return known
