"""Bad days of a checkpoint: cut short, no space, another network, a signal; the one before it counts."""

import os
import signal

import keras
import numpy as np
import pytest

import ssl_keras as sk
from ssl_keras.learning import checkpoints as module
from ssl_keras.learning.checkpoints import BestEncoder, Checkpoints, SaveOnTermination

IMAGES = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3), np.uint8)


def learner(channels=4, seed=0):
    model = sk.ReLICv2(
        sk.build_encoder(f"conv_c{channels}", (8, 8, 3), seed=seed),
        projector=sk.Projector(channels, 8, 4),
        predictor=None,
        negatives=0,
        target_decay=None,
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    return model


def trained(folder, epochs, callbacks=()):
    model = learner()
    batches = sk.view_batches(IMAGES, sk.Views.preset(32, size=8), 8)
    model.fit(batches, epochs=epochs, verbose=0, callbacks=[Checkpoints(folder), *callbacks])
    return model


def values(model):
    return [np.asarray(weight) for weight in model.encoder.weights]


@pytest.fixture
def folder(tmp_path):
    """Checkpoints of steps 4 and 8."""
    trained(tmp_path, 2)
    return tmp_path


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("part", ["ckpt-8.index", "ckpt-8.data-00000-of-00001"])
def test_one_that_was_cut_short_is_told_of_and_the_one_before_it_counts(folder, tmp_path_factory, part):
    cut(folder / part)
    said = []
    model = learner(seed=5)
    assert Checkpoints(folder, warn=said.append).restore(model) == 4
    assert len(said) == 1 and "ckpt-8 cannot be read" in said[0]
    younger = trained(tmp_path_factory.mktemp("younger"), 1)
    for one, other in zip(values(model), values(younger), strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_that_was_removed_is_told_of(folder):
    for file in folder.glob("ckpt-8*"):
        file.unlink()
    said = []
    assert Checkpoints(folder, warn=said.append).restore(learner()) == 4
    assert "ckpt-8" in said[0]


def test_none_that_can_be_read_is_refused_and_never_half_taken(folder):
    for file in folder.glob("ckpt-*.index"):
        cut(file)
    with pytest.raises(OSError, match=r"no checkpoint in .* can be read: remove"):
        Checkpoints(folder, warn=lambda sentence: None).restore(learner())


def test_of_another_network_it_is_refused_by_name(folder):
    with pytest.raises(ValueError, match=r"ckpt-8 is of another network .* choose another folder with --out"):
        Checkpoints(folder).restore(learner(channels=6))


def test_without_space_training_goes_on_and_the_one_before_stays(tmp_path, monkeypatch):
    said = []
    model = trained(tmp_path, 1)
    before = sorted(file.name for file in tmp_path.iterdir())
    batches = sk.view_batches(IMAGES, sk.Views.preset(32, size=8), 8)

    def full(self, checkpoint_number):
        (tmp_path / f"ckpt-{checkpoint_number}_temp").mkdir()
        (tmp_path / f"ckpt-{checkpoint_number}.index").write_bytes(b"half")
        raise module.tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.tf.train.CheckpointManager, "save", full)
        callback = Checkpoints(tmp_path, warn=said.append)
        model.fit(batches, epochs=2, initial_epoch=1, verbose=0, callbacks=[callback])
    assert model.step == 8 and len(said) == 1
    assert "no checkpoint of step 8" in said[0] and "No space left" in said[0]
    assert sorted(file.name for file in tmp_path.iterdir()) == before
    assert Checkpoints(tmp_path).restore(learner()) == 4


def test_a_termination_saves_the_step_at_hand_and_leaves_with_status_0(tmp_path):
    said = []
    kept = Checkpoints(tmp_path, warn=said.append)
    former = signal.getsignal(signal.SIGTERM)
    terminates = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: os.kill(os.getpid(), signal.SIGTERM) if batch == 2 else None
    )
    with pytest.raises(SystemExit) as left:
        trained(tmp_path / "unused", 2, [terminates, SaveOnTermination(kept)])
    assert left.value.code == 0
    assert Checkpoints(tmp_path).restore(learner()) == 3
    assert "step 3, which is saved: the same command" in said[0]
    assert signal.getsignal(signal.SIGTERM) is former


def test_a_termination_at_an_epochs_last_batch_lets_the_epoch_be_measured_first(tmp_path):
    measured = []
    kept = Checkpoints(tmp_path, warn=lambda sentence: None)
    terminates = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: os.kill(os.getpid(), signal.SIGTERM) if batch == 3 else None,
        on_epoch_end=lambda epoch, logs: measured.append(epoch),
    )
    with pytest.raises(SystemExit) as left:
        trained(tmp_path / "unused", 2, [terminates, SaveOnTermination(kept)])
    assert left.value.code == 0 and measured == [0]
    assert Checkpoints(tmp_path).restore(learner()) == 4


def test_of_a_worker_that_is_not_the_chief_nothing_is_removed(folder, monkeypatch):
    """Its own space ran out, not the chief's."""

    def full(self, **settings):
        raise OSError("No space left on device")

    monkeypatch.setattr(module.distribution, "is_chief", lambda: False)
    monkeypatch.setattr(module.tf.train.CheckpointManager, "save", full)
    model = learner()
    Checkpoints(folder).restore(model)
    before = sorted(folder.iterdir())
    assert not Checkpoints(folder, warn=lambda sentence: None).save(model)
    assert sorted(folder.iterdir()) == before


class Told(keras.callbacks.Callback):
    """Logs a score that is known beforehand, and remembers the encoder that it is of."""

    def __init__(self, scores):
        super().__init__()
        self.scores, self.seen = scores, {}

    def on_epoch_end(self, epoch, logs=None):
        if self.scores[epoch] is not None:
            logs["worth"] = self.scores[epoch]
        self.seen[epoch] = values(self.model)


@pytest.mark.parametrize(
    ("scores", "best"),
    [([1.0, 3.0, 2.0], 1), ([None, -1.0, -1.0], 1), ([float("nan"), 0.5, float("nan")], 1), ([1.0, 2.0, 3.0], 2)],
)
def test_the_encoder_of_the_highest_score_is_kept(tmp_path, scores, best):
    told, kept = Told(scores), BestEncoder(tmp_path / "best.keras", "worth")
    trained(tmp_path / "checkpoint", 3, [told, kept])
    assert kept.held == {"score": "worth", "value": scores[best], "step": 4 * (best + 1)}
    for one, other in zip(sk.load(kept.file).weights, told.seen[best], strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_an_interrupted_run_kept_stays_until_a_higher_score(tmp_path):
    kept = BestEncoder(tmp_path / "best.keras", "worth")
    assert kept.held == {}
    trained(tmp_path / "one", 2, [Told([1.0, 3.0]), kept])
    trained(tmp_path / "two", 3, [Told([2.0, 3.0, 2.9]), BestEncoder(kept.file, "worth")])
    assert kept.held["step"] == 8
    trained(tmp_path / "three", 3, [Told([2.0, 3.0, 3.1]), BestEncoder(kept.file, "worth")])
    assert kept.held["step"] == 12


def test_a_full_disk_leaves_what_was_kept_and_ends_no_run(tmp_path, monkeypatch):
    said = []
    kept = BestEncoder(tmp_path / "best.keras", "worth", said.append)
    trained(tmp_path / "one", 1, [Told([1.0]), kept])

    def full(path, *args, **others):
        raise OSError(28, "No space left on device")

    model = learner(seed=3)
    monkeypatch.setattr(type(model.encoder), "save", full)
    kept.set_model(model)
    kept.on_epoch_end(0, {"worth": 2.0})
    assert kept.held["value"] == 1.0
    assert len(said) == 1 and "was not kept" in said[0] and "No space left" in said[0]
