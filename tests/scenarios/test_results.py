"""results.json: interval, schema, writing and reading."""

import dataclasses
import json

import numpy as np
import pytest

from ssl_keras.scenarios.results import (
    Row,
    bootstrap,
    bootstrap_mean,
    provenance,
    read_results,
    validate,
    write_results,
)

ROW = Row("ours", "digits", "knn20", "top1", 50.0, 40.5, 60.5, 100, 80, 0)


@pytest.mark.parametrize(("share", "n"), [(0.5, 1000), (0.9, 4000), (0.02, 500)])
def test_bootstrap_agrees_with_the_binomial_interval(share, n):
    from scipy.stats import binom

    correct = np.arange(n) < share * n
    value, low, high = bootstrap(correct, 0)
    assert value == pytest.approx(100 * share)
    expected = 100 * binom.ppf([0.025, 0.975], n, share) / n
    # 2000 resamples place a 2.5 % quantile to about 8 % of the standard deviation.
    deviation = 100 * np.sqrt(share * (1 - share) / n)
    np.testing.assert_allclose([low, high], expected, atol=0.25 * deviation + 100 / n)


def test_bootstrap_agrees_with_resampling_the_answers():
    correct = np.random.default_rng(0).random(300) < 0.7
    rng = np.random.default_rng(1)
    means = [np.mean(rng.choice(correct, 300)) for _ in range(4000)]
    _, low, high = bootstrap(correct, 0)
    np.testing.assert_allclose([low, high], 100 * np.percentile(means, [2.5, 97.5]), atol=0.8)


def test_the_mean_resamples_images_that_scenarios_share_together():
    rng = np.random.default_rng(0)
    first = rng.random(400) < 0.6
    shared = np.stack([first, first, first])  # fully dependent: as uncertain as one of them
    other = rng.random((1, 100)) < 0.3
    value, low, high = bootstrap_mean([shared], 0)
    assert value == pytest.approx(100 * first.mean())
    np.testing.assert_allclose([low, high], bootstrap(first, 0)[1:], atol=0.8)
    value, low, high = bootstrap_mean([shared, other], 0)
    assert value == pytest.approx(25 * (3 * first.mean() + other.mean()))
    deviation = 25 * np.sqrt(9 * first.var() / 400 + other.var() / 100)
    np.testing.assert_allclose([value - low, high - value], 1.96 * deviation, rtol=0.12)


def test_bootstrap_is_seeded_and_certain_at_the_ends():
    correct = np.arange(100) % 3 == 0
    assert bootstrap(correct, 1) == bootstrap(correct, 1)
    assert bootstrap(np.ones(50, bool), 0) == (100.0, 100.0, 100.0)
    assert bootstrap(np.zeros(50, bool), 0) == (0.0, 0.0, 0.0)


def test_rows_and_provenance_come_back(tmp_path):
    path = tmp_path / "results.json"
    origin = provenance(3, {"digits:train": "ab12"}, {"image_size": 32})
    write_results(path, [ROW, dataclasses.replace(ROW, seed=1)], origin)
    rows, found = read_results(path)
    assert rows == [ROW, dataclasses.replace(ROW, seed=1)] and found == origin
    assert list(json.loads(path.read_text())) == ["version", "rows", "provenance"]
    assert found["seed"] == 3 and found["sources"] == {"digits:train": "ab12"}
    assert {"python", "keras", "numpy"} <= set(found["versions"])
    assert any(name.startswith("tensorflow") for name in found["versions"])


def test_the_row_holds_exactly_the_documented_fields():
    fields = "encoder scenario protocol metric value low high n_train n_test seed"
    assert [field.name for field in dataclasses.fields(Row)] == fields.split()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_results(path, [ROW], {})
    with pytest.raises(ValueError, match="row 0"):
        write_results(path, [dataclasses.replace(ROW, value=float("nan"))], {})

    def refuse(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_results(path, [], {})
    assert read_results(path)[0] == [ROW]
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def document(**changes):
    return {"version": 1, "rows": [dataclasses.asdict(ROW) | changes], "provenance": {}}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ([], "exactly: version, rows, provenance"),
        (document() | {"version": 2}, "version is 2"),
        (document() | {"rows": {}}, "rows must be a list"),
        (document(colour="red"), "row 0 must hold exactly"),
        (document(value="50"), "value is '50', not of type float"),
        (document(seed=0.5), "seed is 0.5, not of type int"),
        (document(n_test=True), "n_test is True"),
        (document(low=51.0), "in that order"),
        (document(high=100.5), "in that order"),
        (document(value=float("nan")), "in that order"),
        (document(n_train=0), "must be positive"),
        (document() | {"rows": [dataclasses.asdict(ROW)] * 2}, "row 1 repeats"),
    ],
)
def test_what_does_not_fit_is_named(broken, said):
    validate(document())
    with pytest.raises(ValueError, match=said):
        validate(broken)


def test_a_file_that_is_no_results_file_is_named(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"results\.json is not a results file"):
        read_results(path)
