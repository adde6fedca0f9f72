"""How a score without labels is held against accuracy: order within a run, and what choosing by it gains."""

import label_free_ranking as tool
import pytest

from ssl_keras.scenarios.label_free import SCORES


def one_run(rankme, linear):
    scores = dict.fromkeys(SCORES, 0.0)
    return {
        "looks": [
            {"linear": accuracy, "label-free": scores | {"RankMe": value, "alignment": value}}
            for value, accuracy in zip(rankme, linear, strict=True)
        ]
    }


def test_a_score_is_held_against_accuracy_in_its_own_direction():
    run = one_run([1.0, 3.0, 2.0], [10.0, 30.0, 25.0])
    (tau,), (gain,) = tool.checkpoints([run], "RankMe")
    assert tau == pytest.approx(1.0) and gain == 5.0
    (tau,), (gain,) = tool.checkpoints([run], "alignment")  # less of it is better
    assert tau == pytest.approx(-1.0) and gain == -15.0


def test_networks_are_ranked_together_and_family_by_family():
    def trial(network, rankme, *linear):
        rows = [{"protocol": "linear", "value": value} for value in linear] + [{"protocol": "knn20", "value": 99.0}]
        return {"network": network, "label_free": dict.fromkeys(SCORES, 0.0) | {"RankMe": rankme}, "rows": rows}

    trials = [trial("resnet_v1", 1.0, 50.0, 52.0), trial("resnet_v2", 2.0, 60.0, 40.0), trial("resnet_v3", 3.0, 70.0)]
    trials += [trial("mobilenet_v1", 8.0, 10.0), trial("mobilenet_v2", 9.0, 20.0)]
    # Ten pairs: 9 > 8 and 3 > 1, 2 rightly, 2 > 1 wrongly; every MobileNet above every ResNet wrongly.
    unknown = trial("resnet_v4", 4.0, 1.0)
    unknown["label_free"]["α-ReQ"] = None  # it was no number
    told = tool.networks([*trials, unknown], "RankMe")
    assert {group: text.split(" (")[0] for group, text in told.items()} == {
        "τ over all networks, 5": f"{(3 - 7) / 10:.2f}",
        "τ over ResNets, 3": f"{(2 - 1) / 3:.2f}",
        "τ over MobileNets, 2": "1.00",
    }
    low, high = map(float, told["τ over all networks, 5"].split(" (")[1].rstrip(")").split(" to "))
    assert -1 <= low < (3 - 7) / 10 < high <= 1
