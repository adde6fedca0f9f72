"""An architecture for ImageNet at 300 M multiply-adds, from the space of ProxylessNAS: the study's setting.

Command:  ssl-keras search search_imagenet
Hardware: TPUs or eight GPUs
Time:     unmeasured
Result:   unmeasured

Warm-up, one step of the architecture to two of the weights and Adam for it are those of the published searches; numbers
of epochs are our choice.
"""

from ssl_keras.experiments.settings import Compute, Crops, Heads, Objective, Optimization, Search, Searching

config = Search(
    data="tfds:imagenet2012:train",
    macs="300M",
    image_size=224,
    epochs=100,
    batch_size=4096,
    out="runs/search_imagenet",
    views=Crops(large=2),
    loss=Objective(temperature=0.2, contrastive_weight=0.3, invariance_weight=5.0, same_view_pairs=True, negatives=10),
    heads=Heads(projector_hidden=4096, projection=256),
    optimization=Optimization(optimizer="lars", warmup_epochs=10.0),
    compute=Compute(precision="mixed_bfloat16"),
    search=Searching(epochs=100),
)
