"""The whole way on images that need no download: pre-train, evaluate, report."""

from dataclasses import replace
from pathlib import Path

from ssl_keras.experiments import evaluate, pretrain
from ssl_keras.experiments.config_files import load_config
from ssl_keras.experiments.options import Demo, Evaluate
from ssl_keras.experiments.settings import Pretrain

TRAIN_IMAGES = 2000
"""Labelled images per scenario: few, since labels are what one lacks, and the demo has ten minutes."""


def run(config: Demo) -> Path:
    """Runs the shipped ``demo`` experiment and evaluates it; returns the run folder."""
    experiment: Pretrain = replace(load_config("demo"), out=config.out, seed=config.seed)
    if config.minutes is not None:
        experiment = replace(experiment, epochs="auto", minutes=config.minutes)
    folder = pretrain.train(experiment)
    return evaluate.run(Evaluate(encoder=str(folder), train_images=TRAIN_IMAGES, seed=config.seed))
