"""An architecture for CIFAR-10 at 10 M multiply-adds, 20 000 training images, without labels.

Views, loss and optimizer are those of the experiment cifar10, projector and predictor half as wide.

Command:  ssl-keras search search_cifar10
Hardware: two CPU cores
Time:     unmeasured
Result:   unmeasured
"""

from ssl_keras.experiments.settings import Crops, Heads, Objective, Optimization, Search, Searching

config = Search(
    data="tfds:cifar10",
    images=20_000,
    macs="10M",
    image_size=32,
    epochs=5,
    batch_size=256,
    out="runs/search_cifar10",
    views=Crops(large=2, smallest_area=0.2),
    loss=Objective(temperature=0.2, contrastive_weight=1.0, invariance_weight=0.3),
    heads=Heads(projector_hidden=512, projection=128),
    optimization=Optimization(optimizer="sgd", learning_rate=0.4, weight_decay=1e-4, target_ema=0.9),
    search=Searching(epochs=10),
)
