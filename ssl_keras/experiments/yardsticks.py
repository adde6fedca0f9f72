"""What an encoder is compared with: its untrained self, and the same network trained with labels."""

import json
from dataclasses import replace
from pathlib import Path

import keras

from ssl_keras.data.sources import Source
from ssl_keras.experiments.encoders import image_shape
from ssl_keras.experiments.pretrain import fit
from ssl_keras.experiments.progress import show
from ssl_keras.experiments.run_folder import replacing
from ssl_keras.experiments.setup import Schedule, Setup, measure_statistics
from ssl_keras.learning import distribution
from ssl_keras.saving import load


def untrained(encoder: keras.Model, images: Source) -> keras.Model:
    """The same network with its initial weights, and BN statistics of the images at hand.

    For an encoder that comes without its run; otherwise ``Setup.untrained`` knows what it started from.
    """
    fresh = encoder.__class__.from_config(encoder.get_config())
    measure_statistics(fresh, images, image_shape(encoder)[0])
    return fresh


def supervised(run: Path, setup: Setup, label: str) -> keras.Model:
    """The same network, images, views, optimizer and steps, with the labels of one label set as the goal.

    Of a run on several hosts or a TPU it is trained on the device at hand. It is kept in the run's ``yardsticks/``, so
    that a second evaluation does not train it again.

    Args:
        run: the run folder; its ``schedule.json`` tells the number of steps.
        setup: of the run.
        label: a label set of the run's images.
    """
    path = run / "yardsticks" / f"supervised-{label}.keras"
    if path.is_file():
        return load(path)
    compute = setup.config.compute
    if compute.strategy in ("multiworker", "tpu") or distribution.cluster_size() > 1:
        setup = Setup(replace(setup.config, compute=replace(compute, strategy="none")))
    schedule = Schedule(**json.loads((run / "schedule.json").read_text()))
    with setup.computing():
        learner = setup.supervised(schedule, label)
        show("Training the yardstick with labels", {"labels": label, "schedule": f"{schedule.steps} steps"})
        fit(setup, learner, schedule, [], label)
    with replacing(path) as temporary:
        learner.encoder.save(temporary)
    return load(path)
