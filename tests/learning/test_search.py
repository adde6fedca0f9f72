"""The search: what moves when, through what, and what comes out."""

from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf

import ssl_keras as sk
from ssl_keras.learning.learner import Learner

SPACE = "conv_c4 | basic_r{1,2}_k{3,5}_c4 | mbconv_s2_e{3,6}_c{8,16}"
IMAGES = np.random.default_rng(0).integers(0, 256, (64, 12, 12, 3), np.uint8)
BUDGET = sk.Budget(macs=1.8e5)


def supernet(space=SPACE):
    return sk.build_supernet(space, (12, 12, 3))


def relicv2(**settings):
    usual = {"projector": sk.Projector(16, 16, 8), "predictor": sk.Predictor(8, 16, 8), "negatives": 4}
    return sk.ReLICv2(supernet(), **{**usual, **settings})


def search_of(learner=None, *, steps=8, compiled=True, **settings):
    found = sk.ArchitectureSearch(learner or relicv2(), BUDGET, **{"steps": steps, "warmup": 0.5, **settings})
    if compiled:
        found.compile(keras.optimizers.SGD(0.05, momentum=0.9))
    return found


def batches(source=IMAGES, batch_size=8, **settings):
    return sk.view_batches(source, sk.Views.preset(32, size=12), batch_size, seed=1, **settings)


def fit(search, steps, source=None):
    return search.fit(source or batches(), steps_per_epoch=steps, verbose=0).history


def copies(variables):
    return [np.array(variable) for variable in variables]


class Counting(Learner):
    """Counts how often its objective is traced; its loss is the embedding's mean square."""

    def __init__(self):
        super().__init__(supernet(), terms=("loss",), seed=0, name="counting")
        self.traced = 0

    @property
    def learned_variables(self):
        return self.encoder.trainable_variables

    def objective(self, batch):
        self.traced += 1
        return {"loss": tf.reduce_mean(self.encoder(self.fold(batch["large"]), training=True) ** 2)}


@pytest.fixture(scope="module")
def walked():
    """A search of eight steps, four of them warm-up, and what it was after six of them."""
    learner = Counting()
    search = search_of(learner, steps=8, every=2)
    logs, traces, logits = [], [], []
    for _ in range(8):
        logs.append(fit(search, 1))
        traces.append(learner.traced)
        logits.append(copies(search.architecture_variables))
    return search, logs, traces, logits


def test_the_architecture_rests_in_the_warm_up_and_then_moves_every_second_step(walked):
    _, _, _, logits = walked
    moved = [any(np.any(a != b) for a, b in zip(one, two, strict=True)) for one, two in pairwise(logits)]
    assert moved == [False, False, False, True, False, True, False]  # between steps 1-2, ..., 7-8
    assert not any(np.any(row) for row in logits[3])


def test_no_choice_is_traced_again(walked):
    """One graph with the weights' step alone, one that compares two networks before it, whatever the choices were."""
    _, _, traces, _ = walked
    assert traces[3] == traces[0] == 1
    assert traces[-1] == traces[4] == 4


def test_the_logs_name_both_losses(walked):
    _, logs, _, _ = walked
    assert set(logs[-1]) == {"loss", "architecture_loss"}
    assert logs[0]["architecture_loss"] == [0.0] and logs[4]["architecture_loss"][0] > 0


def test_the_variables_are_disjoint_and_complete():
    search = search_of(compiled=False)
    weights, logits = search.learner.learned_variables, search.architecture_variables
    assert not {id(variable) for variable in weights} & {id(variable) for variable in logits}
    assert len(logits) == len(search.space.decisions)
    target = search.learner.target_encoder.trainable_variables + search.learner.target_projector.trainable_variables
    everything = {id(variable) for variable in search.trainable_variables}
    assert everything == {id(variable) for variable in [*weights, *logits, *target]}


@pytest.mark.slow
def test_the_weights_do_not_move_in_the_architecture_step():
    """With a rate of 0 for the weights, only logits move; with 0 for the logits, only weights."""
    for weights_rate, logits_rate in ((0.0, 0.1), (0.1, 0.0)):
        search = search_of(warmup=0.0, compiled=False)
        search.compile(keras.optimizers.SGD(weights_rate), keras.optimizers.SGD(logits_rate))
        before = copies(search.learner.learned_variables), copies(search.architecture_variables)
        fit(search, 2)
        after = copies(search.learner.learned_variables), copies(search.architecture_variables)
        changed = [any(np.any(a != b) for a, b in zip(*pair, strict=True)) for pair in zip(before, after, strict=True)]
        assert changed == [weights_rate > 0, logits_rate > 0]


def test_the_halves_are_disjoint_and_complete():
    one, other = batches().halves()
    rows = [set(half.source.indices) for half in (one, other)]
    assert not rows[0] & rows[1] and rows[0] | rows[1] == set(range(len(IMAGES)))
    assert one.seed == batches().seed and one.views == batches().views
    with pytest.raises(ValueError, match="half of the 64 images"):
        batches(batch_size=40).halves()


def test_each_part_learns_from_its_own_half():
    """A label says which image it is; a batch of the architecture's lasts from one of its steps to the next."""
    search = search_of(steps=10, warmup=0.3, every=2)
    source = sk.open_source(IMAGES, labels=np.arange(len(IMAGES)))
    one, other = batches(source, label="label").halves()
    seen = {"weights": [], "architecture": []}
    pairs = search._paired(one, other)
    assert pairs.options().autotune.enabled is False
    for batch in pairs.take(9):
        for part, rows in seen.items():
            rows.append(batch[part]["label"].numpy())
    assert set(np.ravel(seen["weights"])) <= set(one.source.indices)
    assert set(np.ravel(seen["architecture"])) <= set(other.source.indices)
    changes = [bool(np.any(a != b)) for a, b in pairwise(seen["architecture"])]
    assert search.phases.first_move == 3 and changes == [False, False, False, False, True, False, True, False]


def test_online_and_target_network_pass_through_the_same_choices(monkeypatch):
    search = search_of(compiled=False)
    taken = []
    inner = type(search.encoder).call
    monkeypatch.setattr(
        type(search.encoder),
        "call",
        lambda self, images, choices=None, training=False: (
            taken.append({name: np.array(row) for name, row in self._standing.choices.items()}),
            inner(self, images, choices, training),
        )[1],
    )
    search.learner.compile(keras.optimizers.SGD(0.1))
    batch = next(iter(batches().dataset()))
    search._objective(search._choices(tf.constant(3, tf.int64), salt=0), batch)
    assert len(taken) == 2
    for name in taken[0]:
        np.testing.assert_array_equal(taken[0][name], taken[1][name])


def test_warm_up_draws_every_value_alike_and_hard():
    search = search_of(compiled=False)
    counts = {name: np.zeros(len(values)) for name, values in search.space.decisions.items()}
    for step in range(300):
        for name, row in search._choices(tf.constant(step, tf.int64), salt=0, warming=tf.constant(True)).items():
            assert sorted(np.array(row)) == [0, 1]
            counts[name] += row
    for row in counts.values():
        assert np.all(np.abs(row / 300 - 1 / len(row)) < 0.12)


def test_the_weights_begin_as_the_widest_networks_and_all_else_is_drawn_from_the_start():
    search = search_of(steps=100, warmup=0.8, widest_first=0.5, compiled=False)
    taken = {name: [] for name in search.space.decisions}
    for step in range(100):
        (drawn,) = search._taken(tf.constant(step, tf.int64))
        for name, values in search.space.decisions.items():
            taken[name].append(values[int(np.argmax(drawn[name]))])
    widths = {name for name in taken if name.endswith((".c", ".e"))}
    assert widths and widths != set(taken)
    for name, values in search.space.decisions.items():
        assert set(taken[name][:40]) == ({max(values)} if name in widths else set(values))
        assert set(taken[name][40:]) == set(values)


@pytest.mark.parametrize(("estimator", "hard"), [("soft", False), ("gumbel", False), ("straight_through", True)])
def test_the_choices_follow_from_step_and_seed_and_carry_a_gradient(estimator, hard):
    search = search_of(estimator=estimator, compiled=False)
    with tf.GradientTape() as tape:
        first = search._choices(tf.constant(5, tf.int64), salt=1)
        value = first["stage2.k"][0]
    again = search._choices(tf.constant(5, tf.int64), salt=1)
    for name, row in first.items():
        np.testing.assert_array_equal(row, again[name])
        assert np.sum(row) == pytest.approx(1) and set(np.array(row)) <= {0, 1} if hard else np.all(row > 0)
    assert np.any(tape.gradient(value, search._logits["stage2.k"].value))


@pytest.mark.slow
def test_the_budget_alone_is_hit():
    """Without a loss that cares, the expected cost goes to the budget, from above and from below."""
    for macs in (1.3e5, 2.4e5):
        search = sk.ArchitectureSearch(Counting(), sk.Budget(macs=macs), steps=40, warmup=0.0, every=1, cost_weight=1e3)
        search.compile(keras.optimizers.SGD(0.0), keras.optimizers.Adam(0.1))
        fit(search, 40)
        assert search.expected_cost() == pytest.approx(macs, rel=0.2)
        assert sk.cost(search.derive(), (12, 12, 3)).macs == pytest.approx(macs, rel=0.1)  # what the space offers


@pytest.mark.slow
def test_entropy_weight_makes_up_its_mind():
    entropies = []
    for weight in (0.0, 20.0):
        search = search_of(steps=20, warmup=0.0, every=1, cost_weight=0.0, entropy_weight=weight)
        fit(search, 20)
        entropies.append(search.entropy())
    assert entropies[1] < entropies[0] - 0.1
    assert search_of(compiled=False).entropy() == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"order": 2, "estimator": "soft"},
        {"sandwich": True, "samples": 3},
        {"estimator": "straight_through"},
        {"estimator": "gumbel"},
    ],
)
def test_every_way_of_searching_runs_and_ends_in_a_network_of_the_space(settings):
    search = search_of(warmup=0.25, **settings)
    history = fit(search, 8)
    assert all(np.isfinite(history["loss"])) and all(np.isfinite(history["architecture_loss"]))
    search.space.picks_of(search.derive())


def test_the_score_is_the_gradient_of_the_expected_loss(monkeypatch):
    """Mean over many draws against the sum over all networks, for losses that are a table of the choices."""
    search = search_of(compiled=False)
    generator = np.random.default_rng(0)
    worth = {
        name: generator.normal(size=len(values)).astype("float32") for name, values in search.space.decisions.items()
    }
    for logits in search.architecture_variables:
        logits.assign(generator.normal(size=logits.shape))

    def loss(taken):
        first, *others = (tf.reduce_sum(taken[name] * row) for name, row in worth.items())
        return first * others[0] + tf.add_n(others)  # decisions that interact

    monkeypatch.setattr(search, "_objective", lambda taken, batch: {"loss": loss(taken)})
    variables = [variable.value for variable in search.architecture_variables]

    @tf.function
    def one(step):
        with tf.GradientTape() as tape:
            compared = search._compared({}, step)
        return compared, tape.gradient(compared, variables)

    draws = [one(tf.constant(step, tf.int64)) for step in range(4000)]
    with tf.GradientTape() as tape:
        expected = loss(sk.choices.softmax(search._logits))
    wanted = tape.gradient(expected, variables)  # the loss is multilinear, so its mean is that of the mean choices
    assert np.mean([value for value, _ in draws]) == pytest.approx(float(expected), abs=0.06)
    signal = []
    for index, gradient in enumerate(wanted):
        found = np.array([gradients[index] for _, gradients in draws])
        error = found.std(axis=0) / np.sqrt(len(found))
        assert np.all(np.abs(found.mean(axis=0) - gradient) < 4.5 * error + 1e-6)
        signal.append(np.linalg.norm(gradient) / np.linalg.norm(error))
    assert max(signal) > 8


@pytest.mark.slow
def test_a_search_with_labels_is_a_search_of_another_learner():
    search = search_of(sk.Supervised(supernet(), 3))
    source = sk.open_source(IMAGES, labels=np.arange(len(IMAGES)) % 3)
    history = fit(search, 8, batches(source, label="label"))
    assert {"accuracy", "architecture_loss"} < set(history)


def test_soft_and_hard_loss_agree_when_decided():
    search = search_of(compiled=False)
    search.learner.compile(keras.optimizers.SGD(0.1))
    batch = next(iter(batches().dataset()))
    soft, hard = search.gap(batch)
    assert abs(soft - hard) > 1e-4
    assert search.gap(batch) == (soft, hard)  # it changes nothing
    for logits in search.architecture_variables:
        logits.assign(50.0 * np.eye(logits.shape[0])[0])
    soft, hard = search.gap(batch)
    assert soft == pytest.approx(hard, abs=1e-5)


def test_an_inherited_loss_is_that_of_the_network_whatever_the_logits_say():
    search = search_of(compiled=False)
    search.learner.compile(keras.optimizers.SGD(0.1))
    batch = next(iter(batches().dataset()))
    first, last = ({name: values[place] for name, values in search.space.decisions.items()} for place in (0, -1))
    losses = [search.inherited_loss(picks, batch) for picks in (first, last)]
    assert abs(losses[0] - losses[1]) > 1e-4
    assert search.inherited_loss(search.space.freeze(last), batch) == losses[1]
    for logits in search.architecture_variables:
        logits.assign(50.0 * np.eye(logits.shape[0])[0])
    assert search.gap(batch)[1] == pytest.approx(losses[0], abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"budget": None}, "Budget"),
        ({"budget": sk.Budget(macs=1e9)}, "out of reach"),
        ({"steps": 0}, "steps is 0"),
        ({"warmup": 1.0}, "warmup is 1"),
        ({"widest_first": 1.5}, "widest_first is 1.5"),
        ({"estimator": "hard"}, "no estimator is called 'hard'"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(settings, message):
    given = {"budget": BUDGET, "steps": 8, **settings}
    with pytest.raises(ValueError, match=message):
        sk.ArchitectureSearch(Counting(), given.pop("budget"), **given)


def test_an_encoder_has_nothing_to_search():
    learner = sk.Supervised(sk.build_encoder("conv_c4", (12, 12, 3)), 3)
    with pytest.raises(ValueError, match="build_supernet"):
        sk.ArchitectureSearch(learner, BUDGET, steps=8)


def test_steps_per_execution_is_refused():
    with pytest.raises(ValueError, match="steps_per_execution"):
        search_of(compiled=False).compile(keras.optimizers.SGD(0.1), steps_per_execution=4)


@pytest.mark.slow
def test_the_space_of_proxyless_nas_takes_a_step_of_both_kinds_at_224_pixels():
    """21 stages that decide separately; two images, heads of the usual kind but small."""
    net = sk.build_supernet(sk.families.get("proxyless_space"), (224, 224, 3))
    learner = sk.ReLICv2(
        net,
        projector=sk.Projector(1280, 32, 16),
        predictor=sk.Predictor(16, 32, 16),
        negatives=0,
        target_decay=None,
        loss=sk.NTXentLoss(),
    )
    search = sk.ArchitectureSearch(learner, sk.Budget(macs=3e8), steps=2, warmup=0.0, every=1)
    search.compile(keras.optimizers.SGD(0.01))
    assert search.space.size > 1e15
    images = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3), np.uint8)
    views = sk.Views.preset(224, large=2, small=0)
    history = search.fit(sk.view_batches(images, views, 2), steps_per_epoch=1, verbose=0).history
    assert np.isfinite(history["loss"][0]) and any(np.any(logits) for logits in search.architecture_variables)
    assert sk.cost(search.derive(), (224, 224, 3)).macs == pytest.approx(3e8, rel=0.03)
