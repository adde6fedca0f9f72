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
