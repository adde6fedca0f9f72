"""What the parts of ReLICv2 are worth at 150 000 image-passes, and the baselines at equal compute.

Command:  ssl-keras masks --data tfds:cifar10 (and tfds:tiny_imagenet), then
          OMP_NUM_THREADS=1 taskset -c 0 python tools/ablate.py relicv2 --out runs/ablations, once a core
Hardware: two CPU cores
Time:     5 to 7 minutes a cell, set and seed, of a core
Result:   linear, mean of three seeds, CIFAR-10: ReLICv2 45.7 %, SimCLR 51.9, without a target 50.5, BYOL 36.1, labels
          69.4; tiny_imagenet: ReLICv2 9.0, SimCLR 12.9, at twice the length (--passes 300000) 11.6 and 13.5

Crops and heads are the same in every cell. Rate and one value of its own of each method were chosen by linear accuracy
in the trials: four for each, on CIFAR-10, another seed, a third of the image-passes, held-out training images. NOTE:
that large crops cover at least a fifth of the image, and ReLICv2's temperature, come from pilots that only ReLICv2 had
(README).
"""

from itertools import product

from ssl_keras.experiments.settings import Crops, Heads, Objective, Optimization, Pretrain

PASSES, TRIAL_PASSES = 150_000, 50_000
"""Image-passes of the base."""

EQUAL = "multiply-adds"
"""What every cell gets as much of."""

SOURCES = ("tfds:cifar10", "tfds:tiny_imagenet")

BASE = Pretrain(
    data=SOURCES[0],
    architecture="resnet18@0.125",
    image_size=32,
    batch_size=256,
    views=Crops(large=2, smallest_area=0.2),
    loss=Objective(temperature=0.2, contrastive_weight=1.0, invariance_weight=0.3),
    heads=Heads(projector_hidden=512, projection=128),
    optimization=Optimization(optimizer="sgd", learning_rate=0.4, weight_decay=1e-4, target_ema=0.9),
)

Fields = dict[str, object]
SIMCLR: Fields = {"mode": "simclr", "optimization.target_ema": "none"}
BYOL: Fields = {"mode": "byol"}
LABELS: Fields = {"label": "label"}

CELLS: dict[str, Fields] = {
    "ReLICv2": {},
    "SimCLR": SIMCLR,
    "BYOL": {**BYOL, "optimization.target_ema": 0.99, "optimization.learning_rate": 0.8},
    "labels": {**LABELS, "optimization.weight_decay": 5e-4},
    "no invariance": {"loss.invariance_weight": 0.0},
    "masks": {"masks": "masks/{set}"},
    "2 small crops": {"views.small": 2},
    "10 negatives": {"loss.negatives": 10},
    "no target": {"optimization.target_ema": "none"},
    "target decay 0.99": {"optimization.target_ema": 0.99},
    "same-view pairs": {"loss.same_view_pairs": True},
    "no target, same-view pairs": {"optimization.target_ema": "none", "loss.same_view_pairs": True},
    "bfloat16": {"compute.precision": "mixed_bfloat16"},
}
"""Name to the fields that differ; ``label`` learns from a label set instead, ``{set}`` is the name of the set."""

RATES = (0.4, 0.8)
_METHODS: dict[str, tuple[Fields, str, tuple[float, float]]] = {
    "ReLICv2": ({}, "loss.invariance_weight", (0.3, 1.0)),
    "SimCLR": (SIMCLR, "loss.temperature", (0.2, 0.5)),
    "BYOL": (BYOL, "optimization.target_ema", (0.9, 0.99)),
    "labels": (LABELS, "optimization.weight_decay", (1e-4, 5e-4)),
}
TRIALS: dict[str, Fields] = {
    f"{method}, rate {rate:g}, {field.split('.')[1]} {value:g}": {
        **fields,
        "optimization.learning_rate": rate,
        field: value,
    }
    for method, (fields, field, values) in _METHODS.items()
    for rate, value in product(RATES, values)
}
"""What is tried before the comparison: as many for every method."""
