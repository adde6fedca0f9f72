"""Low-shot classification: one, five or ten labelled images of every class."""

import numpy as np

from ssl_keras.learning.measures import Floats, Integers, normalized
from ssl_keras.scenarios.protocol import Labelled, Learned, Outcome

SHOTS = (1, 5, 10)
DRAWS = 10
"""So often the labelled images are drawn anew; a test image adds the share of draws in which it was right."""


def low_shot(train: Labelled, seed: int) -> Learned:
    """The protocol: a test image belongs to the class whose mean embedding is nearest.

    Embeddings are centred on the mean of the training images and scaled to length 1, which needs no labels and leaves
    nothing to tune (SimpleShot, arXiv 1911.04623). NOTE: a class of fewer images gives all that it has.
    """
    features = np.asarray(train.features, np.float32)
    centre = features.mean(axis=0)
    units = normalized(features - centre)
    generator = np.random.default_rng(seed)
    classes = np.unique(train.labels)
    centroids = {
        shots: [_centroids(units, train.labels, classes, shots, generator) for _ in range(DRAWS)] for shots in SHOTS
    }

    def answer(test: Labelled) -> list[Outcome]:
        asked = normalized(np.asarray(test.features, np.float32) - centre)
        outcomes = []
        for shots, draws in centroids.items():
            right = [classes[np.argmax(asked @ each.T, axis=1)] == test.labels for each in draws]
            outcomes.append(Outcome(f"low-shot {shots}", np.mean(right, axis=0), chosen={"draws": DRAWS}))
        return outcomes

    return answer


def _centroids(
    units: Floats, labels: Integers, classes: Integers, shots: int, generator: np.random.Generator
) -> Floats:
    """Unit means (classes, d) of some images of every class."""
    order = generator.permutation(len(labels))
    drawn = [order[labels[order] == label][:shots] for label in classes]
    return normalized(np.stack([units[rows].mean(axis=0) for rows in drawn]))
