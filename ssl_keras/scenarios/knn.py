"""The weighted cosine k-nearest-neighbour protocol."""

from collections.abc import Sequence

import numpy as np

from ssl_keras.learning.measures import Floats, Integers, knn_predictions
from ssl_keras.scenarios.protocol import Outcome

NEIGHBOURS = (20, 200)


def knn(
    train: Floats,
    train_labels: Integers,
    test: Floats,
    test_labels: Integers,
    seed: int = 0,
    *,
    neighbours: Sequence[int] = NEIGHBOURS,
    temperature: float = 0.1,
) -> dict[str, Outcome]:
    """Classifies each test image by its nearest training images; nothing is fitted or chosen.

    Args:
        train: features (n, d).
        train_labels: class indices (n,).
        test: features (m, d).
        test_labels: class indices (m,), used only to mark answers right or wrong.
        seed: unused: the protocol draws nothing. Here because all protocols take the same arguments.
        neighbours: the k to evaluate, all from one pass over the similarities.
        temperature: of the vote weights exp(cosine / temperature).

    Returns:
        An outcome under "knn<k>" for each k. NOTE: a k above n is clipped to n, and the outcome says so.
    """
    del seed
    used = [min(k, len(train)) for k in neighbours]
    classes = int(train_labels.max()) + 1
    predictions = knn_predictions(train, train_labels, test, classes, used, temperature)
    outcomes = {}
    for k, clipped, predicted in zip(neighbours, used, predictions, strict=True):
        remarks = () if k == clipped else (f"knn{k} used k = {clipped}, the number of training images.",)
        correct = np.asarray(predicted == test_labels)
        outcomes[f"knn{k}"] = Outcome(correct, {"k": clipped, "temperature": temperature}, remarks)
    return outcomes
