"""What the parts of ReLICv2 are worth at 150 000 image-passes, and the baselines at equal compute.

Command:  python tools/ablate.py relicv2 --out runs/ablations
Hardware: two CPU cores
Time:     about 6 minutes a cell and seed on one core
Result:   unmeasured

Rate, weight decay and crops are those found for ReLICv2 on CIFAR-10 and the same in every cell; SimCLR's temperature is
its own. Equal tuning of the baselines is still to be done.
"""

from ssl_keras.experiments.settings import Crops, Heads, Objective, Optimization, Pretrain

PASSES = 150_000
"""Image-passes of the base; every cell gets as many multiply-adds as they cost."""

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

CELLS: dict[str, dict[str, object]] = {
    "ReLICv2": {},
    "no invariance": {"loss.invariance_weight": 0.0},
    "invariance 1": {"loss.invariance_weight": 1.0},
    "10 negatives": {"loss.negatives": 10},
    "50 negatives": {"loss.negatives": 50},
    "2 small crops": {"views.small": 2},
    "same-view pairs": {"loss.same_view_pairs": True},
    "target decay 0.99": {"optimization.target_ema": 0.99},
    "no predictor": {"heads.predictor_hidden": 0},
    "SimCLR": {"mode": "simclr", "loss.temperature": "auto", "optimization.target_ema": "none"},
    "BYOL": {"mode": "byol", "optimization.target_ema": 0.97},
    "labels": {"label": "label"},
}
"""Name to the fields that differ; ``label`` learns from a label set instead."""
