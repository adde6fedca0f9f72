"""The learners' step: what moves, what does not, and by how much."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import ssl_keras as sk
from ssl_keras.learning.distribution import sample_negatives

IMAGES = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), np.uint8)


def views(**overrides):
    return sk.Views.preset(32, size=16, **overrides)


def relicv2(**settings):
    encoder = sk.build_encoder("conv_c4 | basic_s2_c8", (16, 16, 3))
    usual = {"projector": sk.Projector(8, 16, 8), "predictor": sk.Predictor(8, 16, 8), "negatives": 4}
    model = sk.ReLICv2(encoder, **{**usual, **settings})
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    return model


def snapshot(variables):
    return [np.array(variable) for variable in variables]


def test_the_target_is_the_moving_average_after_the_online_step():
    model = relicv2(target_decay=sk.TargetDecay(0.75))
    before = snapshot(model.target_encoder.trainable_variables)
    model.fit(sk.view_batches(IMAGES, views(), 16), verbose=0)
    after = snapshot(model.target_encoder.trainable_variables)
    for old, new, online in zip(before, after, model.encoder.trainable_variables, strict=True):
        np.testing.assert_allclose(new, 0.75 * old + 0.25 * np.array(online), rtol=1e-5, atol=1e-7)


def test_the_target_keeps_statistics_of_its_own():
    model = relicv2(target_decay=sk.TargetDecay(1.0))
    model.fit(sk.view_batches(IMAGES, views(), 8), epochs=2, verbose=0)
    online = snapshot(model.encoder.non_trainable_variables)
    target = snapshot(model.target_encoder.non_trainable_variables)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(online, target, strict=True))
    fresh = snapshot(relicv2().target_encoder.non_trainable_variables)
    assert any(np.abs(a - b).max() > 1e-2 for a, b in zip(fresh, target, strict=True))


def test_small_views_teach_but_leave_the_online_statistics_alone():
    with_small, without = relicv2(), relicv2()
    start = snapshot(with_small.encoder.trainable_variables)
    with_small.fit(sk.view_batches(IMAGES, views(small=2, small_size=8), 16), verbose=0)
    without.fit(sk.view_batches(IMAGES, views(), 16), verbose=0)
    for a, b in zip(with_small.encoder.non_trainable_variables, without.encoder.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)
    different = [
        not np.array_equal(a, b)
        for a, b in zip(with_small.encoder.trainable_variables, without.encoder.trainable_variables, strict=True)
    ]
    assert all(different)
    assert not np.array_equal(start[0], with_small.encoder.trainable_variables[0])


def test_evaluating_learns_nothing_and_uses_the_statistics_that_there_are():
    model = relicv2(target_decay=sk.TargetDecay(0.9))
    batches = sk.view_batches(IMAGES, views(small=1, small_size=8), 8)
    model.fit(batches, epochs=2, verbose=0)
    before = snapshot(model.weights)
    found = model.evaluate(batches, verbose=0, return_dict=True)
    model.steps_per_execution = 3  # does not divide the two steps there are
    assert found == model.evaluate(batches, verbose=0, return_dict=True)
    for old, now in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, now)
    stream = [batch for _, batch in zip(range(batches.steps_per_epoch), batches.dataset(), strict=False)]
    losses = [[float(model.objective(batch, training=mode)["loss"]) for batch in stream] for mode in (False, True)]
    assert found["loss"] == pytest.approx(np.mean(losses[0]), rel=1e-5)
    assert found["loss"] != pytest.approx(np.mean(losses[1]), rel=1e-3)


def test_without_a_target_the_online_projections_are_the_keys_and_learn_from_both_sides():
    model = relicv2(loss=sk.NTXentLoss(), predictor=None, target_decay=None, negatives=0)
    assert model.target_encoder is None and not hasattr(model.predictor, "weights")
    start = snapshot(model.learned_variables)
    batch = next(iter(sk.view_batches(IMAGES, views(), 16).dataset()))
    with tf.GradientTape() as tape:
        loss = model.objective(batch)["loss"]
    got = tape.gradient(loss, model.learned_variables)
    with tf.GradientTape() as tape:
        folded = tf.reshape(batch["large"], (-1, 16, 16, 3))
        projections = model.projector(model.encoder(folded, training=True), training=True)
        projections = tf.transpose(tf.reshape(projections, (16, 2, -1)), (1, 0, 2))
        both = sk.nt_xent_loss(projections, projections)["loss"]
    want = tape.gradient(both, model.learned_variables)
    np.testing.assert_allclose(loss, both, rtol=1e-5)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    model.fit(sk.view_batches(IMAGES, views(), 16), verbose=0)
    assert all(not np.array_equal(a, b) for a, b in zip(start, snapshot(model.learned_variables), strict=True))


def test_byol_is_a_loss_on_the_same_learner():
    history = relicv2(loss=sk.BYOLLoss()).fit(sk.view_batches(IMAGES, views(small=1, small_size=8), 16), verbose=0)
    assert set(history.history) == {"loss"} and 0 < history.history["loss"][0] < 4


def test_unfolding_inverts_folding():
    model = relicv2()
    stacked = tf.reshape(tf.range(3 * 2 * 5, dtype=tf.float32), (3, 2, 5))  # (b, V, D)
    np.testing.assert_array_equal(model.unfold(model.fold(stacked), 2), np.swapaxes(stacked, 0, 1))


def test_the_optimizer_holds_a_slot_for_each_learned_variable_from_the_start():
    model = relicv2()
    learned = {id(variable) for variable in model.learned_variables}
    assert len(learned) == len(model.learned_variables) == len(model.optimizer.momentums)
    assert not learned & {id(variable) for variable in model.target_encoder.variables}
    assert {id(v) for v in model.optimizer._trainable_variables} == learned


def test_supervised_learns_an_easy_set():
    labels = np.arange(64) % 2
    images = (np.zeros((64, 16, 16, 3)) + 40 + 160 * labels[:, None, None, None]).astype(np.uint8)
    model = sk.Supervised(sk.build_encoder("conv_c4", (16, 16, 3)), 2)
    model.compile(keras.optimizers.Adam(0.03))
    source = sk.open_source(images, labels=labels)
    history = model.fit(sk.view_batches(source, views(), 16, label="label"), epochs=12, verbose=0).history
    assert history["accuracy"][-1] > 0.8


@pytest.mark.parametrize("count", [1, 3, 7])
def test_negatives_are_other_images_without_repetition(count):
    for step in range(20):
        drawn = sample_negatives(tf.range(8), 8, count, seed=3, step=step).numpy()
        assert all(len({*row}) == count and anchor not in row for anchor, row in enumerate(drawn))


def test_negatives_are_uniform_and_the_same_on_every_replica():
    drawn = np.concatenate([sample_negatives(tf.range(6), 6, 2, seed=0, step=step) for step in range(600)])
    counts = np.zeros((6, 6))
    np.add.at(counts, (np.tile(np.arange(6), 600)[:, None], drawn), 1)
    assert np.abs(counts[~np.eye(6, dtype=bool)] / 600 - 2 / 5).max() < 0.09  # 4.5 standard deviations
    whole = sample_negatives(tf.range(6), 6, 2, seed=0, step=1).numpy()
    halves = [sample_negatives(tf.range(6)[part], 6, 2, seed=0, step=1).numpy() for part in (slice(3), slice(3, 6))]
    np.testing.assert_array_equal(whole, np.concatenate(halves))


def test_too_many_negatives_name_the_batch():
    with pytest.raises(ValueError, match="batch of at least 9, got 8"):
        sample_negatives(tf.range(8), 8, 8, seed=0, step=0)


def test_an_unknown_strategy_lists_the_known_ones():
    with pytest.raises(ValueError, match="mirrored"):
        sk.strategy("mirror")


def test_the_stream_begins_at_the_models_own_step():
    whole, parts = relicv2(), relicv2()
    stream = sk.view_batches(IMAGES, views(), 8)
    whole.fit(stream, epochs=3, verbose=0)
    for _ in range(3):
        parts.fit(stream, verbose=0)
    for a, b in zip(whole.learned_variables, parts.learned_variables, strict=True):
        np.testing.assert_array_equal(a, b)
