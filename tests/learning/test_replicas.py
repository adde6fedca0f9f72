"""1 replica at batch 2B is 2 replicas at B: loss, weights, BN statistics, target, logits of a search (under SGD), and
what `evaluate` says afterwards.

One process with two logical CPU devices runs every case; two processes of one device run some as a cluster. The tests
compare what they wrote.
"""

import json
import os
import subprocess
import sys
import textwrap
from itertools import product

import numpy as np
import pytest

from ssl_keras.experiments.launch import free_ports

PROGRAM = textwrap.dedent(
    """
    import json, os, sys
    import keras, numpy as np, tensorflow as tf
    import ssl_keras as sk
    from ssl_keras.learning import distribution
    cluster = "TF_CONFIG" in os.environ
    if cluster:
        sk.strategy("auto")
    else:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), np.uint8)
    source = sk.open_source(images, labels=np.arange(24) % 3)
    views = sk.Views.preset(32, size=16, small=1, small_size=8)

    SPACE = "conv_c4 | basic_r{0,1}_c4 | basic_s2_c{4,8}_k{3,5}"

    def learner_of(name, *, synchronized):
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

    def choices_of_its_own(model, step, salt, warming=False):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return shared_choices(model, step + 1000 * tf.cast(replica, tf.int64), salt, warming)

    shared_choices = sk.ArchitectureSearch._choices
    SAFEGUARDS = {
        "division": (distribution, "divide_by_replicas", lambda loss: loss),
        "gathering": (distribution, "gather", lambda values, axis: tf.concat([values] * 2, axis)),
        "positions": (distribution, "rows", tf.range),
        "clipping": (distribution, "clip_the_sum", lambda optimizer, gradients: gradients),
        "one choice": (sk.ArchitectureSearch, "_choices", choices_of_its_own),
    }
    WHOLE = [(holder, name, getattr(holder, name)) for holder, name, _ in SAFEGUARDS.values()]

    for case in json.loads(sys.argv[1]):
        for safeguard in WHOLE:
            setattr(*safeguard)
        if case["without"] in SAFEGUARDS:
            setattr(*SAFEGUARDS[case["without"]])
        strategy = sk.strategy("auto" if cluster else "mirrored" if case["replicas"] == 2 else "none")
        with strategy.scope():
            learner = learner_of(case["learner"], synchronized=case["without"] != "statistics")
            sgd = keras.optimizers.SGD(0.02, momentum=0.9)
            clipped = keras.optimizers.SGD(0.2, momentum=0.9, global_clipnorm=0.05)
            optimizer = {"lars": sk.LARS(0.5), "sgd": sgd, "clipped": clipped}[case["optimizer"]]
            if case["learner"] == "search":
                learner = sk.ArchitectureSearch(
                    learner, sk.Budget(macs=2e5), steps=4, warmup=0.3, every=1
                )
                learner.compile(optimizer, keras.optimizers.SGD(1.0))
            else:
                learner.compile(optimizer, steps_per_execution=case["execution"])
        assert strategy.num_replicas_in_sync == case["replicas"]
        batches = sk.view_batches(source, views, 8, seed=1, label="label")
        history = learner.fit(batches, steps_per_epoch=4, verbose=0).history
        if case["learner"] == "search":
            history["loss"] += learner.gap(next(iter(batches.dataset())))
        else:
            history["loss"].append(learner.evaluate(batches, verbose=0, return_dict=True)["loss"])
        weights = {f"{index:03d} {weight.path}": np.asarray(weight) for index, weight in enumerate(learner.weights)}
        np.savez(case["out"] + os.environ.get("WORKER", ""), loss=history["loss"], **weights)
    """
)
LEARNERS = ("relicv2", "simclr", "supervised", "search")


def case(learner, optimizer="sgd", replicas=1, *, without=None, execution=1):
    """One training of four steps."""
    return {
        "learner": learner,
        "optimizer": optimizer,
        "replicas": replicas,
        "without": without,
        "execution": execution,
    }


CLIPPED = ("relicv2", "search")
CONTROLS = [
    ("relicv2", "statistics"),
    ("search", "statistics"),
    ("relicv2", "division"),
    ("supervised", "division"),
    ("search", "division"),
    ("relicv2", "gathering"),
    ("simclr", "gathering"),
    ("relicv2", "positions"),
    ("search", "one choice"),
]
"""What the equality rests on, taken away: synchronised BN, the division of the loss, targets of the whole batch, the
place of an anchor in it, and one architecture a step."""
CASES = [
    *(case(learner, optimizer, n) for learner in LEARNERS for optimizer in ("sgd", "lars") for n in (1, 2)),
    *(case(learner, replicas=n, execution=4) for learner in LEARNERS[:3] for n in (1, 2)),
    *(case(learner, "clipped", n) for learner in CLIPPED for n in (1, 2)),
    *(case(learner, replicas=2, without=safeguard) for learner, safeguard in CONTROLS),
    case("relicv2", "clipped", 2, without="clipping"),
]
CLUSTER_CASES = [
    *(
        case(learner, optimizer, 2)
        for learner, optimizer in (("relicv2", "lars"), ("supervised", "sgd"), ("search", "sgd"))
    ),
    case("relicv2", replicas=2, execution=4),
]
TOLERANCE = 1e-4  # float32 sums in another order, after 4 steps


def name_of(case):
    return "-".join(str(value) for value in case.values())


def run(cases, folder, **environment):
    """Starts a process that runs cases; it writes one file each."""
    told = [{**case, "out": str(folder / name_of(case))} for case in cases]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, json.dumps(told)], env=os.environ | environment)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicas")
    assert run(CASES, folder).wait() == 0
    return {name_of(case): dict(np.load(folder / f"{name_of(case)}.npz")) for case in CASES}


@pytest.fixture(scope="module")
def clustered(tmp_path_factory):
    """What each of the workers wrote."""
    folder = tmp_path_factory.mktemp("cluster")
    workers = [f"localhost:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        processes.append(run(CLUSTER_CASES, folder, TF_CONFIG=json.dumps(config), WORKER=f"-worker{index}"))
    assert [process.wait() for process in processes] == [0, 0]
    return [
        {name_of(case): dict(np.load(folder / f"{name_of(case)}-worker{index}.npz")) for case in CLUSTER_CASES}
        for index in range(2)
    ]


def largest_difference(one, two):
    assert len(one) == len(two) > 5
    return max(float(np.abs(first - second).max()) for first, second in zip(one.values(), two.values(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("learner", "optimizer"), [*product(LEARNERS, ("sgd", "lars")), *product(CLIPPED, ("clipped",))]
)
def test_two_replicas_equal_one(results, learner, optimizer):
    one, two = (results[name_of(case(learner, optimizer, replicas))] for replicas in (1, 2))
    assert largest_difference(one, two) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("learner", LEARNERS[:3])
@pytest.mark.parametrize("replicas", [1, 2])
def test_four_steps_in_one_execution_are_four_steps(results, learner, replicas):
    single, fourfold = (results[name_of(case(learner, replicas=replicas, execution=n))] for n in (1, 4))
    assert largest_difference(single, fourfold) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(("learner", "safeguard"), CONTROLS)
def test_without_a_safeguard_they_differ(results, learner, safeguard):
    """The negative controls: the comparison above would see the mistake."""
    one, two = (results[name_of(case(learner, replicas=n, without=safeguard if n == 2 else None))] for n in (1, 2))
    assert largest_difference(one, two) > 10 * TOLERANCE


@pytest.mark.slow
def test_clipping_every_replica_alone_differs(results):
    one, two = (results[name_of(case("relicv2", "clipped", n, without=w))] for n, w in ((1, None), (2, "clipping")))
    assert largest_difference(one, two) > 10 * TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("chosen", CLUSTER_CASES, ids=name_of)
def test_two_processes_equal_one(results, clustered, chosen):
    """As under MultiWorkerMirroredStrategy on two hosts."""
    first, second = (worker[name_of(chosen)] for worker in clustered)
    assert largest_difference(first, second) == 0
    alone = results[name_of({**chosen, "replicas": 1})]
    assert largest_difference(alone, first) < TOLERANCE
