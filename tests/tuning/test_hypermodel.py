"""The hyper-model: names, spelling, cost, and KerasTuner's own tuners over it."""

import fcntl
import json
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import keras_tuner
import numpy as np
import pytest

import ssl_keras as sk
from tests.tuning.conftest import SPACE, Experiment

ROOT = Path(__file__).parents[2]
WORTH = keras_tuner.Objective("worth", "max")


def values_of(model: sk.ArchitectureHyperModel, **picked: object) -> dict[str, object]:
    """The first of every choice, but those picked."""
    return {name: next(iter(spelled)) for name, spelled in model.choices.items()} | picked


def test_names_are_those_of_the_space_and_strides_are_among_them(experiment: Experiment) -> None:
    model = sk.ArchitectureHyperModel(SPACE, experiment, settings={"rate": (0.1, 0.2)})
    hp = keras_tuner.HyperParameters()
    model.declare_hyperparameters(hp)
    assert [each.name for each in hp.space] == ["stage2.r", "stage3.s", "stage3.c", "stage4.c", "stage4.a", "rate"]
    again = keras_tuner.HyperParameters()
    model.build(again)
    assert again.get_config() == hp.get_config()


@pytest.mark.parametrize("seed", range(5))
def test_choices_spell_what_the_grammar_freezes(experiment: Experiment, seed: int) -> None:
    space = sk.parse("conv_c{8,16} | {mbconv,basic}_s{1,2}_k{3,5}_se{0,0.25}_c24")
    model = sk.ArchitectureHyperModel(space, experiment)
    network = space.sample(seed)
    picks = space.picks_of(network)
    values = {
        name: value if isinstance(value, int) and name != "stage2.se" else str(value) for name, value in picks.items()
    }
    assert model.architecture(values) == network
    told = keras_tuner.HyperParameters.from_proto(_through_messages(model, values))
    assert model.architecture(told.values) == network


def _through_messages(model: sk.ArchitectureHyperModel, values: dict[str, object]) -> object:
    hp = keras_tuner.HyperParameters()
    model.declare_hyperparameters(hp)
    hp.values = values
    return hp.to_proto()


def test_settings_survive_messages_between_processes(experiment: Experiment) -> None:
    """A message rounds 0.1 to 32 bits; as text it stays what it is."""
    model = sk.ArchitectureHyperModel("conv_c4", experiment, settings={"rate": (0.3, 0.1), "mode": (True, "auto")})
    hp = keras_tuner.HyperParameters.from_proto(_through_messages(model, {"rate": "0.1", "mode": "True"}))
    assert model.settings_of(hp.values) == {"rate": 0.1, "mode": True}


def test_cost_is_that_of_the_network(experiment: Experiment) -> None:
    budget = sk.Budget(macs=sk.cost("conv_c4 | basic_c4 | conv_k1_c8", (8, 8, 3)).macs)
    model = sk.ArchitectureHyperModel("conv_c4 | basic_s{1,2}_c4 | conv_k1_c{8,16}", experiment, budget=budget)
    assert model.affords(values_of(model)) and model.affords(values_of(model, **{"stage2.s": 2}))
    assert not model.affords(values_of(model, **{"stage3.c": 16}))
    shares = sk.ArchitectureHyperModel("conv_c{4,6} | conv_g3_c6", experiment)
    assert shares.affords({"stage1.c": 6}) and not shares.affords({"stage1.c": 4})  # 3 groups of 4 filters


def test_what_is_too_dear_is_not_trained(experiment: Experiment) -> None:
    model = sk.ArchitectureHyperModel(SPACE, experiment, budget=sk.Budget(params=10))
    hp = keras_tuner.HyperParameters()
    learner = model.build(hp)
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="not within the budget of 10 parameters"):
        model.fit(hp, learner)
    assert learner.step == 0 and not experiment.scored


@pytest.mark.parametrize(
    ("space", "settings", "message"),
    [
        ("conv_c4", {}, "nothing to choose"),
        ("conv_c{4,8}", {"stage1.c": (1, 2)}, r"stage1\.c has the name of a decision"),
        ("conv_c{4,8}", {"rate": (0.1, 0.1)}, "each once"),
        ("conv_c{4,8}", {"rate": ()}, "give one or more"),
        ("conv_c{4,4}", {}, "repeat"),
    ],
)
def test_bad_spaces(experiment: Experiment, space: str, settings: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sk.ArchitectureHyperModel(space, experiment, settings=settings)


TUNERS = {
    "random": lambda model, **rest: keras_tuner.RandomSearch(model, max_trials=2, **rest),
    "grid": lambda model, **rest: keras_tuner.GridSearch(model, max_trials=2, **rest),
    "bayesian": lambda model, **rest: keras_tuner.BayesianOptimization(
        model, max_trials=3, num_initial_points=2, **rest
    ),
    "hyperband": lambda model, **rest: keras_tuner.Hyperband(model, max_epochs=2, factor=2, **rest),
}


@pytest.mark.parametrize(
    ("name", "kept"),
    [*((name, True) for name in TUNERS), pytest.param("hyperband", False, marks=pytest.mark.slow)],
)
def test_kerastuners_own_tuners(name: str, kept: bool, tmp_path: Path) -> None:
    """Each finds a network, and trains it as long as it says, whether checkpoints are kept or handed on by it."""
    experiment = Experiment()
    space = "conv_c{4,8} | conv_s{1,2}_k1_c8"
    model = sk.ArchitectureHyperModel(space, experiment, folder=tmp_path / "networks" if kept else None)
    tuner = TUNERS[name](model, objective=WORTH, seed=1, directory=tmp_path, project_name="project")
    tuner.search(verbose=0)
    trials = tuner.oracle.trials.values()
    assert trials and all(trial.status == "COMPLETED" for trial in trials)
    for trial in trials:
        epochs = trial.hyperparameters.values.get("tuner/epochs", 1)
        assert trial.metrics.get_last_value("steps") == 2 * epochs
    if name == "hyperband":  # steps that were made are not made again
        begun = [
            trial.hyperparameters.values["tuner/initial_epoch"] for _, trial in sorted(tuner.oracle.trials.items())
        ]
        assert any(begun) and experiment.starts == [2 * epoch for epoch in begun]
    best = tuner.get_best_models()[0]
    spelled = model.architecture(tuner.get_best_hyperparameters()[0].values)
    assert str(best.encoder.architecture) == str(spelled)


def test_training_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    """Weights, momentum, target, data: two epochs and then one more are three, to the bit."""
    found = []
    for folder, lengths in (("whole", (3,)), ("parts", (2, 3))):
        experiment = Experiment(epochs=3, kind=sk.ReLICv2)
        model = sk.ArchitectureHyperModel(SPACE, experiment, folder=tmp_path / folder)
        for epochs in lengths:
            hp = keras_tuner.HyperParameters()
            learner = model.build(hp)
            assert model.fit(hp, learner, epochs=epochs)["steps"] == 2 * epochs
        assert learner.step == 6
        found.append([np.array(variable) for variable in learner.variables])
    for whole, parts in zip(*found, strict=True):
        np.testing.assert_array_equal(whole, parts)


def test_a_network_that_was_judged_is_not_trained_again(tmp_path: Path) -> None:
    experiment = Experiment()
    model = sk.ArchitectureHyperModel("conv_c4 | basic_r{0,1}_k{3,5}_c4 | conv_c{4,8}", experiment, folder=tmp_path)
    for values in ({"stage2.k": 3}, {"stage2.k": 5}):  # of a stage that is not there
        hp = keras_tuner.HyperParameters()
        model.declare_hyperparameters(hp)
        hp.values |= values
        learner = model.build(hp)
        assert model.fit(hp, learner)["steps"] == learner.step == 2
    assert len(experiment.scored) == 1 and len([*tmp_path.iterdir()]) == 1
    assert json.loads((model.place(hp.values) / "scores.json").read_text())["1"]["worth"] == 4


def test_epochs_that_were_trained_are_not_trained_again(tmp_path: Path) -> None:
    experiment = Experiment(epochs=4)
    model = sk.ArchitectureHyperModel(SPACE, experiment, folder=tmp_path)
    for epochs in (1, 3, None):
        hp = keras_tuner.HyperParameters()
        model.fit(hp, model.build(hp), epochs=epochs)
    assert experiment.starts == [0, 2, 6] and [step for _, step in experiment.scored] == [2, 6, 8]


def test_the_first_epoch_can_be_a_later_one(experiment: Experiment) -> None:
    model = sk.ArchitectureHyperModel(SPACE, experiment)
    hp = keras_tuner.HyperParameters()
    assert model.fit(hp, model.build(hp), epochs=3, initial_epoch=2)["steps"] == 6
    assert experiment.starts == [4]


def test_kerastuner_can_load_what_it_did_not_train(tmp_path: Path) -> None:
    """A second tuner over the same networks finds them judged; their weights are handed to it all the same."""
    experiment = Experiment()
    model = sk.ArchitectureHyperModel("conv_c{4,8}", experiment, folder=tmp_path / "networks")
    weights = []
    for name in ("one", "other"):
        tuner = keras_tuner.GridSearch(model, objective=WORTH, directory=tmp_path, project_name=name)
        tuner.search(verbose=0)
        weights.append([np.asarray(each) for each in tuner.get_best_models()[0].encoder.trainable_variables])
    assert len(experiment.starts) == len(experiment.scored) == 2
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)


def test_settings_reach_the_learner(tmp_path: Path) -> None:
    experiment = Experiment()
    model = sk.ArchitectureHyperModel("conv_c4", experiment, settings={"rate": (0.1, 0.25)}, folder=tmp_path)
    for rate in ("0.1", "0.25"):
        hp = keras_tuner.HyperParameters()
        model.declare_hyperparameters(hp)
        hp.values["rate"] = rate
        model.fit(hp, model.build(hp))
    assert experiment.rates == pytest.approx([0.1, 0.25])


def test_who_comes_second_to_a_network_waits(tmp_path: Path, experiment: Experiment) -> None:
    model = sk.ArchitectureHyperModel("conv_c{4,8}", experiment, folder=tmp_path)
    place = model.place({"stage1.c": 4})
    assert place is not None
    place.mkdir(parents=True)
    entered = threading.Event()

    def enter() -> None:
        with model._own_folder({"stage1.c": 4}):
            entered.set()

    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.3)
    thread.join(5)
    assert entered.is_set()


TWO_REPLICAS = textwrap.dedent(
    """
    import json, sys
    import keras_tuner, numpy as np, tensorflow as tf
    import ssl_keras as sk
    from tests.tuning.conftest import Experiment

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

    class Weighed(Experiment):
        def score(self, learner):
            replicas = learner.distribute_strategy.num_replicas_in_sync
            total = sum(float(np.abs(np.asarray(each)).sum()) for each in learner.encoder.trainable_variables)
            return {"worth": total, "steps": learner.step, "replicas": replicas}

    found = []
    for name in ("none", "mirrored"):
        model = sk.ArchitectureHyperModel("conv_c{4,8}", Weighed(2, sk.ReLICv2), folder=f"{sys.argv[1]}/{name}")
        tuner = keras_tuner.RandomSearch(
            model, objective=keras_tuner.Objective("worth", "max"), max_trials=2, seed=1, directory=sys.argv[1],
            project_name=f"tuner-{name}", distribution_strategy=sk.strategy(name),
        )
        tuner.search(verbose=0)
        trials = [tuner.oracle.trials[key] for key in sorted(tuner.oracle.trials)]
        found.append([{m: t.metrics.get_last_value(m) for m in ("worth", "steps", "replicas")} for t in trials])
    print(json.dumps(found))
    """
)


@pytest.mark.slow
def test_under_two_replicas(tmp_path: Path) -> None:
    """A tuner that builds under a strategy comes to the same weights as on one device."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_REPLICAS, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    alone, mirrored = json.loads(done.stdout.strip().splitlines()[-1])
    assert [trial["replicas"] for trial in alone + mirrored] == [1, 1, 2, 2]
    assert all(trial["steps"] == 4 for trial in alone + mirrored)
    assert [trial["worth"] for trial in mirrored] == pytest.approx([trial["worth"] for trial in alone], rel=1e-4)
