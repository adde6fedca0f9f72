"""The suite: its table, and what it says of encoders whose worth is known."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import ssl_keras as sk
from ssl_keras.data.sources import open_source
from ssl_keras.data.sources.dense import LAYOUTS
from ssl_keras.scenarios import evaluation, protocol
from ssl_keras.scenarios.evaluation import PROTOCOLS, run
from ssl_keras.scenarios.features import RawPixels, extract, weights_hash
from ssl_keras.scenarios.protocol import MEAN_PER_CLASS, Outcome
from ssl_keras.scenarios.results import read_results, write_results
from ssl_keras.scenarios.segmentation import segmentation
from ssl_keras.scenarios.suite import SUITES, Scenario, find
from tests.data.pictures import cityscapes_folder, prepared_voc, voc_folder

PAIRS = [(suite, scenario) for suite, rows in SUITES.items() for scenario in rows]
ROWS = {scenario.name: scenario for _, scenario in reversed(PAIRS)}
HERE = ("embedded", "small", "dense", "robustness", "few_labels")
"""Suites whose sets are on this machine, where TFDS_DATA_DIR says so."""
ABSENT = [pair for pair in PAIRS if pair[0] not in HERE or pair[1].name in LAYOUTS]
PRESENT = [pair for pair in PAIRS if pair not in ABSENT]
KINDS = [pair for pair in ABSENT if "imagenet_c/" not in pair[1].name or pair[1].name == "imagenet_c/fog@3"]


def named(pair):
    return f"{pair[0]}-{pair[1].name}"


@pytest.mark.parametrize("pair", PRESENT, ids=named)
def test_every_row_of_the_table_can_be_opened(pair, request):
    scenario = pair[1]
    if scenario.source.startswith("tfds:"):
        # The test split alone: the larger one takes seconds to decode and is opened the same way.
        data_dir = request.getfixturevalue("tfds_data_dir")
        splits = [open_source(f"{scenario.source}:{scenario.test}", data_dir=data_dir)]
    else:
        source = open_source(scenario.spec(32))
        splits = [source.split(scenario.train), source.split(scenario.test)]
    if scenario.protocols == ("segmentation",):
        return
    for split in splits:
        labels = split.labels(scenario.label)
        assert split.size == len(labels)
        assert set(np.unique(labels)) == set(range(len(split.label_sets[scenario.label])))


@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_every_row_names_known_protocols(pair):
    assert set(pair[1].protocols) <= set(PROTOCOLS) and pair[1].metrics


def mock(spec, folder, classes=12):
    """A set of a few images as TFDS stores them, under the name and the splits that a row asks for."""
    name, _, split = spec.removeprefix("tfds:").partition(":")
    name, _, config = name.partition("/")
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(None, None, 3)), "label": tfds.features.ClassLabel(num_classes=classes)}
    )
    rng = np.random.default_rng(0)

    def rows(count):
        images = rng.integers(0, 256, (count, 12, 16, 3), np.uint8)
        return [(index, {"image": image, "label": index % classes}) for index, image in enumerate(images)]

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        config=config or None,
        version="1.0.0",
        features=features,
        split_datasets={part: rows(2 * classes) for part in split.split(",")},
        data_dir=folder,
    )


OF_ONE_LABEL = [pair for pair in KINDS if pair[1].protocols not in (("segmentation",), ("multi_label",))]


@pytest.mark.parametrize("pair", OF_ONE_LABEL, ids=named)
def test_rows_whose_data_is_absent_run_on_a_mock_of_it(pair, tmp_path):
    scenario = dataclasses.replace(pair[1], protocols=("knn", "linear"))
    if scenario.source.startswith("folder:"):
        for split, label in itertools.product((scenario.train, scenario.test), "ab"):
            folder = tmp_path / scenario.source.removeprefix("folder:") / split / label
            folder.mkdir(parents=True)
            for index in range(6):
                pixels = np.random.default_rng(index).integers(0, 256, (12, 12, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    elif ":" in scenario.test:
        mock(f"{scenario.source}:{scenario.train}", tmp_path)
        mock(scenario.test, tmp_path)
    else:
        mock(f"{scenario.source}:{scenario.train},{scenario.test}", tmp_path)
    found = run({"raw": RawPixels(4)}, scenario, image_size=8, data_dir=tmp_path)
    assert {row.scenario for row in found.rows} == {scenario.name}
    assert {row.metric for row in found.rows} <= set(scenario.metrics)
    assert found.rows[0].metric == scenario.metrics[0]


def test_voc2007_runs_on_a_mock_of_it(tmp_path):
    """Learned on both training splits; what an image shows tells its brightness, and difficult objects do not count."""
    rng = np.random.default_rng(0)

    def rows(count):
        for _ in range(count):
            label = int(rng.integers(20))
            image = np.full((12, 10 + label % 3, 3), 12 * label, np.uint8)
            yield image, [label], [int(rng.integers(20))]

    prepared_voc(tmp_path, {split: [*rows(n)] for split, n in (("train", 60), ("validation", 70), ("test", 80))})
    found = run({"raw": RawPixels(4)}, "voc2007", image_size=8, data_dir=tmp_path)
    (row,) = found.rows
    assert (row.scenario, row.protocol, row.metric) == ("voc2007", "multi_label", "map") == (
        row.scenario, *ROWS["voc2007"].protocols, *ROWS["voc2007"].metrics
    )  # fmt: skip
    assert (row.n_train, row.n_test) == (130, 80) and 10 < row.low < row.value < row.high
    assert set(found.sources) == {"tfds:voc/2007:train+validation", "tfds:voc/2007:test"}


def test_a_protocol_that_a_set_has_no_labels_for_skips_it_and_loses_nothing(tmp_path):
    image = np.zeros((12, 12, 3), np.uint8)
    prepared_voc(tmp_path, {split: [(image, [1], [1])] * 12 for split in ("train", "validation", "test")})
    said = []
    asked = {"image_size": 8, "protocols": ["knn"], "data_dir": tmp_path, "progress": said.append}
    found = run({"raw": RawPixels(4)}, ["digits", "voc2007"], **asked)
    assert {row.scenario for row in found.rows} == {"digits"}
    assert re.search(r"not judged by knn: .*voc.* has no label set 'label'; it has: none", found.skipped["voc2007"])
    assert any("voc2007 is not judged by knn" in sentence for sentence in said)


@pytest.mark.parametrize("made", [voc_folder, cityscapes_folder], ids=lambda made: made.__name__)
def test_rows_of_sets_that_tfds_lacks_run_on_a_mock_of_them(made, tmp_path, monkeypatch):
    name = {"voc_folder": "voc2012_segmentation", "cityscapes_folder": "cityscapes"}[made.__name__]
    made(tmp_path / name)
    monkeypatch.setitem(segmentation.__kwdefaults__, "steps", 3)
    encoder = sk.build_encoder("conv_c4 | basic_s2_c8", (16, 16, 3))
    found = run({"net": encoder}, [*LAYOUTS, "camvid"], image_size=16, data_dir=tmp_path, limit_train=6, limit_test=3)
    assert [row.protocol for row in found.rows] == ["segmentation, frozen", "segmentation, fine-tuned"]
    told = {(row.scenario, row.metric, row.n_train, row.n_test) for row in found.rows}
    assert told == {(name, "miou", 6, 3)} and ROWS[name] in SUITES["dense"]
    assert set(found.sources) == {f"{name}:train[6 of seed 0]", f"{name}:val[3 of seed 0]"}
    # The others are skipped by name, with what gets them.
    other = next(iter(set(LAYOUTS) - {name}))
    assert f"{tmp_path / other} is no folder: unpack" in found.skipped[other]
    assert "tfds build camvid" in found.skipped["camvid"]


def test_rows_of_tfds_name_sets_that_tfds_has():
    known = set(tfds.list_builders())
    specs = [spec for _, scenario in ABSENT for spec in (scenario.source, scenario.test) if spec.startswith("tfds:")]
    for spec in specs:
        name, _, config = spec.split(":")[1].partition("/")
        assert name in known, spec
        if config:
            configs = tfds.builder_cls(name).builder_configs
            assert config in configs, spec


def test_the_study_s_suite_is_the_study_s_eleven_and_inaturalist():
    assert len(SUITES["paper"]) == 12 and len(SUITES["small"]) == 11 and len(SUITES["relicv2"]) == 12
    assert len(SUITES["ood"]) == 4 + 15 * 5


def test_a_folder_that_is_not_there_is_skipped_with_what_belongs_there(colours, small, tmp_path):
    wanted = [Scenario("birds", "folder:birds", home="example.org"), Scenario("colours", colours)]
    found = run({"small": small}, wanted, image_size=8, data_dir=tmp_path)
    assert "get it from example.org" in found.skipped["birds"] and "birds/train/CLASS/" in found.skipped["birds"]


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


def test_data_that_two_suites_judge_is_judged_in_all_ways():
    both = {scenario.name: scenario for scenario in find(["small", "few_labels", "relicv2"])}
    assert both["cifar10"].protocols == ("knn", "linear", "low_shot", "semi_supervised", "finetune")
    both = {scenario.name: scenario for scenario in find(["paper", "relicv2"])}
    assert both["flowers102"].metrics == ("top1", MEAN_PER_CLASS)


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
        protocol, "extract", lambda *arguments: calls.append(arguments[0]) or extract(*arguments), raising=True
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

    monkeypatch.setattr(protocol, "extract", meddle)
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


def test_the_mean_per_class_counts_a_rare_class_as_much_as_a_common_one(colours, monkeypatch):
    """All of one class right, all else wrong: a share of 1/4, however rare the class is."""

    def only_the_first(lesson, seed):
        return lambda exam: [Outcome("first", exam.labels == 0)]

    labels = np.where(np.arange(400) < 20, 0, 1 + np.arange(400) % 3)
    source = open_source(colours.array(), labels=labels)
    monkeypatch.setattr(evaluation, "PROTOCOLS", {"first": only_the_first})
    scenarios = [
        Scenario(name, source, metrics=metrics, protocols=("first",))
        for name, metrics in (("both", (MEAN_PER_CLASS, "top1")), ("again", (MEAN_PER_CLASS,)))
    ]
    found = run({"raw": RawPixels(4)}, scenarios, image_size=8)
    values = {(row.scenario, row.metric): row.value for row in found.rows}
    assert values["both", MEAN_PER_CLASS] == pytest.approx(25.0)
    assert values["both", "top1"] < 10.0
    assert values["mean", "top1"] == pytest.approx(25.0)  # of each scenario's first metric


def test_an_unknown_protocol_is_named(colours, small):
    with pytest.raises(ValueError, match=r"no protocol 'knm'; there are: knn, linear"):
        run({"small": small}, Scenario("colours", colours), image_size=8, protocols=["knm"])


def test_digits_from_the_table():
    found = run({"raw": RawPixels(8)}, "digits", image_size=8, limit_train=600)
    assert all(row.value > 85.0 for row in found.rows if row.protocol != "knn200")
