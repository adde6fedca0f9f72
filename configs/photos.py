"""A folder of one's own photos: ssl-keras pretrain photos --data path/to/photos.

Epochs follow from the number of images; --minutes 60 sizes the run to an hour instead.

Command:  ssl-keras pretrain photos --data path/to/photos --minutes 60
Hardware: unmeasured
Time:     as given by --minutes
Result:   unmeasured
"""

from ssl_keras.experiments.settings import Crops, Pretrain

config = Pretrain(
    data="photos",
    architecture="resnet18",
    image_size=96,
    out="runs/photos",
    views=Crops(large=2, small=2),
)
