"""The ReLICv2 loss (arXiv 2201.05119; the invariance loss is arXiv 2010.07922)."""

from typing import Any

import keras
from keras import ops

from ssl_keras.learning.losses.pairs import checked_views, unit_vectors

Tensor = Any


def relicv2_loss(
    online: Tensor,
    target: Tensor,
    negatives: Tensor | None = None,
    *,
    positives: Tensor | None = None,
    temperature: float = 0.2,
    contrastive_weight: float | Tensor = 0.3,
    invariance_weight: float | Tensor = 5.0,
    same_view_pairs: bool = True,
) -> dict[str, Tensor]:
    """Contrastive and invariance loss over all pairs of an online view and a large target view.

    For view i of the online network and large view j of the target network, with N the negatives,

        p(i; j) = softmax over {positive} and N of <o_i, t_j> / temperature
        pair(i, j) = contrastive_weight * -log p(i; j)[positive] + invariance_weight * KL(p(i; j) || sg p(j; i))

    Embeddings are normalised inside; softmax and logarithms (natural) are at least float32; no gradient reaches
    ``target``. The default weights, temperature and same-view pairs are the values remembered of the paper,
    unverified; they learn little at short schedules (see the README), and presets state their own.
    NOTE: a small view has no target output, so p(j; i) does not exist for it. Our choice: the mean over the
    *other* large views j' of KL(p(small; j) || sg p(j'; j)); 0 when there is one large view.

    Args:
        online: Predictions (V, b, P) of V views, the L large ones first, of the b images on this replica.
        target: Projections (L, B, P) of the large views of the global batch.
        negatives: Rows (b, n) of the target batch, never the anchor's own; None for all other rows.
        positives: Row (b,) of the target batch where each anchor's own image stands; default 0 .. b-1.
        temperature: Positive; divides the cosines.
        contrastive_weight: Weight of the contrastive term, called alpha in the paper.
        invariance_weight: Weight of the invariance term, called beta in the paper.
        same_view_pairs: Whether pairs i = j count. Their invariance is 0 by definition.

    Returns:
        Scalars: ``loss`` (weighted total), ``contrastive`` and ``invariance`` (unweighted), each summed over the
        pairs, divided by their number ((L+S)L, less L without same-view pairs), and averaged over the images.

    Raises:
        ValueError: No pair is left, the shapes disagree, or the temperature is not positive.
    """
    views, large = checked_views("relicv2_loss", online, target, least=1 if same_view_pairs else 2)
    if not temperature > 0:
        raise ValueError(f"relicv2_loss needs a temperature above 0, got {temperature}")
    log_p, at_positive = _log_probabilities(online, target, negatives, positives, temperature)
    pair_weight = ops.ones((views, large), log_p.dtype)
    if not same_view_pairs:
        pair_weight = pair_weight - ops.eye(views, large, dtype=log_p.dtype)
    pairs = views * large - (0 if same_view_pairs else large)
    contrastive = -ops.sum(pair_weight * ops.mean(at_positive, axis=1)) / pairs
    # The diagonal is 0 by itself, so no pair weight is needed here.
    invariance = ops.sum(ops.mean(_divergences(log_p, large), axis=1)) / pairs
    loss = contrastive_weight * contrastive + invariance_weight * invariance
    return {"loss": loss, "contrastive": contrastive, "invariance": invariance}


def _log_probabilities(
    online: Tensor, target: Tensor, negatives: Tensor | None, positives: Tensor | None, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probabilities (V, b, L, candidates), and those of the positives (V, b, L)."""
    anchors, keys = unit_vectors(online), unit_vectors(ops.stop_gradient(target))
    views, images, size = anchors.shape
    large, batch, _ = keys.shape
    logits = ops.matmul(
        ops.reshape(anchors, (views * images, size)), ops.transpose(ops.reshape(keys, (large * batch, size)))
    )
    logits = ops.reshape(logits / temperature, (views, images, large, batch))
    own_row = ops.arange(images) if positives is None else positives
    own_row = ops.reshape(ops.cast(own_row, "int32"), (images, 1))
    if negatives is None:
        log_p = ops.log_softmax(logits, axis=-1)
        is_positive = ops.one_hot(own_row[:, 0], batch, dtype=log_p.dtype)
        return log_p, ops.sum(log_p * ops.reshape(is_positive, (1, images, 1, batch)), axis=-1)
    candidates = ops.concatenate([own_row, ops.cast(negatives, "int32")], axis=1)
    candidates = ops.broadcast_to(
        ops.reshape(candidates, (1, images, 1, -1)), (views, images, large, candidates.shape[1])
    )
    log_p = ops.log_softmax(ops.take_along_axis(logits, candidates, axis=-1), axis=-1)
    return log_p, log_p[..., 0]


def _divergences(log_p: Tensor, large: int) -> Tensor:
    """KL (V, b, L) of each pair's distribution from the stopped one that it is compared with."""
    stopped = ops.stop_gradient(log_p)
    references = [ops.swapaxes(stopped[:large], 0, 2)]
    small = log_p.shape[0] - large
    if small and large > 1:
        # The mean over KLs with one first argument is the KL from the mean of the log-probabilities.
        own = ops.stack([stopped[view, :, view] for view in range(large)], axis=1)
        others = (ops.sum(stopped[:large], axis=0) - own) / (large - 1)
        references.append(ops.broadcast_to(others[None], (small, *others.shape)))
    elif small:
        references.append(stopped[large:])  # no other large view: the divergence and its gradient are 0
    return ops.sum(ops.exp(log_p) * (log_p - ops.concatenate(references, axis=0)), axis=-1)


@keras.saving.register_keras_serializable("ssl_keras")
class ReLICv2Loss:
    """:func:`relicv2_loss` with its settings bound; called with the same arguments, serialisable.

    Args:
        temperature: Positive; divides the cosines.
        contrastive_weight: Weight of the contrastive term.
        invariance_weight: Weight of the invariance term.
        same_view_pairs: Whether pairs of a view with itself count.
        name: Name in logs.
    """

    terms: tuple[str, ...] = ("loss", "contrastive", "invariance")

    def __init__(
        self,
        temperature: float = 0.2,
        contrastive_weight: float = 0.3,
        invariance_weight: float = 5.0,
        same_view_pairs: bool = True,
        name: str = "relicv2",
    ) -> None:
        self.temperature = temperature
        self.contrastive_weight = contrastive_weight
        self.invariance_weight = invariance_weight
        self.same_view_pairs = same_view_pairs
        self.name = name

    def __call__(
        self,
        online: Tensor,
        target: Tensor,
        negatives: Tensor | None = None,
        *,
        positives: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The loss and its terms; see :func:`relicv2_loss`."""
        return relicv2_loss(
            online,
            target,
            negatives,
            positives=positives,
            temperature=self.temperature,
            contrastive_weight=self.contrastive_weight,
            invariance_weight=self.invariance_weight,
            same_view_pairs=self.same_view_pairs,
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "temperature": self.temperature,
            "contrastive_weight": self.contrastive_weight,
            "invariance_weight": self.invariance_weight,
            "same_view_pairs": self.same_view_pairs,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ReLICv2Loss":
        """Rebuilds the loss from :meth:`get_config`."""
        return cls(**config)
