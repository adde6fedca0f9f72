"""Default spaces, and the networks of a cost that a search is held against."""

import pytest

import ssl_keras as sk
from ssl_keras.architecture.derivation import cost_range
from ssl_keras.architecture.learnable import check_learnable
from ssl_keras.architecture.spaces import BASES, family_at, random_at, small_images_space, space_for


@pytest.mark.parametrize("base", BASES)
def test_every_default_space_can_be_searched_by_gradient(base):
    check_learnable(small_images_space(base))


@pytest.mark.parametrize(("size", "macs"), [(32, 1e6), (32, 10e6), (64, 60e6), (48, 2e8), (224, 3e8), (96, 8e7)])
def test_the_default_space_reaches_the_budget_with_room_on_both_sides(size, macs):
    low, high = cost_range(space_for(sk.Budget(macs=macs), size), "macs", (size, size, 3))
    assert 1.3 * low < macs < high / 1.3


@pytest.mark.parametrize("network", [
    "conv_c8 | basic_r2_c8 | basic_r2_s2_c16 | basic_r2_s2_c32 | basic_r2_s2_c64 | conv_k1_c256",
    "conv_c8 | basic_s2_c32 | basic_s2_c64 | basic_s2_c128 | conv_k1_c256",
])  # fmt: skip
def test_the_default_space_reaches_from_a_resnet18_to_shallow_and_wide(network):
    assert small_images_space(8).picks_of(sk.parse(network))


def test_the_default_space_leaves_the_width_of_the_embedding_to_nobody():
    """A loss behind a projector does not see what a wider embedding is worth to a classifier."""
    widths = {space.sample(seed).stages[-1].number("c") for space in [small_images_space(8)] for seed in range(30)}
    assert widths == {256}


def test_a_budget_out_of_reach_is_refused_with_what_is_in_reach():
    with pytest.raises(ValueError, match="no default space for 32 px reaches 10 multiply-adds: they go from"):
        space_for(sk.Budget(macs=10), 32)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2"])
@pytest.mark.parametrize("budget", [sk.Budget(macs=10e6), sk.Budget(params=4e5)])
def test_a_family_is_scaled_to_the_budget_in_width_alone(name, budget):
    network = family_at(name, budget, 32)
    assert getattr(sk.cost(network, (32, 32, 3)), budget.kind) == pytest.approx(budget.amount, rel=0.08)
    whole = sk.families.get(name, small_images=True)
    depths = [[(stage.op, stage.number("r")) for stage in one.stages if stage.op != "conv"] for one in (network, whole)]
    assert depths[0] == depths[1]


def test_a_family_can_be_deeper_and_narrower():
    usual, deep = (family_at("resnet18", sk.Budget(macs=10e6), 32, depth) for depth in (1, 1.5))
    assert [stage.number("r") for stage in deep.stages] == [1, 3, 3, 3, 3]
    assert deep.stages[-1].number("c") < usual.stages[-1].number("c")


def test_a_resnet_can_end_in_a_given_number_of_channels_at_the_same_cost():
    wide = family_at("resnet18", sk.Budget(macs=10e6), 32, embedding=256)
    assert str(wide.stages[-1]) == "conv_k1_c256" and sk.cost(wide, (32, 32, 3)).macs == pytest.approx(10e6, rel=0.08)
    mobile = [family_at("mobilenet_v2", sk.Budget(macs=10e6), 32, embedding=width) for width in (None, 256)]
    assert mobile[0] == mobile[1]


def test_a_random_network_meets_the_budget_and_follows_from_the_seed():
    space, budget = small_images_space(8), sk.Budget(macs=9e6)
    drawn = [random_at(space, budget, (32, 32, 3), seed) for seed in range(4)]
    for network in drawn:
        assert sk.cost(network, (32, 32, 3)).macs == pytest.approx(9e6, rel=0.03)
        space.picks_of(network)
    assert len(set(drawn)) == 4 and drawn[1] == random_at(space, budget, (32, 32, 3), 1)
