"""Fine-tuning: all weights of a copy of the encoder learn from labels, from all of them or from a few.

The recipe is SimCLR's (arXiv 2002.05709, appendices on semi-supervised learning and on transfer by fine-tuning), which
BYOL (arXiv 2006.07733, appendix C) and ReLICv2 (arXiv 2201.05119, "semi-supervised" and "transfer") follow: a linear
classifier on the embedding, Nesterov's momentum of 0.9, half a cosine of the learning rate, no weight decay, random
crops and left-right flips as the only augmentation, evaluation on whole images.

NOTE: the amount of learning is our own choice, made for a machine without an accelerator: batches of `BATCH` images,
`step_budget` steps, and the `RATES`; the papers take batches of 256 to 4096, 20 000 steps or 30 to 60 epochs, and sweep
up to seven rates and seven weight decays.

NOTE: batch normalisation is in training mode while weights learn, and answers with the moving statistics that it has
gathered by then. A set of fewer images than a batch is repeated to fill it, with other crops, so that its moments come
from as many crops as any, though from few images. A layer with a momentum of 0.99 and more still remembers the
pre-training after the shortest of our runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ssl_keras.data.augment import Augmentation
from ssl_keras.data.sources import Source
from ssl_keras.data.sources.base import Subset
from ssl_keras.data.views import Views, view_batches
from ssl_keras.learning.measures import Floats, Integers
from ssl_keras.learning.schedules import warmup_cosine
from ssl_keras.learning.supervised import Supervised
from ssl_keras.networks.heads import clone_with_weights
from ssl_keras.scenarios.features import RawPixels, outputs
from ssl_keras.scenarios.linear import marked
from ssl_keras.scenarios.protocol import Labelled, Learned, Outcome

BATCH = 32
RATES = (0.1, 0.03, 0.3)
"""Peak learning rates, tried in this order: the first is taken among equals, and where nothing can be held out."""
SHARES = (0.01, 0.1)
HELD_OUT = 0.2

_CROP_AND_FLIP = Augmentation(area=(0.25, 1.0), jitter=0, grayscale=0)  # NOTE: SimCLR's crops begin at 8 % of the area


def finetune(train: Labelled, seed: int) -> Learned:
    """Fine-tunes on all labels.

    A fifth of the images is held out, class by class, and the encoder learns from the others at each of `RATES`; with
    the rate that does best on the fifth it then learns from all. The given encoder stays as it is.

    Args:
        train: the training images.
        seed: of what is held out, of the order of the images and of their crops.

    Returns:
        Outcomes of "finetune", top-1 and among more than five classes top-5; none for `RawPixels`, which has no
        weights to tune.

    Raises:
        ValueError: there is no image.
    """
    return _learn(train, seed, {"finetune": 1.0})


def semi_supervised(train: Labelled, seed: int) -> Learned:
    """Fine-tunes on 1 % and on 10 % of the labels, drawn by `stratified`; as `finetune` in all else.

    The rate is chosen on a fifth of those few images: no label counts that the share does not hold.

    Args:
        train: the training images.
        seed: of the share, and as in `finetune`.

    Returns:
        Outcomes of "finetune 1 %" and of "finetune 10 %", as of `finetune`.

    Raises:
        ValueError: there is no image.
    """
    return _learn(train, seed, {f"finetune {100 * share:g} %": share for share in SHARES})


def stratified(labels: npt.ArrayLike, share: float, seed: int) -> Integers:
    """A share of each class, drawn at random, but at least one image of each.

    With the same seed a smaller share lies within a larger one.

    Args:
        labels: class indices (n,).
        share: in (0, 1].
        seed: of the draw.

    Returns:
        Rows (m,), ascending.
    """
    labels = np.asarray(labels)
    order = np.random.default_rng(seed).permutation(len(labels))
    drawn = []
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        drawn.append(rows[: max(1, round(share * len(rows)))])
    return np.sort(np.concatenate(drawn))


def hold_out(labels: npt.ArrayLike, seed: int) -> tuple[Integers, Integers]:
    """Rows to learn from and rows to choose by: a fifth of each class, none of a class of a single image.

    Args:
        labels: class indices (n,).
        seed: of the draw.

    Returns:
        Rows (k,) and (m,), ascending; m is 0 where there are fewer than five images a class, on average.
    """
    labels = np.asarray(labels)
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    everything = np.arange(len(labels))
    if len(labels) * HELD_OUT < len(counts):
        return everything, everything[:0]
    held = stratified(labels, HELD_OUT, seed)
    held = held[counts[inverse[held]] > 1]
    return np.setdiff1d(everything, held), held


def step_budget(images: int) -> int:
    """Steps of one run: 4 epochs, but at least 200 steps and at most 4000.

    NOTE: our own choice. 2000 images take 250 steps, and four runs of a ResNet-18 of width 8 at 32 px about 70 seconds
    of one busy core. At equal cost, twice as many steps of half the batch learned more.
    """
    return min(max(4 * images // BATCH, 200), 4000)


@dataclass(frozen=True)
class _Tuned:
    """Weights of encoder and classifier after a run, and how they came about."""

    weights: list[Any]
    chosen: Mapping[str, float]
    remarks: tuple[str, ...]


class _Tuner:
    """A copy of an encoder with a classifier, put back to its start before every run: one graph serves all of them.

    Args:
        encoder: takes float images (b, size, size, 3) in [0, 1] and gives (b, d).
        train: the images that runs take their share of.
        seed: of what they draw.
    """

    def __init__(self, encoder: keras.Model, train: Labelled, seed: int) -> None:
        self.train = train
        self.seed = seed
        copy = clone_with_weights(encoder)
        for layer in copy._flatten_layers():  # one by one: a Sequential does not hand the switch on
            layer.trainable = True
        self.learner = Supervised(copy, train.classes)
        self.learner.classifier.set_weights([np.zeros_like(w) for w in self.learner.classifier.get_weights()])
        self.learner.compile(keras.optimizers.SGD(0.0, momentum=0.9, nesterov=True))
        self.whole = keras.Sequential([copy, self.learner.classifier])
        self.start = self.whole.get_weights()

    def tune(self, name: str, rows: Integers) -> _Tuned:
        """Chooses the rate by a fifth of some images, and learns from all of them with it."""
        steps = step_budget(len(rows))
        rate, remarks = self._choose(name, rows, steps)
        weights = self._run(self._batches(rows), rate, steps)
        if not all(np.isfinite(weight).all() for weight in weights):
            remarks += (f"{name} diverged at the rate {rate:g}: its answers are worth nothing.",)
        return _Tuned(weights, {"rate": rate, "steps": steps, "images": len(rows)}, remarks)

    def logits(self, weights: list[Any], source: Source) -> Floats:
        """(n, classes) of a source's images."""
        self.whole.set_weights(weights)
        return np.concatenate([*outputs(self.whole.predict_on_batch, source, self.train.images.image_size)])

    def _choose(self, name: str, rows: Integers, steps: int) -> tuple[float, tuple[str, ...]]:
        """The rate, and a remark where it was not chosen."""
        labels = self.train.labels
        learned, held = (rows[part] for part in hold_out(labels[rows], self.seed))
        if not len(held):
            return RATES[0], (
                f"{name} took the rate {RATES[0]:g} untried: {len(rows)} images are too few to hold out a fifth.",
            )
        batches, scores = self._batches(learned), {}
        for rate in RATES:
            logits = self.logits(self._run(batches, rate, steps), self._part(held))
            scores[rate] = (logits.argmax(axis=1) == labels[held]).mean()
        return max(scores, key=lambda rate: scores[rate]), ()

    def _run(self, batches: Any, rate: float, steps: int) -> list[Any]:
        """The weights after learning from some batches, from the start."""
        self.whole.set_weights(self.start)
        for variable in self.learner.optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))
        self.learner.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[_Cosine(rate, steps)])
        return self.whole.get_weights()

    def _batches(self, rows: Integers) -> Any:
        """An endless stream of crops of some images; the same ones for every run."""
        views = Views(self.train.images.image_size, large=1, large_augmentations=(_CROP_AND_FLIP,))
        filled = self._part(np.tile(rows, -(-BATCH // len(rows))))
        return self.learner.batches(view_batches(filled, views, BATCH, seed=self.seed, label=self.train.label), 0)

    def _part(self, rows: Integers) -> Source:
        source = self.train.source
        return Subset(source, rows, f"{source.name}[{len(rows)} to fine-tune]")


class _Cosine(keras.callbacks.Callback):
    """Sets the learning rate before each step, from outside of the graph, which so does not depend on it."""

    def __init__(self, rate: float, steps: int) -> None:
        super().__init__()
        self.rates = keras.ops.convert_to_numpy(warmup_cosine(rate, steps)(np.arange(steps)))

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        del logs
        self.model.optimizer.learning_rate = self.rates[batch]


def _learn(train: Labelled, seed: int, shares: Mapping[str, float]) -> Learned:
    """Fine-tunes on each share of the labels; the names are those of the outcomes."""
    encoder = train.images.encoder
    if isinstance(encoder, RawPixels):
        return lambda test: []
    if not len(train.labels):
        raise ValueError(f"{train.images.source.name} has no image with a known '{train.label}': give some to tune on.")
    tuner = _Tuner(encoder, train, seed)
    tuned = {name: tuner.tune(name, stratified(train.labels, share, seed)) for name, share in shares.items()}

    def answer(test: Labelled) -> list[Outcome]:
        outcomes = []
        for name, found in tuned.items():
            logits = tuner.logits(found.weights, test.source)
            outcomes += marked(name, logits, test, found.chosen, found.remarks)
        return outcomes

    return answer
