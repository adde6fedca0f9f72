"""What an encoder is worth."""

from ssl_keras.scenarios.evaluation import PROTOCOLS, Evaluation, run
from ssl_keras.scenarios.features import FeatureStore, RawPixels, extract, weights_hash
from ssl_keras.scenarios.label_free import label_free
from ssl_keras.scenarios.results import Row, provenance, read_results, write_results
from ssl_keras.scenarios.suite import SUITES, Scenario, find

__all__ = [
    "PROTOCOLS",
    "SUITES",
    "Evaluation",
    "FeatureStore",
    "RawPixels",
    "Row",
    "Scenario",
    "extract",
    "find",
    "label_free",
    "provenance",
    "read_results",
    "run",
    "weights_hash",
    "write_results",
]
