"""What is learned on CIFAR-10 is worth in eleven sets: a ResNet-18 of width 8, 20 000 images, 3 epochs.

The table in the README has ReLICv2, SimCLR, labels, untrained and raw pixels. For each of the seeds 0, 1, 2:

Command:  ssl-keras pretrain transfer --seed 0 --out runs/transfer/relicv2-0
          ssl-keras pretrain transfer --seed 0 --out runs/transfer/simclr-0 --mode simclr
          ssl-keras evaluate runs/transfer/relicv2-0 --scenarios small --beside runs/transfer/simclr-0 --seed 0
          --train-images 10000; then tools/seeds.py --by-scenario
Hardware: two CPU cores
Time:     unmeasured
Result:   unmeasured
"""

from dataclasses import replace

from ssl_keras.configs.ablations.relicv2 import BASE

config = replace(BASE, images=20_000, epochs=3, out="runs/transfer/relicv2-0")
