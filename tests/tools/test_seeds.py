"""Joining the results of several seeds."""

import pytest
import seeds


def document(value, encoder="pretrained", scenario="cifar10"):
    return {"rows": [{"encoder": encoder, "scenario": scenario, "protocol": "linear", "value": value}]}


def test_the_mean_and_the_range_over_seeds():
    rows = seeds.join([document(50.0), document(52.0), document(51.3)], "cifar10")
    assert rows == [{"encoder, seeds": "pretrained, 3", "Linear classifier on frozen embeddings": "51.1 (50.0–52.0)"}]


def test_other_scenarios_are_left_out_and_equal_values_have_no_range():
    second = {"rows": [*document(50.0)["rows"], *document(9, scenario="x")["rows"]]}
    rows = seeds.join([document(50.0), second], "cifar10")
    assert list(rows[0].values()) == ["pretrained, 2", "50.0"]


def test_a_seed_that_lacks_an_encoder_is_named():
    with pytest.raises(ValueError, match="pixels, linear: 1 values in 2 files"):
        seeds.join([document(50.0, "pixels"), document(50.0)], "cifar10")
