"""What every protocol takes and gives.

A protocol is a function of labelled training images and a seed; what it returns is asked about the test images. So
nothing that it chooses can depend on them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ssl_keras.data.sources import Source
from ssl_keras.data.sources.base import Subset
from ssl_keras.learning.measures import Floats, Integers
from ssl_keras.scenarios.features import FeatureStore, RawPixels, extract

TOP1, TOP5, MEAN_PER_CLASS, MAP = "top1", "top5", "mean_per_class", "map"


@dataclass(frozen=True, eq=False)
class Images:
    """A split as one encoder sees it: every image passes the encoder once, whatever is asked of the features.

    Attributes:
        encoder: takes float images (b, size, size, 3) in [0, 1] and gives (b, d); or `RawPixels`.
        source: of the images.
        image_size: side in pixels that images are resized to.
        store: where features are kept between evaluations; None keeps them in memory.
    """

    encoder: keras.Model | RawPixels
    source: Source
    image_size: int
    store: FeatureStore | None = None

    @cached_property
    def features(self) -> Floats:
        """(n, d), float32."""
        if self.store is None:
            return extract(self.encoder, self.source, self.image_size)
        return self.store.features(self.encoder, self.source, self.image_size)


@dataclass(frozen=True, eq=False)
class Labelled:
    """The images of a split whose label in one label set is known.

    Attributes:
        images: all of the split's.
        label: the label set.
        present_only: whether answers are only sought among the classes that these images have.
    """

    images: Images
    label: str = "label"
    present_only: bool = False

    @cached_property
    def _known(self) -> Integers:
        return np.flatnonzero(self.images.source.labels(self.label) >= 0)

    @cached_property
    def source(self) -> Source:
        """The images, (n,)."""
        whole = self.images.source
        return whole if len(self._known) == whole.size else Subset(whole, self._known, f"{whole.name}[labelled]")

    @cached_property
    def features(self) -> Floats:
        """(n, d), float32."""
        found = self.images.features
        return found if len(self._known) == len(found) else found[self._known]

    @cached_property
    def labels(self) -> Integers:
        """Class indices (n,)."""
        return np.asarray(self.images.source.labels(self.label))[self._known]

    @property
    def size(self) -> int:
        """Images; all of the split where it has no such label set."""
        return len(self._known) if self.label in self.images.source.label_sets else self.images.source.size

    @property
    def classes(self) -> int:
        """How many there are by name; a split need not hold all."""
        return len(self.images.source.label_sets[self.label])

    @property
    def eligible(self) -> npt.NDArray[np.bool_]:
        """(classes,) which classes an answer may be."""
        return np.isin(np.arange(self.classes), self.labels) | (not self.present_only)


@dataclass(frozen=True)
class Outcome:
    """One figure of a protocol, image by image.

    Attributes:
        protocol: how the features were judged, as tables name it.
        correct: (m,) what each test image adds: True where the prediction is the label, or a share in [0, 1]; the
            figure is its mean. None where the figure is no mean over images.
        metric: what the figure is.
        estimate: where it is no mean over images: value and 95 % interval, in percent.
        chosen: hyper-parameters as used, by name (k after clipping, the cross-validated penalty, ...).
        remarks: sentences for the reader, such as a k larger than the training set.
        logits: (m, classes) that the answers follow from, where there are any.
    """

    protocol: str
    correct: npt.NDArray[Any] | None
    metric: str = TOP1
    estimate: tuple[float, float, float] | None = None
    chosen: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    logits: Floats | None = None


Learned = Callable[[Labelled], list[Outcome]]
Protocol = Callable[[Labelled, int], Learned]
