"""The verbs for the shell: ``ssl-keras pretrain --data photos``.

Parsing needs no TensorFlow, so help and mistakes are quick. What a user can get wrong ends in one sentence on
standard error and exit status 2; a fault of ours keeps its traceback.
"""

import contextlib
import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import field, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from ssl_keras.experiments import options, settings
from ssl_keras.experiments.checks import ConfigError, nearest
from ssl_keras.experiments.config_files import load_config, shipped
from ssl_keras.experiments.naming import APPLICATIONS, encoder_file, place_of
from ssl_keras.experiments.run_folder import check_writable

VERBS: dict[str, type[Any]] = {
    "demo": options.Demo,
    "masks": options.Masks,
    "pretrain": settings.Pretrain,
    "search": settings.Search,
    "tune": settings.Tune,
    "study": settings.Study,
    "latency": options.Latency,
    "launch": options.Launch,
    "evaluate": options.Evaluate,
    "embed": options.Embed,
    "export": options.Export,
    "report": options.Report,
    "runs": options.Runs,
    "families": options.Families,
    "doctor": options.Doctor,
}
"""Verb to its settings; ``experiments/<verb>.py`` has the ``run`` that takes them."""

BAD_INPUT, INTERRUPTED = 2, 130
WITHOUT_TENSORFLOW = ("launch", "report", "runs", "families")
CLUSTER = "TF_CONFIG"
HEAVY = ("tensorflow", "keras", "tensorflow_datasets")
CHATTER = ("absl::InitializeLog", "oneDNN custom operations")
"""Lines that TensorFlow prints on every start whatever the log level."""
LOST = ("UnavailableError", "AbortedError", "CancelledError", "DeadlineExceededError")
"""What TensorFlow raises where a worker waits for another in vain."""
PACKAGE = str(Path(__file__).parent)


DRY_RUN = "--dry-run"
DRY_RUN_HELP = "Only tell what would be done, how long it takes and in how much memory, by ten steps."
EXPERIMENT_HELP = "A shipped experiment, or a .py or .json file; the options below override it."
Experiment = tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="[EXPERIMENT]", help=EXPERIMENT_HELP)]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the verb that the arguments name, and ends the process with its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        _dispatch(words)
    except KeyboardInterrupt:
        _say(_how_to_continue(words))
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader, such as head, has had enough; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BAD_INPUT) from None
    except Exception as error:
        sentence = explain(error)
        if debug or sentence is None:
            raise
        _say(sentence)
        raise SystemExit(BAD_INPUT) from None


def explain(error: Exception) -> str | None:
    """The one sentence for a mistake that a user can mend; None for anything else.

    A ValueError (or a diverged loss) counts when our own code raised it: one from inside TensorFlow is a fault
    of ours, and its traceback is worth more than its message.
    """
    if isinstance(error, ModuleNotFoundError):
        return _explain_missing(error)
    if isinstance(error, OSError | ConfigError):
        return _one_line(error)
    if CLUSTER in os.environ and type(error).__name__ in LOST:
        return (
            "another worker is gone, or cannot be reached: start all of them again with the same command, and they go "
            f"on from the last checkpoint ({_one_line(error)[:120]})"
        )
    raised_by = traceback.extract_tb(error.__traceback__)[-1].filename
    if isinstance(error, ValueError | ArithmeticError) and raised_by.startswith(PACKAGE):
        return _one_line(error)
    return None


def _dispatch(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        _overview()
        return
    verb = words[0]
    if verb not in VERBS:
        raise ConfigError(f"no verb is called {verb!r}: {nearest(verb, VERBS)} (ssl-keras --help lists them)")
    config = parse_arguments(verb, words[1:])
    out = getattr(config, "out", "auto")
    if out not in ("auto", None):
        check_writable(out)
    for encoder in (getattr(config, "encoder", None), *getattr(config, "beside", ())):
        if encoder:
            place_of(encoder)
    init = getattr(config, "init", None)
    if init and not init.startswith(APPLICATIONS):
        encoder_file(init)
    if verb not in WITHOUT_TENSORFLOW:
        _start_tensorflow(config)
    part = "plan" if verb in settings.EXPERIMENTS and DRY_RUN in [word.replace("_", "-") for word in words] else verb
    importlib.import_module(f"ssl_keras.experiments.{part}").run(config)


def _start_tensorflow(config: Any) -> None:
    """Imports TensorFlow, and lets only such lines of its C++ start-up through as tell the user something.

    A strategy over several workers has to be made before anything else is.
    """
    compute = getattr(config, "compute", None)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module("ssl_keras.experiments.devices").start(compute and compute.strategy)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            lines = said.read().decode(errors="replace").splitlines()
    for line in lines:
        if not any(word in line for word in CHATTER):
            print(line, file=sys.stderr)


def parse_arguments(verb: str, words: Sequence[str]) -> Any:
    """The settings that the words after a verb spell; ends the process on ``--help`` and on unknown options."""
    program = f"ssl-keras {verb}"
    if verb == "launch":
        own = next((place for place, word in enumerate(words) if word in VERBS), len(words))
        if own < len(words):
            parse_arguments(words[own], words[own + 1 :])  # mistakes are told once, not by every worker
        words = [*words[:own], *(["--", *words[own:]] if own < len(words) else [])]
    if verb not in settings.EXPERIMENTS:
        return tyro.cli(VERBS[verb], prog=program, args=words)
    kind = VERBS[verb]
    options = (
        ("config", Experiment, None),
        ("dry_run", Annotated[bool, tyro.conf.arg(help=DRY_RUN_HELP)], False),
        ("options", Annotated[kind, tyro.conf.arg(name="")], field(default_factory=kind)),
    )
    command: Any = make_dataclass("Command", options, frozen=True)
    defaults = load_config(name, kind) if (name := _config_name(words)) else kind()
    if _given("--minutes", words) and not _given("--epochs", words):
        defaults = replace(defaults, epochs="auto")
    given = tyro.cli(
        command,
        prog=program,
        args=words,
        default=command(None, False, defaults),
        description=f"{_summary(kind)}.\n\nExperiments: {', '.join(shipped(kind))}.",
    )
    if given.config and not name:
        raise ConfigError(f"the experiment comes first: {program} {given.config} ...")
    return given.options


def _given(option: str, words: Sequence[str]) -> bool:
    return any(word == option or word.startswith(f"{option}=") for word in words)


def _config_name(words: Sequence[str]) -> str | None:
    """The config is the first word after the verb, as in ``pretrain cifar10 --epochs 5``."""
    return words[0] if words and not words[0].startswith("-") else None


def _overview() -> None:
    console = Console(highlight=False)
    console.print("[bold]ssl-keras[/] VERB \\[OPTIONS]\n")
    console.print("Learn an image encoder from images without labels, and prove what it is worth.\n")
    console.print(_two_columns({verb: _summary(kind) for verb, kind in VERBS.items()}))
    for verb in settings.EXPERIMENTS:
        if experiments := shipped(VERBS[verb]):
            console.print(f"\nExperiments for {verb}:\n")
            console.print(_two_columns(experiments))
    console.print("\nssl-keras VERB --help lists a verb's options; --debug shows tracebacks.")


def _two_columns(rows: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 2))
    for name, summary in rows.items():
        table.add_row(f"[bold]{name}[/]", summary)
    return table


def _summary(kind: type[Any]) -> str:
    return (kind.__doc__ or "").split("\n")[0].rstrip(".")


def _explain_missing(error: ModuleNotFoundError) -> str | None:
    top = (error.name or "").split(".")[0]
    if top not in HEAVY:
        return None
    return f'{top} is not installed: pip install "ssl_keras[cpu]" (or [gpu], [tpu])'


def _how_to_continue(words: Sequence[str]) -> str:
    if words and words[0] in ("pretrain", "search", "tune", "demo", "launch"):
        return "interrupted; the same command continues from the last checkpoint"
    if words and words[0] in ("masks", "study"):
        return "interrupted; the same command goes on where this one stopped"
    return "interrupted; nothing half-written was left behind"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _say(sentence: str) -> None:
    print(f"ssl-keras: {sentence}", file=sys.stderr)
