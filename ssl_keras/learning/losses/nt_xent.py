"""The normalised temperature-scaled cross entropy of SimCLR (arXiv 2002.05709, equation 1)."""

from typing import Any

import keras
from keras import ops

from ssl_keras.learning.losses.pairs import checked_views, mean_over_pairs, unit_vectors

Tensor = Any
EXCLUDED = -1e9
"""Logit of what is no candidate: its probability is 0 in float32."""


def nt_xent_loss(
    online: Tensor,
    target: Tensor,
    negatives: Tensor | None = None,
    *,
    positives: Tensor | None = None,
    temperature: float = 0.5,
) -> dict[str, Tensor]:
    """Cross entropy of finding the other view of an image among all views of the other images.

    For view i of image n and large view j != i, the candidates are view j of image n and *all* large views of the
    other images; the loss is the mean of -log softmax of <o_i, t_j> / temperature over pairs and images. With two views
    that is SimCLR's equation: 2 (B - 1) negatives an anchor. NOTE: with more views, the other views of the same image
    are neither positive nor negative in a pair, which is our choice.

    Embeddings are normalised inside; softmax is at least float32. Gradients reach both arguments: SimCLR has no target
    network, so that ``target`` is the online network's own output.

    Args:
        online: Projections (V, b, P) of V views, the L large ones first, of the b images on this replica.
        target: Projections (L, B, P) of the large views of the global batch.
        negatives: Rows (b, n) of the target batch, never the anchor's own; None for all other rows.
        positives: Row (b,) of the target batch where each anchor's own image stands; default 0 .. b-1.
        temperature: Positive; divides the cosines. 0.5 is SimCLR's for CIFAR-10.

    Returns:
        The scalar ``loss``.

    Raises:
        ValueError: There are fewer than two views, the shapes disagree, or the temperature is not positive.
    """
    checked_views("nt_xent_loss", online, target)
    if not temperature > 0:
        raise ValueError(f"nt_xent_loss needs a temperature above 0, got {temperature}")
    anchors, keys = unit_vectors(online), unit_vectors(target)
    logits = ops.einsum("vbp,lnp->vbln", anchors, keys) / temperature
    images, batch = anchors.shape[1], keys.shape[1]
    own_row = ops.arange(images) if positives is None else positives
    own = ops.one_hot(ops.cast(own_row, "int32"), batch, dtype=logits.dtype)  # (b, B)
    others = 1 - own if negatives is None else ops.sum(ops.one_hot(negatives, batch, dtype=logits.dtype), axis=1)
    own, others = own[None, :, None], others[None, :, None]  # as (V, b, L, B)
    positive = ops.sum(logits * own, axis=-1)  # (V, b, L)
    negative = ops.logsumexp(ops.where(others > 0, logits, EXCLUDED), axis=(2, 3))  # (V, b)
    return {"loss": mean_over_pairs(ops.softplus(negative[:, :, None] - positive))}


@keras.saving.register_keras_serializable("ssl_keras")
class NTXentLoss:
    """:func:`nt_xent_loss` with its temperature bound; called with the same arguments, serialisable.

    Args:
        temperature: Positive; divides the cosines.
        name: Name in logs.
    """

    terms: tuple[str, ...] = ("loss",)

    def __init__(self, temperature: float = 0.5, name: str = "nt_xent") -> None:
        self.temperature = temperature
        self.name = name

    def __call__(
        self, online: Tensor, target: Tensor, negatives: Tensor | None = None, *, positives: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The loss; see :func:`nt_xent_loss`."""
        return nt_xent_loss(online, target, negatives, positives=positives, temperature=self.temperature)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"temperature": self.temperature, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "NTXentLoss":
        """Rebuilds the loss from :meth:`get_config`."""
        return cls(**config)
