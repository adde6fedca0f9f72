"""The whole step, views included, as a TPU would get it: one XLA program of static shapes that never asks the host.

What is compiled here runs on the CPU; the numbers are those of graph mode. Random numbers drawn inside of a step are
replaced in both by a hash of integers, since XLA orders those of Philox otherwise.
"""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import ssl_keras as sk

IMAGES = np.random.default_rng(0).integers(0, 256, (48, 36, 36, 3), np.uint8)
VIEWS = sk.Views.preset(32, large=2, small=2)
SPACE = "conv_s2_c4 | basic_r{0,1}_c4 | basic_s2_c{4,8}_k{3,5} | {basic,mbconv}_k3_c8_a{relu,swish}"
HOST = re.compile(r"callback|infeed|outfeed|\bsend\(|\brecv\(|custom-call[^\n]*[Hh]ost")
DYNAMIC = re.compile(r"\[[^\]]*<=\d|set-dimension-size|get-dimension-size|dynamic-reshape")


def learner(name):
    if name == "search":
        encoder = sk.build_supernet(SPACE, (32, 32, 3))
    else:
        encoder = sk.build_encoder("conv_s2_c4 | basic_s2_c8", (32, 32, 3))
    model = sk.ReLICv2(
        encoder,
        projector=sk.Projector(8, 16, 8),
        predictor=sk.Predictor(8, 16, 8),
        loss=sk.ReLICv2Loss(0.2, 1.0, 1.0),
        negatives=10,
        target_decay=sk.TargetDecay(0.9),
    )
    if name == "search":
        model = sk.ArchitectureSearch(model, sk.Budget(macs=2e5), steps=4, warmup=0.0, every=1)
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), keras.optimizers.SGD(1.0))
        model._moving = True
    else:
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9))
    return model


def uncut(model):
    """Two batches as a TPU's host hands them out."""
    stream = sk.view_batches(IMAGES, VIEWS, 16, seed=3)
    within = getattr(model, "learner", model)
    within._batches = stream
    plain = list(stream.dataset(cut=False).take(2))
    return [{"weights": batch, "architecture": batch} for batch in plain] if within is not model else plain


def mixed(x):
    """The finaliser of MurmurHash3, of uint32."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(shift, tf.uint32)))
        x *= tf.constant(factor, tf.uint32)
    return x


def hashed(shape, seed, minval=0.0, maxval=1.0, **_):
    """Uniform numbers made of integers, the same wherever they are made."""
    first, second = tf.unstack(tf.cast(seed, tf.uint32))
    places = tf.cast(tf.range(int(np.prod(shape))), tf.uint32)
    numbers = mixed(mixed(mixed(places + 1) + first) + second)
    unit = tf.cast(tf.bitwise.right_shift(numbers, tf.constant(8, tf.uint32)), tf.float32) / 2.0**24
    return tf.reshape(minval + unit * (maxval - minval), shape)


@pytest.fixture
def hashed_draws(monkeypatch):
    monkeypatch.setattr(tf.random, "stateless_uniform", hashed)


def stepped(name, *, xla):
    """Loss of two steps, and all variables after them; with the compiled step."""
    keras.utils.clear_session()
    model = learner(name)
    step = tf.function(model.train_step, jit_compile=xla)
    batches = uncut(model)
    losses = [float(step(batch)["loss"]) for batch in batches]
    return losses, [np.asarray(weight) for weight in model.weights], (step, batches[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["relicv2", "search"])
def test_the_compiled_step_has_static_shapes_asks_no_host_and_equals_graph_mode(name, hashed_draws):
    losses, weights, (step, batch) = stepped(name, xla=True)
    program, optimized = (step.experimental_get_compiler_ir(batch)(stage=stage) for stage in ("hlo", "optimized_hlo"))
    assert len(program) > 10_000 and "f32[32,8" in program.replace(" ", "")
    assert not HOST.findall(program)
    # As written, top_k states the constant number of its results as if it could change; optimized it does not.
    assert not [line for line in program.splitlines() if DYNAMIC.search(line) and "TopKV2" not in line]
    assert not DYNAMIC.findall(optimized)
    graph_losses, graph_weights, _ = stepped(name, xla=False)
    np.testing.assert_allclose(losses, graph_losses, rtol=1e-5)
    assert max(float(np.abs(a - b).max()) for a, b in zip(weights, graph_weights, strict=True)) < 1e-5


def test_views_made_in_the_step_are_those_of_the_stream():
    stream = sk.view_batches(IMAGES, VIEWS, 16, seed=3)
    ready = next(iter(stream.dataset(5)))
    raw = next(iter(stream.dataset(5, cut=False)))
    assert set(raw) == {"images", "draws", "index"} and raw["images"].dtype == tf.uint8
    made = tf.function(stream.finish, jit_compile=True)(raw)
    assert set(made) == set(ready)
    for kind, value in ready.items():
        np.testing.assert_allclose(made[kind], value, atol=1e-5)


def test_what_would_betray_a_host_or_a_dynamic_shape_is_seen():
    """The negative control."""
    assert DYNAMIC.search("f32[<=8,3]{1,0}") and HOST.search('custom-call(x), custom_call_target="xla_cpu_callback"')
