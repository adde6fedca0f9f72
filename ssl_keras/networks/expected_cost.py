"""What a supernet's choices cost on average, exactly and differentiably."""

from collections.abc import Sequence

import numpy as np

from ssl_keras.architecture.grammar import Architecture, parse
from ssl_keras.architecture.latency import LatencyTable
from ssl_keras.architecture.learnable import cost_tables
from ssl_keras.networks.choices import Choices, Tensor, expectation


class ExpectedCost:
    """Choices to the mean parameters, multiply-adds and latency of the networks that they make likely.

    Exact where decisions are independent, as the choices say: each stage's cost, rounding of widths included, is
    tabulated over the decisions that it hangs on, and the table contracted with their probabilities.

    Args:
        architecture: A space that a gradient can search, or its string.
        input_shape: (height, width, channels) of the image.
        latency: What blocks take on a device.

    Raises:
        ArchitectureError: The space is not one that a gradient can search.
    """

    def __init__(
        self, architecture: Architecture | str, input_shape: Sequence[int], latency: LatencyTable | None = None
    ) -> None:
        space = parse(architecture) if isinstance(architecture, str) else architecture
        # One table for all costs: (..., 3)
        self._tables = [
            (table.decisions, np.array([table.params, table.macs, table.latency], "float32").T.reshape(*table.shape, 3))
            for table in cost_tables(space, input_shape, latency)
        ]

    def __call__(self, choices: Choices) -> dict[str, Tensor]:
        """Scalars "params" and "macs", of the backbone per image, and "latency", in milliseconds; float32.

        Args:
            choices: Decision → probabilities (n,).
        """
        total = sum(expectation(table, [choices[name] for name in names]) for names, table in self._tables)
        return {"params": total[0], "macs": total[1], "latency": total[2]}
