"""No network rules them all, at 32 px: micro ResNets and MobileNets, trained by ReLICv2, judged in eleven scenarios.

Fifty variants of each family (first stage of 8 filters), drawn from the study's (arXiv 2203.08130); all learn from the
same 12 000 images of tiny_imagenet for as many image-passes, with rate and temperature as chosen for a ResNet-18 in
trials on CIFAR-10. Sixteen of them are trained with three seeds, which tells how much of a difference is luck. Beside
them stand, as often, what searches of CIFAR-10 and of tiny_imagenet found without labels (`search_cifar10`, 10 M
multiply-adds), what the tuner found on CIFAR-10 with labels (`tune_cifar10`, up to 10 M), and what tells the search
from its space: three random networks of it, and a ResNet-18 of the same cost that ends in as wide an embedding.

Command:  ssl-keras study study_small, once a core; with --mode simclr --optimization.target-ema none --out
          studies/small_simclr --count 16 --seeds 0 for SimCLR
Hardware: two CPU cores
Time:     4 minutes a ResNet's trial, 7 a MobileNet's (medians, each on one core while the other worked too; 66 of
          the last took 3 and 5), 15 hours of a core in all
Result:   linear, mean of eleven scenarios, first trainings: ResNets 31.7 to 41.6 %, MobileNets 23.2 to 32.6; three
          trainings each: tuned 43.1 to 45.0, learned 41.9 to 43.8, random 39.6 to 42.8, ResNet-18 of 256 37.9 to 39.4.
          SimCLR, one training each: eight ResNets 40.9 to 47.8 %, eight MobileNets 25.4 to 34.6
"""

from ssl_keras.configs.ablations.architectures import NETWORKS
from ssl_keras.configs.ablations.relicv2 import BASE

from ssl_keras.experiments.settings import Study

BESIDE = {
    "learned": "learned",
    "tuned": "tuned, cifar10 with labels",
    "resnet18_256": "ResNet-18, embedding of 256",
    **{f"random_{number}": f"random {number}" for number in range(3)},
}
"""Name here, to that in `ssl_keras.configs.ablations.architectures`."""

config = Study(
    data="tfds:tiny_imagenet",
    networks=("resnet", "mobilenet", *(f"{name} = {NETWORKS[cell]}" for name, cell in BESIDE.items())),
    count=100,
    repeated=16,
    seeds=(0, 1, 2),
    image_size=32,
    batch_size=256,
    epochs=3,
    views=BASE.views,
    loss=BASE.loss,
    heads=BASE.heads,
    optimization=BASE.optimization,
    out="studies/small",
)
"""As a ReLICv2 cell of `ssl_keras.configs.ablations.relicv2`, but for networks, images and length."""
