"""The expected cost is the mean over all networks of the space, each weighed by the chance of its choices."""

import numpy as np
import pytest
import tensorflow as tf

import ssl_keras as sk
from ssl_keras.architecture.grammar import ArchitectureError
from tests.networks.test_supernet import SPACES, all_picks, soft

EVERYTHING = "conv_c{4,6}_s2 | {mbconv,basic}_r{1,2}_k{3,5}_e{1.5,2}_c{6,9}_se{0,0.3} | maxpool | mbconv_s2_c{4,8}"


def by_brute_force(space, choices, shape):
    """Sum over every combination of choices of probability times cost."""
    total = np.zeros(2)
    for picks in all_picks(space):
        chance = np.prod([choices[name][space.decisions[name].index(value)] for name, value in picks.items()])
        counted = sk.cost(space.freeze(picks), shape)
        total += chance * np.array([counted.params, counted.macs], float)
    return total


@pytest.mark.parametrize("text", [*SPACES.values(), EVERYTHING])
def test_it_is_the_mean_over_the_space(text):
    space, shape = sk.parse(text), (17, 14, 3)
    choices = soft(space, seed=3)
    expected = sk.ExpectedCost(space, shape)(choices)
    wanted = by_brute_force(space, choices, shape)
    np.testing.assert_allclose([expected["params"], expected["macs"]], wanted, rtol=1e-5)


def test_hard_choices_cost_what_the_network_costs():
    space = sk.families.get("proxyless_space", width=0.25)
    expected = sk.ExpectedCost(space, (64, 64, 3))
    for seed in range(3):
        network = space.sample(seed)
        got, want = expected(sk.choices.one_hot(space, network)), sk.cost(network, (64, 64, 3))
        np.testing.assert_allclose([got["params"], got["macs"]], [want.params, want.macs], rtol=1e-6)


def test_the_gradient_points_to_the_larger_candidates():
    space = sk.parse("conv_c{4,8} | mbconv_r{1,2}_k{3,5}_e{2,3}_c{4,8}_se{0.25,0.5}_a{relu,swish}")
    logits = {name: tf.Variable(tf.zeros(len(values))) for name, values in space.decisions.items()}
    with tf.GradientTape() as tape:
        macs = sk.ExpectedCost(space, (16, 16, 3))(sk.choices.softmax(logits))["macs"]
    gradients = tape.gradient(macs, logits)
    assert gradients.pop("stage2.a") is None  # all cost the same
    for name, gradient in gradients.items():
        assert gradient[0] < 0 < gradient[1], name


def test_a_space_for_tuning_is_refused():
    with pytest.raises(ArchitectureError, match=r"stage1\.s can only be tuned"):
        sk.ExpectedCost("conv_s{1,2}_c4", (8, 8, 3))
