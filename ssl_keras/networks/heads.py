"""What stands on an encoder while it learns: projector, predictor, classifier, segmenter."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

from ssl_keras.networks.blocks import BN_EPSILON, BN_MOMENTUM

Tensor = Any


class _Perceptron(keras.Model):
    """Dense - BN - ReLU - Dense on vectors: (B, D) to (B, output)."""

    def __init__(self, inputs: int, hidden: int, output: int, *, synchronized: bool, seed: int, name: str) -> None:
        x = vectors = keras.Input((inputs,))
        x = layers.Dense(hidden, kernel_initializer=_initializer(2 * seed), name="hidden")(x)
        x = layers.BatchNormalization(
            momentum=BN_MOMENTUM, epsilon=BN_EPSILON, synchronized=synchronized, name="hidden_bn"
        )(x)
        x = layers.Activation("relu", name="hidden_act")(x)
        x = layers.Dense(output, kernel_initializer=_initializer(2 * seed + 1), dtype="float32", name="output")(x)
        super().__init__(inputs=vectors, outputs=x, name=name)
        self._config = {
            "inputs": inputs,
            "hidden": hidden,
            "output": output,
            "synchronized": synchronized,
            "seed": seed,
            "name": name,
        }

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._config)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "_Perceptron":
        """Rebuilds the head from :meth:`get_config`."""
        del custom_objects
        return cls(**config)


@keras.saving.register_keras_serializable("ssl_keras")
class Projector(_Perceptron):
    """Embeddings (B, inputs) to projections (B, output): Dense - BN - ReLU - Dense (BYOL, appendix; ReLICv2).

    Args:
        inputs: Size of the embedding.
        hidden: Units of the hidden layer; 4096 in the paper.
        output: Size of the projection P; 256 in the paper.
        synchronized: Whether batch normalisation takes its moments over all replicas.
        seed: Seed of the initial weights.
        name: Name of the model.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int = 4096,
        output: int = 256,
        *,
        synchronized: bool = True,
        seed: int = 1,
        name: str = "projector",
    ) -> None:
        super().__init__(inputs, hidden, output, synchronized=synchronized, seed=seed, name=name)


@keras.saving.register_keras_serializable("ssl_keras")
class Predictor(_Perceptron):
    """Projections (B, inputs) to predictions (B, output), on the online side only. Arguments as :class:`Projector`."""

    def __init__(
        self,
        inputs: int,
        hidden: int = 4096,
        output: int = 256,
        *,
        synchronized: bool = True,
        seed: int = 2,
        name: str = "predictor",
    ) -> None:
        super().__init__(inputs, hidden, output, synchronized=synchronized, seed=seed, name=name)


@keras.saving.register_keras_serializable("ssl_keras")
class Segmenter(layers.Layer):
    """Feature maps, as of ``Encoder.pyramid()``, to scores of the classes at each place (FCN, arXiv 1411.4038, 4.2).

    The maps of the last `LEVELS` total strides, or as many as there are, are scored by BN and a 1x1 convolution.
    From the coarsest on, scores are enlarged and added to those of the next finer map: FCN-8s, where the total
    stride is 32. Called with maps {"stride_8": (B, H, W, C), ...}; gives float32 (B, h, w, classes), h and w of the
    finest level. NOTE: enlarged bilinearly, where the paper learns the filters, and with BN, as maps of different
    depths differ in scale.

    Args:
        classes: Number of classes.
        seed: Seed of the initial weights.
        **kwargs: What every Keras layer takes. It computes in float32 unless told otherwise.
    """

    LEVELS = 3

    def __init__(self, classes: int, *, seed: int = 4, **kwargs: Any) -> None:
        super().__init__(**{"name": "segmenter", "dtype": "float32"} | kwargs)
        self.classes = classes
        self.seed = seed

    def build(self, shapes: Mapping[str, Any]) -> None:
        """Creates one BN and one convolution for each level, the coarsest first."""
        self._norms, self._scores = [], []
        for level, shape in enumerate(self._levels(shapes)):
            norm = layers.BatchNormalization(
                momentum=BN_MOMENTUM, epsilon=BN_EPSILON, dtype=self.dtype_policy, name=f"level{level}_bn"
            )
            score = layers.Conv2D(
                self.classes,
                1,
                kernel_initializer=_initializer(self.seed + level),
                dtype=self.dtype_policy,
                name=f"level{level}_score",
            )
            norm.build(shape)
            score.build(shape)
            self._norms.append(norm)
            self._scores.append(score)

    def call(self, pyramid: Mapping[str, Tensor], training: bool | None = None) -> Tensor:
        """Scores (B, h, w, classes)."""
        levels = zip(self._levels(pyramid), self._norms, self._scores, strict=True)
        coarsest, *finer = [score(norm(maps, training=training)) for maps, norm, score in levels]
        total = coarsest
        for scores in finer:
            total = scores + ops.image.resize(total, ops.shape(scores)[1:3], "bilinear")
        return total

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"classes": self.classes, "seed": self.seed}

    def _levels(self, pyramid: Mapping[str, Any]) -> list[Any]:
        strides = sorted(pyramid, key=lambda name: int(name.removeprefix("stride_")), reverse=True)
        return [pyramid[stride] for stride in strides[: self.LEVELS]]


def build_classifier(inputs: int, classes: int, *, seed: int = 3) -> keras.Model:
    """A linear classifier: embeddings (B, inputs) to logits (B, classes) in float32."""
    vectors = keras.Input((inputs,))
    logits = layers.Dense(classes, kernel_initializer=_initializer(seed), dtype="float32", name="logits")(vectors)
    return keras.Model(vectors, logits, name="classifier")


def _initializer(seed: int) -> keras.initializers.Initializer:
    return keras.initializers.GlorotUniform(seed=seed)


def clone_with_weights(model: keras.Model) -> keras.Model:
    """A second model of the same configuration that starts from the same weights (the EMA target)."""
    clone = model.__class__.from_config(model.get_config())
    clone.set_weights(model.get_weights())
    return clone
