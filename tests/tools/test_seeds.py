"""Joining the results of several seeds."""

import pytest
import seeds


def document(value, encoder="pretrained", scenario="cifar10"):
    return {
        "rows": [{"encoder": encoder, "scenario": scenario, "protocol": "linear", "metric": "top1", "value": value}]
    }


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


def test_a_row_for_every_scenario_with_the_interval_over_seeds():
    documents = [
        {"rows": [*document(value, f"simclr-{seed}")["rows"], *document(value - 40, "raw pixels")["rows"]]}
        for seed, value in enumerate((50.0, 52.0, 54.0))
    ]
    # Student's t of two degrees of freedom, 4.303, times 2 / sqrt(3).
    assert seeds.by_scenario(documents, "linear") == [
        {"scenario": "cifar10", "simclr": "**52.0 (47.0–57.0)**", "raw pixels": "12.0 (7.0–17.0)"}
    ]
    fewer = seeds.by_scenario([*documents[:2], document(50.0, "simclr-2")], "linear")
    assert list(fewer[0]) == ["scenario", "simclr", "raw pixels (2 seeds)"]
    with pytest.raises(ValueError, match="raw pixels, cifar10: 1 values in 3 files"):
        seeds.by_scenario([documents[0], document(50.0, "simclr-1"), document(50.0, "simclr-2")], "linear")
