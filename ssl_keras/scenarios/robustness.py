"""What common corruptions leave of a linear classifier's accuracy (`ssl_keras.data.corruptions`).

Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", 2019
(arXiv 1903.12261), section 4: the classifier learns from clean images and never sees a corrupted one.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ssl_keras.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from ssl_keras.data.evaluation import evaluation_batches
from ssl_keras.data.sources import at_most, open_source
from ssl_keras.learning.measures import Floats, Integers
from ssl_keras.scenarios.features import extract
from ssl_keras.scenarios.linear import LinearClassifier, among_eligible, fit
from ssl_keras.scenarios.protocol import TOP1, Labelled, Learned, Outcome

TEST_IMAGES = 500
"""Test images at most, drawn with the seed: each passes the encoder 75 times. NOTE: the paper takes all of them."""
_BATCH = 64


def corruptions(train: Labelled, seed: int) -> Learned:
    """Fits on clean training images; the answers are about corrupted test images.

    NOTE: images are corrupted at the size at which the encoder takes them, and stored with 8 bits as those of the
    paper are; `RawPixels` resizes the corrupted ones.

    Args:
        train: Clean.
        seed: Of folds, of the choice of test images and of what corruptions draw.

    Returns:
        Of test images: an outcome of each corruption, "top1 <corruption>", and one of all, "top1". What an image adds
        is the share of severities, or of corruptions and severities, at which it is named rightly; `chosen` holds
        top-1 by severity, in percent.
    """
    classifier = fit(train.features, train.labels, seed)

    def learned(test: Labelled) -> list[Outcome]:
        source = at_most(test.source, TEST_IMAGES, seed)
        batches = evaluation_batches(source, test.images.image_size, _BATCH).as_numpy_iterator()
        clean = np.concatenate([batch["image"] for batch in batches])
        labels = np.asarray(source.labels(test.label))
        hits = {name: _answers(classifier, test, clean, name, seed) == labels for name in CORRUPTIONS}
        outcomes = [_outcome(f"{TOP1} {name}", right) for name, right in hits.items()]
        return [*outcomes, _outcome(TOP1, np.mean([*hits.values()], axis=0))]

    return learned


def _answers(classifier: LinearClassifier, test: Labelled, clean: Floats, name: str, seed: int) -> Integers:
    """Class indices (5, m) by severity for test images `clean` (m, size, size, 3) under one corruption."""
    stored = [np.round(255 * corrupt(clean, name, severity, seed)).astype(np.uint8) for severity in SEVERITIES]
    features = extract(test.images.encoder, open_source(np.concatenate(stored)), test.images.image_size)
    answers = among_eligible(classifier.logits(features), test).argmax(axis=1)
    return answers.reshape(len(SEVERITIES), len(clean))


def _outcome(metric: str, right: npt.NDArray[np.bool_ | np.floating]) -> Outcome:
    """What (5, m) right answers, or shares of them, say by image and by severity."""
    by_severity = {f"severity {s}": 100 * float(np.mean(row)) for s, row in zip(SEVERITIES, right, strict=True)}
    return Outcome("corruptions", np.mean(right, axis=0), metric, chosen=by_severity)


def mce(errors: Mapping[str, Sequence[float]], reference: Mapping[str, Sequence[float]]) -> float:
    """Mean corruption error in percent; 100 is as bad as the reference (section 4.2: CE_c = Σ_s E_s,c / Σ_s E'_s,c).

    Args:
        errors: Of each corruption, the error rates at severities 1 to 5, in any unit.
        reference: Those of the classifier that errors are measured by, in the same unit; AlexNet in the paper.

    Raises:
        ValueError: the two hold other corruptions or other numbers of severities, or none, or the reference makes no
            errors.
    """
    if not errors or {c: len(e) for c, e in errors.items()} != {c: len(e) for c, e in reference.items()}:
        raise ValueError(
            f"errors of {', '.join(errors) or 'nothing'} beside a reference with {', '.join(reference) or 'nothing'}: "
            "give the same corruptions and severities in both."
        )
    if faultless := [name for name, rates in reference.items() if not sum(rates)]:
        raise ValueError(f"the reference makes no errors under {', '.join(faultless)}: take one that makes some.")
    return 100 * float(np.mean([sum(rates) / sum(reference[name]) for name, rates in errors.items()]))


def relative(chosen: Mapping[str, Mapping[str, float]], reference: str) -> dict[str, dict[str, float]]:
    """Mean corruption error of every encoder by scenario, in percent of a reference encoder's; empty without it.

    Args:
        chosen: as `Evaluation.chosen`; curves of corruptions are found by their keys.
        reference: the encoder that is 100.
    """
    errors: dict[str, dict[str, dict[str, list[float]]]] = {}
    for key, told in chosen.items():
        encoder, scenario, protocol = key.rsplit(" / ", 2)
        name = protocol.removeprefix(f"corruptions, {TOP1} ")
        if name in CORRUPTIONS:
            rates = [100 - told[f"severity {severity}"] for severity in SEVERITIES]
            errors.setdefault(scenario, {}).setdefault(encoder, {})[name] = rates
    return {
        scenario: {encoder: mce(mine, found[reference]) for encoder, mine in found.items()}
        for scenario, found in errors.items()
        if reference in found
    }
