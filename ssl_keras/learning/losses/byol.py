"""The regression loss of BYOL (arXiv 2006.07733, equation 2)."""

from typing import Any

import keras
from keras import ops

from ssl_keras.learning.losses.pairs import checked_views, mean_over_pairs, unit_vectors

Tensor = Any


def byol_loss(
    online: Tensor, target: Tensor, negatives: Tensor | None = None, *, positives: Tensor | None = None
) -> dict[str, Tensor]:
    """Squared distance of normalised predictions from the target's projections of the image's other large views.

    2 - 2 <o_i, t_j>, averaged over pairs i != j and images; no gradient reaches ``target``. NOTE: BYOL sums its two
    pairs, which is twice this mean.

    Args:
        online: Predictions (V, b, P) of V views, the L large ones first, of the b images on this replica.
        target: Projections (L, B, P) of the large views of the global batch.
        negatives: Not looked at; the loss has none.
        positives: Row (b,) of the target batch where each anchor's own image stands; default 0 .. b-1.

    Returns:
        The scalar ``loss``, in [0, 4].

    Raises:
        ValueError: There are fewer than two views, or the shapes disagree.
    """
    del negatives
    checked_views("byol_loss", online, target)
    anchors, keys = unit_vectors(online), unit_vectors(ops.stop_gradient(target))
    own_row = ops.arange(anchors.shape[1]) if positives is None else positives
    cosines = ops.einsum("vbp,lbp->vbl", anchors, ops.take(keys, own_row, axis=1))
    return {"loss": mean_over_pairs(2 - 2 * cosines)}


@keras.saving.register_keras_serializable("ssl_keras")
class BYOLLoss:
    """:func:`byol_loss` as a serialisable object; called with the same arguments.

    Args:
        name: Name in logs.
    """

    terms: tuple[str, ...] = ("loss",)

    def __init__(self, name: str = "byol") -> None:
        self.name = name

    def __call__(
        self, online: Tensor, target: Tensor, negatives: Tensor | None = None, *, positives: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The loss; see :func:`byol_loss`."""
        return byol_loss(online, target, negatives, positives=positives)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "BYOLLoss":
        """Rebuilds the loss from :meth:`get_config`."""
        return cls(**config)
