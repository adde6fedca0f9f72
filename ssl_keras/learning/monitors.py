"""Watching it learn: Keras callbacks that measure, record, show and stop.

Monitors put what they measure into the epoch's ``logs``; :class:`Recorder`, given last, writes all of it.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from ssl_keras.data.evaluation import evaluation_batches
from ssl_keras.data.sources import Source, at_most, open_source
from ssl_keras.learning import distribution, measures

Logs = dict[str, Any]
COLLAPSED_STD = 0.1
"""Below this share of the healthy standard deviation 1/sqrt(D) embeddings count as collapsed. NOTE: our choice."""
COLLAPSED_COSINE = 0.98
"""Above this mean cosine between different images embeddings count as collapsed. NOTE: our choice."""


class DivergedError(ArithmeticError):
    """The loss is no longer a finite number."""


def embed(encoder: keras.Model, source: Source, size: int, batch_size: int = 250) -> npt.NDArray[np.float32]:
    """Embeddings (N, D) of a source's images at ``size`` pixels, in inference mode; each worker makes all of them."""
    images = evaluation_batches(source, size, batch_size).map(lambda batch: batch["image"])
    if not distribution.spans_hosts(encoder.distribute_strategy):
        return np.asarray(encoder.predict(images, verbose=0), np.float32)
    return np.concatenate([np.asarray(encoder(batch, training=False), np.float32) for batch in images])


class KNN(keras.callbacks.Callback):
    """Accuracy in percent of a weighted cosine kNN on frozen embeddings, logged as ``knn``.

    Both halves come from the given source, which should be a training split; images without a label are left out.

    Args:
        source: A labelled source, or how :func:`ssl_keras.open_source` names it.
        label: Which of its label sets.
        size: Side of the images in pixels.
        images: How many images are used, half of them held out.
        k: Neighbours.
        every: Epochs between measurements; the last epoch is always measured.
        seed: Seed of the choice of images.
        data_dir: Where TFDS sets stand.
    """

    def __init__(
        self,
        source: Any,
        *,
        label: str = "label",
        size: int = 32,
        images: int = 4000,
        k: int = 20,
        every: int = 1,
        seed: int = 0,
        data_dir: str | None = None,
    ) -> None:
        super().__init__()
        self.source = at_most(open_source(source, data_dir=data_dir), images, seed)
        self.labels = self.source.labels(label)
        self.classes = len(self.source.label_sets[label])
        # A source may be sorted by class: the halves are drawn.
        known = np.random.default_rng(seed).permutation(np.flatnonzero(self.labels >= 0))
        self.train, self.test = known[: len(known) // 2], known[len(known) // 2 :]
        self.size, self.k, self.every = size, min(k, len(self.train)), every

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Measures and logs."""
        if _due(epoch, self.every, self.params) and logs is not None and self.k:
            embeddings = embed(self.model.encoder, self.source, self.size)
            train, test = embeddings[self.train], embeddings[self.test]
            predicted = measures.knn_predict(train, self.labels[self.train], test, self.classes, self.k)
            logs["knn"] = 100.0 * float(np.mean(predicted == self.labels[self.test]))


class Spread(keras.callbacks.Callback):
    """Label-free health of the embeddings; logs ``embedding_std``, ``rankme`` and ``mean_cosine``, warns of collapse.

    Args:
        source: Images, or how :func:`ssl_keras.open_source` names them.
        size: Side of the images in pixels.
        images: How many are used.
        every: Epochs between measurements; the last epoch is always measured.
        seed: Seed of the choice of images.
        data_dir: Where TFDS sets stand.
        warn: Called with the sentence of an alarm.
    """

    def __init__(
        self,
        source: Any,
        *,
        size: int = 32,
        images: int = 1000,
        every: int = 1,
        seed: int = 0,
        data_dir: str | None = None,
        warn: Callable[[str], None] = print,
    ) -> None:
        super().__init__()
        self.source = at_most(open_source(source, data_dir=data_dir), images, seed)
        self.size, self.every, self.warn = size, every, warn

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Measures, logs, and raises the alarm."""
        if not _due(epoch, self.every, self.params) or logs is None:
            return
        embeddings = embed(self.model.encoder, self.source, self.size)
        logs["embedding_std"] = measures.embedding_std(embeddings)
        logs["rankme"] = measures.rankme(embeddings)
        logs["mean_cosine"] = measures.mean_cosine(embeddings)
        alarm = collapse_alarm(logs["embedding_std"], logs["mean_cosine"], embeddings.shape[1])
        if alarm:
            self.warn(f"epoch {epoch + 1}: {alarm}")


def collapse_alarm(embedding_std: float, mean_cosine: float, size: int) -> str | None:
    """A sentence that says what was seen and what to try, or None when the embeddings are spread out.

    Args:
        embedding_std: Mean over components of the standard deviation of normalised embeddings.
        mean_cosine: Mean cosine between different images, in [-1, 1].
        size: Components of an embedding.
    """
    healthy = 1 / math.sqrt(size)
    # Embeddings after a ReLU share a mean, so a high cosine alone is normal early on; both signs together are not.
    if embedding_std >= COLLAPSED_STD * healthy or mean_cosine <= COLLAPSED_COSINE:
        return None
    return (
        f"the embeddings are collapsing: their standard deviation is {embedding_std:.2g} (healthy: near {healthy:.2g}) "
        f"and different images have a mean cosine of {mean_cosine:.3f}. Try a lower learning rate, a longer warm-up, "
        "a smaller invariance_weight, or more negatives."
    )


class StopAtNaN(keras.callbacks.Callback):
    """Ends training as soon as the loss is not finite, before a checkpoint can be written.

    Raises:
        DivergedError: From ``fit``; the checkpoints written so far are good.
    """

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Looks at the loss."""
        self._check(float((logs or {}).get("loss", 0.0)))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Looks at the weights, which the last update may have broken after its loss was seen."""
        self._check(float(sum(tf.reduce_sum(variable.value) for variable in self.model.learned_variables)))

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            step = self.model.step
            raise DivergedError(
                f"the loss became {loss} at step {step}; checkpoints written before that are good. Start again in "
                "another folder with a lower learning rate or a longer warm-up."
            )


class Recorder(keras.callbacks.Callback):
    """Writes every scalar as a JSON line and to TensorBoard; give it after the monitors whose numbers it writes.

    A term of the loss is its mean since the row before, not Keras's running mean over the epoch.

    Args:
        metrics: The file of JSON lines; a resumed run appends, rows past the model's step are dropped first.
        tensorboard: Folder of the event files.
        batch_size: Images in a global batch, for images/s.
        every: Steps between rows inside an epoch.
    """

    def __init__(self, metrics: Path, tensorboard: Path, *, batch_size: int, every: int = 50) -> None:
        super().__init__()
        self.metrics, self.tensorboard = metrics, tensorboard
        self.batch_size, self.every = batch_size, every
        self._file: TextIO | None = None
        self._clock = (0.0, 0)
        self._batches, self._row = 0, (0, dict[str, float]())

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Opens the files."""
        keep_until(self.metrics, self.model.step)
        self._file = self.metrics.open("a")
        self._writer = tf.summary.create_file_writer(str(self.tensorboard))
        self._clock = (time.perf_counter(), self.model.step)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Writes a row every few steps."""
        self._batches = batch + 1
        if self.model.step % self.every == 0:
            self._write({**self._since_row(logs or {}), "images_per_s": self._rate()})

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Starts the clock again, so that the monitors' time does not count as training time."""
        self._clock = (time.perf_counter(), self.model.step)
        self._batches, self._row = 0, (0, {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes the epoch's row with all that the monitors measured."""
        self._write({"epoch": epoch + 1, **self._since_row(logs or {})})

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Closes the files."""
        if self._file:
            self._file.close()
            self._writer.close()

    def _since_row(self, logs: Logs) -> Logs:
        """The logs, terms averaged over the batches since the last row, and left out if there are none."""
        terms = {name: float(logs[name]) for metric in self.model.metrics if (name := metric.name) in logs}
        (before, means), now = self._row, self._batches
        self._row = (now, terms)
        others = {name: value for name, value in logs.items() if name not in terms}
        if now == before:
            return others
        since = {name: (now * mean - before * means.get(name, 0.0)) / (now - before) for name, mean in terms.items()}
        return since | others

    def _rate(self) -> float:
        (then, at), now, step = self._clock, time.perf_counter(), self.model.step
        self._clock = (now, step)
        return (step - at) * self.batch_size / max(now - then, 1e-9)

    def _write(self, scalars: Logs) -> None:
        step = self.model.step
        row = {"step": step, **{name: float(value) for name, value in scalars.items()}}
        row["learning_rate"] = float(self.model.optimizer.learning_rate.numpy())
        if getattr(self.model, "target_decay", None):
            row["target_decay"] = float(self.model.target_decay(step))
        assert self._file is not None
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        with self._writer.as_default(step=step):
            for name, value in row.items():
                if name != "step":
                    tf.summary.scalar(name, value)


def keep_until(file: Path, step: int) -> None:
    """Drops the rows of a file of JSON lines past a step, which a run that goes on writes again; makes the file.

    A last row that was cut short, by a full disk say, is dropped too.
    """
    rows = file.read_text().splitlines() if file.exists() else []
    whole = [row for row in rows if row.endswith("}")]
    temporary = file.with_name(f".{file.name}")
    temporary.write_text("".join(f"{row}\n" for row in whole if json.loads(row)["step"] <= step))
    temporary.replace(file)


def write_texts(tensorboard: Path, texts: dict[str, str]) -> None:
    """Shows texts (configuration, architecture) in TensorBoard."""
    with tf.summary.create_file_writer(str(tensorboard)).as_default(step=0):
        for name, text in texts.items():
            tf.summary.text(name, f"```\n{text}\n```")


def write_images(tensorboard: Path, name: str, images: npt.NDArray[Any]) -> None:
    """Shows images (N, H, W, 3), floats in [0, 1] or uint8, in TensorBoard."""
    with tf.summary.create_file_writer(str(tensorboard)).as_default(step=0):
        tf.summary.image(name, images, max_outputs=len(images))


def write_tuning(tensorboard: Path, choices: Mapping[str, Sequence[Any]], metrics: Sequence[str]) -> None:
    """Tells TensorBoard's HParams what is tuned, and by what it is judged.

    Args:
        tensorboard: Folder of the event files, below which every trial has one.
        choices: Hyper-parameter to its values, numbers or texts.
        metrics: Names of the numbers to show of a trial, the objective first.
    """
    with tf.summary.create_file_writer(str(tensorboard)).as_default(step=0):
        params = [hparams.HParam(name, hparams.Discrete(list(values))) for name, values in choices.items()]
        hparams.hparams_config(params, [hparams.Metric(name) for name in metrics])


def write_trial(tensorboard: Path, values: Mapping[str, Any], metrics: Mapping[str, float], architecture: str) -> None:
    """Shows a trial in TensorBoard's HParams. NOTE: KerasTuner logs none of what its ``fit`` returns.

    Args:
        tensorboard: Folder of the trial's event files.
        values: Of the hyper-parameters.
        metrics: What it came to.
        architecture: Its network, shown as text.
    """
    with tf.summary.create_file_writer(str(tensorboard)).as_default(step=0):
        hparams.hparams(dict(values), trial_id=tensorboard.name)
        tf.summary.text("architecture", f"`{architecture}`")
        for name, value in metrics.items():
            tf.summary.scalar(name, value)


def write_projector(
    tensorboard: Path,
    embeddings: npt.NDArray[np.float32],
    labels: Sequence[str],
    images: npt.NDArray[np.uint8] | None = None,
) -> None:
    """Writes TensorBoard's projector files: vectors, labels, and a sprite of thumbnails.

    Args:
        tensorboard: Folder of the event files.
        embeddings: (N, D).
        labels: N texts.
        images: Square thumbnails (N, s, s, 3), or None.
    """
    tensorboard.mkdir(parents=True, exist_ok=True)
    np.savetxt(tensorboard / "vectors.tsv", embeddings, delimiter="\t", fmt="%.5g")
    (tensorboard / "metadata.tsv").write_text("".join(f"{label}\n" for label in labels))
    lines = ["embeddings {", '  tensor_path: "vectors.tsv"', '  metadata_path: "metadata.tsv"']
    if images is not None:
        side = math.ceil(math.sqrt(len(images)))
        tiles = np.zeros((side * side, *images.shape[1:]), np.uint8)
        tiles[: len(images)] = images
        size = images.shape[1]
        sprite = tiles.reshape(side, side, size, size, 3).swapaxes(1, 2).reshape(side * size, side * size, 3)
        (tensorboard / "sprite.png").write_bytes(tf.io.encode_png(sprite).numpy())
        lines += ['  sprite { image_path: "sprite.png"', f"    single_image_dim: {size} single_image_dim: {size} }}"]
    (tensorboard / "projector_config.pbtxt").write_text("\n".join([*lines, "}"]) + "\n")


def _due(epoch: int, every: int, params: dict[str, Any]) -> bool:
    return (epoch + 1) % every == 0 or epoch + 1 == params.get("epochs")
