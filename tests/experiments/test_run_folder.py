"""One run in a folder, one process on it, nothing half-written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.config_files import to_dict
from ssl_keras.experiments.run_folder import RunFolder, check_writable, replacing, write_json
from ssl_keras.experiments.settings import Compute, Objective, Pretrain

CONFIG = to_dict(Pretrain())


def test_a_new_folder_holds_config_and_architecture(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "deep" / "run", CONFIG, "conv_c8") as folder:
        assert json.loads((folder / "config.json").read_text()) == CONFIG
        assert (folder / "architecture.txt").read_text() == "conv_c8\n"


def test_the_same_run_may_go_on_elsewhere(tmp_path: Path) -> None:
    RunFolder(tmp_path, CONFIG, "conv_c8").close()
    moved = to_dict(Pretrain(out="other", data_dir="/data", compute=Compute(strategy="none")))
    RunFolder(tmp_path, moved, "conv_c8").close()


def test_a_run_that_began_before_an_option_existed_goes_on_with_its_default(tmp_path: Path) -> None:
    RunFolder(tmp_path, CONFIG, "conv_c8").close()
    older = {key: value for key, value in CONFIG.items() if key != "masks"}
    (tmp_path / "config.json").write_text(json.dumps(older))
    RunFolder(tmp_path, CONFIG, "conv_c8").close()
    with pytest.raises(ConfigError, match=r"masks = None, not 'somewhere'"):
        RunFolder(tmp_path, to_dict(Pretrain(masks="somewhere")), "conv_c8")


@pytest.mark.parametrize(
    ("other", "field"),
    [
        (Pretrain(batch_size=64), "batch_size = 'auto', not 64"),
        (Pretrain(loss=Objective(temperature=0.5)), "loss.temperature = 'auto', not 0.5"),
    ],
)
def test_a_different_run_is_refused_by_field(tmp_path: Path, other: Pretrain, field: str) -> None:
    RunFolder(tmp_path, CONFIG, "conv_c8").close()
    with pytest.raises(ConfigError, match=field):
        RunFolder(tmp_path, to_dict(other), "conv_c8")
    assert json.loads((tmp_path / "config.json").read_text()) == CONFIG


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(ConfigError, match=r"it holds holiday\.jpg"):
        RunFolder(tmp_path, CONFIG, "conv_c8")
    assert [item.name for item in tmp_path.iterdir()] == ["holiday.jpg"]


def test_two_processes_refuse_each_other(tmp_path: Path) -> None:
    code = (
        "from ssl_keras.experiments.run_folder import RunFolder\n"
        f"import sys; folder = RunFolder({str(tmp_path)!r}, {CONFIG!r}, 'conv_c8')\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdin and holder.stdout and holder.stdout.readline() == "held\n"
    with pytest.raises(OSError, match=f"in use by process {holder.pid}"):
        RunFolder(tmp_path, CONFIG, "conv_c8")
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    # A process that was killed holds nothing.
    RunFolder(tmp_path, CONFIG, "conv_c8").close()


def test_a_refused_folder_is_given_back(tmp_path: Path) -> None:
    RunFolder(tmp_path, CONFIG, "conv_c8").close()
    with pytest.raises(ConfigError):
        RunFolder(tmp_path, to_dict(Pretrain(seed=1)), "conv_c8")
    RunFolder(tmp_path, CONFIG, "conv_c8").close()


def test_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot write in .*file/run.*--out"):
        check_writable(tmp_path / "file" / "run")


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "deep" / "run")
    with pytest.raises(RuntimeError), replacing(tmp_path / "new" / "export" / "encoder.onnx"):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_old_file_and_no_new_one(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"old": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["results.json"]


def test_replacing_a_folder_by_a_folder(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with replacing(tmp_path / "model") as temporary:
            temporary.mkdir()
            (temporary / text).touch()
    assert [item.name for item in (tmp_path / "model").iterdir()] == ["two"]


def test_json_holds_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())
