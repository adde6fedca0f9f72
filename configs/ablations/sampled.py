"""Fifteen networks drawn from the space that searches of 10 M multiply-adds use, each trained alone.

Command:  OMP_NUM_THREADS=1 taskset -c 0 python tools/ablate.py sampled --out tools/results/sampled --seeds 0, once a
          core; then python tools/rank_agreement.py
Hardware: two CPU cores
Time:     about 4 minutes a network
Result:   linear, top-1 on CIFAR-10, 46.4 to 51.1 %; a supernet's loss ranks thirty networks with
          tau 0.54 (0.36 to 0.70), its linear accuracy with 0.59; see tools/results/ranks.json

They cost from 3.5 M to 16 M multiply-adds. With those networks of the comparison that are of the same space (eight
drawn at 10 M, the largest, the smallest) and with what searches learned they are thirty or more: a supernet's ranking
of them is held against how they rank alone.
"""

from ssl_keras.configs.ablations import architectures
from ssl_keras.configs.ablations.relicv2 import Fields

from ssl_keras.architecture.space import match

BASE, SPACE, PASSES = architectures.BASE, architectures.SPACE, architectures.PASSES
EQUAL = "passes"
SOURCES = ("tfds:cifar10",)

# Seeds that the comparison's draws do not reach.
NETWORKS = {f"sampled {number}": architectures.COARSE.sample(8000 + number) for number in range(15)}
CELLS: dict[str, Fields] = {name: {"architecture": str(network)} for name, network in NETWORKS.items()}
"""Name to the fields that differ."""
TRIALS: dict[str, Fields] = {}
"""None: every network learns as in the comparison of architectures."""

COMPARED = {
    name: network for name, network in architectures.NETWORKS.items() if match(SPACE.stages, network.stages) is not None
}
"""Of the comparison, and of the same space."""
