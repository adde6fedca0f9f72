"""An architecture for procedural scenes (shapes), under a budget: search, train, compare, nothing to download.

Command:  ssl-keras search demo_search
Hardware: two CPU cores
Time:     unmeasured
Result:   unmeasured
"""

from ssl_keras.experiments.settings import Crops, Heads, Objective, Optimization, Search, Searching

config = Search(
    data="shapes",
    images=6000,
    macs="5M",
    epochs=5,
    batch_size=256,
    out="runs/demo-search",
    views=Crops(large=2, smallest_area=0.15),
    loss=Objective(temperature=0.1, contrastive_weight=1.0, invariance_weight=0.1),
    heads=Heads(projector_hidden=512, projection=128, predictor_hidden=512),
    optimization=Optimization(optimizer="sgd", learning_rate=0.4, weight_decay=1e-4, target_ema=0.99),
    search=Searching(epochs=6),
)
