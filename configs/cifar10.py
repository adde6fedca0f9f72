"""CIFAR-10, 20 000 training images, 20 epochs, a ResNet-18 of width 16.

Command:  ssl-keras pretrain cifar10 && ssl-keras evaluate runs/cifar10 --scenarios cifar10 --train-images 20000
Hardware: two CPU cores with bfloat16
Time:     26 minutes on both cores, shared with other work; 43 on one
Result:   linear 59.8 % (58.8 to 60.8), 20 neighbours 56.7 % (55.9 to 57.8), 200 neighbours 54.7 % (54.0 to 55.5):
          mean and range of three seeds; untrained 26.7, 23.3, 25.7; raw pixels 40.1, 33.5, 28.3; the same with
          labels 77.1, 76.4, 75.5 (one seed)
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
