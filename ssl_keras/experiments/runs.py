"""``ssl-keras runs``: what run folders hold, listed, shown, or side by side. Needs no TensorFlow."""

import fcntl
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ssl_keras.architecture.families import name_of
from ssl_keras.architecture.grammar import parse
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.options import Runs
from ssl_keras.experiments.run_folder import flat
from ssl_keras.reports import results
from ssl_keras.reports.page import json_lines

CONSOLE = Console(highlight=False)
DEPTH = 3
"""So many folders deep runs are looked for."""


@dataclass(frozen=True)
class Run:
    """What one run folder says of itself."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """The config, flat: dotted names to values."""
        return flat(json.loads((self.path / "config.json").read_text()))

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; a last one that was cut short is left out."""
        return json_lines(self.path / "metrics.jsonl")

    @cached_property
    def tables(self) -> dict[str, results.Table]:
        """The evaluation by protocol; empty where there is none."""
        file = self.path / "results.json"
        return results.tables(results.read_rows(file)) if file.is_file() else {}

    @property
    def architecture(self) -> str:
        """Its short name, of a space how many networks it holds, of an encoder from elsewhere where it is from."""
        text = (self.path / "architecture.txt").read_text().strip()
        try:
            architecture = parse(text)
        except ValueError:
            return text
        return name_of(architecture) if architecture.size == 1 else f"space of {architecture.size:,}"

    @property
    def steps(self) -> tuple[int, int | None]:
        """Updates done, and of the whole run where they are known."""
        file = self.path / "schedule.json"
        schedule = json.loads(file.read_text()) if file.is_file() else None
        done = int(self.rows[-1]["step"]) if self.rows else 0
        return done, schedule and schedule["epochs"] * schedule["steps_per_epoch"]

    @property
    def state(self) -> str:
        """finished, running, or stopped: the same command goes on with it."""
        if (self.path / "encoder.keras").is_file() or (self.path / "found.json").is_file():
            return "finished"
        if not (self.path / ".lock").is_file():
            return "stopped"
        with (self.path / ".lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return "running"
        return "stopped"

    @property
    def progress(self) -> str:
        """Steps, as text."""
        done, whole = self.steps
        return f"{done}" if whole is None or done >= whole else f"{done} of {whole} ({100 * done // whole} %)"

    def last(self, name: str) -> float | None:
        """The newest value of a metric."""
        return next((float(row[name]) for row in reversed(self.rows) if name in row), None)

    @property
    def worth(self) -> float | None:
        """The encoder's mean linear top-1 over scenarios, in percent."""
        score = self.tables.get("linear", {}).get(results.MEAN, {}).get(results.SUBJECT)
        return score.value if score else None


def run(config: Runs) -> None:
    """Prints what was asked for.

    Raises:
        ConfigError: A folder holds no run, or the number of folders does not fit.
    """
    folders = [Path(folder) for folder in config.folders]
    if config.action == "list":
        _list(folders or [Path("runs")])
    elif config.action == "show":
        if len(folders) != 1:
            raise ConfigError(f"runs show takes one run folder, and {len(folders)} are given: ssl-keras runs show RUN")
        _show(_opened(folders[0]))
    else:
        if len(folders) < 2:
            raise ConfigError(f"runs compare takes two run folders or more, and {len(folders)} is given")
        _compare([_opened(folder) for folder in folders])


def found(folders: Sequence[Path]) -> list[Run]:
    """The runs in folders, the parts of a search beside it, the newest last."""
    configs = {
        file
        for folder in folders
        for depth in range(DEPTH + 1)
        for file in folder.glob("/".join(["*"] * depth + ["config.json"]))
        if file.with_name("architecture.txt").is_file()
    }
    return [Run(file.parent) for file in sorted(configs, key=lambda file: file.stat().st_mtime)]


def _opened(folder: Path) -> Run:
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder} holds no run (no config.json): ssl-keras runs list shows what there is")
    return Run(folder)


def _list(folders: Sequence[Path]) -> None:
    runs = found(folders)
    if not runs:
        raise ConfigError(f"no run in {', '.join(map(str, folders))}: ssl-keras pretrain makes one")
    table = _table("run", "images", "method", "architecture", "state", "steps", "kNN, %", "linear, %")
    for one in runs:
        measured = [_number(one.last("knn")), _number(one.worth)]
        method = one.config.get("search.label") or one.config.get("mode", "relicv2")
        _row(table, str(one.path), one.config["data"], method, one.architecture, one.state, one.progress, *measured)
    CONSOLE.print(table)


def _show(one: Run) -> None:
    facts = {
        "state": one.state,
        "steps": one.progress,
        "images": one.config["data"],
        "architecture": (one.path / "architecture.txt").read_text().strip(),
        **{name: _number(one.last(name), 3) for name in ("loss", "knn", "rankme", "learning_rate")},
    }
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, text in facts.items():
        table.add_row(f"[dim]{name}[/]", escape(text))
    CONSOLE.print(f"[bold]{escape(str(one.path))}[/]")
    CONSOLE.print(table)
    for protocol, scores in one.tables.items():
        _print_scores(results.title(protocol), scores, results.encoders(scores))
    if "linear" in one.tables:
        CONSOLE.print("\n" + results.headline(one.tables["linear"]), soft_wrap=True)
    CONSOLE.print(f"\nnext: {_next(one)}", soft_wrap=True)


def _next(one: Run) -> str:
    if one.state == "running":
        return f"tensorboard --logdir {one.path}/tensorboard"
    if one.state == "stopped":
        return f"the command that began it goes on from the last checkpoint (--out {one.path})"
    if (one.path / "found.json").is_file():
        return f"ssl-keras runs show {one.path.parent}"
    return f"open {one.path}/report.html" if one.tables else f"ssl-keras evaluate {one.path}"


def _compare(runs: Sequence[Run]) -> None:
    names = [str(one.path) for one in runs]
    keys = dict.fromkeys(key for one in runs for key in one.config if key != "out")
    differing = [key for key in keys if len({json.dumps(one.config.get(key)) for one in runs}) > 1]
    table = _table("setting", *names)
    for key in differing:
        _row(table, key, *(str(one.config.get(key, "–")) for one in runs))
    for name in ("loss", "knn", "rankme"):
        _row(table, f"last {name}", *(_number(one.last(name), 3) for one in runs))
    CONSOLE.print(table)
    protocols = dict.fromkeys(protocol for one in runs for protocol in one.tables)
    for protocol in protocols:
        merged: results.Table = {}
        for name, one in zip(names, runs, strict=True):
            for scenario, scores in one.tables.get(protocol, {}).items():
                if results.SUBJECT in scores:
                    merged.setdefault(scenario, {})[name] = scores[results.SUBJECT]
        _print_scores(results.title(protocol), merged, names)


def _print_scores(title: str, scores: results.Table, names: Sequence[str]) -> None:
    table = _table("scenario", *names)
    for scenario, row in scores.items():
        best = results.winner(row)
        cells = [_interval(row.get(name)) for name in names]
        table.add_row(
            escape(scenario),
            *(f"[bold]{cell}[/]" if name == best else cell for name, cell in zip(names, cells, strict=True)),
        )
    CONSOLE.print(f"\n{title}, top-1 % (95 % interval)")
    CONSOLE.print(table)


def _interval(score: results.Score | None) -> str:
    return f"{score.value:.1f} ({score.low:.1f}–{score.high:.1f})" if score else "–"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(escape(name), overflow="fold")
    return table


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(escape(cell) for cell in cells))


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}" if digits == 1 else f"{value:.{digits}g}"
