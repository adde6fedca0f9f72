"""The study's networks in the shell."""

import re

import pytest

from ssl_keras.experiments import families
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.options import Families


def test_ranges_choose_and_say_how_many(capsys):
    families.run(Families("mobilenet", params="..2.3M", macs="300e6..312M"))
    said = capsys.readouterr().out
    assert "resnet18" not in said
    assert int(re.search(r"(\d+) networks; costs at 224 px", said)[1]) == len(re.findall(r"mobilenet_v\d+", said)) > 0


def test_the_page_draws_each(tmp_path, capsys):
    page = tmp_path / "page.html"
    families.run(Families("resnet", params="120e6..", out=str(page)))
    assert page.read_text().count("<figure") == 1 and "resnet_v3<" in page.read_text()
    assert "page.html" in capsys.readouterr().out


def test_micro_networks_are_costed_at_32_px(capsys):
    families.run(Families("resnet", micro=8, macs="..9M"))
    assert "costs at 32 px" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"params": "12e6"}, "params is '12e6': give a range"),
        ({"params": "many..more"}, "params is 'many'"),
        ({"params": "1..2"}, "no network lies in params 1..2"),
    ],
)
def test_bad_ranges_are_one_sentence(options, said):
    with pytest.raises(ConfigError, match=said):
        families.run(Families(**options))
