"""What a trial is judged by: a scenario's metric on held-out training images, or a score that needs no labels."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike

import keras
import numpy as np

from ssl_keras.data.sources import Source, at_most
from ssl_keras.data.sources.base import Subset, eighty_twenty
from ssl_keras.scenarios.evaluation import PROTOCOLS, WITHOUT_LABEL_SET, open_train
from ssl_keras.scenarios.evaluation import run as run_scenarios
from ssl_keras.scenarios.label_free import ALPHA, BEST_ALPHA, BETTER, SCORES, Direction, label_free
from ssl_keras.scenarios.suite import Scenario, find


@dataclass(frozen=True)
class Goal:
    """What is sought.

    Attributes:
        name: of the number.
        direction: which way is better.
        measure: from an encoder to the number and what comes with it, by name.
    """

    name: str
    direction: Direction
    measure: Callable[[keras.Model], dict[str, float]]


class HeldOut(Subset):
    """Training images as if they were all there is: ``train`` is 80 % of them, ``test`` the rest, by a seed.

    Args:
        images: of a training split.
        seed: of the division.
    """

    def __init__(self, images: Source, seed: int):
        super().__init__(images, np.arange(images.size), f"{images.name}, held out")
        self.seed = seed

    def split(self, name: str) -> Source:
        """A part of the training images, never of another split."""
        return eighty_twenty(self, name, self.seed)


def goal(
    text: str,
    images: Source,
    *,
    image_size: int,
    seed: int = 0,
    limit: int | None = None,
    data_dir: str | PathLike[str] | None = None,
) -> Goal:
    """What a text names: RankMe or another score without labels, or SCENARIO/PROTOCOL[/METRIC], as cifar10/linear.

    Args:
        text: as a user writes it; of scores the case, hyphens and blanks do not matter, and α may be alpha.
        images: that scores without labels are taken of.
        image_size: side of the images in pixels.
        seed: of what is drawn to measure it.
        limit: at most so many labelled training images, of which a fifth is held out.
        data_dir: where prepared TFDS sets are.

    Raises:
        ValueError: it names neither, or a set without labels.
        OSError: the scenario's images are not there.
    """
    scores = {_plain(score): score for score in SCORES}
    if (word := _plain(text)) in scores:
        return _label_free(scores[word], images, image_size, seed)
    scenario, protocol, metric = _parts(text, [*scores])
    train = open_train(scenario, image_size, data_dir)
    if protocol not in WITHOUT_LABEL_SET:
        train.labels(scenario.label)
    held_out = HeldOut(at_most(train, limit, seed), seed)
    judged = replace(scenario, source=held_out, train="train", test="test", metrics=(metric,))

    def measure(encoder: keras.Model) -> dict[str, float]:
        found = run_scenarios({"trial": encoder}, judged, image_size=image_size, protocols=[protocol], seed=seed)
        values = [row.value for row in found.rows if row.metric == metric] or [row.value for row in found.rows]
        return {text: values[0]}

    return Goal(text, "max", measure)


def _label_free(score: str, images: Source, image_size: int, seed: int) -> Goal:
    name = "distance of α-ReQ from 1" if score == ALPHA else score

    def measure(encoder: keras.Model) -> dict[str, float]:
        found = label_free(encoder, images, image_size, seed)
        return found | {name: abs(found[score] - BEST_ALPHA) if score == ALPHA else found[score]}

    return Goal(name, BETTER[score], measure)


def _parts(text: str, scores: list[str]) -> tuple[Scenario, str, str]:
    """Scenario, protocol and metric; a scenario's own name may have a slash."""
    words = text.split("/")
    place = next((place for place, word in enumerate(words) if place and word in PROTOCOLS), 0)
    if not place or len(words) > place + 2:
        near = difflib.get_close_matches(words[-1], [*PROTOCOLS, *scores], 1)
        raise ValueError(
            f"the objective {text!r} is no score ({', '.join(scores)}) and no SCENARIO/PROTOCOL such as "
            f"cifar10/linear" + (f"; did you mean {near[0]!r}?" if near else f"; protocols: {', '.join(PROTOCOLS)}")
        )
    found = find("/".join(words[:place]))
    if len(found) != 1:
        raise ValueError(f"the objective {text!r} names a suite of {len(found)} scenarios: name one of them")
    return found[0], words[place], words[place + 1] if len(words) > place + 1 else found[0].metrics[0]


def _plain(word: str) -> str:
    return word.lower().replace("α", "alpha").replace("-", "_").replace(" ", "_")
