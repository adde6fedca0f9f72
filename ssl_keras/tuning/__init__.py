"""Choosing among encoders by training them: KerasTuner over spaces that are strings."""

from ssl_keras.tuning.hypermodel import ArchitectureHyperModel, Experiment
from ssl_keras.tuning.objectives import Goal, goal
from ssl_keras.tuning.oracles import ORACLES, Evolution
from ssl_keras.tuning.pareto import non_dominated, pareto, trial_rows
from ssl_keras.tuning.tuner import ArchitectureTuner

__all__ = [
    "ORACLES",
    "ArchitectureHyperModel",
    "ArchitectureTuner",
    "Evolution",
    "Experiment",
    "Goal",
    "goal",
    "non_dominated",
    "pareto",
    "trial_rows",
]
