"""``ssl-keras tune``: the networks of a space tried one by one, the best of them trained and judged.

The run folder is that of the network trained anew, as ``pretrain`` writes it, with tune/ in it: config.json ·
trials.csv · trials.json · pareto.csv · pareto.json · pareto-macs.png · found.json · tensorboard/ (HParams) · oracle/
(what KerasTuner remembers) · networks/ (a checkpoint and the scores of each). Several processes share the trials
where KerasTuner's environment variables say so: the chief writes, the workers train.
"""

import json
import random
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rich.markup import escape

from ssl_keras.architecture.families import name_of
from ssl_keras.experiments import evaluate, pretrain
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.devices import expect_retracing, without_graph_rewriting
from ssl_keras.experiments.naming import run_name
from ssl_keras.experiments.progress import CONSOLE, show
from ssl_keras.experiments.run_folder import (
    RunFolder,
    check_writable,
    refuse_other,
    refuse_unlike,
    replacing,
    write_json,
    write_text,
)
from ssl_keras.experiments.settings import Pretrain, Tune, pretraining
from ssl_keras.experiments.trials import TuneSetup, with_settings
from ssl_keras.learning import distribution
from ssl_keras.reports import plots
from ssl_keras.reports.text import csv_text
from ssl_keras.reports.tuning import Tried, front_figure
from ssl_keras.tuning import ArchitectureHyperModel, ArchitectureTuner, pareto, trial_rows
from ssl_keras.tuning.oracles import FAILURES
from ssl_keras.tuning.tuner import ASK_AGAIN_S
from ssl_keras.tuning.workers import role

FOUND = "found.json"
DRAWN = 200
"""Networks of which the one of median cost stands for all in a plan."""


def run(config: Tune) -> Path:
    """Tries networks, trains the best, evaluates and reports; goes on where an interrupted run stopped.

    Returns:
        The run folder.

    Raises:
        ConfigError: The config does not fit the data or the folder, or trial after trial failed.
        OSError: The data or the folder cannot be used.
        ValueError: The objective names nothing, or the budget affords nothing.
    """
    expect_retracing()
    setup = TuneSetup(config)
    name = run_name(config.data, f"tune@{config.tuning.oracle}", config.seed, config.mode)
    out = Path(config.out if config.out != "auto" else f"runs/{name}")
    check_writable(out)
    refuse_early(setup, out)
    if role() == "worker":
        _wait_for_chief(out / "tune" / "config.json", setup.resolved)
        with without_graph_rewriting():
            _tuner(setup, out / "tune").search()
        CONSOLE.print("no trial is left; the chief trains the best network")
        return out
    found = tune(setup, out / "tune")
    trained = with_settings(pretraining(config), found["settings"])
    pretrain.train(replace(trained, architecture=found["architecture"], image_size=setup.image_size, out=str(out)))
    return evaluate.of_choice(out, config)


def _wait_for_chief(path: Path, config: Mapping[str, Any]) -> None:
    """Until it has said what is tuned; what this worker was asked for shall be the same.

    Raises:
        ConfigError: It is not.
    """
    if not path.is_file():
        CONSOLE.print(f"waiting for the chief to begin in {path.parent}", soft_wrap=True)
    while not path.is_file():
        time.sleep(ASK_AGAIN_S)
    refuse_unlike(path, config, Tune)


def refuse_early(setup: TuneSetup, out: Path | None) -> None:
    """Whatever would end a later part of the work, before the first begins and before a folder is made.

    Raises:
        ConfigError, ValueError, OSError: As the parts would.
    """
    if distribution.cluster_size() > 1:
        raise ConfigError(
            "tune trains one network in each process: leave TF_CONFIG, and start a chief and workers with "
            "KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT"
        )
    role()
    _ = setup.masks, setup.schedule(), setup.goal
    setup.oracle(setup.hypermodel())
    later = {"architecture", *(name.split(".")[0] for name in setup.choices)}
    wanted = {field.name: setup.resolved[field.name] for field in fields(Pretrain) if field.name not in later}
    if out is not None:
        refuse_other(out, wanted)


def tune(setup: TuneSetup, path: Path) -> dict[str, Any]:
    """Runs the trials into their folder, unless they are finished; returns what `FOUND` holds."""
    with RunFolder(path, setup.resolved, setup.architecture, kind=Tune) as folder:
        if not (folder / FOUND).is_file():
            _tune(setup, folder)
    found: dict[str, Any] = json.loads((path / FOUND).read_text())
    CONSOLE.print(f"found {found['name']}: {found['architecture']}", soft_wrap=True)
    return found


def _tune(setup: TuneSetup, folder: RunFolder) -> None:
    pretrain.check_images(setup, folder)
    tuner = _tuner(setup, folder.path)
    oracle = tuner.own_oracle
    show(f"Tuning into {folder.path}", describe(setup))
    if oracle.trials:
        CONSOLE.print(f"continuing after {len(oracle.end_order)} trials")
    try:
        with without_graph_rewriting():
            tuner.search()
    finally:
        tuner.hypermodel.experiment.close()
        rows = trial_rows(tuner.hypermodel, oracle.trials)
        _write_tables(setup, folder.path, rows)
    done = [row for row in rows if row["status"] == "completed"]
    if oracle.failing or not done:
        reason = rows[-1]["reason"] if rows else "the space is exhausted"
        raise ConfigError(
            f"the last {min(len(rows), FAILURES)} trials failed ({reason}): see {folder / 'trials.csv'}, and give the "
            "same command again when it is mended"
        )
    write_json(folder / FOUND, _found(setup, rows))


def _tuner(setup: TuneSetup, path: Path) -> ArchitectureTuner:
    model = setup.hypermodel(path / "networks")
    return ArchitectureTuner(
        model,
        setup.oracle(model),
        path,
        callbacks=model.experiment.progress,  # type: ignore[attr-defined]
        say=lambda sentence: CONSOLE.print(escape(sentence), soft_wrap=True),
    )


def _axes(setup: TuneSetup) -> dict[str, Any]:
    """What the Pareto front is of: the objective, multiply-adds, and time where there is a table."""
    return {setup.goal.name: setup.goal.direction, "macs": "min"} | ({"latency": "min"} if setup.latency else {})


def _write_tables(setup: TuneSetup, path: Path, rows: list[dict[str, Any]]) -> None:
    """All trials, those that no other beats, and a picture of both."""
    axes = _axes(setup)
    front = pareto(rows, axes)
    write_json(path / "trials.json", {"version": 1, "rows": rows})
    write_json(path / "pareto.json", {"version": 1, "axes": axes, "rows": front})
    for name, some in (("trials.csv", rows), ("pareto.csv", front)):
        write_text(path / name, csv_text(some))
    for cost in [*axes][1:] if front else ():
        with replacing(path / f"pareto-{cost}.png") as temporary:
            temporary.write_bytes(front_figure(Tried({}, rows, front, axes), cost, plots.THEMES["light"]))


def _found(setup: TuneSetup, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What there is to say of the best trial; of equals, the first."""
    done = [row for row in rows if row["status"] == "completed"]
    best = (max if setup.goal.direction == "max" else min)(done, key=lambda row: row[setup.goal.name])
    budget = setup.config.budget
    return {
        "architecture": best["architecture"],
        "name": name_of(best["architecture"]),
        "settings": {name: best[name] for name in setup.choices},
        "trial": best["trial"],
        "objective": {"name": setup.goal.name, "direction": setup.goal.direction, "value": best[setup.goal.name]},
        "cost": {name: best[name] for name in ("macs", "params", "latency") if name in best},
        "space": str(setup.space),
        "choices": {name: list(values) for name, values in setup.choices.items()},
        "budget": {budget.kind: budget.amount} if budget else None,
        "oracle": setup.config.tuning.oracle,
        "trials": {"completed": len(done), "failed": len(rows) - len(done)},
    }


def typical(model: ArchitectureHyperModel, seed: int) -> dict[str, Any]:
    """Hyper-parameters of a network that costs about as much as most trials: the median of some that are affordable."""
    drawn = [values for number in range(DRAWN) if model.affords(values := _drawn(model, seed * DRAWN + number))]
    drawn.sort(key=lambda values: model.cost(model.architecture(values))["macs"])
    return drawn[len(drawn) // 2]


def _drawn(model: ArchitectureHyperModel, seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    return {name: draw.choice([*spelled]) for name, spelled in model.choices.items()}


def describe(setup: TuneSetup) -> dict[str, str]:
    """What is about to happen, in the order to read it."""
    config, wanted = setup.config, setup.config.tuning
    schedule = setup.schedule()
    lines = {
        "images": f"{setup.source.size} of {setup.source.name}",
        "space": str(setup.space),
        "networks": f"{setup.space.size:,}" + (f", up to {config.budget}" if config.budget else ""),
        "tuned along": "; ".join(wanted.choices),
        "objective": f"{setup.goal.name}, {'more' if setup.goal.direction == 'max' else 'less'} is better",
        "trials": f"{wanted.trials} by {wanted.oracle}, {schedule.epochs} epochs of {schedule.steps_per_epoch} steps",
        "batch": f"{setup.batch_size} images",
    }
    return {name: line for name, line in lines.items() if line}
