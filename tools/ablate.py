"""Runs a comparison of ``configs/ablations``: every cell on every set with every seed, at equal compute. Resumable.

    python tools/ablate.py relicv2 --out runs/ablations --seeds 0 1 2 [--cells ReLICv2 SimCLR] [--sources tfds:cifar10]

Each finished run is one JSON file in the folder, so that the same command goes on where it was stopped; started twice,
the two share the work. A cell learns for as many steps as the base's multiply-adds allow, forward and backward of every
network (or for as many image-passes, if the comparison says so), and is judged on the test split.

    python tools/ablate.py relicv2 --out tools/results/trials --seeds 10 --tune

runs the comparison's trials instead, as many for every method, on its first set: judged on a fifth of the training
images, held out.

    python tools/ablate.py relicv2 --out runs/ablations --table tools/results/ablations.json

writes the table of what is finished: mean and range over seeds; of networks also what they cost, in time as
`tools/latency.py` measured it.
"""

import argparse
import contextlib
import dataclasses
import fcntl
import importlib
import itertools
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from seeds import over_seeds

from ssl_keras.architecture.cost import cost
from ssl_keras.data.sources import Source, at_most, open_source
from ssl_keras.data.sources.base import Subset, shuffled
from ssl_keras.experiments.pretrain import fit
from ssl_keras.experiments.run_folder import write_json
from ssl_keras.experiments.settings import Pretrain
from ssl_keras.experiments.setup import Schedule, Setup
from ssl_keras.scenarios import style
from ssl_keras.scenarios.knn import knn
from ssl_keras.scenarios.label_free import label_free
from ssl_keras.scenarios.linear import linear
from ssl_keras.scenarios.protocol import TOP1, Images, Labelled

MEASURED = ("knn20", "knn200", "linear", "same style", "other style", "drop", "cue conflict")
"""Protocols on the set itself; then `ssl_keras.scenarios.style`, which needs the TFDS set cue_conflict."""

OF_NETWORKS = MEASURED[:3]
"""Of them, what a comparison of networks shows."""

LATENCY = Path(__file__).parent / "results" / "latency.json"
"""What networks take, where it was measured."""

MOST_IMAGES = 20_000
"""Training images of a set, for learning and for judging."""


def changed(base: Pretrain, fields: Mapping[str, Any]) -> Pretrain:
    """The base with dotted fields replaced."""
    groups: dict[str, dict[str, Any]] = {}
    for path, value in fields.items():
        group, _, name = path.rpartition(".")
        groups.setdefault(group, {})[name] = value
    own = groups.pop("", {})
    return dataclasses.replace(
        base, **own, **{group: dataclasses.replace(getattr(base, group), **values) for group, values in groups.items()}
    )


def steps_of(setup: Setup, base: Setup, passes: int, label: str | None) -> tuple[int, int]:
    """Steps that cost as many multiply-adds as ``passes`` images cost the base, and what one image costs here."""
    once = Schedule(20, 1000)
    costs = [
        one.macs_per_image(one.supervised(once, name) if name else one.learner(once))
        for one, name in ((setup, label), (base, None))
    ]
    keras.backend.clear_session()
    return round(passes * costs[1] / costs[0] / setup.batch_size), costs[0]


def run_cell(
    name: str, config: Pretrain, base: Pretrain, label: str | None, passes: int, equal: str, tune: bool
) -> dict[str, Any]:
    """Trains one cell and judges it beside nothing else."""
    images = open_source(config.data)
    train, test = held_out(images, config.seed) if tune else (images, images.split("test"))
    train = at_most(train, MOST_IMAGES, config.seed)
    # What is held out is not learned from either.
    setup = Setup(config, train)
    steps, macs = steps_of(setup, Setup(base, train), passes, label)
    if equal == "passes":
        steps = passes // setup.batch_size
    schedule = Schedule(1, steps)
    with setup.computing():
        learner = setup.supervised(schedule, label) if label else setup.learner(schedule)
        started, history = time.monotonic(), keras.callbacks.History()
        fit(setup, learner, schedule, [history], label)
    seconds = time.monotonic() - started
    found: dict[str, Any] = scores(learner.encoder, train, test, setup.image_size, config.seed)
    found["loss"] = float(history.history["loss"][-1])  # the mean over the whole training
    found["label-free"] = label_free(learner.encoder, train, setup.image_size, config.seed)
    encoders = {name: learner.encoder}
    told = {"cell": name, "set": config.data, "seed": config.seed, "steps": steps, "macs_per_image": macs,
            "seconds": round(seconds), **found}  # fmt: skip
    if tune:
        return told
    told |= {key: share.value for key, share in style.restyled(encoders, setup.image_size)[name].items()}
    cues = open_source("tfds:cue_conflict:test")
    return told | {"cue conflict": style.cue_conflict(encoders, cues, setup.image_size)[name].value}


def scores(encoder: keras.Model, train: Source, test: Source, side: int, seed: int) -> dict[str, float]:
    """Top-1 in percent on the set itself, by protocol."""
    lesson, exam = (Labelled(Images(encoder, source, side)) for source in (train, test))
    outcomes = [outcome for protocol in (knn, linear) for outcome in protocol(lesson, seed)(exam)]
    return {one.protocol: 100 * float(np.mean(one.correct)) for one in outcomes if one.metric == TOP1}


def held_out(images: Source, seed: int) -> tuple[Source, Source]:
    """Images in two parts, of four fifths and one fifth."""
    order = shuffled(images.size, seed)
    cut = images.size // 5
    return tuple(
        Subset(images, np.sort(rows), f"{images.name}[{part} of seed {seed}]")
        for part, rows in (("kept", order[cut:]), ("held out", order[:cut]))
    )  # type: ignore[return-value]


@contextlib.contextmanager
def claimed(file: Path) -> Iterator[bool]:
    """Whether this process alone may make a file; the system gives the claim back, however the process ends."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _check_terms(file: Path, terms: Mapping[str, Any]) -> None:
    """A finished run of other terms is no run of this comparison."""
    held = json.loads(file.read_text(encoding="utf-8"))
    for name, value in terms.items():
        if held[name] != value:
            raise SystemExit(f"{file} has {name} = {held[name]}, not {value}: choose another folder with --out")


def table(
    folder: Path,
    first: str,
    facts: Mapping[str, Mapping[str, str]] | None = None,
    pooled: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Mean and range over seeds of every finished cell, set by set, and how far it is from the first.

    All have to be of the same terms. Of networks, what is known of them beforehand stands beside each, and some may be
    pooled in one more row: their mean and range over networks, and the interval of their distance over networks too.
    """
    judged: set[str] = set()
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for file in sorted(folder.glob("*.json")):
        row = json.loads(file.read_text(encoding="utf-8"))
        found.setdefault((row["set"], row["cell"]), []).append(row)
        judged.add(f"{row['passes']} image-passes, judged on the {row['judged on']}")
    if len(judged) != 1:
        raise SystemExit(f"{folder} holds runs of different terms, or none: {'; '.join(sorted(judged)) or 'no file'}")
    further = f"linear, less {first}'s (95 % interval)"
    columns = MEASURED if facts is None else OF_NETWORKS

    def row(source: str, cell: str, runs: Sequence[Mapping[str, Any]], known: Mapping[str, str]) -> dict[str, str]:
        return {
            "set": source.removeprefix("tfds:"), "cell": cell, **known,
            **{name: _spread([run[name] for run in runs]) for name in columns if name in runs[0]},
            further: "–" if cell == first else _distance(runs, found.get((source, first), [])),
        }  # fmt: skip

    rows = [
        row(
            source, cell, runs, {"seeds": str(len(runs)), "steps": str(runs[0]["steps"]), **(facts or {}).get(cell, {})}
        )
        for (source, cell), runs in found.items()
    ]
    for name, cells in (pooled or {}).items():
        for source in dict.fromkeys(source for source, _ in found):
            runs = [run for cell in cells for run in found.get((source, cell), [])]
            if len(runs) > 1:
                rows.append(row(source, name, runs, {"seeds": f"1 each of {len(runs)}"}))
    return {"what": judged.pop(), "rows": rows}


def _spread(values: list[float]) -> str:
    mean = sum(values) / len(values)
    return f"{mean:.1f}" + (f" ({min(values):.1f}–{max(values):.1f})" if len(values) > 1 else "")


def _distance(runs: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> str:
    """Points of linear accuracy that runs are above others of the same seeds: the mean, Student's t over the runs."""
    base = {run["seed"]: run["linear"] for run in others}
    gaps = [run["linear"] - base[run["seed"]] for run in runs if run["seed"] in base]
    if len(gaps) < 2:
        return f"{gaps[0]:+.1f}" if gaps else "–"
    gap = over_seeds(gaps)
    return f"{gap.value:+.1f} ({gap.low:+.1f} to {gap.high:+.1f})"


def costs(comparison: Any) -> dict[str, dict[str, str]] | None:
    """Of the networks of a comparison of networks, by cell; None where others are compared."""
    if not hasattr(comparison, "NETWORKS"):
        return None
    taken = json.loads(LATENCY.read_text(encoding="utf-8"))["milliseconds"] if LATENCY.is_file() else {}
    found = {}
    for name, network in comparison.NETWORKS.items():
        spent = cost(network, (comparison.SIDE, comparison.SIDE, 3))
        found[name] = {
            "multiply-adds, M": f"{spent.macs / 1e6:.1f}",
            "parameters, k": f"{spent.params / 1e3:.0f}",
            "ms an image": f"{taken[text]:.2f}" if (text := str(network)) in taken else "–",
        }
    return found


def main() -> None:
    """Runs what is missing, or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparison", help="a file of configs/ablations")
    parser.add_argument("--out", type=Path, required=True, help="folder of finished runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cells", nargs="+", help="some of the cells (default: all)")
    parser.add_argument("--sources", nargs="+", help="other sets than the comparison's")
    parser.add_argument("--passes", type=int, help="image-passes of the base")
    parser.add_argument("--tune", action="store_true", help="run the trials, judged on held-out training images")
    parser.add_argument("--table", type=Path, help="write the table there instead")
    options = parser.parse_args()
    comparison = importlib.import_module(f"ssl_keras.configs.ablations.{options.comparison}")
    if options.table:
        first, pooled = next(iter(comparison.CELLS)), getattr(comparison, "POOLED", {})
        write_json(options.table, table(options.out, first, costs(comparison), pooled))
        return
    cells = comparison.TRIALS if options.tune else comparison.CELLS
    sources = options.sources or (comparison.SOURCES[:1] if options.tune else comparison.SOURCES)
    passes = options.passes or (comparison.TRIAL_PASSES if options.tune else comparison.PASSES)
    terms = {"passes": passes, "judged on": "held-out training images" if options.tune else "test split"}
    for seed, source, cell in itertools.product(options.seeds, sources, options.cells or cells):
        name = source.removeprefix("tfds:")
        file = options.out / f"{name}-{cell.replace(' ', '_')}-seed{seed}.json"
        with claimed(file) as ours:
            if file.is_file():
                _check_terms(file, terms)
            elif ours:
                fields = {key: _of_set(value, name) for key, value in cells[cell].items()}
                label = fields.pop("label", None)
                base = dataclasses.replace(comparison.BASE, data=source, seed=seed)
                result = terms | run_cell(
                    cell, changed(base, fields), base, label, passes, comparison.EQUAL, options.tune
                )
                write_json(file, result)
                print(json.dumps(result), flush=True)


def _of_set(value: Any, name: str) -> Any:
    """A field's value on a set: text may name the set."""
    return value.format(set=name) if isinstance(value, str) else value


if __name__ == "__main__":
    main()
