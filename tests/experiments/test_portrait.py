"""One scenario in pictures: what is written for the report, and that the report shows it."""

import json

import numpy as np
import pytest

from ssl_keras.data.sources import open_source
from ssl_keras.experiments import portrait
from ssl_keras.reports.page import write_report
from ssl_keras.scenarios import RawPixels
from ssl_keras.scenarios.evaluation import Answered
from ssl_keras.scenarios.protocol import Images, Labelled
from tests.reports.runs import write_run


def test_mistakes_are_shares_of_a_row_and_others_take_the_rest():
    labels = np.array([0, 0, 0, 0, 2, 2, 1])
    predicted = np.array([0, 0, 2, 1, 2, 0, 1])
    assert portrait.confusion(labels, predicted, np.array([0, 2])) == [[50.0, 25.0, 25.0], [50.0, 50.0, 0.0]]


def test_the_hardest_image_is_the_one_most_surely_wrong():
    logits = np.array([[5, 0, 0], [9, 1, 0], [0, 3, 2], [0, 0, 1]], np.float32)
    assert portrait.hardest(logits, np.array([0, 1, 2, 0])).tolist() == [1, 2, 3]
    assert portrait.hardest(logits, np.array([0, 0, 1, 2])).tolist() == []
    # A class that the classifier never saw has no logit to be behind.
    assert portrait.hardest(logits, np.array([1, 5, 1, 2])).tolist() == [0]


def test_neighbours_on_the_map_are_neighbours_in_the_features():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], 40)
    points = portrait.flat((np.eye(8)[group] * 5 + rng.normal(size=(120, 8))).astype(np.float32), 0)
    distance = np.linalg.norm(points[:, None] - points, axis=2) + 1e9 * np.eye(120)
    assert (group[distance.argmin(1)] == group).mean() > 0.95


@pytest.fixture
def answered():
    digits = open_source("digits:test")
    exam = Labelled(Images(RawPixels(8), digits, 8))
    logits = np.eye(10, dtype=np.float32)[(exam.labels + (np.arange(len(exam.labels)) % 5 == 0)) % 10]
    return Answered(exam, logits)


def test_the_report_shows_the_scenario(tmp_path, answered):
    folder = write_run(tmp_path / "run")
    portrait.draw(folder, "digits", answered, 16, 0)
    told = json.loads((folder / "portrait.json").read_text())
    assert told["classes"] == [str(n) for n in range(10)] and len(told["points"]) == len(told["labels"])
    assert all(row[number] == pytest.approx(80, abs=25) for number, row in enumerate(told["confusion"]))
    page = write_report(folder).read_text()
    assert "digits, looked at closely" in page and "taken for what" in page and "most wrongly sure" in page
