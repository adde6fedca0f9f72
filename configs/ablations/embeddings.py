"""What the width of the embedding is worth: networks of 10 M multiply-adds that end in 64, 128 or 256 channels.

Command:  OMP_NUM_THREADS=1 taskset -c 0 python tools/ablate.py embeddings --out tools/results/embeddings --seeds 0
Hardware: two CPU cores
Time:     about 5 minutes a network
Result:   linear, top-1: 44.1 to 45.5 % with fewer than 256 channels, 46.9 to 49.2 with 256 (random 5 not run)

Drawn from a space in which that width was open, as it once was in `ssl_keras.architecture.spaces.small_images_space`;
the last is what two searches of that space found, whose warm-up drew every width from its first step.
"""

from ssl_keras.configs.ablations import architectures
from ssl_keras.configs.ablations.relicv2 import Fields

from ssl_keras.architecture.grammar import parse
from ssl_keras.architecture.spaces import random_at

BASE, PASSES, BUDGET, SIDE = architectures.BASE, architectures.PASSES, architectures.BUDGET, architectures.SIDE
EQUAL = "passes"
SOURCES = ("tfds:cifar10",)
SPACE = parse(
    "conv_c8 | basic_r{0,1,2}_c8 | basic_r{1,2,3}_s2_c{8,16,24} | basic_r{1,2,3}_s2_c{16,32,48}_se{0,0.25} | "
    "basic_r{1,2,3}_s2_c{32,64,96}_se{0,0.25} | conv_k1_c{64,128,256}"
)

NETWORKS = {
    "ResNet-18 in width": architectures.NETWORKS["ResNet-18 in width"],
    "ResNet-18, embedding of 256": architectures.NETWORKS["ResNet-18, embedding of 256"],
    **{f"random {number}": random_at(SPACE, BUDGET, (SIDE, SIDE, 3), number) for number in range(8)},
    "learned on cifar10, seed 0": parse(
        "conv_c8 | basic_r2_c8 | basic_r3_s2_c16 | basic_r2_s2_c32 | basic_r2_s2_c64_se0.25 | conv_k1_c128"
    ),
}
CELLS: dict[str, Fields] = {name: {"architecture": str(network)} for name, network in NETWORKS.items()}
"""Name to the fields that differ."""
TRIALS: dict[str, Fields] = {}
"""None: every network learns as in the comparison of architectures."""
