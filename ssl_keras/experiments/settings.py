"""What an experiment holds: typed frozen dataclasses, checked when they are made.

One field is one option, in a Python file (``config = Pretrain(batch_size=256)``), in ``config.json`` and in
the shell (``--batch-size 256``); its docstring is its help. Nothing here imports TensorFlow, so ``--help`` and
mistakes are quick. The functions that act on a config are in the module named as the verb; what verbs take that have
no experiments is in `ssl_keras.experiments.options`.
"""

from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

from tyro.conf import arg

from ssl_keras.architecture.derivation import KINDS, Budget
from ssl_keras.experiments.checks import ConfigError, amount_of, at_least, check_types, within
from ssl_keras.experiments.naming import named_networks

Baseline = Literal["resnet18", "mobilenet_v2", "random"]
Mode = Literal["relicv2", "relic", "simclr", "byol"]
Source = Annotated[str, arg(metavar="SOURCE")]
Folder = Annotated[str, arg(metavar="FOLDER")]
Images = Annotated[int | None, arg(metavar="INT")]
Number = float | Literal["auto"]
Amount = Annotated[float | str | None, arg(metavar="60M")]
Minutes = Annotated[float | None, arg(metavar="MINUTES")]
OptionalFolder = Annotated[str | None, arg(metavar="FOLDER")]
Range = Annotated[str | None, arg(metavar="LOW..HIGH")]


@dataclass(frozen=True)
class Crops:
    """Views of an image."""

    large: int = 2
    """Large crops per image, at least 2 unless there are small ones. [paper: 4]"""
    small: int = 0
    """Small crops per image; only the online network sees them. [paper: 2]"""
    smallest_area: float = 0.08
    """Least share of the image that a large crop covers; more makes the views more alike. [paper: 0.08]"""
    masked: float = 0.1
    """Probability that a large crop has no background, where there are masks. [paper: 0.1]"""

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, large=1, small=0)
        within(self, smallest_area=(0.01, 1.0), masked=(0.0, 1.0))
        if self.large + self.small < 2:
            raise ConfigError(
                "views.large is 1 and views.small is 0: a single view has nothing to agree with, so ask for two"
            )


@dataclass(frozen=True)
class Objective:
    """The loss. Defaults are for short schedules; the experiment imagenet has the paper's values."""

    temperature: Number = "auto"
    """Divides the cosines. auto: 0.2, and 0.5 in simclr; byol has none. [paper: 0.2]"""
    contrastive_weight: float = 1.0
    """Weight of the contrastive term, in relicv2. [paper: 0.3]"""
    invariance_weight: float = 0.3
    """Weight of the invariance term (a KL divergence), in relicv2 and relic. [paper: 5]"""
    same_view_pairs: bool = False
    """Whether to also compare each large crop with itself, in relicv2 and relic. [paper: yes]"""
    negatives: int = 0
    """Negatives per anchor, drawn from the batch; 0 takes all others. [paper: 10]"""

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, contrastive_weight=0.0, invariance_weight=0.0, negatives=0)
        within(self, temperature=(1e-3, 10.0))


@dataclass(frozen=True)
class Heads:
    """Networks on top of the encoder, while it learns."""

    projector_hidden: int = 1024
    """Hidden units of the projector. [paper: 4096]"""
    projection: int = 128
    """Size of the vectors that the loss compares. [paper: 256]"""
    predictor_hidden: int | Literal["auto"] = "auto"
    """Hidden units of the predictor; 0 has no predictor. auto: as the projector, none in simclr. [paper: 4096]"""

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, projector_hidden=1, projection=2, predictor_hidden=0)


@dataclass(frozen=True)
class Optimization:
    """How the weights move. auto: by batch and length of the run, shown at the start."""

    optimizer: Literal["auto", "sgd", "lars"] = "auto"
    """SGD with momentum 0.9, or LARS. auto: SGD for batches up to 512."""
    learning_rate: Number = "auto"
    """For a batch of 256; scaled in proportion to the batch."""
    weight_decay: Number = "auto"
    """Not applied to biases and batch normalisation."""
    warmup_epochs: float = 1.0
    """Epochs of linear warm-up before the cosine; at most a tenth of the run."""
    target_ema: float | Literal["auto", "none"] = "auto"
    """Decay of the target network at the start; it rises to 1. none: no target network, as in simclr."""

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, learning_rate=0.0, weight_decay=0.0, warmup_epochs=0.0)
        within(self, target_ema=(0.0, 1.0))


@dataclass(frozen=True)
class Compute:
    """Devices and numbers."""

    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """mixed_bfloat16 is the faster on recent GPUs, TPUs, and processors that have it."""
    strategy: Literal["auto", "none", "mirrored", "multiworker", "tpu"] = "auto"
    """auto: multiworker where TF_CONFIG names several workers, mirrored over several GPUs, else one device."""

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True)
class Monitor:
    """What is measured on the way."""

    every_steps: int = 20
    """Steps between two rows of metrics.jsonl."""
    embeddings_every: int = 1
    """Epochs between looks at the embeddings (kNN, spread, rank)."""
    checkpoint_every: int = 1
    """Epochs between checkpoints, which an interrupted run continues from."""

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, every_steps=1, embeddings_every=1, checkpoint_every=1)


@dataclass(frozen=True)
class Pretrain:
    """Learn an encoder from images without labels, into a run folder."""

    data: Source = "shapes"
    """A folder of images, tfds:NAME[:SPLIT], shapes[@SIZE][:SPLIT] or digits."""
    data_dir: OptionalFolder = None
    """Where TFDS sets are prepared. None: TFDS_DATA_DIR, else TFDS's own."""
    images: Images = None
    """Learn from this many images only, drawn once with the seed. None: all."""
    masks: OptionalFolder = None
    """Foreground masks of the images, as ssl-keras masks writes them. None: every crop keeps its background."""
    architecture: str = "resnet18@0.25"
    """A family (resnet50), with a width (mobilenet_v2@0.5), or a string ("conv_c32 | basic_r2_c64")."""
    image_size: int | Literal["auto"] = "auto"
    """Side of the large crops in pixels. auto: that of the images when they share one, at most 224; else 64."""
    init: Annotated[str | None, arg(metavar="ENCODER")] = None
    """Start from these weights: a run folder, a .keras file, or keras.applications:NAME."""
    epochs: int | Literal["auto"] = "auto"
    """Passes over the images. auto: chosen from their number and shown."""
    minutes: Minutes = None
    """Size the schedule to this much time instead of epochs."""
    batch_size: int | Literal["auto"] = "auto"
    """Images per step, over all devices. auto: 256, or for few images the largest power of two up to half of them."""
    seed: int = 0
    """Everything random follows from it."""
    out: Folder = "auto"
    """The run folder. auto: runs/ and a name made of data and architecture."""
    mode: Mode = "relicv2"
    """The method. relic is version 1: contrastive weight 1, all negatives, no masks."""
    keep: Literal["last", "best"] = "last"
    """Which encoder is the result: the last, or that of the look (monitor) with the highest RankMe. Needs no labels."""
    views: Crops = field(default_factory=Crops)
    loss: Objective = field(default_factory=Objective)
    heads: Heads = field(default_factory=Heads)
    optimization: Optimization = field(default_factory=Optimization)
    compute: Compute = field(default_factory=Compute)
    monitor: Monitor = field(default_factory=Monitor)

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, seed=0)
        if self.batch_size != "auto":
            at_least(self, batch_size=2)
        if self.images is not None:
            at_least(self, images=2)
        if self.image_size != "auto":
            within(self, image_size=(8, 1024))
        if self.epochs != "auto":
            at_least(self, epochs=1)
        if self.minutes is not None:
            within(self, minutes=(0.1, 1e6))
        if self.minutes is not None and self.epochs != "auto":
            raise ConfigError(f"minutes is {self.minutes:g} and epochs is {self.epochs}: give one, and leave the other")
        if self.mode == "relic" and (self.loss.contrastive_weight != 1 or self.loss.negatives or self.masks):
            raise ConfigError(
                "mode relic has a contrastive weight of 1, all negatives and no masks: leave them, or take relicv2"
            )
        if self.batch_size != "auto" and self.loss.negatives > self.batch_size - 1:
            raise ConfigError(
                f"loss.negatives is {self.loss.negatives}, but a batch of {self.batch_size} has "
                f"{self.batch_size - 1} other images: lower it, or 0 for all"
            )


@dataclass(frozen=True)
class Searching:
    """How the architecture is learned, before the network that comes out is trained anew."""

    epochs: int | Literal["auto"] = "auto"
    """Passes of the weights over their half of the images. auto: as many as the training anew has."""
    warmup: float = 0.3
    """Share of the search before the architecture begins to move."""
    widest_first: float = 0.5
    """Share of the warm-up in which every stage has as many channels as it may; all else is drawn."""
    every: int = 2
    """Steps of the weights to one of the architecture."""
    estimator: Literal["score", "straight_through", "gumbel", "soft"] = "score"
    """Of the architecture's gradient: by comparing drawn networks, or through hard, soft or mixed choices."""
    samples: int = 2
    """Networks that score compares."""
    cost_weight: float = 1.0
    """Weight of missing the budget."""
    entropy_weight: float = 0.0
    """Weight of being undecided; it rises during the search."""
    sandwich: bool = False
    """Teach the largest and the smallest network in every step too, at three times the cost."""
    order: Literal[1, 2] = 1
    """2 looks through the next step of the weights, at more than twice the cost of the architecture's steps."""
    label: Annotated[str | None, arg(metavar="LABEL")] = None
    """Learn the architecture with the labels of this set. None: without labels, in the config's mode."""

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, every=1, samples=2, cost_weight=0.0)
        within(self, warmup=(0.0, 1.0), widest_first=(0.0, 1.0))
        if self.epochs != "auto":
            at_least(self, epochs=1)


@dataclass(frozen=True)
class Budgeted(Pretrain):
    """What is shared by the verbs that look for an architecture under a budget."""

    architecture: str = "auto"
    """A string with braces. auto: a space around the budget, by image size."""
    macs: Amount = None
    """The budget: multiply-adds an image, as 60M."""
    params: Amount = None
    """The budget: parameters, as 2.5M."""
    latency: float | None = None
    """The budget: milliseconds, by the table that ssl-keras latency wrote."""

    def __post_init__(self) -> None:
        super().__post_init__()
        given = {kind: getattr(self, kind) for kind in KINDS if getattr(self, kind) is not None}
        if len(given) > 1:
            raise ConfigError(f"a search has one budget, and {' and '.join(given)} are given: leave all but one")
        if self.latency is not None:
            within(self, latency=(1e-6, 1e9))
        for kind, amount in given.items():
            object.__setattr__(self, kind, amount_of(kind, amount))
        if self.minutes is not None:
            raise ConfigError(
                f"minutes is {self.minutes:g}, and a search goes by epochs: give epochs, and those of the search"
            )
        if self.init is not None:
            raise ConfigError(f"init is {self.init}, and a search starts from new weights: leave it")

    @property
    def budget(self) -> Budget | None:
        """The budget that is given, if any."""
        given: dict[str, float] = {kind: amount for kind in KINDS if (amount := getattr(self, kind)) is not None}
        return Budget(**given) if given else None


@dataclass(frozen=True)
class Search(Budgeted):
    """Learn architecture and weights under a budget, then train what was found."""

    latency_table: Annotated[str, arg(metavar="FILE")] = "latency.json"
    """That table."""
    sliced: bool = True
    """Train what was found twice: from new weights, and on from its slice of the supernet's."""
    baselines: tuple[Baseline, ...] = ("resnet18", "random")
    """Networks of the same cost that are trained alike and judged beside what was found."""
    search: Searching = field(default_factory=Searching)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.search.order == 2 and self.compute.precision != "float32":
            raise ConfigError(
                "search.order 2 takes differences that 16-bit numbers cannot hold: take precision float32"
            )


@dataclass(frozen=True)
class Study(Pretrain):
    """Judge many architectures, trained alike, in many scenarios."""

    networks: tuple[str, ...] = ("resnet", "mobilenet")
    """Families of the study (arXiv 2203.08130), single networks of it, or NAME=ARCHITECTURE."""
    micro: int | None = 8
    """Filters of the families' first stage, in place of 64 or 16, and the stem of small images. None: as published."""
    params: Range = None
    """Only networks of the families with so many parameters: 12e6..30e6, 10M.. or ..10M."""
    macs: Range = None
    """Only those with so many multiply-adds an image."""
    count: Images = None
    """Only so many of the families, drawn with the seed, the families in turn; a larger count adds to it. None: all."""
    seeds: tuple[int, ...] = (0,)
    """Of the trainings."""
    repeated: Images = None
    """Networks of the families that are trained with every seed, the first of the order; the others with the first.
    Named ones have every seed. None: all."""
    scenarios: Annotated[tuple[str, ...], arg(aliases=("--suite",))] = ("small",)
    """Suites or single scenarios."""
    train_images: int = 2000
    """Labelled images per scenario, at most, drawn with the seed."""
    test_images: int = 1000
    """Test images per scenario, at most, drawn with the seed."""
    retry: bool = False
    """Do again what failed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, train_images=2, test_images=2)
        if min(self.seeds, default=0) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"seeds is {self.seeds}: give different numbers from 0 on")
        named_networks(self.networks)
        for name in ("networks", "seeds", "scenarios"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is empty: give some, or leave it")
        for name in ("count", "repeated"):
            if getattr(self, name) is not None:
                at_least(self, **{name: 0})
        replaced = {"architecture": "networks", "minutes": "epochs", "init": "networks", "keep": "last"}
        for name, instead in replaced.items():
            if getattr(self, name) != Pretrain.__dataclass_fields__[name].default:
                raise ConfigError(f"{name} is {getattr(self, name)}, which a study does not take: give {instead}")


@dataclass(frozen=True)
class Tuning:
    """How networks are chosen, before the best of them is trained anew."""

    oracle: Literal["evolution", "random", "bayesian", "hyperband", "grid"] = "evolution"
    """What says which network to try next."""
    trials: int = 40
    """Networks that are tried."""
    epochs: int | Literal["auto"] = "auto"
    """Passes over the images in a trial, in hyperband in its longest. auto: as the training anew."""
    objective: str = "RankMe"
    """SCENARIO/PROTOCOL[/METRIC], as cifar10/linear, judged on held-out training images; or a score without labels."""
    judged_images: int = 5000
    """Labelled training images that a scenario takes at most; a fifth of them is held out."""
    choices: tuple[str, ...] = ()
    """Options that are tuned along, each with its values: optimization.learning_rate=0.1,0.2,0.4."""
    population: int = 16
    """Networks alive in evolution; as many are drawn at random to begin with. [paper: 100]"""
    tournament: int = 4
    """Of which the best has a child, in evolution. [paper: 25]"""

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, trials=1, judged_images=10, population=1, tournament=1)
        if self.epochs != "auto":
            at_least(self, epochs=1)


@dataclass(frozen=True)
class Tune(Budgeted):
    """Try the networks of a space within a budget, one by one, then train the best."""

    latency_table: Annotated[str | None, arg(metavar="FILE")] = None
    """That table; with it the Pareto front has time as an axis. None: no time."""
    tuning: Tuning = field(default_factory=Tuning)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latency is not None and self.latency_table is None:
            raise ConfigError(f"latency is {self.latency:g} milliseconds: give the table too, with --latency-table")


def pretraining(config: Pretrain) -> Pretrain:
    """What `ssl-keras pretrain` would be told by another verb's config, which has its own word on architectures."""
    known = {field.name: getattr(config, field.name) for field in fields(Pretrain)}
    return Pretrain(**known | {"architecture": Pretrain.architecture})


LEARNING = ("pretrain", "search")
"""Verbs that can be launched as several workers that learn together."""
EXPERIMENTS = (*LEARNING, "tune", "study")
"""Verbs that take an experiment, with its options beside it, and can be planned by --dry-run."""
