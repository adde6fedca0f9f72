"""What embeddings are worth, told without labels."""

from collections.abc import Mapping
from itertools import islice
from typing import Literal

import keras
import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from ssl_keras.data.sources import Source
from ssl_keras.data.views import PRESET_SIZES, Views, view_batches
from ssl_keras.learning.measures import Floats, alignment, alpha_req, normalized, rankme, uniformity

IMAGES, BATCH = 1024, 256
CLUSTERS = 32
SCORES = ("RankMe", "α-ReQ", "alignment", "uniformity", "clusters kept")
"""Names of the scores; the report says how to read them."""
Direction = Literal["max", "min"]
BETTER: Mapping[str, Direction] = dict(zip(SCORES, ("max", "min", "min", "min", "max"), strict=True))
"""Which way a score is better. NOTE: of α-ReQ it is the distance from 1, which is best."""
ALPHA, BEST_ALPHA = SCORES[1], 1.0


def label_free(encoder: keras.Model, source: Source, size: int, seed: int = 0) -> dict[str, float]:
    """The scores of an encoder on two views each of some images.

    Args:
        encoder: takes (b, size, size, 3) in [0, 1] and gives (b, d).
        source: its images, of which the first of a seeded order are taken, at most `IMAGES`.
        size: side of the views in pixels.
        seed: of the choice of images, of the views and of the clusters.

    Returns:
        A number for each of `SCORES`.

    Raises:
        ValueError: the source has fewer than two images.
    """
    batch = min(BATCH, source.size)
    nearest = min(PRESET_SIZES, key=lambda known: abs(known - size))
    views = Views.preset(nearest, size=size, large=2, small=0)
    stream = view_batches(source, views, batch, seed=seed).dataset()
    parts = [
        [encoder.predict_on_batch(pair["large"][:, view]) for view in (0, 1)]
        for pair in islice(stream, min(IMAGES, source.size) // batch)
    ]
    first, second = (np.concatenate([part[view] for part in parts]).astype(np.float32) for view in (0, 1))
    alone = rankme(first), alpha_req(first)
    found = (*alone, alignment(first, second), uniformity(first), _clusters_kept(first, second, seed))
    return dict(zip(SCORES, found, strict=True))


def goodness(scores: Mapping[str, float]) -> dict[str, float]:
    """Each of `SCORES` as a number that is larger where the score is better."""
    distances = {**scores, ALPHA: abs(scores[ALPHA] - BEST_ALPHA)}
    return {name: distances[name] * (1 if way == "max" else -1) for name, way in BETTER.items()}


def _clusters_kept(first: Floats, second: Floats, seed: int) -> float:
    """Adjusted Rand index of the clusters that two views (n, d) of the same images fall into; k-means of the first."""
    means = KMeans(min(CLUSTERS, len(first)), n_init=4, random_state=seed).fit(normalized(first))
    return float(adjusted_rand_score(means.labels_, means.predict(normalized(second))))
