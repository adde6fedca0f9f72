"""``--dry-run``: what a verb that learns would do, how long, and in how much memory, by ten steps of it."""

import resource
import sys
from dataclasses import replace

import keras

from ssl_keras.architecture.spaces import family_at
from ssl_keras.experiments import pretrain
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.progress import CONSOLE, show
from ssl_keras.experiments.search import SearchSetup, describe, pretraining, refuse_early
from ssl_keras.experiments.settings import Pretrain, Search
from ssl_keras.experiments.setup import Schedule, Setup

STEPS = 10


def run(config: Pretrain) -> None:
    """Prints the plan; makes no folder and writes nothing.

    Raises:
        ConfigError: As the verb would.
    """
    if isinstance(config, Search):
        _plan_search(config)
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
        macs = setup.macs_per_image(learner)
        seconds = pretrain.seconds_a_step(learner, setup.batches(), STEPS)
    show("Would pre-train", facts | {"compute": f"{macs / 1e6:.0f} M multiply-adds an image, forward and backward"})
    _tell("pre-training", schedule, seconds)


def _plan_search(config: Search) -> None:
    # The architecture moves in every step that it may: what a step takes after the warm-up.
    setup = SearchSetup(replace(config, search=replace(config.search, warmup=0.0)))
    refuse_early(setup, None)
    schedule = setup.schedule()
    with setup.computing():
        searching = setup.search(schedule)
        facts = describe(SearchSetup(config), searching, schedule)
        seconds = pretrain.seconds_a_step(searching, setup.batches(config.search.label), STEPS)
        keras.backend.clear_session()
        budget = setup.budget_or_proposal
        if budget.kind == "latency":
            raise ConfigError("a plan under a budget of milliseconds is not known before the search: give --macs")
        network = family_at("resnet18", budget, setup.image_size)
        trained = Setup(replace(pretraining(config), architecture=str(network)))
        length = trained.schedule()
        alone = pretrain.seconds_a_step(trained.learner(length), trained.batches(), STEPS)
    show("Would search", facts)
    _tell("the search", schedule, seconds)
    networks = 1 + config.sliced + len(config.baselines)
    _tell(f"then {networks} networks", Schedule(networks * length.epochs, length.steps_per_epoch), alone)


def _tell(what: str, schedule: Schedule, seconds: float) -> None:
    minutes = schedule.steps * seconds / 60
    text = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
    CONSOLE.print(f"  {what}: {schedule.steps} steps of {1000 * seconds:.0f} ms are {text}, monitors and saving aside")


def _peak_gib() -> float:
    """The most memory that this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
