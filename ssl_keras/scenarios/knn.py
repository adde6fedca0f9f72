"""The weighted cosine k-nearest-neighbour protocol."""

from ssl_keras.learning.measures import knn_predictions
from ssl_keras.scenarios.protocol import Labelled, Learned, Outcome

NEIGHBOURS = (20, 200)
TEMPERATURE = 0.1
"""Of the vote weights exp(cosine / temperature)."""


def knn(train: Labelled, seed: int) -> Learned:
    """The protocol, for 20 and 200 neighbours from one pass over the similarities; nothing is fitted or chosen.

    NOTE: a k above the number of training images is clipped to it, and the outcome says so.
    """
    del seed  # nothing is drawn

    def answer(test: Labelled) -> list[Outcome]:
        features, labels = train.features, train.labels
        if test.present_only:
            voting = test.eligible[labels]
            features, labels = features[voting], labels[voting]
        used = [min(k, len(labels)) for k in NEIGHBOURS]
        predictions = knn_predictions(features, labels, test.features, train.classes, used, TEMPERATURE)
        outcomes = []
        for k, clipped, predicted in zip(NEIGHBOURS, used, predictions, strict=True):
            remarks = () if k == clipped else (f"knn{k} used k = {clipped}, the number of training images.",)
            chosen = {"k": clipped, "temperature": TEMPERATURE}
            outcomes.append(Outcome(f"knn{k}", predicted == test.labels, chosen=chosen, remarks=remarks))
        return outcomes

    return answer
