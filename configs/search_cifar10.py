"""An architecture for CIFAR-10 at 10 M multiply-adds, 20 000 training images, without labels.

Views, loss and optimizer are those of the experiment cifar10, projector and predictor half as wide.

Command:  ssl-keras search search_cifar10; with --data tfds:tiny_imagenet --images None --search.epochs 17 for as many
          steps on another set
Hardware: two CPU cores
Time:     the search alone 8 to 10 minutes of one core
Result:   linear 49.7 % (48.9 to 50.5, three trainings of what seeds 0 and 1 find: conv_c8 | basic_c8 |
          basic_r2_s2_c24 | basic_s2_c48_se0.25 | basic_s2_c80 | conv_k1_c256), as
          `ssl_keras.configs.ablations.architectures` trains it
"""

from ssl_keras.configs.cifar10 import config as cifar10

from ssl_keras.experiments.settings import Heads, Search, Searching

config = Search(
    data="tfds:cifar10",
    images=20_000,
    macs="10M",
    image_size=32,
    epochs=5,
    batch_size=256,
    out="runs/search_cifar10",
    views=cifar10.views,
    loss=cifar10.loss,
    heads=Heads(projector_hidden=512, projection=128),
    optimization=cifar10.optimization,
    search=Searching(epochs=10),
)
