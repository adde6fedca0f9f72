"""Every shipped experiment, by enumeration; files of one's own; and the wheel that carries them."""

import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from ssl_keras.architecture.cost import cost
from ssl_keras.architecture.derivation import cost_range
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.config_files import from_dict, load_config, shipped, to_dict
from ssl_keras.experiments.naming import named_architecture
from ssl_keras.experiments.search import SearchSetup
from ssl_keras.experiments.settings import Crops, Pretrain, Search, Study, Tune
from ssl_keras.experiments.trials import TuneSetup

ROOT = Path(__file__).parents[2]
KINDS = {name: kind for kind in (Pretrain, Search, Tune, Study) for name in shipped(kind)}
NAMES = sorted(shipped())


def test_every_experiment_is_for_one_verb() -> None:
    assert sorted(KINDS) == NAMES
    with pytest.raises(ConfigError, match="a Search, which is for ssl-keras search"):
        load_config("demo_search")


def test_what_ships() -> None:
    assert {"demo_search", "demo", "cifar10", "photos", "imagenet"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_loads_and_names_an_architecture(name: str) -> None:
    config = load_config(name, KINDS[name])
    side = 32 if config.image_size == "auto" else config.image_size
    if isinstance(config, Search):
        assert cost_range(SearchSetup(replace(config, image_size=side)).space, config.budget.kind, (side, side, 3))
    elif isinstance(config, Tune):
        assert config.budget and TuneSetup(replace(config, image_size=side)).space.is_space
    else:
        assert cost(named_architecture(config.architecture, side), (side, side, 3)).params > 0
    assert config.out != "auto"


@pytest.mark.parametrize("name", NAMES)
def test_each_states_command_hardware_time_and_result(name: str) -> None:
    text = (ROOT / "configs" / f"{name}.py").read_text().split('"""')[1]
    for word in ("Command", "Hardware", "Time", "Result"):
        stated = re.search(rf"^{word}: +(.+)$", text, re.MULTILINE)
        assert stated, f"configs/{name}.py does not state its {word.lower()}"
    result = text[text.index("Result:") :]
    assert "unmeasured" in result or re.search(r"\d.*(±|to|–|\[)", result), "a measured result has its spread"
    command = "demo" if name == "demo" else f"{KINDS[name].__name__.lower()} {name}"
    assert f"ssl-keras {command}" in text


@pytest.mark.parametrize("name", NAMES)
def test_json_round_trip(name: str, tmp_path: Path) -> None:
    config = load_config(name, KINDS[name])
    path = tmp_path / "config.json"
    path.write_text(json.dumps(to_dict(config)))
    assert load_config(str(path), KINDS[name]) == config


def test_absent_keys_keep_their_defaults() -> None:
    assert from_dict(Pretrain, {"views": {"small": 2}}) == Pretrain(views=Crops(small=2))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("config = Pretrain(bacth_size=3)", "unknown key bacth_size in Pretrain: did you mean 'batch_size'?"),
        ("config = Pretrain(loss=Objective(temprature=1.0))", "unknown key temprature in Objective"),
        ("config = Pretrain(batch_size=1)", "Pretrain.batch_size is 1"),
        ("confg = Pretrain()", "must set `config = Pretrain(...)`"),
        ("config = Pretrain(", "cannot be read: SyntaxError"),
        ("config = pretrain()", "cannot be read: NameError"),
    ],
)
def test_a_bad_python_file(tmp_path: Path, source: str, said: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"from ssl_keras.experiments.settings import *\n{source}\n")
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        load_config(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"bacth_size": 3}', "unknown key bacth_size: did you mean 'batch_size'?"),
        ('{"loss": {"temprature": 3}}', "unknown key loss.temprature: did you mean 'temperature'?"),
        ("{", "is not JSON"),
        ("[]", "not a list"),
    ],
)
def test_a_bad_json_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_config(str(path))


def test_an_unknown_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cifar10'"):
        load_config("cifar-10")
    with pytest.raises(ConfigError, match=r"no config file at nowhere\.py"):
        load_config("nowhere.py")


@pytest.mark.slow
def test_the_wheel_carries_them(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    # Outside the checkout and without its editable install: -I ignores PYTHONPATH and the current folder.
    code = f"""
import sys
sys.path.insert(0, {str(site)!r})
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
import ssl_keras
from ssl_keras.experiments.config_files import load_config, shipped
assert ssl_keras.__file__.startswith({str(site)!r}), ssl_keras.__file__
assert sorted(shipped()) == {NAMES!r}, shipped()
assert load_config("demo").data == "shapes"
"""
    subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd=tmp_path)
