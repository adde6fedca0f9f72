"""Oracles without training: what they propose, to whom, and what they remember."""

import itertools
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras_tuner
import pytest
import scipy.optimize

import ssl_keras as sk
from ssl_keras.tuning import ORACLES
from ssl_keras.tuning.oracles import Constrained
from tests.tuning.conftest import SPACE, Experiment

WORTH = keras_tuner.Objective("worth", "max")
BUDGET = sk.Budget(macs=45_000)
LARGE = (
    "conv_c8 | basic_r{1,2,3}_k{3,5,7}_c{8,16,24} | basic_r{1,2,3}_s{1,2}_k{3,5,7}_c{16,24,32} | conv_k1_c{16,32,64}"
)


def model_of(space: str = SPACE, budget: sk.Budget | None = BUDGET, epochs: int = 1) -> sk.ArchitectureHyperModel:
    return sk.ArchitectureHyperModel(space, Experiment(epochs), budget=budget)


def oracle_of(name: str, folder: Path, model: Any = None, trials: int = 12, seed: int = 0, **own: Any) -> Constrained:
    if name == "evolution":
        own = {"population": 4, "tournament": 2, **own}
    oracle = ORACLES[name](model or model_of(), seed=seed, trials=trials, objective=WORTH, **own)
    oracle._set_project_dir(str(folder), "oracle")
    return oracle


def worth(model: sk.ArchitectureHyperModel, values: dict[str, Any]) -> float:
    """A number of its own for every network, without sense."""
    return float(zlib.crc32(model.spelling(values).encode()))


def end(oracle: Constrained, trial: Any, score: float | None) -> None:
    if score is not None:
        oracle.update_trial(trial.trial_id, {"worth": score})
    trial.status = "INVALID" if score is None else "COMPLETED"
    oracle.end_trial(trial)


def run(oracle: Constrained, score: Callable[..., float] = worth, most: int = 10_000) -> list[dict[str, Any]]:
    """The values of all trials, as one worker would run them."""
    proposed = []
    while len(proposed) < most and (trial := oracle.create_trial("one")).status == "RUNNING":
        proposed.append(dict(trial.hyperparameters.values))
        end(oracle, trial, score(oracle.hypermodel, proposed[-1]))
    return proposed


def affordable(space: str, budget: sk.Budget) -> set[str]:
    """Every network of a space within a budget of multiply-adds, by enumeration."""
    parsed = sk.parse(space)
    names, values = [*parsed.decisions], parsed.decisions.values()
    networks = {str(parsed.freeze(dict(zip(names, picks, strict=True)))) for picks in itertools.product(*values)}
    return {network for network in networks if sk.cost(network, (8, 8, 3)).macs <= budget.macs}


@pytest.fixture(autouse=True)
def quick_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """KerasTuner climbs from 50 points, for seconds; the best of the 50 will do."""
    climb = scipy.optimize.minimize

    def stay(function: Any, x0: Any, **rest: Any) -> Any:
        fits_the_process = "jac" in rest
        return climb(function, x0, **rest) if fits_the_process else SimpleNamespace(fun=function(x0), x=x0)

    monkeypatch.setattr(scipy.optimize, "minimize", stay)


@pytest.mark.parametrize("name", ORACLES)
def test_what_is_proposed_is_new_and_within_the_budget(name: str, tmp_path: Path) -> None:
    oracle = oracle_of(name, tmp_path, model_of(epochs=4), trials=12)
    proposed = run(oracle)
    assert len(proposed) == 12
    allowed = affordable(SPACE, BUDGET)
    assert 12 < len(allowed) < sk.parse(SPACE).size
    first = [values for values in proposed if not values.get("tuner/initial_epoch")]
    spelled = [oracle.hypermodel.spelling(values) for values in first]
    assert set(spelled) <= allowed and len(set(spelled)) == len(spelled)
    if name == "hyperband":
        assert len(first) < len(proposed), "some go on"
        for values in proposed:
            assert oracle.hypermodel.affords(values) and 1 <= values["tuner/epochs"] <= 4


@pytest.mark.parametrize("name", ["grid", "random", "evolution"])
def test_a_small_space_is_exhausted(name: str, tmp_path: Path) -> None:
    oracle = oracle_of(name, tmp_path, trials=1000)
    spelled = [oracle.hypermodel.spelling(values) for values in run(oracle)]
    assert sorted(spelled) == sorted(affordable(SPACE, BUDGET))


def test_a_grid_goes_in_the_order_of_the_space(tmp_path: Path) -> None:
    oracle = oracle_of("grid", tmp_path, model_of("conv_c{4,8} | conv_k{1,3}_s{1,2}_c4", None), trials=100)
    found = [tuple(values.values()) for values in run(oracle)]
    assert found == [*itertools.product((4, 8), (1, 3), (1, 2))]


def test_settings_are_part_of_what_is_tried(tmp_path: Path) -> None:
    model = sk.ArchitectureHyperModel("conv_c{4,8}", Experiment(), settings={"rate": (0.1, 0.2, 0.3)})
    assert len(run(oracle_of("evolution", tmp_path, model, trials=100))) == 6


def test_a_budget_that_nothing_meets_is_refused(tmp_path: Path) -> None:
    cheapest = min(sk.cost(network, (8, 8, 3)).macs for network in affordable(SPACE, sk.Budget(macs=1e9)))
    said = rf"none is within 10 multiply-adds \(the cheapest has {cheapest / 1000:.3g} k\): give more"
    with pytest.raises(ValueError, match=said):
        oracle_of("random", tmp_path, model_of(budget=sk.Budget(macs=10)))
    with pytest.raises(ValueError, match="none can be built"):
        oracle_of("random", tmp_path, model_of("conv_c{4,8} | conv_g3_c6", sk.Budget(macs=1e9)))


@pytest.mark.parametrize("name", ORACLES)
def test_the_seed_decides_and_an_interruption_changes_nothing(name: str, tmp_path: Path) -> None:
    """Also where the oracle died before it knew of its last trial."""
    model = model_of(LARGE, None, epochs=4)
    whole = run(oracle_of(name, tmp_path / "whole", model, trials=9))
    cut = oracle_of(name, tmp_path / "cut", model, trials=9)
    first = run(cut, most=5)
    state = tmp_path / "cut" / "oracle" / "oracle.json"
    shutil.copy(state, tmp_path / "before.json")
    cut.create_trial("one")
    if name != "hyperband":  # whose brackets stand in that file
        shutil.copy(tmp_path / "before.json", state)
    again = oracle_of(name, tmp_path / "cut", model, trials=9)
    again.reload()
    assert first + run(again) == whole
    if name != "grid":
        assert run(oracle_of(name, tmp_path / "other", model, trials=9, seed=1)) != whole


def test_children_differ_from_the_living_in_one_decision(tmp_path: Path) -> None:
    oracle = oracle_of("evolution", tmp_path, model_of(LARGE, None), trials=40, population=5)
    history: list[dict[str, Any]] = []
    while (trial := oracle.create_trial("one")).status == "RUNNING":
        values = dict(trial.hyperparameters.values)
        if len(history) >= 5:
            distances = [sum(old[name] != values[name] for name in values) for old in history[-5:]]
            assert min(distances) == 1
        end(oracle, trial, worth(oracle.hypermodel, values))
        history.append(values)
    assert len(history) == 40


def test_the_parent_is_the_best_of_the_sample_and_the_oldest_dies(tmp_path: Path) -> None:
    """With samples that hold everyone, the parent is the best of those alive, however good the dead were."""
    oracle = oracle_of("evolution", tmp_path, model_of(LARGE, None), trials=30, population=4, tournament=200)
    history: list[tuple[float, dict[str, Any]]] = []
    while (trial := oracle.create_trial("one")).status == "RUNNING":
        values = dict(trial.hyperparameters.values)
        if len(history) >= 4:
            best = max(history[-4:], key=lambda one: one[0])[1]
            assert sum(best[name] != values[name] for name in values) == 1
        score = 1000.0 if not history else worth(oracle.hypermodel, values)  # the first is the best, and dies
        end(oracle, trial, score)
        history.append((score, values))
    assert len(history) == 30


def test_less_can_be_better(tmp_path: Path) -> None:
    oracle = oracle_of("evolution", tmp_path, model_of(LARGE, None), trials=12, population=4, tournament=200)
    oracle.objective = keras_tuner.Objective("worth", "min")
    history: list[tuple[float, dict[str, Any]]] = []
    while (trial := oracle.create_trial("one")).status == "RUNNING":
        values = dict(trial.hyperparameters.values)
        if len(history) >= 4:
            best = min(history[-4:], key=lambda one: one[0])[1]
            assert sum(best[name] != values[name] for name in values) == 1
        history.append((worth(oracle.hypermodel, values), values))
        end(oracle, trial, history[-1][0])


def test_evolution_finds_more_than_chance(tmp_path: Path) -> None:
    """On a worth that is a sum over decisions, of thousands of networks: what it tries at the end is far better."""

    def additive(model: Any, values: dict[str, Any]) -> float:
        return float(sum([*spelled].index(values[name]) for name, spelled in model.choices.items()))

    last: dict[str, float] = {}
    for name, seed in itertools.product(("random", "evolution"), range(3)):
        oracle = oracle_of(name, tmp_path / f"{name}{seed}", model_of(LARGE, None), trials=50, seed=seed)
        scores = [additive(oracle.hypermodel, values) for values in run(oracle, additive)]
        last[name] = last.get(name, 0.0) + sum(scores[-15:]) / 45
    assert last["evolution"] > last["random"] + 2, last  # of 15 at most


def test_failed_trials_have_no_children(tmp_path: Path) -> None:
    oracle = oracle_of("evolution", tmp_path, model_of(LARGE, None), trials=9, population=3)
    for number in range(6):
        trial = oracle.create_trial("one")
        end(oracle, trial, None if number % 2 else 1.0)
    assert [trial.trial_id for trial in oracle.alive()] == ["0", "2", "4"]


def test_failure_after_failure_stops_the_search_until_it_is_started_again(tmp_path: Path) -> None:
    oracle = oracle_of("random", tmp_path, trials=9)
    end(oracle, oracle.create_trial("one"), 1.0)
    for _ in range(3):
        end(oracle, oracle.create_trial("one"), None)
    assert oracle.failing and oracle.create_trial("one").status == "STOPPED"
    again = oracle_of("random", tmp_path, trials=9)
    again.reload()
    assert not again.failing and len(run(again)) == 8
    assert all(trial.status == "COMPLETED" for trial in again.trials.values())


def test_kerastuner_alone_counts_what_is_too_dear_as_trials_and_gives_up(tmp_path: Path) -> None:
    """Why the oracles here refuse to propose it."""
    model = model_of(budget=sk.Budget(macs=10))
    tuner = keras_tuner.RandomSearch(model, objective=WORTH, max_trials=9, directory=tmp_path)
    with pytest.raises(RuntimeError, match="consecutive failures"):
        tuner.search(verbose=0)
    assert len(tuner.oracle.trials) == 3 and not model.experiment.scored


def test_the_trial_of_a_lost_worker_is_for_the_next(tmp_path: Path) -> None:
    oracle = oracle_of("random", tmp_path, trials=2)
    of_one, of_two = oracle.create_trial("one"), oracle.create_trial("two")
    end(oracle, of_two, 1.0)
    assert oracle.create_trial("two").status == "IDLE", "nothing is left, but the other may be lost"
    assert oracle.lose("one") == of_one.trial_id
    taken = oracle.create_trial("two")
    assert taken.trial_id == of_one.trial_id and taken.hyperparameters.values == of_one.hyperparameters.values
    end(oracle, taken, 2.0)
    assert oracle.create_trial("two").status == "STOPPED" and not oracle.tuner_ids
    assert oracle.lose("three") is None


def test_what_is_remembered_is_never_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = oracle_of("random", tmp_path)
    run(oracle, most=2)
    file = tmp_path / "oracle" / "oracle.json"
    before = file.read_text()

    def cut(self: Path, text: str) -> None:
        self.open("w").write(text[:10])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", cut)
    with pytest.raises(OSError, match="disk full"):
        oracle.save()
    assert file.read_text() == before and json.loads(before)["end_order"] == ["00", "01"]
