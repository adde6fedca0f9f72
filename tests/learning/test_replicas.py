"""1 replica at batch 2B is 2 replicas at B: loss, weights, BN statistics, target, logits of a search (under SGD).

One process with two logical CPU devices runs every case; the tests compare what it wrote.
"""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

PROGRAM = textwrap.dedent(
    """
    import json, sys
    import keras, numpy as np, tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    import ssl_keras as sk

    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), np.uint8)
    source = sk.open_source(images, labels=np.arange(24) % 3)
    views = sk.Views.preset(32, size=16, small=1, small_size=8)

    SPACE = "conv_c4 | basic_r{0,1}_c4 | basic_s2_c{4,8}_k{3,5}"

    def learner_of(name, synchronized):
        if name == "search":
            encoder = sk.build_supernet(SPACE, (16, 16, 3), synchronized=synchronized)
        else:
            encoder = sk.build_encoder("conv_c4 | basic_s2_c8", (16, 16, 3), synchronized=synchronized)
        if name == "supervised":
            return sk.Supervised(encoder, 3)
        if name == "simclr":
            return sk.ReLICv2(
                encoder, projector=sk.Projector(8, 16, 8), predictor=None, loss=sk.NTXentLoss(), negatives=0,
                target_decay=None,
            )
        return sk.ReLICv2(
            encoder, projector=sk.Projector(8, 16, 8), predictor=sk.Predictor(8, 16, 8), negatives=4,
            loss=sk.ReLICv2Loss(0.2, 1.0, 1.0), target_decay=sk.TargetDecay(0.9),
        )

    for case in json.loads(sys.argv[1]):
        strategy = sk.strategy("mirrored" if case["replicas"] == 2 else "none")
        with strategy.scope():
            learner = learner_of(case["learner"], case["synchronized"])
            sgd = keras.optimizers.SGD(0.02, momentum=0.9)
            optimizer = sk.LARS(0.5) if case["optimizer"] == "lars" else sgd
            if case["learner"] == "search":
                learner = sk.ArchitectureSearch(
                    learner, sk.Budget(macs=2e5), steps=3, warmup=0.3, every=1
                )
                learner.compile(optimizer, keras.optimizers.SGD(1.0))
            else:
                learner.compile(optimizer)
        assert strategy.num_replicas_in_sync == case["replicas"]
        batches = sk.view_batches(source, views, 8, seed=1, label="label")
        history = learner.fit(batches, steps_per_epoch=3, verbose=0).history
        if case["learner"] == "search":
            history["loss"] += learner.gap(next(iter(batches.dataset())))
        weights = {f"{index:03d} {weight.path}": np.asarray(weight) for index, weight in enumerate(learner.weights)}
        np.savez(case["out"], loss=history["loss"], **weights)
    """
)
CASES = [
    {"learner": learner, "optimizer": optimizer, "replicas": replicas, "synchronized": True}
    for learner in ("relicv2", "simclr", "supervised", "search")
    for optimizer in ("sgd", "lars")
    for replicas in (1, 2)
] + [{"learner": "relicv2", "optimizer": "sgd", "replicas": 2, "synchronized": False}]
TOLERANCE = 1e-4  # float32 sums in another order, after 3 steps


def name_of(case):
    return "-".join(str(case[key]) for key in ("learner", "optimizer", "replicas", "synchronized"))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicas")
    cases = [{**case, "out": str(folder / f"{name_of(case)}.npz")} for case in CASES]
    subprocess.run([sys.executable, "-c", PROGRAM, json.dumps(cases)], check=True)
    return {name_of(case): dict(np.load(case["out"])) for case in cases}


def largest_difference(one, two):
    assert list(one) == list(two)
    return max(float(np.abs(one[name] - two[name]).max()) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["relicv2", "simclr", "supervised", "search"])
@pytest.mark.parametrize("optimizer", ["sgd", "lars"])
def test_two_replicas_equal_one(results, learner, optimizer):
    one, two = (results[f"{learner}-{optimizer}-{replicas}-True"] for replicas in (1, 2))
    assert largest_difference(one, two) < TOLERANCE


@pytest.mark.slow
def test_without_synchronised_statistics_they_differ(results):
    """The negative control: the comparison above would see a mistake."""
    one, two = results["relicv2-sgd-1-True"], results["relicv2-sgd-2-False"]
    assert largest_difference(one, two) > 10 * TOLERANCE
