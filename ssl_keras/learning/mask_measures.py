"""Scores of foreground masks: pure functions of predicted saliency and true masks, in NumPy alone."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BETA_SQUARED = 0.3
"""Weight of recall in the F-measure; the value of Achanta et al., "Frequency-tuned salient region detection", 2009."""
LEVELS = 256
"""Thresholds of the precision and recall curve."""
_RESAMPLES = 2000


@dataclass(frozen=True)
class MaskScores:
    """What each of n images contributes.

    Attributes:
        precision: (n, LEVELS - 1), with saliency at least 1 / 255, 2 / 255, ... counted as foreground; 0 where
            nothing is.
        recall: (n, LEVELS - 1).
        error: (n,), mean absolute difference of saliency and mask.
        iou: (n,), intersection over union of the mask and what has a saliency of at least 0.5.
    """

    precision: Floats
    recall: Floats
    error: Floats
    iou: Floats

    @property
    def max_f(self) -> float:
        """The largest F-measure on the curve of mean precision and mean recall."""
        return float(_max_f(self.precision.mean(axis=0), self.recall.mean(axis=0)))

    @property
    def mae(self) -> float:
        """Mean absolute error, the mean over images."""
        return float(self.error.mean())

    @property
    def mean_iou(self) -> float:
        """Intersection over union, the mean over images."""
        return float(self.iou.mean())


def score_masks(pairs: Iterable[tuple[npt.NDArray[np.floating], npt.NDArray[np.generic]]]) -> MaskScores:
    """Scores saliency against true masks.

    Args:
        pairs: Saliency (H, W) in [0, 1] and mask (H, W), foreground where it is not 0; sizes may vary.

    Raises:
        ValueError: A saliency map and its mask differ in size.
    """
    rows = [_score_one(found, truth != 0) for found, truth in pairs]
    precision, recall, error, iou = (np.stack(column) for column in zip(*rows, strict=True))
    return MaskScores(precision, recall, error, iou)


def max_f_gain(scores: MaskScores, over: MaskScores, seed: int = 0) -> tuple[float, float, float]:
    """How much larger one max-F is than another on the same images, with its 95 % paired bootstrap interval.

    Args:
        scores: Of the n images.
        over: Of the same images in the same order.
        seed: Of the resampling, 2000 times n images with replacement.

    Returns:
        Difference, low and high.
    """
    images = len(scores.error)
    draws = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), _RESAMPLES) / images
    first, second = (_max_f(draws @ each.precision, draws @ each.recall) for each in (scores, over))
    low, high = np.percentile(first - second, (2.5, 97.5))
    return scores.max_f - over.max_f, float(low), float(high)


def _score_one(found: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, float, float]:
    if found.shape != truth.shape:
        raise ValueError(f"saliency has the size {found.shape} and its mask {truth.shape}: they must be equal.")
    level = np.round(found * (LEVELS - 1)).astype(int)
    hits, taken = (np.bincount(level[some], minlength=LEVELS)[::-1].cumsum()[-2::-1] for some in (truth, truth | True))
    chosen = found >= 0.5
    union = np.count_nonzero(chosen | truth)
    iou = np.count_nonzero(chosen & truth) / union if union else 1.0
    error = float(np.abs(found - truth).mean())
    return hits / np.maximum(taken, 1), hits / max(np.count_nonzero(truth), 1), error, iou


def _max_f(precision: Floats, recall: Floats) -> Floats:
    """Largest F over the last axis."""
    weighted = BETA_SQUARED * precision + recall
    return ((1 + BETA_SQUARED) * precision * recall / np.maximum(weighted, 1e-12)).max(axis=-1)
