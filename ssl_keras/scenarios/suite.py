"""The scenarios: a table of data, protocols and metric, in suites."""

import difflib
import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from ssl_keras.data.corruptions import CORRUPTIONS
from ssl_keras.data.shapes import LABEL_SETS, SIDES
from ssl_keras.data.sources import Source
from ssl_keras.data.sources.dense import LAYOUTS
from ssl_keras.scenarios.protocol import MAP, MEAN_PER_CLASS, TOP1, TOP5

FOLDER = "folder:"
"""Starts the source of a set that TFDS does not have: a folder of that name where the TFDS sets are."""


@dataclass(frozen=True)
class Scenario:
    """A labelled task that an encoder is judged on.

    Attributes:
        name: what tables show.
        source: what `open_source` takes, without a split; "{size}" stands for the image size, within what `shapes` can
            render. Or "folder:NAME", a folder beside the TFDS sets.
        label: which of the source's label sets.
        train: split that the protocols learn from.
        test: split that they are judged on; or a source of its own with its split, whose class indices are the same.
        metrics: of the right answers; the first is the one that tables show.
        protocols: how it is judged, by name.
        present_only: whether answers are only sought among the classes that the test images have.
        home: where a set that is no TFDS set comes from.
    """

    name: str
    source: str | PathLike[str] | Source
    label: str = "label"
    train: str = "train"
    test: str = "test"
    metrics: tuple[str, ...] = (TOP1,)
    protocols: tuple[str, ...] = ("knn", "linear")
    present_only: bool = False
    home: str = ""

    def spec(self, image_size: int, data_dir: str | PathLike[str] | None = None) -> str | PathLike[str] | Source:
        """The source to open for encoders that see images of side `image_size`.

        Raises:
            FileNotFoundError: it is a folder of classes that is not there; the message says what belongs there.
        """
        if not isinstance(self.source, str):
            return self.source
        if self.source.startswith(FOLDER):
            return _folder(self, self.source.removeprefix(FOLDER), data_dir)
        return self.source.replace("{size}", str(min(max(image_size, SIDES[0]), SIDES[1])))


def _folder(scenario: Scenario, name: str, data_dir: str | PathLike[str] | None) -> str | Path:
    path = Path(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser() / name
    if name in LAYOUTS:
        return f"{name}:{path}"
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path} is no folder: TFDS does not have {name}; get it from {scenario.home} and put its images into "
            f"{path}/{scenario.train}/CLASS/ and {path}/{scenario.test}/CLASS/."
        )
    return path


STUDY = ("knn", "linear", "linear_sgd")
"""Protocols of the study: its own is the last."""
TRANSFER = ("linear", "finetune")
CIFAR10 = Scenario("cifar10", "tfds:cifar10")
CAMVID = Scenario("camvid", "tfds:camvid", protocols=("segmentation",))
SMALL = (
    *("tiny_imagenet", "caltech101_small", "chars74k", "clothing", "dtd_small", "flowers_small", "gtsrb"),
    *("mnist_small", "rsscn7", "sign_digits"),
)


def _shifted(name: str, test: str, *, present_only: bool = False) -> Scenario:
    """Learned on ImageNet, asked about images of another kind."""
    return Scenario(name, "tfds:imagenet2012", test=test, metrics=(TOP1, TOP5), present_only=present_only)


AIRCRAFT = "www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft"

SUITES: Mapping[str, tuple[Scenario, ...]] = {
    # What comes with ssl_keras.
    "embedded": (
        *(Scenario(f"shapes/{label}", "shapes@{size}", label) for label in LABEL_SETS),
        Scenario("digits", "digits"),
    ),
    # Eleven sets for a small machine.
    "small": (*(Scenario(name, f"tfds:{name}") for name in SMALL), CIFAR10),
    # The eleven of arXiv 2203.08130, and i_naturalist2021.
    "paper": (
        Scenario("imagenet", "tfds:imagenet2012", test="validation", metrics=(TOP1, TOP5), protocols=STUDY),
        *(
            Scenario(name, f"tfds:{source}", protocols=STUDY)
            for name, source in (
                ("cifar10", "cifar10"),
                ("cifar100", "cifar100"),
                ("flowers102", "oxford_flowers102"),
                ("cars", "cars196"),
                ("cub", "caltech_birds2011"),
                ("dogs", "stanford_dogs"),
                ("svhn", "svhn_cropped"),
            )
        ),
        Scenario("aircraft", "folder:fgvc_aircraft", protocols=STUDY, home=AIRCRAFT),
        Scenario("indoor67", "folder:indoor67", protocols=STUDY, home="web.mit.edu/torralba/www/indoor.html"),
        Scenario("sport8", "folder:sport8", protocols=STUDY, home="vision.stanford.edu/lijiali/event_dataset"),
        Scenario("i_naturalist2021", "tfds:i_naturalist2021", test="val", protocols=STUDY),
    ),
    # Transfer in arXiv 2201.05119. NOTE: nothing is fine-tuned on VOC 2007, whose images have several labels each.
    "relicv2": (
        Scenario("food101", "tfds:food101", test="validation", protocols=TRANSFER),
        Scenario("cifar10", "tfds:cifar10", protocols=TRANSFER),
        Scenario("cifar100", "tfds:cifar100", protocols=TRANSFER),
        Scenario("birdsnap", "folder:birdsnap", protocols=TRANSFER, home="thomasberg.org"),
        Scenario("sun397", "tfds:sun397/tfds", protocols=TRANSFER),
        Scenario("cars", "tfds:cars196", protocols=TRANSFER),
        Scenario("dtd", "tfds:dtd", protocols=TRANSFER),
        Scenario("aircraft", "folder:fgvc_aircraft", metrics=(MEAN_PER_CLASS,), protocols=TRANSFER, home=AIRCRAFT),
        *(
            Scenario(name, f"tfds:{source}", metrics=(MEAN_PER_CLASS,), protocols=TRANSFER)
            for name, source in (
                ("pets", "oxford_iiit_pet"),
                ("caltech101", "caltech101"),
                ("flowers102", "oxford_flowers102"),
            )
        ),
        Scenario("voc2007", "tfds:voc/2007", train="train+validation", metrics=(MAP,), protocols=("multi_label",)),
    ),
    # Learned on ImageNet, asked elsewhere; -R and -A have 200 of its classes.
    "ood": (
        _shifted("imagenet_v2", "tfds:imagenet_v2/matched-frequency:test"),
        _shifted("imagenet_r", "tfds:imagenet_r:test", present_only=True),
        _shifted("imagenet_a", "tfds:imagenet_a:test", present_only=True),
        _shifted("imagenet_sketch", "tfds:imagenet_sketch:test"),
        *(
            _shifted(f"imagenet_c/{name}@{severity}", f"tfds:imagenet2012_corrupted/{name}_{severity}:validation")
            for name, severity in itertools.product(CORRUPTIONS, range(1, 6))
        ),
    ),
    # A class for every pixel.
    "dense": (
        CAMVID,
        Scenario("shapes", "shapes@{size}", "shape", protocols=("segmentation",)),
        *(Scenario(name, f"{FOLDER}{name}", test="val", protocols=("segmentation",)) for name in LAYOUTS),
    ),
    # What else the small sets tell.
    "robustness": (
        Scenario("cifar10", "tfds:cifar10", protocols=("corruptions",)),
        Scenario("shapes, restyled", "shapes@{size}", "shape", protocols=("restyling",)),
        Scenario("cue_conflict", "tfds:cue_conflict", train="test", protocols=("cues",)),
    ),
    "few_labels": (Scenario("cifar10", "tfds:cifar10", protocols=("low_shot", "semi_supervised")),),
}
"""Named groups of scenarios. A new scenario is a new row; nothing else knows their names."""


def find(scenarios: str | Scenario | Iterable[str | Scenario]) -> tuple[Scenario, ...]:
    """Scenarios by the name of a suite or of a scenario in one; scenarios themselves pass through.

    Where suites judge the same data in several ways, it is judged in all of them.

    Raises:
        ValueError: a name that is neither, or scenarios of one name on different data.
    """
    wanted = (scenarios,) if isinstance(scenarios, str | Scenario) else tuple(scenarios)
    rows = itertools.chain(*SUITES.values())
    known = {scenario.name: (scenario,) for scenario in reversed([*rows])} | dict(SUITES)
    found: dict[str, Scenario] = {}
    for item in wanted:
        if isinstance(item, str) and item not in known:
            nearest = difflib.get_close_matches(item, known, 1)
            hint = f"did you mean '{nearest[0]}'?" if nearest else f"there are the suites: {', '.join(SUITES)}."
            raise ValueError(f"There is no suite or scenario '{item}'; {hint}")
        for scenario in known[item] if isinstance(item, str) else (item,):
            found[scenario.name] = _joined(found.get(scenario.name, scenario), scenario)
    return tuple(found.values())


def _joined(one: Scenario, other: Scenario) -> Scenario:
    """The same data judged in both ways."""
    metrics = tuple(dict.fromkeys(one.metrics + other.metrics))
    protocols = tuple(dict.fromkeys(one.protocols + other.protocols))
    joined, same = (replace(each, metrics=metrics, protocols=protocols) for each in (one, other))
    if joined != same:
        raise ValueError(f"Two different scenarios are called '{one.name}': rename one.")
    return joined
