"""What things cost, as ratios measured in one run.

    make benchmark        # or: python tools/benchmark.py speed --data tfds:cifar10 --yardstick .venv-oracles/bin/python
    python tools/benchmark.py step
    python tools/benchmark.py search

speed: pre-training end to end, beside the same work in PyTorch. precision: the step in bfloat16 over that in float32.
step: the ReLICv2 step beside its forward and backward passes alone. search: the steps of a search beside those of the
largest network of its space. Every case is a process of its own, and cases are repeated in turn, so that a machine
whose speed drifts treats them alike; the best of the repeats counts. Results go to tools/results/ (``make tables``).
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "tools" / "results"
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


def measure_step(case: dict[str, Any]) -> dict[str, float]:
    """Seconds of the whole ReLICv2 step with views, masks, small crops, moving average and loss, and of its passes."""
    import keras
    import numpy as np
    import tensorflow as tf

    import ssl_keras as sk

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2048, 32, 32, 3), np.uint8)
    masks = generator.integers(0, 2, (2048, 32, 32), np.uint8)
    views = sk.Views.preset(32, small=2, masked=0.1)
    encoder = sk.build_encoder(sk.families.get("resnet18", case["width"] / 64, small_images=True), (32, 32, 3))
    size = encoder.embedding_size
    heads = {"projector": sk.Projector(size, HIDDEN, OUTPUT), "predictor": sk.Predictor(OUTPUT, HIDDEN, OUTPUT)}
    learner = sk.ReLICv2(encoder, **heads, negatives=10)
    learner.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    learner.make_train_function()
    batches = iter(sk.view_batches(images, views, BATCH, masks=masks).dataset())
    fixed = next(batches)

    def both_ways(kind: str) -> Any:
        def passes() -> Any:
            with tf.GradientTape() as tape:
                projections = learner.projector(encoder(learner.fold(fixed[kind]), training=True), training=True)
                out = tf.reduce_sum(learner.predictor(projections, training=True))
            return tape.gradient(out, learner.learned_variables)

        return tf.function(passes)

    alone = [both_ways("large"), both_ways("small"), tf.function(lambda: learner._target(fixed["large"]))]
    found = {"passes": sum(_seconds(each, case["steps"]) for each in alone)}
    return found | {"step": _seconds(lambda: learner.train_function(_One(batches)), case["steps"])}


CANDIDATES = {
    2: "k{3,5}",
    6: "k{3,5,7}_e{3,6}",
    12: "k{3,5,7}_e{3,6}_se{0,0.25}",
    24: "k{3,5,7}_e{3,6}_se{0,0.25}_a{relu,swish}",
}
"""Choices per block to the tokens that leave them open; four blocks, at 32 px."""


def measure_search(case: dict[str, Any]) -> dict[str, float]:
    """Seconds of a step, and memory, of what the case names: largest, weights, architecture or branches."""
    import keras

    import ssl_keras as sk

    tokens = CANDIDATES[case["choices"]]
    space = f"conv_c16 | mbconv_{tokens}_c16 | mbconv_s2_{tokens}_c32 | mbconv_{tokens}_c32 | mbconv_s2_{tokens}_c64"
    parsed, shape = sk.parse(space), (32, 32, 3)
    largest = parsed.freeze({name: values[-1] for name, values in parsed.decisions.items()})
    networks = {"largest": lambda: sk.build_encoder(largest, shape), "branches": lambda: _mixture(parsed)}
    encoder = networks.get(case["what"], lambda: sk.build_supernet(parsed, shape))()
    learner = sk.ReLICv2(
        encoder, projector=sk.Projector(64, HIDDEN, OUTPUT), predictor=sk.Predictor(OUTPUT, HIDDEN, OUTPUT),
        negatives=0,
    )  # fmt: skip
    searching = case["what"] in ("weights", "architecture")
    model = (
        sk.ArchitectureSearch(learner, sk.Budget(macs=sk.cost(largest, shape).macs), steps=1000)
        if searching
        else learner
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    import numpy as np

    large = np.random.default_rng(0).random((BATCH, 2, *shape), np.float32)
    batch = {"large": keras.ops.convert_to_tensor(large)}
    stream = _forever({"weights": batch, "architecture": batch} if searching else batch)
    if searching:
        model._moving = case["what"] == "architecture"
        keras.Model.make_train_function(model)
    else:
        model.make_train_function()
    seconds = _seconds(lambda: model.train_function(_One(stream)), case["steps"])
    return {"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _mixture(space: Any) -> Any:
    """The ordinary way: every candidate of every block side by side, and the mean of their outputs."""
    from itertools import product

    import keras

    from ssl_keras.architecture.grammar import Architecture
    from ssl_keras.architecture.layout import layout
    from ssl_keras.networks.blocks import BUILDERS, BlockBuilder

    x = images = keras.Input((None, None, 3))
    for number, stage in enumerate(space.stages):
        outs = []
        for index, picks in enumerate(product(*stage.decisions.values())):
            alone = Architecture((stage.freeze(dict(zip(stage.decisions, picks, strict=True))),))
            (block,) = layout(alone, (None, None, x.shape[-1]))
            build = BlockBuilder(block, synchronized=True, seed=0)
            build.prefix = f"stage{number}_candidate{index}"
            outs.append(BUILDERS[block.op](x, build))
        x = outs[0] if len(outs) == 1 else keras.layers.Average()(outs)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D(dtype="float32")(x))


def _seconds(call: Callable[[], Any], steps: int, warmup: int = 3) -> float:
    """The median time of a call after a warm-up."""
    for _ in range(warmup):
        call()
    times = []
    for _ in range(steps):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


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
            commands["ssl_keras", width, precision] = [[sys.executable, __file__, "speed", "--case", json.dumps(case)]]
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


def speed(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Images/s of every width and precision, beside PyTorch."""
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
    return _rows({case: _best(found) for case, found in runs.items()})


def precision(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The bare step in bfloat16 over that in float32, by width."""
    rows = []
    for width in (*WIDTHS, 2 * max(WIDTHS)):
        case = {"width": width, "steps": arguments.steps, "data": arguments.data, "data_dir": arguments.data_dir}
        ratios = []
        for _ in range(arguments.repeats):
            rates = [_one_of("speed", case | {"precision": kind})["bare"] for kind in PRECISIONS]
            ratios.append(rates[0] / rates[1])
        rows.append({"width": width, "bfloat16 / float32, time of a step (of each repeat)": _median_of(ratios)})
    return rows


def _median_of(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})"


def step(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The step over its passes alone, by width."""
    rows = []
    for width in WIDTHS:
        runs = [_one_of("step", {"width": width, "steps": arguments.steps}) for _ in range(arguments.repeats)]
        ratios = [run["step"] / run["passes"] for run in runs]
        rows.append(
            {
                "width": width,
                "step, ms": round(1000 * min(run["step"] for run in runs)),
                "its passes alone, ms": round(1000 * min(run["passes"] for run in runs)),
                "ratio (of each repeat)": _median_of(ratios),
            }
        )
    return rows


def search(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Steps and memory of a search over those of the largest network, by choices per block."""
    cases = [(choices, what) for choices in CANDIDATES for what in ("largest", "weights", "architecture")]
    cases += [(6, "branches")]
    runs: dict[tuple[int, str], list[dict[str, float]]] = {case: [] for case in cases}
    for _ in range(arguments.repeats):
        for choices, what in cases:
            found = _one_of("search", {"choices": choices, "what": what, "steps": arguments.steps})
            runs[choices, what].append(found)
    best = {case: {key: min(run[key] for run in found) for key in found[0]} for case, found in runs.items()}
    rows = []
    for choices in CANDIDATES:
        largest, weights, both = (best[choices, what] for what in ("largest", "weights", "architecture"))
        branches = best.get((choices, "branches"))
        whole = (weights["seconds"] + both["seconds"]) / 2
        rows.append(
            {
                "choices a block": choices,
                "weights' step": f"{weights['seconds'] / largest['seconds']:.2f}",
                "search, architecture every second step": f"{whole / largest['seconds']:.2f}",
                "peak memory": f"{both['peak_mib'] / largest['peak_mib']:.2f}",
                "step of a mixture of branches": f"{branches['seconds'] / largest['seconds']:.2f}" if branches else "–",
                "its memory": f"{branches['peak_mib'] / largest['peak_mib']:.2f}" if branches else "–",
            }
        )
    return rows


def _one_of(what: str, case: dict[str, Any]) -> dict[str, float]:
    found = _child([sys.executable, __file__, what, "--case", json.dumps(case)])
    print(what, case, found, flush=True)
    return found


MEASURES = {
    "speed": (measure, speed, "speed.json"),
    "precision": (measure, precision, "precision.json"),
    "step": (measure_step, step, "step_cost.json"),
    "search": (measure_search, search, "search_cost.json"),
}
"""What is measured to the function of one case, to that of all, and to the file of results."""


def main() -> None:
    """Measures every case and writes the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--data", default="tfds:cifar10")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--yardstick", help="Python of the environment that holds PyTorch")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    one, every, file = MEASURES[arguments.what]
    if arguments.case:
        print(json.dumps(one(json.loads(arguments.case))))
        return
    rows = every(arguments)
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine, "steps": arguments.steps, "rows": rows}, indent=1)
    (RESULTS / file).write_text(text + "\n")


def _save_images(arguments: argparse.Namespace, path: str) -> None:
    import numpy as np

    import ssl_keras as sk
    from ssl_keras.data.sources import take

    np.save(path, take(sk.open_source(f"{arguments.data}:train", data_dir=arguments.data_dir), IMAGES).array())


if __name__ == "__main__":
    main()
