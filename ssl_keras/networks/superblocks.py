"""The blocks of the grammar with choices in them: the builders of `blocks`, on the largest candidate and masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from keras import layers, ops

from ssl_keras.architecture.grammar import BLOCKS, Architecture, Stage, Value
from ssl_keras.architecture.layout import Block, layout
from ssl_keras.networks.blocks import ACTIVATIONS, BUILDERS, BlockBuilder, Tensor, Width
from ssl_keras.networks.choices import expectation
from ssl_keras.networks.entangled import EntangledConv2D, EntangledDepthwiseConv2D, WeightedSum
from ssl_keras.networks.mixed_activation import MixedActivation


@dataclass(frozen=True)
class Decision:
    """What may be picked, and how likely each of it is.

    Attributes:
        values: To choose from.
        chances: Their probabilities (n,); None where there is one value.
    """

    values: tuple[Any, ...]
    chances: Tensor | None = None


def decisions_of(stage: Stage, chances: Mapping[str, Tensor]) -> dict[str, Decision]:
    """Every token of a stage with one op, decided or not.

    Args:
        stage: One op; tokens may be open.
        chances: Open token → its probabilities.
    """
    tokens = {"r": (1,)} | {name: stage.values(name, stage.op) for name in BLOCKS[stage.op]}
    return {name: Decision(values, chances[name] if len(values) > 1 else None) for name, values in tokens.items()}


class SuperBlockBuilder(BlockBuilder):
    """Makes the layers of one block that serve every candidate, the largest of which they hold.

    Hard choices give what :class:`BlockBuilder` would build for them: narrower candidates are prefixes of
    the channels, the rest exactly 0 wherever anything reads them; smaller kernels are centres. NOTE: masks act
    after BN and activation; before BN, which would scale them away, the choice gets no gradient. Within a block the
    kernel or gate that reads the maps is multiplied in their place, which is the same, and no pass over them.

    Args:
        stage: The block's stage, with one op.
        repeat: Index of the block within the stage, from 0.
        decisions: Those of the stage by token, and under "in" that of the filters that arrive.
        prefix: Of the layers' names.
        synchronized: As in :class:`BlockBuilder`.
        seed: As in :class:`BlockBuilder`.
    """

    def __init__(
        self,
        stage: Stage,
        repeat: int,
        decisions: Mapping[str, Decision],
        *,
        prefix: str,
        synchronized: bool,
        seed: int,
    ) -> None:
        self.stage = stage
        self.repeat = repeat
        self.decisions = decisions
        block = self._candidate({})
        if repeat:
            block = replace(block, repeat=repeat, stride=1, shortcut="identity")
        super().__init__(block, synchronized=synchronized, seed=seed)
        self.prefix = prefix
        self._pending_mask: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """The block on maps (B, H, W, C)."""
        return self._apply_pending(BUILDERS[self.block.op](x, self), "out")

    def finish(self, x: Tensor, width: Width, name: str, active: bool) -> Tensor:
        """Batch normalisation and the activation where ``active``, after which the mask of the width is pending."""
        x = super().finish(x, width, name, active)
        if (self.block.op, width) == ("mbconv", "mid_filters"):
            return x  # see depthwise
        self._leave_pending(self._mask(x.shape[-1], width, ("c",), {}))
        return x if active else self._apply_pending(x, name)

    def depthwise(self, x: Tensor, *, name: str) -> Tensor:
        """As without choices, after which the mask of the expanded width is pending.

        The expansion needs none: its channels do not meet before. Two in a row would also hide an absent
        channel from the gradient, which the one multiplies by the other's 0.
        """
        x = super().depthwise(x, name=name)
        self._leave_pending(self._mask(x.shape[-1], "mid_filters", ("in", "e"), {}))
        return x

    def activate(self, x: Tensor, name: str) -> Tensor:
        """The convex combination of the activations; all of them keep 0 at 0, so absent channels stay absent."""
        choice = self.decisions["a"]
        if choice.chances is None:
            return super().activate(x, name)
        names = [ACTIVATIONS[str(value)] for value in choice.values]
        return MixedActivation(names, name=f"{self.prefix}_{name}_act")(x, choice.chances)

    def pool(self, x: Tensor) -> Tensor:
        """The convex combination of max-pooling with each kernel."""
        choice, block = self.decisions["k"], self.block
        if choice.chances is None:
            return super().pool(x)
        pooled = [
            layers.MaxPooling2D(size, strides=block.stride, padding="same", name=f"{self.prefix}_k{size}")(x)
            for size in choice.values
        ]
        return WeightedSum(name=self.prefix)(pooled, choice.chances)

    def squeeze_gate(self, pooled: Tensor) -> Tensor:
        """The convex combination of the gates of each squeeze ratio, which is 1 for ratio 0; times what is pending."""
        mask = self._take_pending()
        if mask is not None:
            pooled = pooled * mask
        choice = self.decisions["se"]
        hidden = self._dense(self.block.squeeze_filters, "relu", "se_reduce")(pooled)
        expand = self._dense(pooled.shape[-1], "sigmoid", "se_expand")
        gates = []
        for ratio in choice.values:
            narrower = self._mask(hidden.shape[-1], "squeeze_filters", ("in",), {"se": ratio}) if ratio else None
            squeezed = hidden if narrower is None else hidden * narrower
            gates.append(expand(squeezed) if ratio else ops.ones_like(pooled))
        gate = gates[0]
        if choice.chances is not None:
            gate = WeightedSum(name=f"{self.prefix}_se_gate")(gates, choice.chances)
        return gate if mask is None else gate * mask

    def residual(self, out: Tensor, x: Tensor) -> Tensor:
        """As without choices; where these decide between identity and projection (or nothing), both by their chance."""
        before, after = self.decisions["in"], self.decisions["c"]
        same = np.array([[one == other for other in after.values] for one in before.values])
        if self.repeat or self.block.stride > 1 or same.all() or not same.any():
            return super().residual(out, x)
        identity = expectation(same.astype("float32"), (before.chances, after.chances))
        ways = [(self._fit(x), identity)]
        if self.block.op != "mbconv":
            ways.append((self.project(x), 1 - identity))
        paths, weights = zip(*ways, strict=True)
        shortcut = WeightedSum(name=f"{self.prefix}_shortcuts")(list(paths), ops.stack(weights))
        return layers.Add(name=f"{self.prefix}_add")([out, shortcut])

    def _convolve(self, x: Tensor, filters: int, kernel: int, stride: int, name: str) -> Tensor:
        choice, mask = self.decisions["k"], self._take_pending()
        sizes, chances = choice.values, choice.chances
        if chances is None or kernel == 1:  # a choice has a larger one, so this is a 1x1 beside it
            if mask is None:
                return super()._convolve(x, filters, kernel, stride, name)
            sizes, chances = (kernel,), ops.reshape(mask, (1, -1))
        elif mask is not None:
            chances = ops.reshape(chances, (-1, 1)) * ops.reshape(mask, (1, -1))
        return EntangledConv2D(filters, sizes, strides=stride, **self._weights(name))(x, chances)

    def _depthwise(self, x: Tensor, name: str) -> Tensor:
        choice = self.decisions["k"]
        if choice.chances is None:
            return super()._depthwise(x, name)
        weights = self._weights(name, "depthwise")
        return EntangledDepthwiseConv2D(choice.values, strides=self.block.stride, **weights)(x, choice.chances)

    def _fit(self, x: Tensor) -> Tensor:
        """A map with as many channels as the block puts out; those cut off or added are absent where this is used."""
        spare = self.block.filters - x.shape[-1]
        return x[..., : self.block.filters] if spare <= 0 else ops.pad(x, [[0, 0]] * 3 + [[0, spare]])

    def _mask(self, size: int, field: str, tokens: Sequence[str], fixed: Mapping[str, Value]) -> Tensor | None:
        """The mean of the prefixes that a width has over the decisions it hangs on, (1, 1, 1, size); None if all 1.

        Args:
            size: Channels.
            field: The width's name in `Block`.
            tokens: The decisions.
            fixed: What else is picked; every other decision is at its largest, which must not matter.
        """
        choices = [self.decisions[token] for token in tokens]
        picks = product(*(choice.values for choice in choices))
        widths = [getattr(self._candidate({**dict(zip(tokens, pick, strict=True)), **fixed}), field) for pick in picks]
        if min(widths) == size:
            return None
        prefixes = np.arange(size) < np.array(widths)[:, None]
        table = prefixes.astype("float32").reshape(*(len(choice.values) for choice in choices), 1, 1, 1, -1)
        return expectation(table, [choice.chances for choice in choices])

    def _leave_pending(self, mask: Tensor | None) -> None:
        """Leaves a mask of the maps just made to what reads them: a kernel, a gate, or the block's end."""
        assert self._pending_mask is None, "nothing read the maps of the mask before"
        self._pending_mask = mask

    def _take_pending(self) -> Tensor | None:
        """The mask of the maps that are read now, which is no longer pending."""
        mask, self._pending_mask = self._pending_mask, None
        return mask

    def _apply_pending(self, x: Tensor, name: str) -> Tensor:
        """The maps times their mask, if one is pending."""
        mask = self._take_pending()
        return x if mask is None else layers.Multiply(name=f"{self.prefix}_{name}_mask")([x, mask])

    def _candidate(self, picks: Mapping[str, Value]) -> Block:
        """The first block of the stage as picked; the rest at its largest."""
        largest = {name: choice.values[-1] for name, choice in self.decisions.items()} | {"r": 1, **picks}
        stage = self.stage.freeze(largest)
        assert stage is not None
        return layout(Architecture((stage,)), (None, None, int(largest["in"])))[0]
