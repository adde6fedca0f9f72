"""Retrieval: are the nearest test images of the same class?"""

import numpy as np
import numpy.typing as npt

from ssl_keras.learning.measures import Floats, Integers, normalized
from ssl_keras.scenarios.protocol import MAP, Labelled, Learned, Outcome

RECALL_AT = (1, 5, 10)
_BLOCK = 2**24  # similarities held at a time


def retrieval(train: Labelled, seed: int) -> Learned:
    """The protocol: every test image asks for those of its class among all other test images, by cosine.

    Mean average precision (``map``), and ``recall@k``: whether one of the k nearest is of the class. An image whose
    class has no other test image asks nothing. Training images are not looked at.
    """
    del train, seed

    def answer(test: Labelled) -> list[Outcome]:
        precision, first = ranks(test.features, test.labels)
        asks = first > 0
        hits = {f"recall@{k}": first[asks] <= k for k in RECALL_AT}
        outcomes = {MAP: precision[asks], **hits}
        return [Outcome("retrieval", values, metric) for metric, values in outcomes.items()]

    return answer


def ranks(features: Floats, labels: Integers) -> tuple[npt.NDArray[np.float64], Integers]:
    """Average precision (n,) of every image's query, and the rank (n,) of the first hit from 1; 0 without one.

    The average precision is the mean, over the images of the class, of the share of hits up to each of them.

    Args:
        features: (n, d).
        labels: class indices (n,).
    """
    units = normalized(features)
    precision, first = np.zeros(len(units)), np.zeros(len(units), np.int64)
    places = np.arange(1, len(units))
    step = max(1, _BLOCK // len(units))
    for start in range(0, len(units), step):
        queries = np.arange(start, min(start + step, len(units)))
        similarity = units[queries] @ units.T
        similarity[np.arange(len(queries)), queries] = -np.inf  # the query itself comes last, and is left out
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :-1]
        hits = labels[order] == labels[queries, None]
        count = hits.sum(axis=1)
        at = np.cumsum(hits, axis=1) / places
        precision[queries] = (at * hits).sum(axis=1) / np.maximum(count, 1)
        first[queries] = np.where(count > 0, hits.argmax(axis=1) + 1, 0)
    return precision, first
