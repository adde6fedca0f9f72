"""A supernet with hard choices is the network that it cuts out, to float rounding, whatever is chosen."""

import itertools
import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

import ssl_keras as sk
from ssl_keras.architecture.grammar import ACTIVATIONS, ArchitectureError, parse
from ssl_keras.networks import blocks
from ssl_keras.networks.recalibration import recalibrate
from ssl_keras.networks.superblocks import SuperBlockBuilder

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}  # sums of the same numbers and zeros, in another order

# Every kind of choice, and every pair of choices of which one decides what the other means.
SPACES = {
    "filters of an image": "conv_c{4,6,7}",
    "kernel, filters in and out of a conv": "conv_c{4,6} | conv_k{1,5}_c{3,4}",
    "conv groups, kernel": "conv_c4 | conv_g2_k{3,5}_c4",
    "maxpool after open filters": "conv_c{4,6} | maxpool_k{3,5} | conv_c4",
    "basic: shortcut hangs on filters": "conv_c{4,6} | basic_r2_c{4,6}",
    "basic: never identity": "conv_c{4,6} | basic_c{5,7}_k{1,3}",
    "basic: identity where one of two": "conv_c4 | basic_c{4,6} | basic_c5",
    "basic: stride, squeeze of open filters": "conv_c{4,8} | basic_r{1,2}_s2_c6_se{0,0.5}",
    "bottleneck: mid width hangs on filters": "conv_c{4,8} | bottleneck_c{4,8}_w128_agelu",
    "bottleneck: groups, kernel": "conv_c{4,8} | bottleneck_r{1,2}_s2_k{3,5}_c16_g2_w32",
    "bottleneck: squeeze and activation": "conv_c{4,8} | bottleneck_c8_se{0.25,0.5}_a{swish,relu6}",
    "mbconv: expansion of open filters": "conv_c{3,4} | mbconv_r2_e{1.5,2}_c{3,4}",
    "mbconv e1: shortcut hangs on filters": "conv_c{3,4} | mbconv_e1_c{4,5}_k{3,5}",
    "mbconv: squeeze ratio and activation": "conv_c{4,8} | mbconv_r2_e2_c4_se{0,0.25,1}_a{hswish,relu}",
    "mbconv first": "mbconv_e{2,3}_c{3,5}",
    "depth": "conv_c4 | mbconv_r{1,2,4}_e2_s2_c5",
    "absent stages": "conv_c4 | basic_r{0,1}_c4 | mbconv_r{0,2}_e2_c4 | conv_r{0,1}_c4",
    "ops": "conv_c{4,6} | {mbconv,basic,bottleneck}_c{4,6} | conv_c4",
    "ops with their own tokens": "conv_c4 | {mbconv,bottleneck}_r{1,2}_s2_e{2,3}_w128_c4_se{0,0.5}",
    "ops that may be absent": "conv_c4 | {mbconv,basic}_r{0,1,2}_e2_c4",
    "every activation": "conv_c4_a{relu,relu6,swish,hswish,gelu}",
}


def images(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def build(text, shape=(9, 8, 3)):
    """A supernet in which no weight of a BN is that of another, so that an absent channel would show."""
    supernet = sk.build_supernet(text, shape)
    rng = np.random.default_rng(1)
    for variable in supernet.weights:
        if len(variable.shape) == 1:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return supernet


def all_picks(space):
    """Every combination of decisions."""
    for values in itertools.product(*space.decisions.values()):
        yield dict(zip(space.decisions, values, strict=True))


def soft(space, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.dirichlet(np.ones(len(values))).astype("float32") for name, values in space.decisions.items()}


def assert_same(supernet, picks, x):
    """In inference and in training mode."""
    encoder, choices = supernet.slice(picks), sk.choices.one_hot(supernet.architecture, picks)
    for training in (False, True):
        whole, alone = supernet(x, choices, training=training).numpy(), encoder(x, training=training).numpy()
        np.testing.assert_allclose(whole[:, : alone.shape[1]], alone, **TOLERANCE)
        assert not whole[:, alone.shape[1] :].any(), "absent channels are exactly 0"
    return encoder


@pytest.mark.parametrize("text", SPACES.values(), ids=SPACES)
def test_hard_choices_are_the_sliced_network(text):
    """Six networks of the space; and what training mode leaves in the BN statistics of the last one."""
    supernet = build(text)
    every = list(all_picks(supernet.architecture))
    for picks in every[:: -(-len(every) // 6)]:
        encoder = assert_same(supernet, picks, images(4, 9, 8, 3))
    for again, trained in zip(supernet.slice(picks).weights, encoder.weights, strict=True):
        np.testing.assert_allclose(again, trained, **TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("text", SPACES.values(), ids=SPACES)
def test_hard_choices_are_the_sliced_network_for_all_of_them(text):
    supernet = build(text)
    for picks in all_picks(supernet.architecture):
        assert_same(supernet, picks, images(4, 9, 8, 3))


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("op", ["conv_c3", "maxpool", "basic_c3", "bottleneck_c4", "mbconv_e2_c3"])
def test_kernels_pad_as_the_smaller_ones_would(op, stride):
    """Odd and even sizes, down to one pixel: "same" padding hangs on size, kernel and stride."""
    op, _, filters = op.partition("_")
    supernet = build(f"{op}_k{{1,3,7}}_s{stride}" + (f"_{filters}" if filters else ""))
    for picks in all_picks(supernet.architecture):
        encoder, choices = supernet.slice(picks), sk.choices.one_hot(supernet.architecture, picks)
        for height, width in ((8, 9), (11, 10), (7, 1)):
            x = images(2, height, width, 3)
            np.testing.assert_allclose(supernet(x, choices), encoder(x), **TOLERANCE)


def test_soft_masks_multiply_the_maps():
    """By hand: what reads channels of which some may be absent reads them times how likely they are."""
    supernet = build("conv_c4 | basic_k3_c{2,4}", (6, 6, 3))
    layer, x = supernet.network.get_layer, images(2, 6, 6, 3)
    share = np.array([1, 1, 0.7, 0.7], "float32")  # the third and fourth channel exist by the wider choice

    def norm(x, name):
        return layer(name)(x, training=True)

    def conv(x, name):
        return tf.nn.conv2d(x, layer(name).kernel, 1, "SAME")

    start = tf.nn.relu(norm(conv(layer("normalization")(x), "stage1_block1_conv"), "stage1_block1_conv_bn"))
    out = tf.nn.relu(norm(conv(start, "stage2_block1_conv1"), "stage2_block1_conv1_bn")) * share
    out = norm(conv(out, "stage2_block1_conv2"), "stage2_block1_conv2_bn") * share
    projected = norm(conv(start, "stage2_block1_shortcut"), "stage2_block1_shortcut_bn") * share
    out = tf.nn.relu(out + 0.7 * start + 0.3 * projected)
    soft = supernet(x, {"stage2.c": np.array([0.3, 0.7], "float32")}, training=True)
    np.testing.assert_allclose(soft, tf.reduce_mean(out, [1, 2]), **TOLERANCE)


@pytest.mark.parametrize("text", SPACES.values(), ids=SPACES)
def test_a_mask_acts_where_it_is_pending_as_it_would_on_the_maps(text, monkeypatch):
    """Soft choices and their gradients, which a mask that acts twice would change."""
    supernet = build(text)
    space, x = supernet.architecture, images(4, 9, 8, 3)

    def outcome(net):
        chances = {name: tf.constant(row) for name, row in soft(space).items()}
        with tf.GradientTape() as tape:
            tape.watch(chances)
            out = net(x, chances, training=True)
            loss = tf.reduce_sum(out * images(*out.shape, seed=5))
        return out, tape.gradient(loss, chances)

    def at_once(self, made, name):
        return self._apply_pending(made, f"{name}_at_once")

    finish, depthwise = SuperBlockBuilder.finish, SuperBlockBuilder.depthwise
    monkeypatch.setattr(
        SuperBlockBuilder,
        "finish",
        lambda self, x, width, name, on: at_once(self, finish(self, x, width, name, on), name),
    )
    monkeypatch.setattr(
        SuperBlockBuilder,
        "depthwise",
        lambda self, x, *, name: at_once(self, depthwise(self, x, name=name), f"{name}_e"),
    )
    plain = sk.build_supernet(text, (9, 8, 3))
    for layer in plain.network.layers:
        if layer.weights:
            layer.set_weights(supernet.network.get_layer(layer.name).get_weights())
    (out, gradients), (plain_out, plain_gradients) = outcome(supernet), outcome(plain)
    np.testing.assert_allclose(out, plain_out, **TOLERANCE)
    for name, gradient in plain_gradients.items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-3, atol=1e-4, err_msg=name)


def test_sizes_that_are_open_until_run_time():
    supernet = build("conv_k{1,3}_s2_c4 | mbconv_k{1,5}_s3_e2_c4")
    sizes = tf.TensorSpec((None, None, None, 3))
    run = tf.function(lambda x, choices: supernet(x, choices))
    run = run.get_concrete_function(sizes, {name: tf.TensorSpec((2,)) for name in supernet.architecture.decisions})
    for picks in all_picks(supernet.architecture):
        choices = sk.choices.one_hot(supernet.architecture, picks)
        for side in (6, 7, 8):
            x = tf.constant(images(2, side, side + 1, 3))
            alone = supernet.slice(picks)(x)
            np.testing.assert_allclose(run(x, tf.nest.map_structure(tf.constant, choices)), alone, **TOLERANCE)


def test_every_activation_keeps_absent_channels_absent():
    for name in ACTIVATIONS:
        assert keras.activations.get(blocks.ACTIVATIONS[name])(np.zeros(1, "float32"))[0] == 0


@pytest.mark.parametrize("hard", [False, True], ids=["soft", "straight-through"])
@pytest.mark.parametrize("text", SPACES.values(), ids=SPACES)
def test_every_decision_gets_a_gradient(text, hard):
    """From the first step on; hard, too, with the smallest network, from which all other candidates are absent."""
    supernet = sk.build_supernet(text, (9, 8, 3))
    logits = {}
    for name, values in supernet.architecture.decisions.items():
        # An absent stage decides nothing else.
        picked = values[-1] if 0 in values and name.endswith(".r") else values[0]
        logits[name] = tf.Variable([0.1 * (value == picked) for value in values])
    x, (_, size) = images(8, 9, 8, 3), supernet.output_shape
    with tf.GradientTape(persistent=True) as tape:
        choices = sk.choices.softmax(logits)
        choices = sk.choices.straight_through(choices) if hard else choices
        squares = (supernet(x, choices, training=True) + 0.1) ** 2
        losses = [tf.reduce_mean(squares * images(8, size, seed=seed)) for seed in (3, 4)]  # one may cancel by chance
    gradients = [tape.gradient(loss, logits) for loss in losses]
    for name in logits:
        assert max(np.abs(gradient[name]).max() for gradient in gradients) > 2e-5, name


def test_one_graph_serves_all_choices():
    supernet = build("conv_c{4,6} | {mbconv,basic}_r{1,2}_k{3,5}_e2_c4_a{relu,swish}")
    space, x = supernet.architecture, tf.constant(images(2, 9, 8, 3))
    run = tf.function(lambda x, choices: supernet(x, choices, training=True))
    logits = {name: np.zeros(len(values), np.float32) for name, values in space.decisions.items()}
    noise = {name: images(len(values)) for name, values in space.decisions.items()}
    ways = [soft(space), sk.choices.gumbel_softmax(logits, noise, 0.5), sk.choices.largest(noise)]
    ways += [sk.choices.straight_through(soft(space, 1)), *(sk.choices.one_hot(space, p) for p in all_picks(space))]
    for choices in ways:
        out = run(x, {name: tf.constant(vector) for name, vector in choices.items()})
        np.testing.assert_allclose(out, supernet(x, choices, training=True), **TOLERANCE)
    assert run.experimental_get_tracing_count() == 1


def test_a_slice_has_the_centres_and_prefixes_of_the_weights():
    supernet = build("conv_c{4,6} | mbconv_k{3,5}_e{2,3}_c{4,5}")
    encoder = supernet.slice("conv_c4 | mbconv_e2_c4")
    large, small = supernet.network.get_layer, encoder.get_layer
    depthwise = "stage2_block1_depthwise"
    np.testing.assert_array_equal(small(depthwise).kernel, large(depthwise).kernel[1:4, 1:4, :8])
    np.testing.assert_array_equal(
        small("stage2_block1_project").kernel, large("stage2_block1_project").kernel[:, :, :8, :4]
    )
    for one, other in zip(small(f"{depthwise}_bn").weights, large(f"{depthwise}_bn").weights, strict=True):
        np.testing.assert_array_equal(one, other[:8])


def test_a_slice_stands_alone():
    supernet = build("conv_c{4,6}")
    encoder = supernet.slice("conv_c4")
    before = supernet.get_weights()
    encoder.set_weights([weight + 1 for weight in encoder.get_weights()])
    for one, other in zip(before, supernet.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_of_equal_stages_picks_say_which_is_kept():
    supernet = build("conv_c4 | conv_r{0,1}_c4 | conv_r{0,1}_c4")
    first, second = {"stage2.r": 1, "stage3.r": 0}, {"stage2.r": 0, "stage3.r": 1}
    kernels = [supernet.network.get_layer(f"stage{number}_block1_conv").kernel for number in (2, 3)]
    for picks, kernel in ((first, kernels[0]), ("conv_c4 | conv_c4", kernels[0]), (second, kernels[1])):
        np.testing.assert_array_equal(supernet.slice(picks).get_layer("stage2_block1_conv").kernel, kernel)


def test_a_network_of_the_space_by_its_string_or_its_picks():
    supernet = build("conv_c{4,6} | {mbconv,basic}_r{1,2}_k{3,5}_e2_c4")
    for picks in all_picks(supernet.architecture):
        network = supernet.architecture.freeze(picks)
        by_string, by_picks = (sk.choices.one_hot(supernet.architecture, way) for way in (network, picks))
        for name, vector in by_picks.items():
            np.testing.assert_array_equal(vector, by_string[name])
    assert str(supernet.slice(network).architecture) == str(network)


def test_recalibration_changes_statistics_that_served_many_networks():
    supernet = sk.build_supernet("conv_c{4,8} | mbconv_k{3,7}_e2_c4", (8, 8, 3))
    batches = [images(16, 8, 8, 3, seed=seed) for seed in range(3)]
    for _ in range(4):
        for picks in all_picks(supernet.architecture):
            supernet(batches[0], sk.choices.one_hot(supernet.architecture, picks), training=True)
    encoder, raw = (supernet.slice("conv_c4 | mbconv_e2_c4") for _ in range(2))
    recalibrate(encoder, batches)
    # The supernet itself, under the choices of that network, is brought to the same statistics.
    with supernet.choosing(sk.choices.one_hot(supernet.architecture, parse("conv_c4 | mbconv_e2_c4"))):
        recalibrate(supernet, batches)
        np.testing.assert_allclose(supernet(batches[1]), encoder(batches[1]), **TOLERANCE)
    off = [np.abs(network(batches[0]) - network(batches[0], training=True)).mean() for network in (raw, encoder)]
    assert off[1] < 0.2 * off[0]


def test_predict_answers_for_the_choices_at_hand():
    supernet, x = build("conv_c{4,6} | basic_k{3,5}_c4"), images(4, 8, 8, 3)
    for text in ("conv_c4 | basic_c4", "conv_c6 | basic_k5_c4"):
        choices = sk.choices.one_hot(supernet.architecture, parse(text))
        with supernet.choosing(choices):
            np.testing.assert_allclose(supernet.predict(x, verbose=0), supernet(x, choices), **TOLERANCE)


def test_a_learner_takes_a_supernet_for_an_encoder():
    supernet = build("conv_c{4,6} | basic_k{3,5}_c4")
    learner = sk.ReLICv2(supernet, projector=sk.Projector(4, 6, 5), predictor=sk.Predictor(5, 6, 5), negatives=2)
    batch = {"large": tf.constant(images(4, 2, 9, 8, 3))}
    learner.compile(keras.optimizers.SGD(0.1))
    vectors = {name: tf.Variable(vector) for name, vector in soft(supernet.architecture).items()}
    with tf.GradientTape() as tape, supernet.choosing(vectors), learner.target_encoder.choosing(vectors):
        loss = learner.objective(batch)["loss"]
    gradients = tape.gradient(loss, [*vectors.values(), *learner.learned_variables])
    assert all(gradient is not None for gradient in gradients)


TWO_REPLICAS = """
    import json, sys, numpy as np, tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    import ssl_keras as sk

    x = np.random.default_rng(0).random((8, 9, 8, 3), np.float32)
    for name in ("none", "mirrored"):
        strategy = sk.strategy(name)
        with strategy.scope():
            supernet = sk.build_supernet("conv_c{4,6} | basic_k{3,5}_c{4,6}_a{relu,swish}", (9, 8, 3))
            logits = {key: tf.Variable(tf.zeros(2), aggregation=tf.VariableAggregation.SUM)
                      for key in supernet.architecture.decisions}

        def gradients():
            me, all = (tf.distribute.get_replica_context().replica_id_in_sync_group, strategy.num_replicas_in_sync)
            mine = tf.constant(x)[me * 8 // all : (me + 1) * 8 // all]
            with tf.GradientTape() as tape, supernet.choosing(sk.choices.softmax(logits)):
                loss = sum(tf.reduce_sum(supernet(views, training=True) ** 3) for views in (mine, mine[:, :7]))
            return tape.gradient(loss, [logits[key] for key in sorted(logits)])

        parts = tf.function(lambda: strategy.run(gradients))()
        totals = [strategy.reduce("sum", part, axis=None).numpy().tolist() for part in parts]
        print(json.dumps(totals))
    """


@pytest.mark.slow
def test_each_replica_differentiates_its_own_choices():
    """Synchronised BN switches between the replicas' threads in the middle of a call."""
    program = textwrap.dedent(TWO_REPLICAS)
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    one, two = (json.loads(line) for line in printed.splitlines()[-2:])
    np.testing.assert_allclose(one, two, rtol=1e-3)
    assert np.abs(one).min() > 0


def test_a_supernet_survives_saving(tmp_path):
    supernet = build("conv_c{4,6} | {mbconv,basic}_k{3,5}_se0.5_c4_a{relu,swish}")
    supernet.save(tmp_path / "s.keras")
    loaded, x = sk.load(tmp_path / "s.keras"), images(2, 9, 8, 3)
    choices = soft(supernet.architecture)
    np.testing.assert_array_equal(supernet(x, choices), loaded(x, choices))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("conv_c4", "build_encoder"),
        ("conv_s{1,2}_c4", "stage1.s"),
        ("conv_c4 | conv_g{1,2}_c4", "stage2.g can only be tuned"),
        ("bottleneck_c4_w{64,128}", "stage1.w"),
        ("conv_c4 | {mbconv,conv}_c4", "stage2.op"),
        ("conv_c4 | {maxpool,basic}_s1_c4", "stage2.op"),
        ("conv_c4 | conv_g2_c{4,8}", "stage2.g is above 1"),
        ("conv_c{4,8} | maxpool | conv_g2_c4", "stage3.g is above 1"),
        ("conv_c4 | {mbconv,bottleneck}_g2_c{8,16}", "stage2.g is above 1"),
    ],
)
def test_what_only_tuning_decides_is_refused_by_name(text, part):
    with pytest.raises(ArchitectureError, match=part):
        sk.build_supernet(text, (8, 8, 3))


def test_choices_that_are_not_those_of_the_space_are_refused():
    supernet = sk.build_supernet("conv_c{4,6}", (8, 8, 3))
    with pytest.raises(ValueError, match=r"decides stage1\.c; choices given: none"):
        supernet(images(1, 8, 8, 3))
    with pytest.raises(ValueError, match=r"given: stage1\.k"):
        supernet(images(1, 8, 8, 3), {"stage1.k": np.ones(2, "float32")})


def test_a_file_of_a_newer_grammar_is_refused():
    with pytest.raises(ArchitectureError, match="upgrade"):
        sk.Supernet("conv_c{4,6}", (8, 8, 3), grammar=2)


def test_a_network_outside_the_space_is_refused():
    supernet = sk.build_supernet("conv_c{4,6}", (8, 8, 3))
    with pytest.raises(ArchitectureError, match="does not hold 'conv_c5'"):
        supernet.slice("conv_c5")
    with pytest.raises(ArchitectureError, match="open"):
        supernet.slice({})
