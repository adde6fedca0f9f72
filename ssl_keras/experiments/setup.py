"""From a config to the things that it names: images, encoder, views, learner, schedule."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras

from ssl_keras.architecture.cost import Cost, cost
from ssl_keras.data.evaluation import evaluation_batches
from ssl_keras.data.masks import Masks, open_masks
from ssl_keras.data.sources import Source, at_most, open_source, take
from ssl_keras.data.views import PRESET_SIZES, ViewBatches, Views, view_batches
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.config_files import to_dict
from ssl_keras.experiments.naming import APPLICATIONS, encoder_file, named_architecture
from ssl_keras.experiments.recipes import MODES, Recipe, recipe
from ssl_keras.experiments.settings import Pretrain
from ssl_keras.learning.distribution import strategy
from ssl_keras.learning.learner import Learner
from ssl_keras.learning.optimizers import LARS
from ssl_keras.learning.relicv2 import ReLICv2
from ssl_keras.learning.schedules import TargetDecay, warmup_cosine
from ssl_keras.learning.supervised import Supervised
from ssl_keras.networks.encoder import Encoder, build_encoder
from ssl_keras.networks.heads import Predictor, Projector
from ssl_keras.networks.imported import from_applications
from ssl_keras.networks.recalibration import recalibrate
from ssl_keras.saving import load

AUTO_PASSES = 400_000
"""Image-passes that ``epochs="auto"`` aims at. NOTE: our choice; CIFAR-10 gains little after it at this size."""
AUTO_EPOCHS = (5, 400)
AUTO_BATCH = 256
AUTO_SIZE = 64
LARGEST_AUTO_SIZE = 224
RECALIBRATION_IMAGES, RECALIBRATION_BATCH = 2048, 256


@dataclass(frozen=True)
class Schedule:
    """How long a run is.

    Attributes:
        epochs: Passes over the images.
        steps_per_epoch: Full batches in a pass.
    """

    epochs: int
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        """All updates of the run."""
        return self.epochs * self.steps_per_epoch


@dataclass(frozen=True)
class Setup:
    """What a config names, made on demand; equal configs give equal things.

    Attributes:
        config: What is named.
        images: What the config's ``data`` names, where it is open already.

    Raises:
        ConfigError: From any part: the batch exceeds the data, the views do not fit, and so on.
    """

    config: Pretrain
    images: Source | None = None

    @cached_property
    def source(self) -> Source:
        """The images to learn from."""
        source = self.images or open_source(self.config.data, data_dir=self.config.data_dir)
        if self.config.images is not None:
            source = take(source, self.config.images, self.config.seed)
        if source.size < 2:
            raise ConfigError(f"{source.name} holds one image, and learning compares different ones: give two or more")
        if self.config.batch_size != "auto" and self.config.batch_size > source.size:
            raise ConfigError(
                f"batch_size is {self.config.batch_size}, but {source.name} holds {source.size} images: "
                f"give --batch-size {2 ** int(math.log2(source.size))} or less, or auto"
            )
        return source

    @property
    def resolved(self) -> dict[str, Any]:
        """The config as plain JSON types, with what was auto and the images decided."""
        return to_dict(self.config) | {"image_size": self.image_size, "batch_size": self.batch_size}

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Within it layers are made in the config's precision and under its strategy."""
        keras.config.set_dtype_policy(self.config.compute.precision)
        try:
            with strategy(self.config.compute.strategy).scope():
                yield
        finally:
            keras.config.set_dtype_policy("float32")

    @cached_property
    def batch_size(self) -> int:
        """Images in a global batch."""
        # Half of the images at most, so that an epoch does not compare the same images in every step.
        chosen = max(2, min(AUTO_BATCH, 2 ** int(math.log2(self.source.size / 2))))
        size = chosen if self.config.batch_size == "auto" else self.config.batch_size
        if self.config.loss.negatives >= size:
            raise ConfigError(
                f"loss.negatives is {self.config.loss.negatives}, but a batch of {size} has {size - 1} other images: "
                "lower it, or 0 for all"
            )
        return size

    @cached_property
    def image_size(self) -> int:
        """Side of the large crops."""
        if self.config.image_size != "auto":
            return int(self.config.image_size)
        shape = self.source.image_shape
        return min(min(shape[:2]), LARGEST_AUTO_SIZE) if shape else AUTO_SIZE

    @cached_property
    def views(self) -> Views:
        """The recipe: the preset nearest to the image size, with the config's numbers of crops."""
        preset = min(PRESET_SIZES, key=lambda size: abs(math.log(size / self.image_size)))
        crops = self.config.views
        scale = self.image_size / preset
        small_size = max(8, round(scale * Views.preset(preset).small_size))
        views = Views.preset(
            preset,
            size=self.image_size,
            large=crops.large,
            small=crops.small,
            small_size=small_size,
            masked=crops.masked if self.config.masks else 0.0,
        )
        area = (crops.smallest_area, 1.0)
        return replace(views, large_augmentations=tuple(replace(one, area=area) for one in views.large_augmentations))

    @cached_property
    def masks(self) -> Masks | None:
        """Foreground masks of the images, if any crop is to lose its background."""
        folder = self.config.masks
        return open_masks(folder, self.source) if folder and self.views.masked else None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Of the large crops."""
        return self.image_size, self.image_size, 3

    @cached_property
    def architecture(self) -> str:
        """The encoder's string, or the name of a network that has none.

        Raises:
            ArchitectureError: It cannot be built, or leaves something to decide.
        """
        if self.config.init is None:
            network = named_architecture(self.config.architecture, self.image_size)
            cost(network, self.input_shape)  # what cannot be built cannot be counted
            return str(network)
        encoder = self.encoder()
        return str(getattr(encoder, "architecture", encoder.name))

    def encoder(self) -> keras.Model:
        """The encoder as it stands before training: drawn from the seed, or the one that ``init`` names."""
        init = self.config.init
        if init is None:
            architecture = named_architecture(self.config.architecture, self.image_size)
            return build_encoder(architecture, self.input_shape, seed=self.config.seed)
        if init.startswith(APPLICATIONS):
            return from_applications(init.removeprefix(APPLICATIONS), self.input_shape)
        return load(encoder_file(init))

    def untrained(self) -> keras.Model:
        """The encoder before training, its BN statistics taken from the images."""
        encoder = self.encoder()
        measure_statistics(encoder, self.source, self.image_size)
        return encoder

    def batches(self, label: str | None = None) -> ViewBatches:
        """The stream of views."""
        return view_batches(
            self.source, self.views, self.batch_size, seed=self.config.seed, label=label, masks=self.masks
        )

    def schedule(self) -> Schedule:
        """The length that the config states, or a number of epochs chosen from the number of images."""
        return Schedule(self._epochs, self.source.size // self.batch_size)

    @property
    def _epochs(self) -> int:
        if self.config.epochs != "auto":
            return int(self.config.epochs)
        low, high = AUTO_EPOCHS
        return min(max(round(AUTO_PASSES / self.source.size), low), high)

    def learner(self, schedule: Schedule) -> ReLICv2:
        """A compiled learner of the config's mode."""
        config, heads, loss = self.config, self.config.heads, self.config.loss
        encoder, mode = self.encoder(), MODES[config.mode]
        size, seed = heads.projection, 3 * config.seed
        hidden = heads.predictor_hidden
        if hidden == "auto":
            hidden = heads.projector_hidden if mode.predictor else 0
        ema = config.optimization.target_ema
        target = mode.target if ema == "auto" else ema != "none"
        learner = ReLICv2(
            encoder,
            projector=Projector(encoder.output_shape[-1], heads.projector_hidden, size, seed=seed + 1),
            predictor=Predictor(size, hidden, size, seed=seed + 2) if hidden else None,
            loss=mode.loss(loss, mode.temperature if loss.temperature == "auto" else loss.temperature),
            negatives=loss.negatives,
            target_decay=TargetDecay(self.recipe(schedule).target_ema, schedule.steps) if target else None,
            seed=config.seed,
        )
        learner.compile(self.optimizer(schedule))
        return learner

    def supervised(self, schedule: Schedule, label: str) -> Supervised:
        """A compiled learner of the same encoder from labels, with the same optimizer and schedule."""
        learner = Supervised(self.encoder(), len(self.source.label_sets[label]), seed=self.config.seed)
        learner.compile(self.optimizer(schedule))
        return learner

    def optimizer(self, schedule: Schedule) -> keras.optimizers.Optimizer:
        """The optimizer with its warm-up and cosine."""
        chosen = self.recipe(schedule)
        warmup = min(round(self.config.optimization.warmup_epochs * schedule.steps_per_epoch), schedule.steps // 10)
        rate = warmup_cosine(chosen.learning_rate * self.batch_size / 256, schedule.steps, warmup)
        if chosen.optimizer == "lars":
            return LARS(rate, weight_decay=chosen.weight_decay)
        return keras.optimizers.SGD(rate, momentum=0.9, weight_decay=chosen.weight_decay or None)

    def recipe(self, schedule: Schedule) -> Recipe:
        """How the weights move."""
        return recipe(
            self.config.optimization, epochs=schedule.epochs, steps=schedule.steps, batch_size=self.batch_size
        )

    def cost(self, encoder: keras.Model) -> Cost | None:
        """MACs and parameters of the encoder at the image size; None for a network without a string."""
        return cost(encoder.architecture, self.input_shape) if isinstance(encoder, Encoder) else None

    def macs_per_image(self, learner: Learner) -> int:
        """Multiply-adds that one image costs in a step: its views through every network, backward twice forward.

        Convolutions and dense layers are counted, as in ``cost``; the loss, the views and the moving average are not.
        """
        network = learner.encoder.architecture
        forward = {
            kind: (len(crops), cost(network, (side, side, 3)).macs) for kind, (side, crops) in self.views.kinds.items()
        }
        large, encoder = forward["large"]
        if not isinstance(learner, ReLICv2):
            return 3 * large * (encoder + _dense_macs(learner.classifier))
        heads = _dense_macs(learner.projector) + (_dense_macs(learner.predictor) if learner.predictor else 0)
        target = large * (encoder + _dense_macs(learner.projector)) if learner.target_decay else 0
        return target + sum(3 * crops * (macs + heads) for crops, macs in forward.values())

    def describe(self, learner: ReLICv2, schedule: Schedule) -> dict[str, str]:
        """What is about to happen, in the order to read it."""
        config, encoder = self.config, learner.encoder
        spent = self.cost(encoder)
        negatives = (config.loss.negatives or self.batch_size - 1) if MODES[config.mode].contrastive else "no"
        epochs = f"{schedule.epochs} epochs" + (" (chosen from the number of images)" if self._epochs_chosen else "")
        lines: dict[str, Any] = {
            "images": f"{self.source.size} of {self.source.name}",
            "views": f"{self.views.large} large at {self.views.size} px"
            + (f", {self.views.small} small at {self.views.small_size} px" if self.views.small else ""),
            "masks": self._describe_masks(),
            "architecture": str(encoder.architecture) if isinstance(encoder, Encoder) else encoder.name,
            "cost": f"{spent.params / 1e6:.2f} M parameters, {spent.macs / 1e6:.1f} M MACs an image" if spent else "",
            "method": self._method(learner, self.recipe(schedule)),
            "batch": f"{self.batch_size} images, {negatives} negatives an anchor",
            "schedule": f"{epochs}, {schedule.steps} steps, {schedule.steps * self.batch_size} image-passes",
            "skipped": f"{len(self.source.skipped)} unreadable files" if self.source.skipped else "",
        }
        return {name: line for name, line in lines.items() if line}

    def _method(self, learner: ReLICv2, chosen: Recipe) -> str:
        target = f"target decay from {chosen.target_ema:g}" if learner.target_decay else "no target"
        if self.config.mode == "simclr" and learner.target_decay:
            target += " (simclr as published has none: --optimization.target-ema none)"
        predictor = "" if learner.predictor else ", no predictor"
        rate = f"{chosen.optimizer.upper()}, rate {chosen.learning_rate * self.batch_size / 256:g}"
        return f"{self.config.mode}, {rate}, {target}{predictor}"

    def _describe_masks(self) -> str:
        if self.masks is None:
            return ""
        share = f"{100 * self.views.masked:g} % of the large crops lose their background"
        return f"{share}; {self.masks.passing} images have no foreground and keep it"

    @property
    def _epochs_chosen(self) -> bool:
        return self.config.epochs == "auto" and self.config.minutes is None


def _dense_macs(head: keras.Model) -> int:
    return sum(math.prod(layer.kernel.shape) for layer in head.layers if isinstance(layer, keras.layers.Dense))


def measure_statistics(encoder: keras.Model, images: Source, size: int) -> None:
    """Takes an encoder's BN statistics from up to 2048 images at ``size`` pixels, in place."""
    batches = evaluation_batches(at_most(images, RECALIBRATION_IMAGES), size, RECALIBRATION_BATCH)
    recalibrate(encoder, (batch["image"] for batch in batches))
