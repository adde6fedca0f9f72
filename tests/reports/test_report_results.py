"""What the report says about numbers."""

from ssl_keras.reports import results
from ssl_keras.reports.results import Score
from tests.reports.runs import rows


def _score(value: float, half: float = 1.0) -> Score:
    return Score(value, value - half, value + half)


def test_tables_come_in_the_order_of_protocols_and_encoders() -> None:
    tables = results.tables(rows())
    assert list(tables) == ["linear", "knn20", "knn200"]
    assert results.encoders(tables["linear"]) == ["pretrained", "untrained", "raw pixels", "supervised"]
    assert tables["linear"]["shapes/shape"]["pretrained"] == Score(78.0, 76.5, 79.4)


def test_a_winner_needs_an_interval_of_its_own() -> None:
    assert results.winner({"a": _score(60), "b": _score(50)}) == "a"
    assert results.winner({"a": _score(60), "b": _score(58.1)}) is None
    assert results.winner({"a": _score(60), "b": _score(50), "c": _score(59)}) is None
    assert results.winner({"a": _score(60)}) is None


def test_headline_counts_only_clear_wins() -> None:
    table = {
        "one": {"pretrained": _score(80), "untrained": _score(50), "raw pixels": _score(40)},
        "two": {"pretrained": _score(60), "untrained": _score(59), "raw pixels": _score(40)},
        "mean": {"pretrained": _score(70), "untrained": _score(54.5), "raw pixels": _score(40)},
    }
    sentence = results.headline(table).replace("\u00a0", " ")
    assert "its untrained self and raw pixels in 1 of 2 scenarios" in sentence
    assert "it reaches 70.0 %, against 54.5 % (untrained) and 40.0 % (raw pixels), and no interval overlaps" in sentence


def test_headline_of_no_wins() -> None:
    table = {"one": {"pretrained": _score(40), "untrained": _score(50)}}
    assert results.headline(table).startswith("The encoder does not beat its untrained self with")


def test_headline_without_yardsticks() -> None:
    assert "no yardstick" in results.headline({"one": {"pretrained": _score(80)}})


def test_losses_are_said_with_their_reason() -> None:
    table = {
        "shapes/color": {"pretrained": _score(40), "untrained": _score(50), "raw pixels": _score(40.5)},
        "digits": {"pretrained": _score(40), "untrained": _score(30), "raw pixels": _score(90)},
        "even": {"pretrained": _score(40), "untrained": _score(41)},
    }
    color, digits = results.losses(table)
    assert color.startswith("On shapes/color it loses to its untrained self: its views shift colours")
    assert digits == "On digits it loses to raw pixels: images of another kind than those it learned from."


def test_the_mean_is_no_scenario() -> None:
    table = {name: {"pretrained": _score(9)} for name in ("a", "b", "mean")}
    assert list(results.scenarios(table)) == ["a", "b"]
    assert results.headline(table).startswith("Measured in 2 scenarios")


def test_networks_of_the_same_cost_are_counted_both_ways() -> None:
    table = {
        "one": {"pretrained": _score(80), "resnet18": _score(50), "random": _score(79)},
        "two": {"pretrained": _score(40), "resnet18": _score(50), "random": _score(41)},
        "mean": {"pretrained": _score(60), "resnet18": _score(50), "random": _score(60)},
    }
    handcrafted, drawn = (sentence.replace("\u00a0", " ") for sentence in results.at_equal_cost(table))
    assert handcrafted == (
        "At equal cost and training it beats resnet18 in 1 of 2 scenarios and loses in 1, clearly; "
        "on average 60.0 % against 50.0 %."
    )
    assert "beats random in none of 2 scenarios and loses in none, clearly" in drawn
    assert results.at_equal_cost({"one": {"pretrained": _score(80), "untrained": _score(1)}}) == []
