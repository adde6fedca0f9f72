"""Latency as a table of blocks: it covers a space, adds up, and serves as a budget."""

import json
from itertools import product

import pytest

import ssl_keras as sk
from ssl_keras.architecture.derivation import cost_range
from ssl_keras.architecture.latency import LatencyTable, blocks_of, key
from ssl_keras.architecture.layout import layout

SHAPE = (9, 9, 3)
SPACE = sk.parse(
    "conv_c{4,6}_a{relu,swish} | maxpool | basic_r{1,2}_k{3,5}_c6_se{0,0.25} | mbconv_r{0,2}_e{2,3}_c6 | conv_k1_c8"
)


def networks():
    for values in product(*SPACE.decisions.values()):
        yield SPACE.freeze(dict(zip(SPACE.decisions, values, strict=True)))


@pytest.fixture(scope="module")
def table():
    """Every block takes a time of its own."""
    blocks = blocks_of(SPACE, SHAPE)
    return LatencyTable("a device", 0.5, {name: 1 + 0.1 * number for number, name in enumerate(blocks)})


def test_it_names_every_block_of_every_network_and_no_other():
    wanted = {key(block) for network in networks() for block in layout(network, SHAPE)}
    assert set(blocks_of(SPACE, SHAPE)) == wanted


def test_the_key_tells_blocks_apart_by_all_but_their_place():
    one, two, other = layout(sk.parse("basic_r2_c3 | basic_k5_c3"), SHAPE)
    assert key(one) == key(two) != key(other)


def test_a_network_takes_the_sum_of_its_blocks(table):
    network = next(networks())
    wanted = 0.5 + sum(table.blocks[key(block)] for block in layout(network, SHAPE))
    assert table.predict(network, SHAPE) == pytest.approx(wanted)


def test_the_range_and_the_budget_go_by_the_table(table):
    space = SPACE.freeze({"stage1.a": "relu"})
    taken = [table.predict(network, SHAPE) for network in networks() if "swish" not in str(network)]
    assert cost_range(space, "latency", SHAPE, table) == pytest.approx((min(taken), max(taken)))
    chances = {name: [1 / len(values)] * len(values) for name, values in space.decisions.items()}
    budget = sk.Budget(latency=sum(taken) / len(taken))
    picks = sk.likely_picks(space, chances, budget, SHAPE, latency=table)
    assert table.predict(space.freeze(picks), SHAPE) == pytest.approx(budget.amount, rel=0.1)  # what the space offers


def test_a_block_that_was_not_measured_is_named(table):
    with pytest.raises(ValueError, match=r"bottleneck 3-2-8 .* was not measured: run ssl-keras latency"):
        table.predict(sk.parse("bottleneck_c8"), SHAPE)


def test_it_survives_json(table):
    assert LatencyTable(**json.loads(json.dumps(table.to_json()))) == table
