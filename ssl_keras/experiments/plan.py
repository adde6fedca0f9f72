"""``--dry-run``: what a verb that learns would do, how long, and in how much memory, by ten steps of it."""

import resource
import sys
import time
from dataclasses import replace

import keras
import numpy as np

from ssl_keras.architecture.cost import cost
from ssl_keras.architecture.spaces import family_at
from ssl_keras.data.views import ViewBatches
from ssl_keras.experiments import pretrain, study
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.devices import without_graph_rewriting
from ssl_keras.experiments.progress import CONSOLE, show
from ssl_keras.experiments.queue import Queue
from ssl_keras.experiments.search import SearchSetup, describe, refuse_early
from ssl_keras.experiments.settings import Pretrain, Search, Study, Tune, pretraining
from ssl_keras.experiments.setup import Schedule, Setup
from ssl_keras.experiments.trials import TuneSetup
from ssl_keras.experiments.tune import describe as describe_tuning
from ssl_keras.experiments.tune import refuse_early as refuse_tuning
from ssl_keras.experiments.tune import typical
from ssl_keras.learning.search import ArchitectureSearch
from ssl_keras.networks.encoder import Encoder
from ssl_keras.scenarios import suite

STEPS = 10
PROBES, PROBE_STEPS = 4, 4
"""Networks of a study that are timed, and steps of each: there are many, and each step is long."""


def run(config: Pretrain) -> None:
    """Prints the plan; makes no folder and writes nothing.

    Raises:
        ConfigError: As the verb would.
    """
    if isinstance(config, Search):
        _plan_search(config)
    elif isinstance(config, Tune):
        _plan_tuning(config)
    elif isinstance(config, Study):
        _plan_study(config)
    else:
        _plan_pretraining(Setup(config))
    CONSOLE.print(f"  memory so far: {_peak_gib():.1f} GiB; nothing was written")


def _plan_pretraining(setup: Setup) -> None:
    _ = setup.masks
    with setup.computing():
        minutes = setup.config.minutes
        schedule = setup.schedule() if minutes is None else pretrain.timed_schedule(setup, minutes)
        learner = setup.learner(schedule)
        facts = setup.describe(learner, schedule)
        if isinstance(learner.encoder, Encoder):
            facts["compute"] = f"{setup.macs_per_image(learner) / 1e6:.0f} M multiply-adds an image, there and back"
        seconds = float(np.median(pretrain.step_times(learner, setup.batches(), STEPS)))
    show("Would pre-train", facts)
    _tell("pre-training", schedule, schedule.steps * seconds)


def _plan_search(config: Search) -> None:
    setup = SearchSetup(replace(config, search=replace(config.search, warmup=0.0)))
    budget = setup.budget_or_proposal
    if budget.kind == "latency":
        raise ConfigError("a plan under a budget of milliseconds is not known before the search: give --macs")
    refuse_early(setup, None)
    schedule = setup.schedule()
    with setup.computing():
        searching = setup.search(schedule)
        plain, moving = _seconds_of_both(searching, setup.batches(config.search.label))
        searching.phases = replace(searching.phases, warmup=config.search.warmup)
        facts = describe(setup, searching, schedule)
        moves = searching.phases.moves
        keras.backend.clear_session()
        network = family_at("resnet18", budget, setup.image_size)
        trained = Setup(replace(pretraining(config), architecture=str(network)))
        length = trained.schedule()
        alone = float(np.median(pretrain.step_times(trained.learner(length), trained.batches(), STEPS)))
    show("Would search", facts)
    _tell("the search", schedule, (schedule.steps - moves) * plain + moves * moving)
    networks = 1 + config.sliced + len(config.baselines)
    every = Schedule(networks * length.epochs, length.steps_per_epoch)
    _tell(f"then {networks} networks", every, every.steps * alone)


def _plan_tuning(config: Tune) -> None:
    setup = TuneSetup(config)
    refuse_tuning(setup, None)
    trial, model = setup.schedule(), setup.hypermodel()
    values = typical(model, config.seed)
    learner = model.experiment.learner(model.architecture(values), model.settings_of(values))
    with without_graph_rewriting():
        seconds = float(np.median(pretrain.step_times(learner, setup.batches(), STEPS)))
    show("Would tune", describe_tuning(setup))
    every = Schedule(config.tuning.trials * trial.epochs, trial.steps_per_epoch)
    _tell("the trials", every, every.steps * seconds)
    last = Setup(pretraining(config)).schedule()
    _tell("then the best network", last, last.steps * seconds)


def _seconds_of_both(searching: ArchitectureSearch, batches: ViewBatches) -> tuple[float, float]:
    """Median time of a step without and with one of the architecture, which every so many begin with."""
    times = pretrain.step_times(searching, batches, STEPS * searching.phases.every // 2 + 1)
    number = np.arange(1, len(times) + 1)
    moves = number % searching.phases.every == 0
    moving = float(np.median(times[moves]))
    plain = times[~moves & (number > 1)]  # the first of these traces
    return float(np.median(plain)) if len(plain) else moving, moving


def _plan_study(config: Study) -> None:
    """Times networks from the cheapest to the dearest; between them time is taken to go with multiply-adds."""
    setup = study.StudySetup(config)
    study.refuse_early(setup)
    queue = Queue(study.place(config), list(setup.trials))
    shape = (setup.side, setup.side, 3)
    macs = {name: cost(network, shape).macs for name, network in setup.networks.items()}
    by_cost = sorted(macs, key=lambda name: macs[name])
    probed = [by_cost[round(place)] for place in np.linspace(0, len(macs) - 1, min(PROBES, len(macs)))]
    first = config.seeds[0]
    with setup.shared.computing():
        seconds = [_seconds_of_trial(setup.of(setup.trials[f"{name}-seed{first}"]), config) for name in probed]
    show("Would study", study.describe(setup, queue))
    known = [macs[name] for name in probed]
    every = [float(np.interp(macs[setup.trials[item].network], known, seconds)) for item in queue.open_items()]
    hours = sum(every) / 3600
    CONSOLE.print(
        f"  time: {hours:.1f} hours of one process, {60 * hours / max(1, len(every)):.1f} minutes a trial, opening the "
        f"scenarios aside; judged by {len(probed)} networks"
    )


def _seconds_of_trial(setup: Setup, config: Study) -> float:
    """Tracing and learning by a few steps, and the forward passes of judging by one batch."""
    keras.backend.clear_session()
    begun = time.monotonic()
    schedule = setup.schedule()
    learner = setup.learner(schedule)
    with without_graph_rewriting():
        a_step = float(np.median(pretrain.step_times(learner, setup.batches(), PROBE_STEPS)))
    images = np.zeros((setup.batch_size, *setup.input_shape), np.float32)
    learner.encoder.predict_on_batch(images)
    traced = time.monotonic() - begun - PROBE_STEPS * a_step
    begun = time.monotonic()
    learner.encoder.predict_on_batch(images)
    an_image = (time.monotonic() - begun) / len(images)
    scenarios = len(suite.find(config.scenarios))
    return traced + schedule.steps * a_step + scenarios * (config.train_images + config.test_images) * an_image


def _tell(what: str, schedule: Schedule, seconds: float) -> None:
    minutes = seconds / 60
    a_step = f"{1000 * seconds / schedule.steps:.0f} ms"
    text = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
    CONSOLE.print(f"  {what}: {schedule.steps} steps of {a_step} are {text}, monitors and saving aside")


def _peak_gib() -> float:
    """The most memory that this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
