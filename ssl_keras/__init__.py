"""Learn an image encoder, and its architecture, from images without labels, and prove what it is worth.

Public names are resolved on demand (PEP 562), so that ``ssl_keras.parse`` and ``ssl_keras.families`` work
where TensorFlow is absent. ``PUBLIC`` is the one list of them: name → (module, attribute).
"""

import importlib
from typing import Any

from ssl_keras.saving import register_with_keras

__version__ = "0.1.0"

PUBLIC = {
    "Architecture": ("architecture.grammar", "Architecture"),
    "ArchitectureError": ("architecture.grammar", "ArchitectureError"),
    "parse": ("architecture.grammar", "parse"),
    "cost": ("architecture.cost", "cost"),
    "families": ("architecture.families", None),
    "Encoder": ("networks.encoder", "Encoder"),
    "build_encoder": ("networks.encoder", "build_encoder"),
    "Supernet": ("networks.supernet", "Supernet"),
    "build_supernet": ("networks.supernet", "build_supernet"),
    "ExpectedCost": ("networks.expected_cost", "ExpectedCost"),
    "choices": ("networks.choices", None),
    "load": ("saving", "load"),
    "Projector": ("networks.heads", "Projector"),
    "Predictor": ("networks.heads", "Predictor"),
    "Views": ("data.views", "Views"),
    "view_batches": ("data.views", "view_batches"),
    "open_source": ("data.sources", "open_source"),
    "relicv2_loss": ("learning.losses.relicv2", "relicv2_loss"),
    "ReLICv2Loss": ("learning.losses.relicv2", "ReLICv2Loss"),
    "nt_xent_loss": ("learning.losses.nt_xent", "nt_xent_loss"),
    "NTXentLoss": ("learning.losses.nt_xent", "NTXentLoss"),
    "byol_loss": ("learning.losses.byol", "byol_loss"),
    "BYOLLoss": ("learning.losses.byol", "BYOLLoss"),
    "ReLICv2": ("learning.relicv2", "ReLICv2"),
    "Supervised": ("learning.supervised", "Supervised"),
    "ArchitectureSearch": ("learning.search", "ArchitectureSearch"),
    "Budget": ("architecture.derivation", "Budget"),
    "likely_picks": ("architecture.derivation", "likely_picks"),
    "LatencyTable": ("architecture.latency", "LatencyTable"),
    "LARS": ("learning.optimizers", "LARS"),
    "warmup_cosine": ("learning.schedules", "warmup_cosine"),
    "TargetDecay": ("learning.schedules", "TargetDecay"),
    "Temperature": ("learning.schedules", "Temperature"),
    "monitors": ("learning.monitors", None),
    "strategy": ("learning.distribution", "strategy"),
    "scenarios": ("scenarios", None),
    "tuning": ("tuning", None),
    "ArchitectureHyperModel": ("tuning.hypermodel", "ArchitectureHyperModel"),
}

__all__ = [*PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'ssl_keras' has no attribute {name!r}; public names: {', '.join(PUBLIC)}")
    module_name, attribute = PUBLIC[name]
    module = importlib.import_module(f"ssl_keras.{module_name}")
    value = module if attribute is None else getattr(module, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *PUBLIC]


register_with_keras()
