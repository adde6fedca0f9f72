"""``ssl-keras pretrain``: images without labels to an encoder in a run folder."""

import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from rich.markup import escape

from ssl_keras.data.evaluation import resize_crop
from ssl_keras.data.sources import at_most
from ssl_keras.data.views import ViewBatches
from ssl_keras.experiments import pictures
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.naming import run_name
from ssl_keras.experiments.progress import CONSOLE, TrainingProgress, show
from ssl_keras.experiments.run_folder import RunFolder, own_place, replacing, write_json
from ssl_keras.experiments.settings import Pretrain
from ssl_keras.experiments.setup import Schedule, Setup
from ssl_keras.learning import distribution, monitors
from ssl_keras.learning.checkpoints import BestEncoder, Checkpoints, SaveOnTermination
from ssl_keras.learning.learner import Learner
from ssl_keras.reports.page import write_report
from ssl_keras.saving import load

MEASURED_STEPS = 8
"""Steps whose time sizes a schedule by ``minutes``."""
MONITOR_SHARE = 0.15
"""Share of ``minutes`` that is kept for monitors, checkpoints and the report."""
MOST_LOOKS = 20
"""At most so many times in a run embeddings are measured and checkpoints written."""
SHOWN, THUMBNAIL = 8, 32
"""Images in the picture of the views; side in pixels of the projector's thumbnails."""


def run(config: Pretrain) -> Path:
    """The verb: `train`, and what to do next.

    Raises:
        ConfigError, OSError, DivergedError: As `train`.
    """
    path = train(config)
    CONSOLE.print(f"next: ssl-keras evaluate {path}")
    return path


def train(config: Pretrain) -> Path:
    """Pre-trains, or goes on where an interrupted run stopped; returns the run folder.

    Raises:
        ConfigError: The config does not fit the data or the folder.
        OSError: The data or the folder cannot be used.
        DivergedError: The loss is no longer finite; the last good checkpoint is kept.
    """
    name = run_name(config.data, config.architecture, config.seed, config.mode)
    path = Path(config.out if config.out != "auto" else f"runs/{name}")
    setup = Setup(config)
    _ = setup.masks  # refused here, before there is a run folder
    if config.keep == "best" and distribution.cluster_size() > 1:
        raise ConfigError("keep is best, and several workers share a run: give last, or train on one host")
    with setup.computing(), own_place(path, distribution.is_chief()) as place:
        with RunFolder(place, setup.resolved, setup.architecture) as folder:
            if (path / "encoder.keras").is_file():
                CONSOLE.print(f"{path} holds a finished run; nothing is left to do")
            else:
                _train(setup, folder, path / "checkpoint")
        distribution.check_agreed(0, "the end of the run")
    return path


def fit(setup: Setup, learner: Learner, schedule: Schedule, callbacks: list[Any], label: str | None = None) -> None:
    """Trains a compiled learner to the end of its schedule, with progress; NaN stops it."""
    terms = tuple(metric.name for metric in learner.metrics)
    progress = TrainingProgress(schedule.steps, setup.batch_size, terms)
    termination = [SaveOnTermination(each) for each in callbacks if isinstance(each, Checkpoints)]
    batches = setup.batches(label)

    def go_on(steps: int, *others: Any) -> None:
        learner.fit(
            batches,
            epochs=schedule.epochs,
            initial_epoch=learner.step // schedule.steps_per_epoch,
            steps_per_epoch=steps,
            verbose=0,
            callbacks=[monitors.StopAtNaN(), *callbacks, *termination, progress, *others],
        )

    try:
        if begun := learner.step % schedule.steps_per_epoch:
            go_on(schedule.steps_per_epoch - begun, StopAtEpochEnd())
        if learner.step < schedule.steps:
            go_on(schedule.steps_per_epoch)
    finally:
        progress.close()
        for each in termination:
            each.close()


class StopAtEpochEnd(keras.callbacks.Callback):
    """Ends ``fit`` with the epoch, which a run that was terminated in the middle of it still has to finish."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Asks to stop."""
        self.model.stop_training = True


def _train(setup: Setup, folder: RunFolder, kept: Path) -> None:
    started = time.monotonic()
    check_images(setup, folder)
    schedule = _kept_schedule(setup, folder)
    learner = setup.learner(schedule)
    checkpoints = Checkpoints(kept, every=_every(setup.config.monitor.checkpoint_every, schedule), warn=warn)
    step = checkpoints.restore(learner)
    show(f"Pre-training into {folder.path}", setup.describe(learner, schedule))
    if step:
        CONSOLE.print(f"continuing after step {step}")
    _show_views(setup, folder)
    best = [BestEncoder(folder / "best.keras", "rankme", warn)] if setup.config.keep == "best" else []
    fit(setup, learner, schedule, [*_monitors(setup, schedule), *best, _recorder(setup, folder), checkpoints])
    tell_damaged(setup)
    encoder = _kept(best[0]) if best and best[0].held else learner.encoder
    _write_projector(setup, folder, encoder)
    with replacing(folder / "encoder.keras") as temporary:
        encoder.save(temporary)
    write_report(folder.path)
    minutes = (time.monotonic() - started) / 60
    CONSOLE.print(f"wrote {folder.path}/encoder.keras and report.html in {minutes:.1f} minutes")


def _kept(best: BestEncoder) -> keras.Model:
    """The encoder of the best look."""
    CONSOLE.print("kept the encoder of step {step}, where {score} was highest: {value:.4g}".format(**best.held))
    return load(best.file)


def tell_damaged(setup: Setup) -> None:
    """Says which files went bad while the run read them."""
    if damaged := setup.source.damaged:
        shown = ", ".join(damaged[:3]) + (", ..." if len(damaged) > 3 else "")
        warn(
            f"{len(damaged)} of {setup.source.size} images could no longer be read and were taken for grey: {shown}; "
            "restore them, and train anew if they are many"
        )


def check_images(setup: Setup, folder: RunFolder) -> None:
    """Notes how many images a run learns from; one that goes on shall have the same, or their order would change.

    Raises:
        ConfigError: There are more or fewer of them than when the run began.
    """
    distribution.check_agreed(setup.source.size, "images:")
    path, now = folder / "images.json", {"source": setup.source.name, "size": setup.source.size}
    if not path.is_file():
        write_json(path, now)
    elif (then := json.loads(path.read_text())["size"]) != now["size"]:
        raise ConfigError(
            f"{folder.path} holds a run that began with {then} images of {now['source']}, and now there are "
            f"{now['size']}: restore them, or start anew with another --out"
        )


def _kept_schedule(setup: Setup, folder: RunFolder) -> Schedule:
    """The schedule of the run: what its folder says, so that a continued run keeps it, else made now."""
    path = folder / "schedule.json"
    if path.is_file():
        return Schedule(**json.loads(path.read_text()))
    minutes = setup.config.minutes
    if minutes is not None and distribution.cluster_size() > 1:
        raise ConfigError(f"minutes is {minutes:g}, and every worker would measure other epochs: give --epochs")
    schedule = setup.schedule() if minutes is None else timed_schedule(setup, minutes)
    write_json(path, asdict(schedule))
    return schedule


def timed_schedule(setup: Setup, minutes: float) -> Schedule:
    """As many epochs as fit into the time, by the time that a few steps take here."""
    started = time.monotonic()
    batches = setup.batches()
    probe = setup.learner(Schedule(1, MEASURED_STEPS + 1))
    per_step = float(np.median(step_times(probe, batches, MEASURED_STEPS)))
    left = 60 * minutes * (1 - MONITOR_SHARE) - (time.monotonic() - started)
    steps = max(1, int(left / per_step))
    epochs = max(1, steps // batches.steps_per_epoch)
    CONSOLE.print(f"{per_step * 1000:.0f} ms a step: {minutes:g} minutes are {epochs} epochs")
    # A set too large for one pass in the time gives one short epoch.
    return Schedule(epochs, min(steps, batches.steps_per_epoch))


def step_times(learner: Any, batches: ViewBatches, steps: int) -> npt.NDArray[np.float64]:
    """Seconds of each of some steps of a compiled learner or search, after a first one, which traces."""
    stamps: list[float] = []
    stamp = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: stamps.append(time.monotonic()))
    learner.fit(batches, steps_per_epoch=steps + 1, verbose=0, callbacks=[stamp])
    return np.diff(stamps)


def _every(wanted: int, schedule: Schedule) -> int:
    """Epochs between looks: as wanted, but so that short epochs do not cost more to look at than to train."""
    return max(wanted, math.ceil(schedule.epochs / MOST_LOOKS))


def _monitors(setup: Setup, schedule: Schedule) -> list[Any]:
    config, source = setup.config, setup.source
    size, every = setup.image_size, _every(config.monitor.embeddings_every, schedule)
    spread = monitors.Spread(source, size=size, every=every, seed=config.seed, warn=warn)
    if not source.label_sets:
        return [spread]
    label = next(iter(source.label_sets))
    return [monitors.KNN(source, label=label, size=size, every=every, seed=config.seed), spread]


def warn(sentence: str) -> None:
    """Prints a sentence that should be seen."""
    CONSOLE.print(f"[red]{escape(sentence)}[/]", soft_wrap=True)


def _recorder(setup: Setup, folder: RunFolder) -> monitors.Recorder:
    return monitors.Recorder(
        folder / "metrics.jsonl",
        folder / "tensorboard",
        batch_size=setup.batch_size,
        every=setup.config.monitor.every_steps,
    )


def _show_views(setup: Setup, folder: RunFolder) -> None:
    """What the network is about to see, as a picture and in TensorBoard, with the configuration."""
    batch = {name: values.numpy() for name, values in next(iter(setup.batches().dataset())).items()}
    shown = {name: values[:SHOWN] for name, values in batch.items()}
    images = [resize_crop(setup.source.read(row)[None], setup.image_size)[0] for row in shown["index"]]
    originals = pictures.to_bytes(np.asarray(images))
    sheet = pictures.views_sheet(originals, shown["large"], shown.get("small"))
    pictures.save_png(folder / "pictures" / "views.png", sheet)
    monitors.write_images(folder / "tensorboard", "views", shown["large"].reshape(-1, *setup.input_shape))
    texts = {name: (folder / name).read_text() for name in ("config.json", "architecture.txt")}
    monitors.write_texts(folder / "tensorboard", texts)


def _write_projector(setup: Setup, folder: RunFolder, encoder: keras.Model) -> None:
    """TensorBoard's map of the embeddings of some images."""
    source = at_most(setup.source, 1000, setup.config.seed)
    embeddings = monitors.embed(encoder, source, setup.image_size)
    label = next(iter(source.label_sets), None)
    classes = (*source.label_sets[label], "unknown") if label else ()  # a label of -1 is unknown
    names = [classes[row] for row in source.labels(label)] if label else source.names()
    thumbnails = pictures.thumbnails(source, THUMBNAIL)
    monitors.write_projector(folder / "tensorboard", embeddings, names, thumbnails)
