"""Speed of pre-training, end to end, beside the same work in PyTorch, measured in one run.

    make benchmark        # or: python tools/benchmark.py --data tfds:cifar10 --yardstick .venv-oracles/bin/python

Every case is a process of its own, and the cases are repeated in turn, so that a machine whose speed drifts
treats them alike; the best of the repeats counts. Results go to tools/results/speed.json, from which the README's
table is made (``make tables``).
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "tools" / "results" / "speed.json"
WIDTHS, PRECISIONS = (8, 16), ("float32", "mixed_bfloat16")
BATCH, HIDDEN, OUTPUT, IMAGES = 128, 512, 128, 20_000
WORKERS = (0, 1, 2)
"""Loader processes that the yardstick may use: its best is taken."""


def measure(case: dict[str, Any]) -> dict[str, float]:
    """One of our cases, in this process: images/s of the bare step and end to end, share of waiting, memory."""
    import keras

    import ssl_keras as sk
    from ssl_keras.data.sources import take

    keras.config.set_dtype_policy(case["precision"])
    source = take(sk.open_source(f"{case['data']}:train", data_dir=case["data_dir"]), IMAGES)
    batches = sk.view_batches(source, sk.Views.preset(32), BATCH)
    architecture = sk.families.get("resnet18", width=case["width"] / 64, small_images=True)
    encoder = sk.build_encoder(architecture, (32, 32, 3))
    size = encoder.embedding_size
    learner = sk.ReLICv2(
        encoder,
        projector=sk.Projector(size, HIDDEN, OUTPUT),
        predictor=sk.Predictor(OUTPUT, HIDDEN, OUTPUT),
        negatives=0,
    )
    learner.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    learner.make_train_function()
    step = learner.train_function
    fixed = next(iter(batches.dataset()))
    bare = _rate(step, _forever(fixed), case["steps"])
    stream = _Waiting(iter(batches.dataset()))
    end_to_end = _rate(step, stream, case["steps"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"bare": bare, "end_to_end": end_to_end, "waiting": stream.share, "peak_mib": peak}


def _rate(step: Any, batches: Any, steps: int, warmup: int = 5) -> float:
    """Images/s over ``steps`` steps after a warm-up."""
    for _ in range(warmup):
        step(_One(batches))
    if isinstance(batches, _Waiting):
        batches.start()
    begin = time.perf_counter()
    for _ in range(steps):
        step(_One(batches))
    return steps * BATCH / (time.perf_counter() - begin)


class _One:
    """An iterator as Keras's train function takes it, with the one batch that it draws."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> "_One":
        return self

    def __next__(self) -> Any:
        return next(self.batches)


class _Waiting:
    """Counts the time that the consumer waits for batches."""

    def __init__(self, batches: Any) -> None:
        self.batches, self.waited, self.begin = batches, 0.0, time.perf_counter()

    def start(self) -> None:
        """Counts from here."""
        self.waited, self.begin = 0.0, time.perf_counter()

    def __next__(self) -> Any:
        before = time.perf_counter()
        batch = next(self.batches)
        self.waited += time.perf_counter() - before
        return batch

    @property
    def share(self) -> float:
        """Waited share of the time so far, in percent."""
        return 100 * self.waited / (time.perf_counter() - self.begin)


def _forever(batch: Any) -> Any:
    while True:
        yield batch


def _child(command: list[str]) -> dict[str, float]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _best(runs: list[dict[str, float]]) -> dict[str, float]:
    """The highest rates; of waiting and memory the worst."""
    return {key: max(run[key] for run in runs) for key in runs[0]}


def _commands(arguments: argparse.Namespace, images: str) -> dict[tuple[str, int, str], list[list[str]]]:
    """Case (who, width, precision) to the commands that measure it; of several the best counts."""
    commands: dict[tuple[str, int, str], list[list[str]]] = {}
    for width in WIDTHS:
        for precision in PRECISIONS:
            case = {"width": width, "precision": precision, "steps": arguments.steps, "data": arguments.data}
            case["data_dir"] = arguments.data_dir
            commands["ssl_keras", width, precision] = [[sys.executable, __file__, "--case", json.dumps(case)]]
        if arguments.yardstick:
            yardstick = [arguments.yardstick, str(ROOT / "tools" / "torch_yardstick.py"), images]
            yardstick += ["--width", str(width), "--batch-size", str(BATCH), "--steps", str(arguments.steps)]
            yardstick += ["--hidden", str(HIDDEN), "--output", str(OUTPUT)]
            commands["PyTorch", width, "float32"] = [[*yardstick, "--workers", str(count)] for count in WORKERS]
    return commands


def _rows(best: dict[tuple[str, int, str], dict[str, float]]) -> list[dict[str, Any]]:
    rows = []
    for (who, width, precision), found in best.items():
        yardstick = best.get(("PyTorch", width, "float32"))
        row: dict[str, Any] = {"": who, "width": width, "precision": precision}
        row |= {"bare step, images/s": round(found["bare"]), "end to end, images/s": round(found["end_to_end"])}
        row["waiting for data, %"] = round(found["waiting"], 1) if "waiting" in found else "–"
        row["peak memory, MiB"] = round(found["peak_mib"])
        for name, key in (("bare / PyTorch", "bare"), ("end to end / PyTorch", "end_to_end")):
            row[name] = f"{found[key] / yardstick[key]:.2f}" if yardstick else "–"
        rows.append(row)
    return rows


def main() -> None:
    """Measures every case and writes the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="tfds:cifar10")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--yardstick", help="Python of the environment that holds PyTorch")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(json.loads(arguments.case))))
        return
    with tempfile.TemporaryDirectory() as folder:
        images = str(Path(folder) / "images.npy")
        if arguments.yardstick:
            _save_images(arguments, images)
        commands = _commands(arguments, images)
        runs: dict[tuple[str, int, str], list[dict[str, float]]] = {case: [] for case in commands}
        for repeat in range(arguments.repeats):
            for case, variants in commands.items():
                runs[case] += [_child(command) for command in variants]
                print(f"repeat {repeat + 1}/{arguments.repeats}", case, runs[case][-1], flush=True)
    rows = _rows({case: _best(found) for case, found in runs.items()})
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"machine": machine, "steps": arguments.steps, "rows": rows}, indent=1) + "\n")


def _save_images(arguments: argparse.Namespace, path: str) -> None:
    import numpy as np

    import ssl_keras as sk
    from ssl_keras.data.sources import take

    np.save(path, take(sk.open_source(f"{arguments.data}:train", data_dir=arguments.data_dir), IMAGES).array())


if __name__ == "__main__":
    main()
