"""CIFAR-10, 20 000 training images, 20 epochs, a ResNet-18 of width 16.

Command:  ssl-keras pretrain cifar10 && ssl-keras evaluate runs/cifar10 --scenarios cifar10
Hardware: unmeasured
Time:     unmeasured
Result:   unmeasured
"""

from ssl_keras.experiments.settings import Compute, Crops, Heads, Objective, Optimization, Pretrain

config = Pretrain(
    data="tfds:cifar10",
    images=20_000,
    architecture="resnet18@0.25",
    epochs=20,
    batch_size=256,
    out="runs/cifar10",
    views=Crops(large=2, smallest_area=0.2),
    loss=Objective(temperature=0.2, contrastive_weight=1.0, invariance_weight=0.3),
    heads=Heads(projector_hidden=1024, projection=128, predictor_hidden=1024),
    optimization=Optimization(optimizer="sgd", learning_rate=0.4, weight_decay=1e-4, target_ema=0.9),
    compute=Compute(precision="mixed_bfloat16"),
)
