"""What is learned on CIFAR-10 is worth in eleven sets: a ResNet-18 of width 8, 20 000 images, 3 epochs.

The table in the README has ReLICv2, SimCLR, labels, untrained and raw pixels. For each of the seeds 0, 1, 2:

Command:  ssl-keras pretrain transfer --seed 0 --out runs/transfer/relicv2-0
          ssl-keras pretrain transfer --seed 0 --out runs/transfer/simclr-0 --mode simclr --optimization.target-ema none
          ssl-keras evaluate runs/transfer/relicv2-0 --scenarios small --beside runs/transfer/simclr-0 --seed 0
          --train-images 10000; then tools/seeds.py --by-scenario
Hardware: two CPU cores
Time:     6 minutes a training and 20 an evaluation, on a core each, most of it the classifier of raw pixels
Result:   linear, mean of eleven sets over three seeds: ReLICv2 42.3 % (39.3 to 45.3), SimCLR 46.0 (42.9 to 49.0),
          labels 43.0 (39.9 to 46.2), untrained 21.5 (19.8 to 23.2); raw pixels 44.6
"""

from dataclasses import replace

from ssl_keras.configs.ablations.relicv2 import BASE

config = replace(BASE, images=20_000, epochs=3, out="runs/transfer/relicv2-0")
