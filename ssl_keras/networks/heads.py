"""What stands on an encoder while it learns: projector, predictor, classifier."""

from typing import Any

import keras
from keras import layers

from ssl_keras.networks.blocks import BN_EPSILON, BN_MOMENTUM


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
