"""Choices of a supernet: each decision's name to the probabilities of its values; made, and averaged over."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from ssl_keras.architecture.grammar import Architecture, Value

Tensor = Any
Choices = Mapping[str, Tensor]


def softmax(logits: Choices) -> dict[str, Tensor]:
    """Soft choices: every candidate takes part by its probability (DARTS, arXiv 1806.09055).

    Args:
        logits: Decision → (n,).
    """
    return {name: ops.softmax(vector) for name, vector in logits.items()}


def gumbel_softmax(logits: Choices, noise: Choices, temperature: Tensor | float) -> dict[str, Tensor]:
    """Soft samples, the harder the lower the temperature (arXiv 1611.01144, eq. 2).

    Args:
        logits: Decision → (n,).
        noise: Decision → (n,), uniform on [0, 1).
        temperature: Above 0.
    """
    gumbel = {name: -ops.log(-ops.log(uniform)) for name, uniform in noise.items()}
    return {name: ops.softmax((vector + gumbel[name]) / temperature) for name, vector in logits.items()}


def largest(scores: Choices) -> dict[str, Tensor]:
    """Hard choices: 1 for the largest score of each decision.

    Of logits it is the network they favour; of uniform noise it is a sample in which every value is equally
    likely. NOTE: that is not :meth:`Architecture.sample`, in which every distinct network is.

    Args:
        scores: Decision → (n,).
    """
    return {name: ops.one_hot(ops.argmax(vector), vector.shape[0], dtype="float32") for name, vector in scores.items()}


def straight_through(soft: Choices) -> dict[str, Tensor]:
    """Hard choices forward, the gradient of the soft ones backward (arXiv 1611.01144, sec. 2.2).

    Args:
        soft: Decision → probabilities (n,).
    """
    return {name: hard + (soft[name] - ops.stop_gradient(soft[name])) for name, hard in largest(soft).items()}


def one_hot(space: Architecture, picks: Mapping[str, Value] | Architecture) -> dict[str, np.ndarray]:
    """The choices that fix one network.

    Args:
        space: What is to be decided.
        picks: Every decision's value; or the network, as in :meth:`Architecture.picks_of`.

    Raises:
        ArchitectureError: The network is not in the space.
    """
    values = space.picks_of(picks) if isinstance(picks, Architecture) else picks
    return {name: one_hot_of(candidates, values[name]) for name, candidates in space.decisions.items()}


def one_hot_of(candidates: Sequence[Value], value: Value) -> np.ndarray:
    """1 where a candidate is the value, (n,)."""
    return np.array([candidate == value for candidate in candidates], "float32")


def expectation(table: np.ndarray, chances: Sequence[Tensor | None]) -> Tensor:
    """The mean of a table over independent choices: one axis after the other is contracted.

    Args:
        table: What each combination of choices gives, (n_1, n_2, ..., rest).
        chances: For each leading axis its probabilities (n_i,); None for an axis of length 1.

    Returns:
        (rest).
    """
    mean: Tensor = table
    for vector in chances:
        mean = mean[0] if vector is None else ops.tensordot(vector, mean, 1)
    return mean
