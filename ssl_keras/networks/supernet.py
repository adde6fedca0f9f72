"""A search space as one Keras model, whose weights are those of its largest network."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import layers

from ssl_keras.architecture.grammar import Architecture, Stage, Value, parse
from ssl_keras.architecture.layout import layout
from ssl_keras.architecture.learnable import check_learnable
from ssl_keras.networks.blocks import Tensor
from ssl_keras.networks.choices import Choices
from ssl_keras.networks.encoder import GRAMMAR_VERSION, Encoder, check_grammar, checked_shape, config_of, normalization
from ssl_keras.networks.entangled import WeightedSum
from ssl_keras.networks.superblocks import Decision, SuperBlockBuilder, decisions_of


@keras.saving.register_keras_serializable("ssl_keras")
class Supernet(keras.Model):
    """Images and choices to embeddings: every network of a space, entangled in the weights of the largest.

    Called with images as an :class:`Encoder` is, and with `choices`: each decision's name to the probabilities
    (n,) of its values, in the order of ``architecture.decisions``. One-hot vectors give exactly the network
    that :meth:`slice` cuts out, on the leading channels of the embedding, and 0 on the others; anything between
    is differentiable in them. They are inputs, so one compiled graph serves all; who makes them, and how,
    is the caller's business (see `choices`).

    Per choice (`SuperBlockBuilder`): kernels share centres; expansion, filters and squeeze widths share leading
    channels; depth weighs where the stage ends; squeeze-excitation and activation are convex combinations; ops
    run side by side. BN statistics serve all networks and so none: :func:`recalibrate` what was cut out.

    Args:
        architecture: The space, or its string.
        input_shape: (H, W, C) as of :class:`Encoder`; other sizes serve as well.
        synchronized: Whether batch normalisation takes its moments over all replicas.
        seed: Initial weights are drawn from (seed, layer name).
        grammar: Version of the notation, kept so that old files stay readable.
        name: Name of the model.

    Raises:
        ArchitectureError: The string is malformed or leaves nothing to decide, or a decision is one that only
            tuning can make.
    """

    def __init__(
        self,
        architecture: Architecture | str,
        input_shape: Sequence[int | None],
        *,
        synchronized: bool = True,
        seed: int = 0,
        grammar: int = GRAMMAR_VERSION,
        name: str = "supernet",
    ) -> None:
        check_grammar(grammar)
        super().__init__(name=name)
        space = parse(architecture) if isinstance(architecture, str) else architecture
        check_learnable(space)
        self.architecture = space
        self.image_shape = checked_shape(input_shape)
        self.synchronized = synchronized
        self.seed = seed
        self.network = _connect(space, self.image_shape[-1], synchronized=synchronized, seed=seed)
        self._standing = threading.local()
        self.built = True

    @property
    def output_shape(self) -> tuple[int | None, int]:
        """(None, D); D is the embedding's size in the widest network."""
        return self.network.output_shape

    def call(self, images: Tensor, choices: Choices | None = None, training: bool = False) -> Tensor:
        """Embeddings (B, D) in float32.

        Args:
            images: (B, H, W, C), floats in [0, 1].
            choices: Decision → probabilities (n,); None takes those of :meth:`choosing`.
            training: Whether batch normalisation uses the moments of the batch.

        Raises:
            ValueError: There are no choices, or they are not those of the space.
        """
        choices = choices if choices is not None else getattr(self._standing, "choices", None)
        if choices is None or set(choices) != set(self.architecture.decisions):
            given = "none" if choices is None else ", ".join(choices)
            raise ValueError(f"the supernet decides {', '.join(self.architecture.decisions)}; choices given: {given}")
        vectors = [keras.ops.convert_to_tensor(choices[name], "float32") for name in self.architecture.decisions]
        return self.network([images, *vectors], training=training)

    @contextmanager
    def choosing(self, choices: Choices) -> Iterator[None]:
        """Within it the supernet is called with images alone, as a learner or :func:`recalibrate` calls an encoder.

        Args:
            choices: As of :meth:`call`. Each thread, and so each replica, has its own. NOTE: in a function that is
                traced outside, such as a learner's step, they are constants of the trace: enter inside of it.
        """
        before = getattr(self._standing, "choices", None)
        self._stand(choices)
        try:
            yield
        finally:
            self._stand(before)

    def _stand(self, choices: Choices | None) -> None:
        self._standing.choices = choices
        # What Keras compiled for `predict` and `evaluate` holds the choices of before as constants.
        self.predict_function = self.test_function = None

    def slice(self, picks: Mapping[str, Value] | Architecture | str, *, name: str = "encoder") -> Encoder:
        """The stand-alone encoder of one network, with a copy of its share of the weights and BN statistics.

        Args:
            picks: Every decision's value; or the network, where of equal stages that may vanish the first are kept.
            name: Name of the encoder.

        Raises:
            ArchitectureError: The picks leave decisions open, or the network is not in the space.
        """
        if not isinstance(picks, Mapping):
            picks = self.architecture.picks_of(parse(picks) if isinstance(picks, str) else picks)
        network = self.architecture.freeze(picks)
        encoder = Encoder(network, self.image_shape, synchronized=self.synchronized, seed=self.seed, name=name)
        kept = [index for index in range(len(self.architecture.stages)) if picks.get(f"stage{index + 1}.r") != 0]
        for block in layout(network, self.image_shape):
            index = kept[block.stage]
            source = _prefix(self.architecture.stages[index], index, block.repeat, block.op)
            for layer in encoder.layers:
                if layer.weights and layer.name.startswith(f"{block.name}_"):
                    _copy(self.network.get_layer(source + layer.name.removeprefix(block.name)), layer)
        return encoder

    def get_config(self) -> dict[str, Any]:
        """The space as text, the input shape, and the notation's version: all that rebuilds it."""
        return config_of(self)


def build_supernet(
    architecture: Architecture | str,
    input_shape: Sequence[int | None],
    *,
    synchronized: bool = True,
    seed: int = 0,
    name: str = "supernet",
) -> Supernet:
    """Builds the supernet of a space. Arguments and errors as in :class:`Supernet`."""
    return Supernet(architecture, input_shape, synchronized=synchronized, seed=seed, name=name)


def _connect(space: Architecture, channels: int, *, synchronized: bool, seed: int) -> keras.Model:
    """Images (B, H, W, C) and each decision's probabilities to embeddings."""
    images = keras.Input((None, None, channels), name="images")
    chances = {
        name: keras.Input(batch_shape=(len(values),), name=name.replace(".", "_"))
        for name, values in space.decisions.items()
    }
    x, arriving = normalization(channels)(images), Decision((channels,))
    for index, stage in enumerate(space.stages):
        own = {token: chances[f"stage{index + 1}.{token}"] for token in stage.decisions}
        ends = []
        for op in stage.ops:
            alone = stage.freeze({"op": op})
            assert alone is not None
            decisions = decisions_of(alone, own)
            prefixes = [_prefix(stage, index, repeat, op) for repeat in range(max(decisions["r"].values))]
            ends.append(_chain(x, alone, decisions | {"in": arriving}, prefixes, synchronized=synchronized, seed=seed))
        x = ends[0] if len(ends) == 1 else WeightedSum(name=f"stage{index + 1}_ops")(ends, own["op"])
        arriving = decisions.get("c", arriving)
    embedding = layers.GlobalAveragePooling2D(dtype="float32", name="embedding")(x)
    return keras.Model([images, *chances.values()], embedding, name="network")


def _chain(
    x: Tensor,
    stage: Stage,
    decisions: Mapping[str, Decision],
    prefixes: Sequence[str],
    *,
    synchronized: bool,
    seed: int,
) -> Tensor:
    """The blocks of one op, and the weighted sum of where the stage may end."""
    ends = [x]
    for repeat, prefix in enumerate(prefixes):
        build = SuperBlockBuilder(stage, repeat, decisions, prefix=prefix, synchronized=synchronized, seed=seed)
        ends.append(build(ends[-1]))
        decisions = {**decisions, "in": decisions.get("c", decisions["in"])}
    depth = decisions["r"]
    if depth.chances is None:
        return ends[-1]
    name = prefixes[0].replace("block1", "depth")
    return WeightedSum(name=name)([ends[int(repeats)] for repeats in depth.values], depth.chances)


def _prefix(stage: Stage, index: int, repeat: int, op: str) -> str:
    """Of the names of a block's layers; as an encoder's, and the op where there are several."""
    return f"stage{index + 1}_block{repeat + 1}" + (f"_{op}" if len(stage.ops) > 1 else "")


def _copy(source: layers.Layer, layer: layers.Layer) -> None:
    """Weights that a smaller layer shares with a larger one: centres of kernels, leading channels of the rest."""
    for large, small in zip(source.weights, layer.weights, strict=True):
        spatial = 2 if len(small.shape) == 4 else 0
        cut = []
        for axis, (have, want) in enumerate(zip(large.shape, small.shape, strict=True)):
            start = (have - want) // 2 if axis < spatial else 0
            cut.append(slice(start, start + want))
        small.assign(large.value[tuple(cut)])
