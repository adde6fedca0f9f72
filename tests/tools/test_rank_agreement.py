"""How well two rankings agree: tau counted pair by pair, its interval, and what goes into the table."""

import itertools
import json

import numpy as np
import pytest
import rank_agreement as ranks

import ssl_keras as sk


def counted(pairs):
    """Kendall's tau without ties: concordant less discordant pairs, over all pairs."""
    signs = [np.sign((a[0] - b[0]) * (a[1] - b[1])) for a, b in itertools.combinations(pairs, 2)]
    return sum(signs) / len(signs)


def test_tau_is_counted_over_pairs_and_lies_in_its_interval():
    generator = np.random.default_rng(0)
    true = generator.normal(size=30)
    pairs = np.stack([true + 0.7 * generator.normal(size=30), true], axis=1)
    value, low, high = ranks.agreement(pairs)
    assert value == pytest.approx(counted(pairs)) and 0.2 < value < 0.8
    assert low < value < high and 0.1 < high - low < 0.6


def test_a_lower_loss_ranks_higher_and_only_what_was_trained_alone_is_compared():
    linear = {f"sampled {number}": float(number) for number in range(8)}
    cost = {name: {"macs": (1 if number % 2 else 1.1) * ranks.BUDGET.amount} for number, name in enumerate(linear)}
    found = {
        name: {"loss": -score, "rankme": score, "knn20": score, "knn200": score, "linear": -score, **cost[name]}
        for name, score in linear.items()
    }
    alone = {name: {"linear": score, "loss": score} for name, score in linear.items()}
    del alone["sampled 7"]["loss"]
    rows = ranks.table({**found, "sampled 9": found["sampled 0"]}, alone)
    said = {row.pop("ranked by"): list(row.items()) for row in rows}
    titles, values = zip(*said["loss, no labels"], strict=True)
    assert [title.partition(" (")[0] for title in titles] == [
        "linear, alone: τ of 8 networks",
        "linear, alone: τ of 4 of equal cost",
        "loss, alone: τ of 7 networks",
        "loss, alone: τ of 3 of equal cost",
    ]
    assert [value[:5].strip() for value in values] == ["1.00", "1.00", "-1.00", "-1.00"]
    assert said["linear"][0][1].startswith("-1.00")


def test_networks_are_compared_as_trained_with_one_seed_on_one_set(tmp_path):
    folders = tmp_path / "one", tmp_path / "other"
    for seed, (folder, linear) in enumerate(zip(folders, (40.0, 42.0), strict=True)):
        folder.mkdir()
        run = {"cell": "sampled 0", "linear": linear, "loss": 4.5, "knn20": 1.0, "set": "tfds:cifar10", "seed": seed}
        (folder / f"{seed}.json").write_text(json.dumps(run))
        (folder / f"other-{seed}.json").write_text(json.dumps(run | {"set": "tfds:tiny_imagenet", "linear": 0.0}))
    (tmp_path / "other" / "2.json").write_text(
        json.dumps({"cell": "b", "linear": 1.0, "set": "tfds:cifar10", "seed": 0})
    )
    assert ranks.trained_alone(folders, "tfds:cifar10") == {
        "sampled 0": {"linear": 40.0, "loss": 4.5},
        "b": {"linear": 1.0},
    }


def test_every_network_is_scored_with_what_it_has_in_the_supernet_and_kept(tmp_path, monkeypatch):
    """The whole way at the smallest size: two networks of shapes."""
    space = sk.parse("conv_s4_c4 | basic_r{0,1}_c4 | conv_k1_c8")
    networks = {name: space.freeze({"stage2.r": repeats}) for name, repeats in (("shallow", 0), ("deep", 1))}
    costs = [sk.cost(network, (32, 32, 3)).macs for network in networks.values()]
    for name, value in {"SPACE": space, "NETWORKS": networks, "IMAGES": 640, "BATCHES": 1}.items():
        monkeypatch.setattr(ranks, name, value)
    monkeypatch.setattr(ranks, "BUDGET", sk.Budget(macs=sum(costs) / 2))
    monkeypatch.setattr(ranks, "judged", lambda encoder, setup: {"parameters": float(encoder.count_params())})
    setup = ranks.search.SearchSetup(ranks.config("shapes", 640, 0))
    found = ranks.score_all(setup, tmp_path, networks)
    assert setup.schedule().steps == 2
    assert found["shallow"]["loss"] != found["deep"]["loss"]
    assert found["shallow"]["parameters"] < found["deep"]["parameters"]
    assert [scores["macs"] for scores in found.values()] == costs
    assert json.loads((tmp_path / "inherited.json").read_text()) == found
    assert ranks.score_all(setup, tmp_path, networks) == found
