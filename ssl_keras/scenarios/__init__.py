"""What an encoder is worth."""

from ssl_keras.scenarios.features import RawPixels, extract, weights_hash
from ssl_keras.scenarios.results import Row, provenance, read_results, write_results
from ssl_keras.scenarios.suite import SUITES, Evaluation, Scenario, find, run

__all__ = [
    "SUITES",
    "Evaluation",
    "RawPixels",
    "Row",
    "Scenario",
    "extract",
    "find",
    "provenance",
    "read_results",
    "run",
    "weights_hash",
    "write_results",
]
