"""NT-Xent, LARS and weighted kNN against an established PyTorch library, in its own environment.

``make test-oracles`` makes that environment and names its Python in ``ORACLES_PYTHON``.
"""

import os
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import ssl_keras as sk
from ssl_keras.learning.measures import knn_predict

PYTHON = os.environ.get("ORACLES_PYTHON")
pytestmark = pytest.mark.skipif(not PYTHON, reason="no PyTorch library here: run `make test-oracles`")

REFERENCE = Path(__file__).parents[2] / "tools" / "torch_reference.py"
RNG = np.random.default_rng(0)
TEMPERATURES = (0.1, 0.5, 1.0)
SHAPES = ((4, 6), (3, 3, 2, 5))
NEIGHBOURS = (1, 20, 200)


def _cases() -> dict[str, dict[str, np.ndarray | float]]:
    cases: dict[str, dict[str, np.ndarray | float]] = {}
    for temperature in TEMPERATURES:
        first, second = RNG.normal(size=(2, 8, 16))
        cases[f"nt_xent:{temperature}"] = {"first": first, "second": second, "temperature": temperature}
    for shape in SHAPES:
        start, gradients = RNG.normal(size=shape), RNG.normal(size=(5, *shape))
        # The library scales by |g| + decay |w| where the paper has |g + decay w|: equal where the decay is small.
        cases[f"lars:{shape}"] = {"start": start, "gradients": gradients, "rate": 0.5, "decay": 1e-9, "trust": 0.02}
    train, test = RNG.normal(size=(500, 12)), RNG.normal(size=(100, 12))
    labels = (3 * (train[:, 0] > 0) + RNG.integers(0, 2, 500)).astype(np.int64)
    for k in NEIGHBOURS:
        bound = {"train": train, "labels": labels, "test": test}
        cases[f"knn:{k}"] = {**bound, "classes": 5, "k": k, "temperature": 0.1}
    return cases


@pytest.fixture(scope="module")
def cases() -> dict[str, dict[str, np.ndarray | float]]:
    """What both are asked."""
    return _cases()


@pytest.fixture(scope="module")
def answers(cases, tmp_path_factory) -> dict[str, np.ndarray]:
    """What the library says."""
    folder = tmp_path_factory.mktemp("oracles")
    np.savez(
        folder / "inputs.npz", **{f"{case}/{key}": value for case, row in cases.items() for key, value in row.items()}
    )
    subprocess.run([str(PYTHON), REFERENCE, folder / "inputs.npz", folder / "answers.npz"], check=True)
    return dict(np.load(folder / "answers.npz"))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_nt_xent_and_its_gradients(cases, answers, temperature):
    case = cases[f"nt_xent:{temperature}"]
    views = tf.Variable(np.stack([case["first"], case["second"]]))
    with tf.GradientTape() as tape:
        loss = sk.nt_xent_loss(views, views, temperature=temperature)["loss"]
    gradient = tape.gradient(loss, views)
    np.testing.assert_allclose(loss, answers[f"nt_xent:{temperature}/loss"], rtol=1e-9)
    for view, name in enumerate(("first", "second")):
        np.testing.assert_allclose(gradient[view], answers[f"nt_xent:{temperature}/{name}"], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_five_steps_of_lars(cases, answers, shape):
    case = cases[f"lars:{shape}"]
    weights = keras.Variable(case["start"], dtype="float64")
    optimizer = sk.LARS(case["rate"], 0.9, case["decay"], case["trust"])
    for gradient, want in zip(case["gradients"], answers[f"lars:{shape}/weights"], strict=True):
        optimizer.apply([tf.constant(gradient)], [weights])
        np.testing.assert_allclose(weights, want, rtol=1e-6, atol=1e-7)  # Keras keeps the rate in float32


@pytest.mark.parametrize("k", NEIGHBOURS)
def test_weighted_knn(cases, answers, k):
    case = cases[f"knn:{k}"]
    got = knn_predict(case["train"], case["labels"], case["test"], 5, k, temperature=0.1)
    np.testing.assert_array_equal(got, answers[f"knn:{k}/predicted"])
