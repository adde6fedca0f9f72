"""What verbs without experiments can be told, in the shell or from Python: one class a verb, one field an option.

As in `ssl_keras.experiments.settings`: frozen, checked when made, each docstring a help text, no TensorFlow.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from ssl_keras.experiments.checks import ConfigError, at_least, check_types, within
from ssl_keras.experiments.settings import Folder, Images, Minutes, OptionalFolder, Range, Source

Format = Literal["keras", "savedmodel", "litert", "onnx"]
Protocol = Literal[
    "knn",
    "linear",
    "linear_sgd",
    "low_shot",
    "retrieval",
    "semi_supervised",
    "finetune",
    "corruptions",
    "restyling",
    "cues",
    "segmentation",
    "multi_label",
]
Yardstick = Literal["pixels", "untrained", "supervised"]
EncoderPath = Positional[Annotated[str, arg(metavar="RUN_OR_ENCODER")]]


@dataclass(frozen=True)
class Latency:
    """Measure what the blocks of a space take on this machine, for search --latency."""

    architecture: Positional[Annotated[str, arg(metavar="SPACE")]]
    """A string with braces (or without)."""
    image_size: int = 32
    """Side of the images in pixels."""
    device: Literal["graph", "litert"] = "litert"
    """TensorFlow's graph mode, or LiteRT on one thread; one image at a time."""
    out: Annotated[str, arg(metavar="FILE")] = "latency.json"
    """The table. One that is there already is added to."""
    check: int = 20
    """Networks drawn from the space, whose measured latency is held against the table's."""
    seed: int = 0
    """Of the networks drawn."""

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, check=0, seed=0)
        within(self, image_size=(8, 1024))


@dataclass(frozen=True)
class Launch:
    """Start a verb as several workers on this machine, which learn together."""

    command: Positional[Annotated[tuple[str, ...], arg(metavar="VERB ...")]]
    """The verb and its options, as without launch; they come last."""
    workers: int = 2
    """Processes; each takes its share of every batch."""
    restarts: int = 0
    """How often all of them are started again, from the last checkpoint, after one was lost."""

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, workers=2, restarts=0)
        if not self.command:
            raise ConfigError("launch needs a verb and its options: ssl-keras launch --workers 2 pretrain --data ...")


@dataclass(frozen=True)
class Masks:
    """Find the foreground of images without labels, once, for pretrain --masks."""

    data: Source
    """A folder of images, tfds:NAME[:SPLIT], shapes[@SIZE][:SPLIT] or digits."""
    data_dir: OptionalFolder = None
    """Where TFDS sets are prepared. None: TFDS_DATA_DIR, else TFDS's own."""
    out: Folder = "auto"
    """The folder to write. auto: masks/ and the name of the data."""
    refine: bool = False
    """Fuse with a network that learns first, for minutes. On ECSSD: max-F as before, IoU 0.558, not 0.551."""
    training_images: int = 6000
    """Images that the network learns from, at most."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, training_images=64, seed=0)


@dataclass(frozen=True)
class Evaluate:
    """Measure what an encoder is worth, beside yardsticks, and write the report."""

    encoder: EncoderPath
    """A run folder, a .keras file, a SavedModel, a keras-hub preset folder, or keras.applications:NAME."""
    scenarios: Annotated[tuple[str, ...], arg(aliases=("--suite",))] = ("auto",)
    """Suites, single scenarios, or labelled sources. auto: the run's own images if labelled, and embedded."""
    protocols: tuple[Protocol, ...] | Literal["auto"] = "auto"
    """How it is judged, the same in all scenarios. auto: as each scenario says."""
    beside: tuple[str, ...] = ()
    """Further encoders, spelled in the same ways, judged side by side."""
    image_size: int | Literal["auto"] = "auto"
    """Side in pixels that encoders see. auto: each its own."""
    yardsticks: tuple[Yardstick, ...] = ("pixels", "untrained", "supervised")
    """What to put beside it. supervised trains once more, with labels, and needs a run folder."""
    supervised_label: str = "auto"
    """The label set that the supervised yardstick learns. auto: the first of the run's data."""
    data_dir: OptionalFolder = None
    """Where TFDS sets are prepared. None: TFDS_DATA_DIR, else TFDS's own."""
    train_images: Images = None
    """Labelled images per scenario, drawn with the seed. None: all."""
    test_images: Images = None
    """Test images per scenario, drawn with the seed. None: all."""
    seed: int = 0
    """Of the bootstrap and the cross-validation folds; the untrained encoder has the run's own."""
    out: Folder = "auto"
    """Where results.json and report.html go. auto: the run folder."""

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, seed=0)
        for name in ("train_images", "test_images"):
            if getattr(self, name) is not None:
                at_least(self, **{name: 2})
        within(self, image_size=(8, 1024))
        for name in ("scenarios", "protocols"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is empty: give some, or leave it at auto")


@dataclass(frozen=True)
class Demo:
    """Pre-train on procedural images, evaluate, report: ten minutes on two cores."""

    out: Folder = "runs/demo"
    """The run folder."""
    minutes: Minutes = None
    """Pre-train for this long instead of the demo's epochs."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, seed=0)


@dataclass(frozen=True)
class Runs:
    """List the runs in folders, show one, or compare several."""

    action: Positional[Literal["list", "show", "compare"]] = "list"
    """list: one line a run; show: all of one; compare: settings that differ, and results side by side."""
    folders: Positional[Annotated[tuple[str, ...], arg(metavar="[FOLDER ...]")]] = ()
    """Run folders; for list, folders that hold them, runs if none is named."""

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True)
class Families:
    """List the networks of the study (arXiv 2203.08130), by cost, and draw them."""

    family: Positional[Literal["all", "resnet", "mobilenet"]] = "all"
    """212 ResNets, 301 MobileNets, or all of them."""
    params: Range = None
    """Only those with so many parameters: 12e6..30e6, 10M.. or ..10M."""
    macs: Range = None
    """Only those with so many multiply-adds an image."""
    micro: int | None = None
    """Filters of the first stage, in place of 64 or 16, and the stem of small images: 8 suits a small machine."""
    image_size: int | Literal["auto"] = "auto"
    """Side in pixels that costs refer to. auto: 224, and 32 with micro."""
    out: Annotated[str | None, arg(metavar="FILE")] = None
    """Write a page with a drawing of each."""

    def __post_init__(self) -> None:
        check_types(self)
        within(self, image_size=(8, 1024))


@dataclass(frozen=True)
class Embed:
    """Write the embeddings of images, their nearest neighbours and near-duplicates."""

    encoder: EncoderPath
    """A run folder, or a .keras file that ssl_keras saved."""
    data: Source
    """A folder of images, tfds:NAME[:SPLIT], shapes[@SIZE][:SPLIT] or digits."""
    out: Folder
    """The folder to write, made if absent."""
    data_dir: OptionalFolder = None
    """Where TFDS sets are prepared. None: TFDS_DATA_DIR, else TFDS's own."""
    neighbours: int = 5
    """Nearest neighbours listed for each image."""
    duplicate_threshold: float = 0.98
    """Pairs of images whose cosine is above this are listed as near-duplicates."""
    batch_size: int = 256
    """Images per step."""

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, neighbours=1, batch_size=1)
        within(self, duplicate_threshold=(0.0, 1.0))


@dataclass(frozen=True)
class Export:
    """Write an encoder for use without ssl_keras, and check that embeddings agree."""

    encoder: EncoderPath
    """A run folder, or a .keras file that ssl_keras saved."""
    out: Folder = "auto"
    """The folder to write. auto: export/ in the run folder, or beside the file."""
    formats: tuple[Format, ...] | Literal["auto"] = "auto"
    """Some of keras, savedmodel, litert, onnx. auto: all that can be written here."""
    tolerance: float = 1e-3
    """Largest difference allowed, relative to the largest embedding component."""

    def __post_init__(self) -> None:
        check_types(self)
        within(self, tolerance=(0.0, 1.0))
        if not self.formats:
            raise ConfigError("formats is empty: name some of keras, savedmodel, litert, onnx")


@dataclass(frozen=True)
class Doctor:
    """Print versions, devices, and what is missing with its remedy."""


@dataclass(frozen=True)
class Report:
    """Write report.html again from what a run folder holds."""

    run: Positional[Folder]
    """The run folder."""
