"""Which class is each pixel of?"""

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.metrics import jaccard_score

import ssl_keras as sk
from ssl_keras.data import shapes as scenery
from ssl_keras.data.pixels import crop
from ssl_keras.data.sources import Source, open_source
from ssl_keras.data.sources.base import VOID, ArraySource, Segmentation, Subset
from ssl_keras.scenarios.features import RawPixels, weights_hash
from ssl_keras.scenarios.protocol import Images, Labelled
from ssl_keras.scenarios.segmentation import (
    BATCH,
    _brought,
    _confusions,
    _Crops,
    _Network,
    bootstrap_miou,
    confusion_of,
    mean_iou,
    segmentation,
)
from tests.data.pictures import cityscapes_folder, voc_folder


class Drawn(ArraySource):
    """Images whose pixels' classes are given."""

    def __init__(self, images, labels, names=("dark", "bright")):
        super().__init__(images, "drawn")
        self.classes = labels
        self._known = Segmentation(names, labels.__getitem__)

    def segmentation(self):
        return self._known


class Varying(Source):
    """Images of several sizes and their pixels' classes, as a source on disk gives them."""

    image_shape, label_sets = None, {}

    def __init__(self, images, labels, names=("dark", "bright")):
        self.name, self.size = "varying", len(images)
        self.images, self.known = images, Segmentation(names, labels.__getitem__)

    def read(self, index):
        return ops.convert_to_tensor(self.images[int(index)])

    def array(self):
        return None

    def segmentation(self):
        return self.known

    def split(self, name):
        return self

    def checksum(self):
        return "varying"

    def _labels(self, name):
        raise AssertionError


def labelled(source, encoder, size=32):
    return Labelled(Images(encoder, source, size))


@pytest.fixture(scope="module")
def encoder():
    return sk.build_encoder("conv_k3_c8 | conv_k3_c12_s2 | conv_k3_c16_s2", (32, 32, 3), seed=1)


@pytest.fixture(scope="module")
def shapes():
    """Some of the source of that name, of which every image would be drawn."""
    scenes = [scenery.factors(split, np.arange(n)) for split, n in (("train", 400), ("test", 100))]
    return [Drawn(*scenery.render(scene), ("background", "object")) for scene in scenes]


@pytest.fixture(scope="module")
def outcomes(encoder, shapes):
    train, test = shapes
    return segmentation(labelled(train, encoder), 3, steps=60)(labelled(test, encoder))


# The figure


def test_mean_iou_by_hand():
    # Class 0: 3 right, 1 missed, 2 too many; class 1: 4 right, 2 missed, 1 too many; class 2 is nowhere.
    confusion = np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
    assert mean_iou(confusion) == pytest.approx((3 / 6 + 4 / 7) / 2)
    # Predicted but never true: it counts, with 0.
    assert mean_iou(confusion + np.eye(3)[[2, 1, 1]] * [0, 0, 1]) == pytest.approx((3 / 7 + 4 / 7 + 0) / 3)
    np.testing.assert_allclose(mean_iou([np.eye(2), [[1, 1], [0, 0]]]), [1.0, 0.25])
    assert np.isnan(mean_iou(np.zeros((3, 3))))


@pytest.mark.parametrize("present", [4, 3])
def test_mean_iou_is_sklearn_s(present):
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, present, (2, 3, 9, 7))
    confusions = confusion_of(truth.astype(np.uint8), predicted, 4)
    assert mean_iou(confusions.sum(0)) == pytest.approx(
        jaccard_score(truth.ravel(), predicted.ravel(), average="macro", labels=np.arange(present))
    )
    for image in range(3):
        expected = jaccard_score(
            truth[image].ravel(), predicted[image].ravel(), average="macro", labels=np.arange(present)
        )
        assert mean_iou(confusions[image]) == pytest.approx(expected)


def test_void_is_ignored():
    truth = np.array([[[0, 1], [VOID, 1]]], np.uint8)
    for void in (0, 1):
        np.testing.assert_array_equal(
            confusion_of(truth, np.array([[[0, 1], [void, 0]]]), 2), [[[1, 0], [1, 1]]], err_msg="true, predicted"
        )
    with pytest.raises(ValueError, match="None of the 1 test images has a pixel of a known class"):
        bootstrap_miou(confusion_of(np.full((1, 2, 2), VOID, np.uint8), np.zeros((1, 2, 2), np.int64), 2), 0)


def test_the_interval_resamples_images():
    """Half of the images all right, half all wrong: IoU of both classes is hits / (2n - hits) of a resample."""
    confusions = np.repeat([[[5, 0], [0, 5]], [[0, 5], [5, 0]]], 50, axis=0)
    value, low, high = bootstrap_miou(confusions, 0)
    assert value == pytest.approx(100 / 3)
    hits = np.random.default_rng(1).binomial(100, 0.5, 4000) / 100
    np.testing.assert_allclose((low, high), 100 * np.percentile(hits / (2 - hits), (2.5, 97.5)), atol=1)
    assert bootstrap_miou(confusions[:1], 0) == (100, 100, 100)
    # Ten classes, each in one image and missed there: most resamples lack some of them, so nearly all score higher.
    rare = np.zeros((100, 11, 11), np.int64)
    rare[:, 0, 0] = 1000
    rare[np.arange(10), np.arange(1, 11), 0] = 1
    value, low, high = bootstrap_miou(rare, 0)
    assert low == value < high


# The protocol


def test_an_untrained_encoder_s_maps_tell_object_from_background(outcomes, shapes):
    truth = shapes[1].classes
    nothing = 100 * mean_iou(confusion_of(truth, np.zeros(truth.shape, np.int64), 2).sum(0))
    frozen, tuned = (outcome.estimate for outcome in outcomes)
    assert frozen[1] > nothing + 5 and tuned[1] > nothing + 15
    for value, low, high in (frozen, tuned):
        assert 0 <= low < value < high <= 100
    assert [(outcome.protocol, outcome.metric, outcome.correct) for outcome in outcomes] == [
        ("segmentation, frozen", "miou", None),
        ("segmentation, fine-tuned", "miou", None),
    ]
    assert outcomes[0].chosen["steps"] == 60


def test_same_seed_same_figures_and_the_encoder_is_left_as_it_was(encoder, shapes, outcomes):
    train, test = shapes
    before = weights_hash(encoder), [layer.trainable for layer in encoder.layers]
    again = segmentation(labelled(train, encoder), 3, steps=60)(labelled(test, encoder))
    assert before == (weights_hash(encoder), [layer.trainable for layer in encoder.layers])
    for one, other in zip(outcomes, again, strict=True):
        np.testing.assert_allclose(one.estimate, other.estimate, atol=1e-3)


def test_only_fine_tuning_moves_the_encoder_and_other_classes_are_refused(encoder, shapes, monkeypatch):
    """BN statistics too: a frozen encoder is fixed altogether."""
    from ssl_keras.scenarios import segmentation as module

    copies = []
    clone = module.clone_with_weights
    monkeypatch.setattr(module, "clone_with_weights", lambda model: copies.append(clone(model)) or copies[-1])
    learned = segmentation(labelled(shapes[0], encoder), 0, steps=2)
    frozen, tuned = (weights_hash(copy) for copy in copies)
    assert frozen == weights_hash(encoder) != tuned
    other = Drawn(np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 32, 32), np.uint8))
    with pytest.raises(ValueError, match=r"drawn has the classes \('dark', 'bright'\), learned were"):
        learned(labelled(other, encoder))


def test_crops_depend_on_seed_step_and_position_and_carry_their_labels():
    """A picture whose red and green tell each pixel's place: labels must come from the place that the image shows."""
    rows, columns = np.meshgrid(np.arange(40), np.arange(60), indexing="ij")
    place = (rows // 10 * 6 + columns // 10).astype(np.uint8)
    picture = np.stack([rows // 10 * 60, columns // 10 * 50, 0 * rows], -1).astype(np.uint8)
    source = Drawn(picture[None], place[None], tuple(map(str, range(24))))
    images, labels = _Crops(source, source.segmentation(), 24, seed=7).batch(0)
    shown = np.round(np.asarray(images) * 255)
    seen = np.round(shown[..., 0] / 60) * 6 + np.round(shown[..., 1] / 50)
    # All but the pixels at the borders of tiles, which bicubic weights blend.
    assert (seen == labels).mean() > 0.85
    assert len({one.tobytes() for one in labels}) == len(labels)
    across = np.diff(labels[:, 12].astype(int) % 6, axis=1).sum(1)
    assert (across < 0).any() and (across > 0).any()
    again = _Crops(source, source.segmentation(), 24, seed=7)
    np.testing.assert_array_equal(again.batch(0)[1], labels)
    assert (again.batch(1)[1] != labels).any()
    assert (_Crops(source, source.segmentation(), 24, seed=8).batch(0)[1] != labels).any()


def test_images_that_are_not_square_are_judged_whole_at_the_labels_size(encoder):
    """Bright pixels are one class, to the outermost columns; images enter at half their size, void teaches nothing."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.repeat(rng.integers(0, 2, (60, 4, 7)), 12, 1), 12, 2).astype(np.uint8)
    noise = rng.integers(0, 60, (*labels.shape, 3))
    images = (150 * labels[..., None] + noise).astype(np.uint8)
    labels[:40, :6] = VOID
    source = Drawn(images, labels)
    train, test = (Subset(source, rows, name) for rows, name in ((np.arange(40), "a"), (np.arange(40, 60), "b")))
    judged = segmentation(labelled(train, encoder, 24), 0, steps=80)(labelled(test, encoder, 24))
    assert judged[1].estimate[0] > 80


# Before images could vary in size, all of a batch were cropped, read and judged as one array: the same numbers.


def test_images_of_one_size_are_cropped_as_one_batch(shapes):
    source, size = shapes[0], 24
    images, labels = _Crops(source, source.segmentation(), size, seed=7).batch(3)
    drawn = np.random.default_rng((7, 3)).random((BATCH, 5))
    rows = (drawn[:, 0] * source.size).astype(np.int64)
    side = (0.5 + 0.5 * drawn[:, 1]) * 32
    start = np.stack([drawn[:, 2] * (32 - side), drawn[:, 3] * (32 - side)], 1)
    flip = np.round(drawn[:, 4])
    boxes = (part.astype(np.float32)[:, None] for part in (start, np.stack([side, side], 1), flip))
    planes = crop(ops.convert_to_tensor(source.array()[rows]), *map(ops.convert_to_tensor, boxes), size)
    np.testing.assert_array_equal(images, np.stack([plane[:, 0] for plane in planes], -1))
    centres = (np.arange(size) + 0.5) / size
    for at, row in enumerate(rows):
        down = (start[at, 0] + centres * side[at]).astype(int)
        across = (start[at, 1] + (1 - centres if flip[at] else centres) * side[at]).astype(int)
        np.testing.assert_array_equal(labels[at], source.classes[row][np.ix_(down, across)])


@pytest.mark.parametrize("side", [32, 24])
def test_images_of_one_size_are_judged_by_one_graph_of_that_size(encoder, shapes, side):
    source = Subset(shapes[1], np.arange(20), "twenty")
    network = _Network(encoder, ("background", "object"), side, 0, frozen=True)
    images = keras.Input((side, side, 3))
    scores = ops.image.resize(network._head(network._pyramid(images)), (32, 32), "bilinear")
    whole, expected = keras.Model(images, scores), []
    for rows in (np.arange(BATCH), np.arange(BATCH, 20)):
        seen = ops.cast(source.array()[rows], "float32") / 255.0
        if side != 32:
            seen = ops.clip(ops.image.resize(seen, (side, side), "bicubic", antialias=True), 0.0, 1.0)
        predicted = np.argmax(whole.predict_on_batch(seen), axis=-1)
        expected.append(confusion_of(shapes[1].classes[rows], predicted, 2))
    found = _confusions(network, source, source.segmentation())
    np.testing.assert_array_equal(found, np.concatenate(expected))
    assert (found[:, :, 0] > 0).any() and (found[:, :, 1] > 0).any()


# Sizes that vary


def varying(count, seed):
    """Bright tiles are one class, to the outermost columns; a border of some images is void."""
    rng = np.random.default_rng(seed)
    images, classes = [], []
    for index in range(count):
        height, width = 30 + 6 * (index % 4), 40 + 10 * (index % 3)
        labels = np.kron(rng.integers(0, 2, (7, 7)), np.ones((10, 10), int))[:height, :width].astype(np.uint8)
        images.append((150 * labels[..., None] + rng.integers(0, 60, (height, width, 3))).astype(np.uint8))
        labels[: 4 * (index % 2)] = VOID
        classes.append(labels)
    return Varying(images, classes)


def test_crops_of_images_of_several_sizes_are_those_of_each_alone():
    source = varying(20, 0)
    images, labels = _Crops(source, source.segmentation(), 24, seed=7).batch(0)
    drawn = np.random.default_rng((7, 0)).random((BATCH, 5))
    rows = (drawn[:, 0] * source.size).astype(int)
    assert len({source.images[row].shape for row in rows}) > 4
    for at, row in enumerate(rows):
        height, width, _ = source.images[row].shape
        side = (0.5 + 0.5 * drawn[at, 1]) * min(height, width)
        box = ([drawn[at, 2] * (height - side), drawn[at, 3] * (width - side)], [side, side], np.round(drawn[at, 4]))
        boxes = [ops.convert_to_tensor(np.array(part, np.float32)[None, None]) for part in box]
        planes = crop(ops.convert_to_tensor(source.images[row][None]), *boxes, 24)
        np.testing.assert_allclose(images[at], np.stack([plane[0, 0] for plane in planes], -1), atol=1e-6)
        # Where no void is, bright pixels are bright: the labels are of the same place.
        known = labels[at] != VOID
        assert ((images[at].mean(-1) > 0.4) == labels[at])[known].mean() > 0.9


@pytest.mark.parametrize(("height", "width", "seen"), [(30, 41, (24, 33)), (50, 40, (30, 24)), (24, 60, (24, 60))])
def test_the_short_side_of_what_is_judged_is_the_encoder_s(height, width, seen):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    found = _brought(image, 24)
    assert found.shape == (*seen, 3) and 0 <= found.min() < found.max() <= 1
    np.testing.assert_allclose(found.mean(), image.mean() / 255, atol=0.01)
    if seen == (height, width):
        np.testing.assert_array_equal(found, image / np.float32(255))


def test_images_of_several_sizes_are_judged_whole_each_at_its_own(encoder):
    source = varying(30, 1)
    network = _Network(encoder, ("dark", "bright"), 24, 0, frozen=True)
    found = _confusions(network, source, source.segmentation())
    for index in range(source.size):
        alone = Drawn(source.images[index][None], source.known.read(index)[None])
        (expected,) = _confusions(network, alone, alone.segmentation())
        # Sums of another order may turn the pixel that is on the fence.
        assert np.abs(found[index] - expected).max() <= 2
        assert found[index].sum() == (source.known.read(index) != VOID).sum()


def test_a_new_size_traces_no_new_graph(encoder, monkeypatch):
    """What runs in Python for a layer runs while a graph is traced: a few times, not once for each of twelve sizes."""
    calls = []
    convolve = keras.layers.Conv2D.call
    network = _Network(encoder, ("dark", "bright"), 24, 0, frozen=True)
    monkeypatch.setattr(
        keras.layers.Conv2D, "call", lambda self, inputs: calls.append(self.name) or convolve(self, inputs)
    )
    source = varying(60, 2)
    assert len({image.shape for image in source.images}) == 12
    _confusions(network, source, source.segmentation())
    of_encoder = [name for name in calls if not name.endswith("_score")]
    assert 1 <= len(of_encoder) / len(set(of_encoder)) <= 4


def test_images_of_several_sizes_are_learned(encoder):
    judged = segmentation(labelled(varying(40, 0), encoder, 24), 0, steps=80)(labelled(varying(20, 1), encoder, 24))
    assert judged[1].estimate[0] > 80


@pytest.mark.parametrize(
    ("name", "made", "classes"),
    [("voc2012_segmentation", voc_folder, 21), ("cityscapes", cityscapes_folder, 19)],
)
def test_sets_on_disk_are_learned_and_judged(tmp_path, encoder, name, made, classes):
    train = open_source(f"{name}:{made(tmp_path)}")
    test = train.split("val")
    judged = segmentation(labelled(train, encoder, 24), 0, steps=60)(labelled(test, encoder, 24))
    value, low, high = judged[1].estimate
    assert 40 < low <= value <= high  # of three grey levels that are told apart, and void between them
    assert len(test.segmentation().names) == classes


def test_without_a_pyramid_there_is_no_outcome(shapes, small):
    for encoder in (RawPixels(), small):
        assert segmentation(labelled(shapes[0], encoder), 0)(labelled(shapes[1], encoder)) == []


def test_a_source_that_does_not_know_its_pixels_is_refused(encoder):
    with pytest.raises(ValueError, match="digits:train does not know the class of each pixel"):
        segmentation(labelled(open_source("digits"), encoder), 0)
