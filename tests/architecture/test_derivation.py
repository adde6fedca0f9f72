"""Deriving a network from probabilities: against looking at every network of the space."""

import math
import random
from itertools import product

import pytest

import ssl_keras as sk
from ssl_keras.architecture.derivation import cost_range, readable

SHAPE = (12, 12, 3)
SPACES = (
    "conv_c{4,8,12} | basic_r{1,2}_k{3,5}_c8 | basic_s2_c{8,12}",
    "conv_c8 | {mbconv,basic}_r{0,1,2}_c8 | maxpool | mbconv_k{3,5}_e{2,3}_se{0,0.25}_c{8,10}_a{relu,swish}",
    "conv_c{4,6} | maxpool | conv_k{1,3}_c{4,6} | bottleneck_r{1,2,3}_c{16,20}",
)


def chances_of(space, seed):
    generator = random.Random(seed)
    rows = {name: [generator.random() for _ in values] for name, values in space.decisions.items()}
    return {name: [value / sum(row) for value in row] for name, row in rows.items()}


def everything(space, chances, kind):
    """(probability, cost, architecture) of every combination of picks."""
    for values in product(*space.decisions.values()):
        picks = dict(zip(space.decisions, values, strict=True))
        likely = math.prod(chances[name][space.decisions[name].index(value)] for name, value in picks.items())
        architecture = space.freeze(picks)
        yield likely, getattr(sk.cost(architecture, SHAPE), kind), architecture


@pytest.mark.parametrize("text", SPACES)
@pytest.mark.parametrize("kind", ["macs", "params"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_it_is_the_most_likely_within_the_tolerance(text, kind, share):
    space = sk.parse(text)
    chances = chances_of(space, f"{text}{kind}{share}")
    networks = list(everything(space, chances, kind))
    low, high = min(cost for _, cost, _ in networks), max(cost for _, cost, _ in networks)
    amount = low + share * (high - low)
    picks = sk.likely_picks(space, chances, sk.Budget(**{kind: amount}), SHAPE)
    found = getattr(sk.cost(space.freeze(picks), SHAPE), kind)
    inside = [likely for likely, cost, _ in networks if abs(cost - amount) <= 0.03 * amount]
    if not inside:
        nearest = min(abs(cost - amount) for _, cost, _ in networks)
        assert abs(found - amount) == pytest.approx(nearest, abs=amount / 2000)
        return
    assert abs(found - amount) <= 0.03 * amount
    likely = math.prod(chances[name][space.decisions[name].index(value)] for name, value in picks.items())
    assert likely == pytest.approx(max(inside), rel=1e-6)


def test_without_a_budget_every_decision_is_its_most_likely_value():
    space = sk.parse(SPACES[0])
    chances = chances_of(space, 1)
    picks = sk.likely_picks(space, chances, None, SHAPE)
    for name, row in chances.items():
        assert picks[name] == space.decisions[name][row.index(max(row))]


@pytest.mark.parametrize("text", SPACES)
def test_the_range_of_costs(text):
    space = sk.parse(text)
    costs = [cost for _, cost, _ in everything(space, chances_of(space, 0), "macs")]
    assert cost_range(space, "macs", SHAPE) == (min(costs), max(costs))


@pytest.mark.parametrize("given", [{}, {"macs": 1e6, "params": 1e6}, {"macs": 0}, {"params": -1}, {"macs": math.inf}])
def test_a_budget_is_one_positive_number(given):
    with pytest.raises(ValueError, match="budget"):
        sk.Budget(**given)


def test_counts_are_readable():
    assert [readable(count) for count in (1.814e9, 11.18e6, 62_000, 12)] == ["1.81 G", "11.2 M", "62 k", "12"]
    assert str(sk.Budget(macs=60e6)) == "60 M multiply-adds" and str(sk.Budget(params=2e6)) == "2 M parameters"
