"""Monitors: what they measure, write, and when they raise the alarm."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import ssl_keras as sk
from ssl_keras.learning import monitors
from ssl_keras.learning.checkpoints import Checkpoints


def separable(n=80):
    """Two classes that differ in brightness."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    images = rng.integers(0, 60, (n, 8, 8, 3)) + 150 * labels[:, None, None, None]
    return sk.open_source(images.astype(np.uint8), labels=labels)


def learner(rate=0.01, seed=0):
    encoder = sk.build_encoder("conv_c4", (8, 8, 3), seed=seed)
    model = sk.ReLICv2(
        encoder,
        projector=sk.Projector(4, 8, 4),
        predictor=sk.Predictor(4, 8, 4),
        loss=sk.ReLICv2Loss(0.2, 1.0, 1.0),
        negatives=0,
        target_decay=sk.TargetDecay(0.9, 10),
    )
    model.compile(keras.optimizers.SGD(rate, momentum=0.9))
    return model


def batches(source=None):
    return sk.view_batches(source or separable(), sk.Views.preset(32, size=8), 16)


def test_knn_separates_what_brightness_separates_and_logs_percent():
    model = learner()
    callback = monitors.KNN(separable(), size=8, images=60, k=3)
    logs = model.fit(batches(), verbose=0, callbacks=[callback]).history
    assert logs["knn"][0] > 90


def test_knn_of_a_source_sorted_by_class_without_some_labels():
    source = separable(60)
    order = np.argsort(source.labels(), kind="stable")
    labels = source.labels()[order]
    images = source.array()[order]
    sorted_ = sk.open_source(images, labels=labels)
    sorted_._label_arrays["label"][::7] = -1
    logs = learner().fit(batches(), verbose=0, callbacks=[monitors.KNN(sorted_, size=8, k=50)]).history
    assert logs["knn"][0] > 90


def test_broken_weights_are_never_checkpointed(tmp_path):
    model = learner()
    breaks = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: model.learned_variables[0].assign(model.learned_variables[0] * np.nan)
    )
    with pytest.raises(monitors.DivergedError):
        model.fit(batches(), verbose=0, callbacks=[breaks, monitors.StopAtNaN(), Checkpoints(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_spread_logs_and_warns_only_of_collapse():
    said = []
    model = learner()
    callback = monitors.Spread(separable(), size=8, warn=said.append)
    history = model.fit(batches(), verbose=0, callbacks=[callback]).history
    assert {"embedding_std", "rankme", "mean_cosine"} <= set(history)
    assert not said
    for variable in model.encoder.trainable_variables:
        variable.assign(tf.zeros_like(variable) + (1.0 if "beta" in variable.path else 0.0))
    callback.on_epoch_end(0, {})
    assert len(said) == 1
    assert "collapsing" in said[0]
    assert "learning rate" in said[0]


@pytest.mark.parametrize(
    ("std", "cosine", "alarm"), [(0.125, 0.0, False), (0.001, 0.999, True), (0.001, 0.5, False), (0.1, 0.99, False)]
)
def test_the_alarm_needs_both_signs(std, cosine, alarm):
    assert bool(monitors.collapse_alarm(std, cosine, 64)) == alarm


def test_nan_stops_at_once_and_says_what_to_do():
    model = learner(rate=1e30)
    with pytest.raises(monitors.DivergedError, match=r"at step \d+; .*lower learning rate"):
        model.fit(batches(), epochs=20, verbose=0, callbacks=[monitors.StopAtNaN()])


def test_the_recorder_writes_json_lines_and_the_same_scalars_to_tensorboard(tmp_path):
    model = learner()
    recorder = monitors.Recorder(tmp_path / "metrics.jsonl", tmp_path / "tb", batch_size=16, every=2)
    model.fit(batches(), epochs=2, verbose=0, callbacks=[recorder])
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 5, 6, 8, 10, 10]
    assert [row["epoch"] for row in rows if "epoch" in row] == [1, 2]
    assert ["loss" in row for row in rows] == [True] * 6 + [False]  # nothing new between the last two
    for row in rows:
        if "loss" in row:
            assert row["loss"] == pytest.approx(row["contrastive"] + row["invariance"], rel=1e-4)
        decay = 1 - 0.1 * (math.cos(math.pi * row["step"] / 10) + 1) / 2
        assert row["target_decay"] == pytest.approx(decay, rel=1e-5)
    written = {}
    for file in (tmp_path / "tb").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                written[event.step, value.tag] = float(tf.make_ndarray(value.tensor))
    assert written[5, "loss"] == pytest.approx(rows[2]["loss"], rel=1e-5)
    assert {tag for _, tag in written} >= {"loss", "contrastive", "invariance", "learning_rate", "images_per_s"}


def test_rows_hold_the_mean_since_the_row_before_not_the_epochs_running_mean(tmp_path):
    model, each = learner(), []
    tell = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: each.append((batch + 1, logs["loss"])))
    recorder = monitors.Recorder(tmp_path / "metrics.jsonl", tmp_path / "tb", batch_size=16, every=2)
    model.fit(batches(), epochs=2, verbose=0, callbacks=[tell, recorder])
    sums = [n * mean for n, mean in each]
    losses = [total - (0 if n == 1 else before) for (n, _), total, before in zip(each, sums, [0, *sums], strict=False)]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    wanted = [losses[0:2], losses[2:4], losses[4:5], losses[5:6], losses[6:8], losses[8:10]]
    assert [row["loss"] for row in rows if "loss" in row] == pytest.approx([np.mean(w) for w in wanted], rel=1e-4)


def test_a_resumed_recorder_drops_rows_past_the_models_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0, "loss": 1}\n{"step": 7, "loss": 2}\n')
    model = learner()
    model.fit(batches(), verbose=0, callbacks=[monitors.Recorder(path, tmp_path / "tb", batch_size=16, every=100)])
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 5]


def test_projector_files_name_every_image(tmp_path):
    images = np.zeros((5, 4, 4, 3), np.uint8)
    monitors.write_projector(tmp_path, np.eye(5, 3, dtype=np.float32), list("abcde"), images)
    assert np.loadtxt(tmp_path / "vectors.tsv").shape == (5, 3)
    assert (tmp_path / "metadata.tsv").read_text().split() == list("abcde")
    assert tf.io.decode_png((tmp_path / "sprite.png").read_bytes()).shape == (12, 12, 3)
    assert "single_image_dim: 4" in (tmp_path / "projector_config.pbtxt").read_text()


def test_a_restored_run_ends_bit_identical_to_an_uninterrupted_one(tmp_path):
    whole = learner()
    whole.fit(batches(), epochs=4, verbose=0)
    first = learner()
    first.fit(batches(), epochs=2, verbose=0, callbacks=[Checkpoints(tmp_path)])
    second = learner(seed=9)
    assert Checkpoints(tmp_path).restore(second) == 10
    second.fit(batches(), epochs=4, initial_epoch=2, verbose=0)
    for a, b in zip(whole.weights, second.weights, strict=True):
        if "seed" not in a.path:
            np.testing.assert_array_equal(a, b, err_msg=a.path)
    for a, b in zip(whole.optimizer.variables, second.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_a_row_that_was_cut_short_is_dropped_and_the_run_goes_on(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 2}\n{"step": 4}\n{"step": 6, "lo')
    monitors.keep_until(file, 5)
    assert file.read_text() == '{"step": 2}\n{"step": 4}\n'
    assert [item.name for item in tmp_path.iterdir()] == ["metrics.jsonl"]
