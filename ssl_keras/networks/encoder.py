"""An architecture string as a Keras model."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from ssl_keras.architecture.grammar import Architecture, ArchitectureError, parse
from ssl_keras.architecture.layout import Block, layout
from ssl_keras.networks.blocks import BUILDERS, BlockBuilder, Tensor

GRAMMAR_VERSION = 1
RGB_MEAN = (0.485, 0.456, 0.406)
RGB_VARIANCE = (0.229**2, 0.224**2, 0.225**2)


@keras.saving.register_keras_serializable("ssl_keras")
class Encoder(keras.Model):
    """Images to embeddings: the network that an architecture string describes, without any head.

    Called with images (B, H, W, C), floats in [0, 1]; gives embeddings (B, D) in float32, the global average
    of the last feature map. H and W may differ from ``input_shape`` from the total stride up. The first layer
    is a frozen normalisation, so exported weights carry it. NOTE: it is ImageNet's mean and standard deviation
    for three channels and 0.5 and 0.25 for any other number.

    Args:
        architecture: The string, or what :func:`ssl_keras.parse` makes of it; no braces.
        input_shape: (H, W, C) that costs and drawings refer to; H and W may be None.
        synchronized: Whether batch normalisation takes its moments over all replicas.
        seed: Initial weights are drawn from (seed, layer name).
        grammar: Version of the notation, kept so that old files stay readable.
        name: Name of the model.

    Raises:
        ArchitectureError: The string is malformed, is a search space, or does not fit the input.
    """

    def __init__(
        self,
        architecture: Architecture | str,
        input_shape: Sequence[int | None],
        *,
        synchronized: bool = True,
        seed: int = 0,
        grammar: int = GRAMMAR_VERSION,
        name: str = "encoder",
    ) -> None:
        check_grammar(grammar)
        parsed = parse(architecture) if isinstance(architecture, str) else architecture
        height, width, channels = checked_shape(input_shape)
        blocks = layout(parsed, (height, width, channels))
        images = keras.Input((None, None, channels), name="images")
        outputs, feature_maps = _connect(images, blocks, synchronized=synchronized, seed=seed)
        super().__init__(inputs=images, outputs=outputs, name=name)
        self.architecture = parsed
        self.image_shape = (height, width, channels)
        self.synchronized = synchronized
        self.seed = seed
        self._feature_maps = feature_maps

    @property
    def embedding_size(self) -> int:
        """D, the number of components of an embedding."""
        return int(self.output_shape[-1])

    def pyramid(self) -> keras.Model:
        """The last feature map at each total stride, by name: ``{"stride_1": (B, H, W, C), ...}``. Shares weights."""
        return keras.Model(self.inputs[0], self._feature_maps, name=f"{self.name}_pyramid")

    def get_config(self) -> dict[str, Any]:
        """The architecture as text, the input shape, and the notation's version: all that rebuilds it."""
        return config_of(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Encoder":
        """Rebuilds an encoder from :meth:`get_config`."""
        del custom_objects
        return cls(**config)


def build_encoder(
    architecture: Architecture | str,
    input_shape: Sequence[int | None],
    *,
    synchronized: bool = True,
    seed: int = 0,
    name: str = "encoder",
) -> Encoder:
    """Builds the encoder that an architecture describes. Arguments and errors as in :class:`Encoder`."""
    return Encoder(architecture, input_shape, synchronized=synchronized, seed=seed, name=name)


def config_of(network: Any) -> dict[str, Any]:
    """What an encoder or a supernet is built from, as plain values."""
    return {
        "architecture": str(network.architecture),
        "input_shape": list(network.image_shape),
        "synchronized": network.synchronized,
        "seed": network.seed,
        "grammar": GRAMMAR_VERSION,
        "name": network.name,
    }


def check_grammar(version: int) -> None:
    """Raises ArchitectureError for a file whose notation this version of ssl_keras does not read."""
    if version != GRAMMAR_VERSION:
        raise ArchitectureError(
            f"grammar version {version} is newer than this ssl_keras, which reads {GRAMMAR_VERSION}: upgrade it"
        )


def checked_shape(input_shape: Sequence[int | None]) -> tuple[int | None, int | None, int]:
    """(height, width, channels), height and width possibly None. Raises ArchitectureError for anything else."""
    shape = tuple(input_shape)
    if len(shape) != 3 or not isinstance(shape[2], int) or any(s is not None and s < 1 for s in shape):
        raise ArchitectureError(
            f"input shape {shape} is not (height, width, channels): give three positive sizes, as in (32, 32, 3)"
        )
    return shape[0], shape[1], shape[2]


def _connect(
    images: Tensor, blocks: Sequence[Block], *, synchronized: bool, seed: int
) -> tuple[Tensor, dict[str, Tensor]]:
    x = normalization(images.shape[-1])(images)
    feature_maps, total_stride = {}, 1
    for block in blocks:
        x = BUILDERS[block.op](x, BlockBuilder(block, synchronized=synchronized, seed=seed))
        total_stride *= block.stride
        feature_maps[f"stride_{total_stride}"] = x
    # Embeddings are float32 whatever the compute policy: they are what kNN, probes and users see.
    return layers.GlobalAveragePooling2D(dtype="float32", name="embedding")(x), feature_maps


def normalization(channels: int) -> layers.Layer:
    """The frozen first layer: images (B, H, W, C) in [0, 1] to zero mean and unit deviation, about."""
    mean, variance = (RGB_MEAN, RGB_VARIANCE) if channels == 3 else ((0.5,) * channels, (0.25**2,) * channels)
    return layers.Normalization(mean=list(mean), variance=list(variance), name="normalization")
