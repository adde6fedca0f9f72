"""The command line: quick help, one sentence for each mistake, nothing half-written."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ssl_keras import cli
from ssl_keras.experiments.options import Embed, Evaluate
from ssl_keras.experiments.settings import Crops, Pretrain
from tests.reports.runs import write_run

WITHOUT_TENSORFLOW = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
"""


def _shell(*words: str, before: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = f"{before}from ssl_keras.cli import main\nmain({list(words)!r})"
    environment = {**os.environ, "COLUMNS": "80", "TERM": "dumb"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)


def _sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error of a command that the user has to mend."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith("ssl-keras: "), done.stderr
    return lines[0]


@pytest.mark.parametrize("words", [("--help",), *((verb, "--help") for verb in cli.VERBS)], ids=" ".join)
def test_help_fits_80_columns_and_needs_no_tensorflow(words: tuple[str, ...]) -> None:
    done = _shell(*words, before=WITHOUT_TENSORFLOW)
    assert done.returncode == 0 and done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert all(f"{name} " in done.stdout for name in cli.VERBS) or len(words) == 2


def test_parsing_imports_no_tensorflow() -> None:
    check = (
        "import sys; from ssl_keras.cli import parse_arguments; parse_arguments('pretrain', ['cifar10', '--seed', '1'])"
    )
    heavy = "assert not {'tensorflow', 'keras', 'matplotlib', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{check}\n{heavy}"], check=True)


def test_a_shipped_config_with_overrides() -> None:
    config = cli.parse_arguments(
        "pretrain", ["cifar10", "--epochs", "5", "--views.small", "2", "--loss.negatives", "9"]
    )
    assert (config.data, config.epochs, config.loss.negatives) == ("tfds:cifar10", 5, 9)
    assert config.views == Crops(large=2, small=2, smallest_area=0.2)


def test_no_config_at_all() -> None:
    assert cli.parse_arguments("pretrain", ["--data", "photos"]) == Pretrain(data="photos")


def test_minutes_take_the_place_of_a_configs_epochs() -> None:
    config = cli.parse_arguments("pretrain", ["cifar10", "--minutes", "3"])
    assert (config.epochs, config.minutes) == ("auto", 3.0)


def test_other_verbs() -> None:
    assert cli.parse_arguments("embed", ["run", "--data", "d", "--out", "o"]) == Embed("run", "d", "o")
    evaluate = cli.parse_arguments("evaluate", ["run", "--scenarios", "digits", "cifar10", "--yardsticks", "pixels"])
    assert evaluate == Evaluate("run", scenarios=("digits", "cifar10"), yardsticks=("pixels",))


def _say(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert left.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("evaluat",), "did you mean 'evaluate'?"),
        (("pretrain", "cifr10"), "did you mean 'cifar10'?"),
        (("pretrain", "--seed", "1", "cifar10"), "the experiment comes first"),
        (("pretrain", "--batch-size", "1"), "Pretrain.batch_size is 1"),
        (("pretrain", "mine.json"), "no config file at mine.json"),
        (("export", "nowhere"), "no encoder at nowhere"),
        (("report", "."), "is no run folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_are_one_sentence(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    error = _say(capsys, *words)
    assert said in error and error.startswith("ssl-keras: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_unknown_option_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    error = _say(capsys, "pretrain", "--epochz", "3")
    assert "--epochz" in error and "--epochs" in error


def test_an_unwritable_run_folder_is_found_before_tensorflow_starts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cli, "_start_tensorflow", lambda: pytest.fail("work began"))
    (tmp_path / "file").touch()
    error = _say(capsys, "pretrain", "--out", str(tmp_path / "file" / "run"))
    assert "cannot write in" in error and "--out" in error


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cli.main(["export", str(tmp_path / "nowhere"), "--debug"])


def test_tensorflow_absent(tmp_path: Path) -> None:
    done = _shell("pretrain", "--out", "run", before=WITHOUT_TENSORFLOW, cwd=tmp_path)
    assert 'pip install "ssl_keras[cpu]"' in _sentence(done)
    assert not list(tmp_path.rglob("*"))


def test_doctor_works_without_tensorflow(tmp_path: Path) -> None:
    done = _shell("doctor", before=WITHOUT_TENSORFLOW, cwd=tmp_path)
    assert done.returncode == 0 or "absent" in done.stdout
    assert "ssl_keras" in done.stdout and "Traceback" not in done.stderr


def test_an_interrupt_says_how_to_continue(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(words: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_dispatch", interrupted)
    with pytest.raises(SystemExit) as left:
        cli.main(["pretrain", "cifar10"])
    assert left.value.code == 130
    assert "the same command continues" in capsys.readouterr().err


def test_a_diverged_run_is_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from ssl_keras.learning.monitors import StopAtNaN

    monitor = StopAtNaN()
    monitor.set_model(SimpleNamespace(step=7))  # type: ignore[arg-type]
    monkeypatch.setattr(cli, "_dispatch", lambda words: monitor.on_train_batch_end(0, {"loss": float("nan")}))
    assert "checkpoints written before that are good" in _say(capsys, "pretrain")


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(words: list[str]) -> None:
        int("not raised by our code's own check")

    monkeypatch.setattr(cli, "_dispatch", broken)
    with pytest.raises(ValueError, match="invalid literal"):
        cli.main(["pretrain"])


def test_report_without_tensorflow(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    done = _shell("report", str(folder), before=WITHOUT_TENSORFLOW)
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data", "empty"), "empty"),
        (("--data", "nowhere"), "nowhere"),
        (("--data", "one"), "one"),
        (("--data", "digits", "--batch-size", "5000"), "5000"),
        (("--data", "tfds:no_such_set"), "no_such_set"),
        (("--data", "digits", "--architecture", "conv_q3"), "q3"),
        (("--data", "digits", "--architecture", "conv_c{8,16}"), "search space"),
        (("--data", "digits", "--architecture", "conv_c7_g2"), "g2"),
        (("--data", "digits", "--init", "nowhere"), "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_to_pretrain(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    from PIL import Image

    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "one" / "image.png")
    done = _shell("pretrain", "--out", "run", *words, cwd=tmp_path)
    assert said in _sentence(done)
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file() and path.name != ".lock"]
