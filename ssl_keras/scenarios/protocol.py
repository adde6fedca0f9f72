"""What every protocol returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Outcome:
    """One protocol's answers on the test images.

    Attributes:
        correct: (m,) True where the prediction is the label.
        chosen: hyper-parameters as used, by name (k after clipping, the cross-validated penalty, ...).
        remarks: sentences for the reader, such as a k larger than the training set.
    """

    correct: npt.NDArray[np.bool_]
    chosen: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
