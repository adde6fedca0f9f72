"""An architecture for iNaturalist 2021 at 300 M multiply-adds, from the space of ProxylessNAS.

Command:  ssl-keras search search_inat2021
Hardware: TPUs or eight GPUs
Time:     unmeasured
Result:   unmeasured

All else is as in the experiment search_imagenet.
"""

from dataclasses import replace

from ssl_keras.configs.search_imagenet import config as imagenet

config = replace(imagenet, data="tfds:i_naturalist2021:train", out="runs/search_inat2021")
