"""Networks of 10 M multiply-adds at 100 000 image-passes: handcrafted, random, and the ends of the space.

Command:  OMP_NUM_THREADS=1 taskset -c 0 python tools/ablate.py architectures --out runs/architectures, once a core
Hardware: two CPU cores
Time:     about 5 minutes a network, set and seed
Result:   linear, top-1 on CIFAR-10: learned 49.7 % (48.9 to 50.5, three trainings), ResNet-18 with an embedding of 256
          47.4 (46.3 to 48.5), plain 45.0, deeper 42.4, random 48.8 (48.2 to 49.3, eight networks), smallest 47.2,
          largest 50.8, MobileNetV2 38.4, deeper 35.7, small 34.9, ResNet-50 42.8; tiny_imagenet: learned 10.0 (9.0
          to 10.8), ResNet-18 with an embedding of 256 8.0 (7.7 to 8.3), plain 6.5, deeper 7.1, random 9.1 (7.6 to
          10.4, eight), smallest 8.1, largest 10.2, MobileNetV2 3.0, deeper 3.7, small 2.4, ResNet-50 6.6

Every network gets the same image-passes, views and optimizer. Handcrafted ones are scaled to the budget in width, or
half as deep again and narrower, and once the ResNet ends in as many channels as all of the space, since a wider
embedding alone helps a linear classifier. A ResNet-18 of the budget has about the parameters of what is learned, a
MobileNetV2 five times as many, so there is one with as few. The network like a ResNet-50 may cost 2.5 times as much.
The trials gave each kind of network the same rates (linear on held-out training images, rate 0.4 and 0.8: ResNet-18
40.7 and 39.8 %, MobileNetV2 32.2 and 33.6, random 45.9 and 45.4); each learns at its kind's better one. What searches
found is added as it is found; "learned" was found on both sets, on CIFAR-10 with seeds 0 and 1 and with labels,
"tuned" by `tune_cifar10` among networks of up to the budget.
Searches of the earlier warm-up began as the largest network alone.
"""

from ssl_keras.configs.ablations.relicv2 import BASE as RELICV2
from ssl_keras.configs.ablations.relicv2 import RATES, Fields

from ssl_keras.architecture.derivation import Budget, cost_ends
from ssl_keras.architecture.grammar import parse
from ssl_keras.architecture.spaces import family_at, random_at, small_images_space

PASSES, TRIAL_PASSES = 100_000, 50_000
EQUAL = "passes"
"""What every cell gets as much of."""

SOURCES = ("tfds:cifar10", "tfds:tiny_imagenet")
BASE = RELICV2

BUDGET, SIDE = Budget(macs=10e6), 32
SPACE = small_images_space(8)
RANDOM = range(8)
COARSE = parse(
    "conv_c8 | basic_r{0,1,2}_c8 | basic_r{1,2}_s2_c{8,16,24,32} | basic_r{1,2}_s2_c{16,32,48,64}_se{0,0.25} | "
    "basic_r{1,2}_s2_c{32,64,96,128}_se{0,0.25} | conv_k1_c256"
)
"""Where the random networks were drawn, before the last widths were offered in finer steps."""

_SMALLEST, _LARGEST = (SPACE.freeze(path.picks_in(SPACE)) for path in cost_ends(SPACE, "macs", (SIDE, SIDE, 3)))
NETWORKS = {
    "learned": parse("conv_c8 | basic_c8 | basic_r2_s2_c24 | basic_s2_c48_se0.25 | basic_s2_c80 | conv_k1_c256"),
    "learned, cifar10, seed 2": parse(
        "conv_c8 | basic_r2_c8 | basic_s2_c32 | basic_r2_s2_c32_se0.25 | basic_s2_c96 | conv_k1_c256"
    ),
    "tuned, cifar10 with labels": parse("conv_c16 | basic_s2_c16 | basic_s2_c64 | basic_s2_c64 | conv_k1_c256"),
    "earlier warm-up, cifar10, seed 0": parse(
        "conv_c8 | basic_c8 | basic_r2_s2_c24 | basic_s2_c48 | basic_s2_c80 | conv_k1_c256"
    ),
    "earlier warm-up, cifar10, seed 2": parse(
        "conv_c8 | basic_c8 | basic_s2_c16 | basic_r2_s2_c48_se0.25 | basic_s2_c112_se0.25 | conv_k1_c256"
    ),
    "earlier warm-up, cifar10 with labels": parse(
        "conv_c8 | basic_r2_c8 | basic_s2_c24 | basic_s2_c48_se0.25 | basic_r2_s2_c80 | conv_k1_c256"
    ),
    "earlier warm-up, tiny_imagenet": parse(
        "conv_c8 | basic_r2_c8 | basic_s2_c24 | basic_s2_c48 | basic_r2_s2_c80 | conv_k1_c256"
    ),
    "ResNet-18 in width": family_at("resnet18", BUDGET, SIDE),
    "ResNet-18 in depth": family_at("resnet18", BUDGET, SIDE, depth=1.5),
    "ResNet-18, embedding of 256": parse(
        "conv_c9 | basic_r2_c9 | basic_r2_s2_c17 | basic_r2_s2_c32 | basic_r2_s2_c64 | conv_k1_c256"
    ),
    "MobileNetV2 in width": family_at("mobilenet_v2", BUDGET, SIDE),
    "MobileNetV2 in depth": family_at("mobilenet_v2", BUDGET, SIDE, depth=1.5),
    "MobileNetV2, 200 k parameters": family_at("mobilenet_v2", Budget(params=200e3), SIDE),
    "ResNet-50, 2.5 times the cost": family_at("resnet50", Budget(macs=25e6), SIDE),
    "largest of the space": _LARGEST,
    "smallest of the space": _SMALLEST,
    **{f"random {number}": random_at(COARSE, BUDGET, (SIDE, SIDE, 3), number) for number in RANDOM},
}
POOLED = {"random, mean": [f"random {number}" for number in RANDOM]}
"""What stands in one more row of the table."""
RATE_OF_MOBILENETS = max(RATES)
"""What their trials chose; for the others they chose the base's rate."""

CELLS: dict[str, Fields] = {
    name: {
        "architecture": str(network),
        "optimization.learning_rate": RATE_OF_MOBILENETS if "MobileNet" in name else BASE.optimization.learning_rate,
    }
    for name, network in NETWORKS.items()
}
"""Name to the fields that differ."""

_TRIED = ("ResNet-18 in width", "MobileNetV2 in width", "random 0")
TRIALS: dict[str, Fields] = {
    f"{name}, rate {rate:g}": {**CELLS[name], "optimization.learning_rate": rate} for name in _TRIED for rate in RATES
}
