"""ImageNet at the paper's setting: ResNet-50, 4 large and 2 small crops, batch 4096, 1000 epochs.

The loss weights, the temperature, the number of negatives and the optimizer's base rate are remembered, not
verified (arXiv 2201.05119); ResNet-50's linear top-1 is 77.1 % in the paper.

Command:  ssl-keras pretrain imagenet --data path/to/imagenet/train
Hardware: unmeasured; needs a pod or a large multi-GPU host
Time:     unmeasured
Result:   unmeasured
"""

from ssl_keras.experiments.settings import Compute, Crops, Heads, Objective, Optimization, Pretrain

config = Pretrain(
    data="imagenet/train",
    architecture="resnet50",
    image_size=224,
    epochs=1000,
    batch_size=4096,
    out="runs/imagenet",
    views=Crops(large=4, small=2),
    loss=Objective(temperature=0.2, contrastive_weight=0.3, invariance_weight=5.0, same_view_pairs=True, negatives=10),
    heads=Heads(projector_hidden=4096, projection=256, predictor_hidden=4096),
    optimization=Optimization(
        optimizer="lars", learning_rate=0.3, weight_decay=1e-6, warmup_epochs=10, target_ema=0.996
    ),
    compute=Compute(precision="mixed_bfloat16"),
)
