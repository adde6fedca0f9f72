"""The suite: its table, and what it says of encoders whose worth is known."""

import inspect

import numpy as np
import pytest

from ssl_keras.data.sources import open_source
from ssl_keras.scenarios import suite
from ssl_keras.scenarios.features import RawPixels, extract, weights_hash
from ssl_keras.scenarios.results import read_results, write_results
from ssl_keras.scenarios.suite import SUITES, Scenario, find, run

ROWS = {scenario.name: scenario for rows in SUITES.values() for scenario in rows}


@pytest.mark.parametrize("scenario", ROWS.values(), ids=ROWS)
def test_every_row_of_the_table_can_be_opened(scenario, request):
    if scenario.source.startswith("tfds:"):
        # The test split alone: the larger one takes seconds to decode and is opened the same way.
        data_dir = request.getfixturevalue("tfds_data_dir")
        splits = [open_source(f"{scenario.source}:{scenario.test}", data_dir=data_dir)]
    else:
        source = open_source(scenario.spec(32))
        splits = [source.split(scenario.train), source.split(scenario.test)]
    for split in splits:
        labels = split.labels(scenario.label)
        assert split.size == len(labels)
        assert set(np.unique(labels)) == set(range(len(split.label_sets[scenario.label])))


def test_names_are_unique_across_suites():
    assert len(ROWS) == sum(len(rows) for rows in SUITES.values())


def test_embedded_holds_every_label_set_of_shapes_and_digits():
    labels = open_source("shapes").label_sets
    assert {scenario.name for scenario in SUITES["embedded"]} == {f"shapes/{label}" for label in labels} | {"digits"}


def test_find_takes_suites_scenarios_and_names_and_keeps_each_once():
    mine = Scenario("mine", "some/folder")
    assert find("embedded") == SUITES["embedded"]
    assert find(["digits", mine]) == (ROWS["digits"], mine)
    assert find(["digits", "embedded"])[0] == ROWS["digits"]
    assert len(find(["digits", "embedded"])) == len(SUITES["embedded"])
    with pytest.raises(ValueError, match="no suite or scenario 'embeded'; did you mean 'embedded'"):
        find("embeded")
    with pytest.raises(ValueError, match="Two different scenarios are called 'digits'"):
        find(["digits", Scenario("digits", "elsewhere")])


@pytest.mark.parametrize(("size", "expected"), [(16, "shapes@32"), (48, "shapes@48"), (224, "shapes@64")])
def test_shapes_are_rendered_at_the_size_of_the_encoder(size, expected):
    assert ROWS["shapes/shape"].spec(size) == expected


def test_an_encoder_that_knows_the_label_is_always_right(colours, knowing):
    found = run({"knowing": knowing}, Scenario("colours", colours), image_size=8)
    assert [(row.encoder, row.scenario, row.protocol, row.metric) for row in found.rows] == [
        ("knowing", "colours", protocol, "top1") for protocol in ("knn20", "knn200", "linear")
    ]
    for row in found.rows:
        # Of 320 training images 200 neighbours outnumber a class, yet the other classes' votes weigh e^-10.
        assert (row.value, row.low, row.high) == (100.0, 100.0, 100.0)
        assert (row.n_train, row.n_test, row.seed) == (320, 80, 0)


def test_random_features_are_at_chance(knowing):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1500, 8, 8, 3), dtype=np.uint8)
    noise = open_source(images, labels=rng.integers(0, 4, 1500))
    for row in run({"raw": RawPixels(4)}, Scenario("noise", noise), image_size=8, seed=1).rows:
        assert row.low < 25.0 < row.high


def test_images_pass_each_encoder_once_for_all_label_sets_of_a_source(colours, small, monkeypatch):
    calls = []
    monkeypatch.setattr(
        suite, "extract", lambda *arguments: calls.append(arguments[0]) or extract(*arguments), raising=True
    )
    scenarios = [Scenario("a", colours), Scenario("b", colours)]
    found = run({"small": small, "raw": RawPixels(8)}, scenarios, image_size=8)
    assert calls == [small, small, RawPixels(8), RawPixels(8)]  # train and test each
    assert [(row.scenario, row.encoder) for row in found.rows[::3]] == [
        ("a", "small"), ("a", "raw"), ("b", "small"), ("b", "raw"), ("mean", "small"), ("mean", "raw"),
    ]  # fmt: skip
    assert [row.value for row in found.rows[:6]] == [row.value for row in found.rows[6:12]]
    assert {(row.n_train, row.n_test) for row in found.rows} == {(320, 80)}  # the mean's: of the source, once
    assert [row.value for row in found.rows[12:]] == pytest.approx([row.value for row in found.rows[:6]])


def test_what_it_finds_can_be_written_and_read(colours, knowing, tmp_path):
    found = run({"knowing": knowing}, [Scenario("a", colours), Scenario("b", colours)], image_size=8)
    write_results(tmp_path / "results.json", found.rows, {"sources": found.sources})
    assert read_results(tmp_path / "results.json")[0] == found.rows


def test_an_encoder_that_changes_is_named(colours, small, monkeypatch):
    def meddle(encoder, *arguments):
        found = extract(encoder, *arguments)
        encoder.layers[1].moving_mean.assign(np.full(4, 1e-3))
        return found

    monkeypatch.setattr(suite, "extract", meddle)
    with pytest.raises(RuntimeError, match="'theirs' changed"):
        run({"theirs": small}, Scenario("colours", colours), image_size=8)


def test_weights_and_statistics_stay_as_they_were(colours, small):
    before = weights_hash(small)
    run({"small": small}, Scenario("colours", colours), image_size=8)
    assert weights_hash(small) == before


def test_limits_take_seeded_subsets(colours, small):
    def numbers(**options):
        found = run({"small": small}, Scenario("colours", colours), image_size=8, **options)
        assert found.sources
        return found

    found = numbers(limit_train=50, limit_test=1000)
    assert {(row.n_train, row.n_test) for row in found.rows} == {(50, 80)}
    assert found.remarks == ["small, colours: knn200 used k = 50, the number of training images."]
    assert found.chosen["small / colours / knn200"]["k"] == 50
    assert numbers(limit_train=50, seed=5).rows == numbers(limit_train=50, seed=5).rows
    assert numbers(limit_train=50, seed=5).sources != found.sources


def test_images_without_a_label_are_left_out(colours, small):
    labels = colours.labels().copy()
    labels[::2] = -1
    source = open_source(colours.array(), labels=np.maximum(labels, 0))
    source._label_arrays["label"] = labels
    row = run({"small": small}, Scenario("half", source), image_size=8).rows[0]
    assert row.n_train == (source.split("train").labels() >= 0).sum()


def test_an_absent_set_is_skipped_by_name_and_said(colours, small, tmp_path):
    said = []
    wanted = [Scenario("absent", "tfds:absent_set"), Scenario("colours", colours)]
    found = run({"small": small}, wanted, image_size=8, data_dir=tmp_path, progress=said.append)
    assert {row.scenario for row in found.rows} == {"colours"}
    assert list(found.skipped) == ["absent"] and "absent_set" in found.skipped["absent"]
    assert any(sentence.startswith("absent is skipped:") for sentence in said)
    with pytest.raises(ValueError, match=r"No scenario could be run: .*absent_set"):
        run({"small": small}, wanted[:1], image_size=8, data_dir=tmp_path)


def test_an_unknown_label_set_is_an_error(colours, small):
    with pytest.raises(ValueError, match=r"'odd': .* has no label set 'mood'; it has: label"):
        run({"small": small}, Scenario("odd", colours, "mood"), image_size=8)


def test_nothing_to_do_is_an_error(colours):
    with pytest.raises(ValueError, match="at least one encoder"):
        run({}, Scenario("colours", colours), image_size=8)


def test_every_protocol_takes_the_same_arguments():
    for protocol in suite.PROTOCOLS:
        names = [
            name
            for name, parameter in inspect.signature(protocol).parameters.items()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ]
        assert names == ["train", "train_labels", "test", "test_labels", "seed"]


def test_digits_from_the_table():
    found = run({"raw": RawPixels(8)}, "digits", image_size=8, limit_train=600)
    assert all(row.value > 85.0 for row in found.rows if row.protocol != "knn200")
