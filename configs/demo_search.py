"""An architecture for procedural scenes (shapes), under a budget: search, train, compare, nothing to download.

Views, loss, heads and optimizer are those of the experiment demo.

Command:  ssl-keras search demo_search
Hardware: two CPU cores
Time:     13 minutes 30 seconds, nothing else running
Result:   linear, mean of nine scenarios, one seed (95 % interval over test images): learned 52.0 % (51.5 to 52.5),
          ResNet-18 of the same cost and embedding 42.9 (42.3 to 43.5), random network 49.4 (48.9 to 50.0), raw pixels
          53.2 (52.7 to 53.6)
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
