"""An architecture for procedural scenes (shapes), under a budget: search, train, compare, nothing to download.

Views, loss, heads and optimizer are those of the experiment demo.

Command:  ssl-keras search demo_search
Hardware: two CPU cores
Time:     unmeasured
Result:   unmeasured
"""

from ssl_keras.configs.demo import config as demo

from ssl_keras.experiments.settings import Search, Searching

config = Search(
    data="shapes",
    images=6000,
    macs="5M",
    epochs=5,
    batch_size=256,
    out="runs/demo-search",
    views=demo.views,
    loss=demo.loss,
    heads=demo.heads,
    optimization=demo.optimization,
    search=Searching(epochs=6),
)
