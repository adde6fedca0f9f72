"""relicv2_loss against a loop written from the paper, and the properties that the paper gives it."""

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.learning.losses.relicv2 import ReLICv2Loss, relicv2_loss


def distribution(anchor, keys, own, others, temperature):
    """P over {positive} and negatives: exp(<o, t>/τ), normalised; the positive comes first."""
    scores = np.array([np.dot(anchor, keys[row]) for row in [own, *others]]) / temperature
    scores = np.exp(scores - scores.max())
    return scores / scores.sum()


def reference(online, target, negatives=None, positives=None, temperature=0.2, alpha=0.3, beta=5.0, same=True):
    """Σ over pairs of α·(−log p(l;k)) + β·KL(p(l;k) ‖ p(k;l)), in loops, float64."""
    online = online / np.linalg.norm(online, axis=-1, keepdims=True)
    target = target / np.linalg.norm(target, axis=-1, keepdims=True)
    (V, b, _), (L, B, _) = online.shape, target.shape
    positives = np.arange(b) if positives is None else positives
    contrastive = invariance = 0.0
    pairs = 0
    for i in range(V):
        for j in range(L):
            if i == j and not same:
                continue
            pairs += 1
            for n in range(b):
                own = positives[n]
                others = [m for m in range(B) if m != own] if negatives is None else list(negatives[n])
                p = distribution(online[i, n], target[j], own, others, temperature)
                contrastive += -np.log(p[0]) / b
                if i < L:  # the swapped pair: anchor from view j, keys from view i
                    swapped = [distribution(online[j, n], target[i], own, others, temperature)]
                else:  # a small view: the other large views against the same keys
                    swapped = [
                        distribution(online[k, n], target[j], own, others, temperature) for k in range(L) if k != j
                    ]
                for q in swapped:
                    invariance += np.sum(p * (np.log(p) - np.log(q))) / len(swapped) / b
    contrastive, invariance = contrastive / pairs, invariance / pairs
    return {
        "loss": alpha * contrastive + beta * invariance,
        "contrastive": contrastive,
        "invariance": invariance,
    }


def case(seed, V=3, L=2, b=4, B=4, P=5, n=None):
    rng = np.random.default_rng(seed)
    positives = rng.permutation(B)[:b] if b < B else None
    own = np.arange(b) if positives is None else positives
    negatives = None
    if n:
        negatives = np.stack([rng.choice([m for m in range(B) if m != own[a]], n, replace=False) for a in range(b)])
    return rng.normal(size=(V, b, P)), rng.normal(size=(L, B, P)), negatives, positives


def drawn(seed):
    """Random numbers of views, of small ones among them, of images here and everywhere, and of negatives."""
    rng = np.random.default_rng(seed)
    L, S, B = rng.integers(1, 4), rng.integers(0, 4), rng.integers(2, 10)
    n = rng.integers(0, B)
    return {"V": int(L + S), "L": int(L), "b": int(rng.integers(1, B + 1)), "B": int(B), "n": int(n) or None}


SHAPES = [
    *(drawn(seed) for seed in range(12)),
    {"V": 2, "L": 2},
    {"V": 4, "L": 2},
    {"V": 5, "L": 3, "b": 3, "B": 7},
    {"V": 2, "L": 1},
    {"V": 1, "L": 1},
    {"V": 4, "L": 2, "b": 3, "B": 8, "n": 5},
    {"V": 2, "L": 2, "b": 6, "B": 6, "n": 1},
]


CASES = [(shape, same) for shape in SHAPES for same in (True, False) if same or shape["V"] > 1]


@pytest.mark.parametrize(("shape", "same"), CASES, ids=str)
def test_equals_the_loop_written_from_the_paper(shape, same):
    online, target, negatives, positives = case(len(str(shape)), **shape)
    got = relicv2_loss(
        tf.constant(online), tf.constant(target), negatives, positives=positives, temperature=0.3,
        contrastive_weight=0.7, invariance_weight=2.0, same_view_pairs=same,
    )  # fmt: skip
    want = reference(online, target, negatives, positives, 0.3, 0.7, 2.0, same)
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_defaults_are_the_remembered_values_of_the_paper():
    online, target, negatives, _ = case(1, n=3)
    got = relicv2_loss(tf.constant(online), tf.constant(target), negatives)
    np.testing.assert_allclose(got["loss"], reference(online, target, negatives)["loss"], rtol=1e-9)


@pytest.mark.parametrize("shape", [{"V": 3, "L": 2}, {"V": 4, "L": 2, "b": 3, "B": 6, "n": 4}, drawn(1)], ids=str)
def test_gradient_equals_finite_differences_with_the_second_kl_argument_frozen(shape):
    online, target, negatives, positives = case(7, **shape)
    variable = tf.Variable(online)
    with tf.GradientTape() as tape:
        loss = relicv2_loss(variable, tf.constant(target), negatives, positives=positives)["loss"]
    gradient = tape.gradient(loss, variable).numpy()

    def frozen(moved):
        return _reference_with_frozen_second_argument(moved, online, target, negatives, positives)

    rng = np.random.default_rng(0)
    for _ in range(5):
        direction = rng.normal(size=online.shape)
        slope = (frozen(online + 1e-6 * direction) - frozen(online - 1e-6 * direction)) / 2e-6
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-6)


def _reference_with_frozen_second_argument(moved, at, target, negatives, positives):
    """The default loss as a function of ``moved`` with every q taken at ``at``."""
    normal = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (moved, at, target)]
    moved, at, target = normal
    (V, b, _), (L, B, _) = moved.shape, target.shape
    positives = np.arange(b) if positives is None else positives
    total = 0.0
    for i in range(V):
        for j in range(L):
            for n in range(b):
                own = positives[n]
                others = [m for m in range(B) if m != own] if negatives is None else list(negatives[n])
                p = distribution(moved[i, n], target[j], own, others, 0.2)
                if i < L:
                    qs = [distribution(at[j, n], target[i], own, others, 0.2)]
                else:
                    qs = [distribution(at[k, n], target[j], own, others, 0.2) for k in range(L) if k != j]
                kl = 0.0 if i == j else np.mean([np.sum(p * np.log(p / q)) for q in qs])
                total += (0.3 * -np.log(p[0]) + 5.0 * kl) / b
    return total / (V * L)


def test_no_gradient_reaches_the_target():
    online, target, _, _ = case(3)
    online, target = tf.Variable(online), tf.Variable(target)
    with tf.GradientTape() as tape:
        loss = relicv2_loss(online, target)["loss"]
    gradients = tape.gradient(loss, [online, target])
    assert gradients[0] is not None
    assert gradients[1] is None


def test_invariance_is_zero_when_all_views_agree_and_positive_otherwise():
    online, target, _, _ = case(4, V=4, L=2)
    same = relicv2_loss(tf.constant(np.repeat(online[:1], 4, 0)), tf.constant(np.repeat(target[:1], 2, 0)))
    np.testing.assert_allclose(same["invariance"], 0, atol=1e-12)
    assert relicv2_loss(tf.constant(online), tf.constant(target))["invariance"] > 0.01


def test_the_length_of_an_embedding_does_not_matter():
    online, target, _, _ = case(5)
    scale = np.random.default_rng(0).uniform(0.1, 10, (*online.shape[:2], 1))
    a, b = (
        relicv2_loss(tf.constant(online), tf.constant(target)),
        relicv2_loss(tf.constant(online * scale), target),
    )
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-9)


def test_invariance_uses_the_whole_distribution_not_only_the_positive():
    """Known mistake: KL of the diagonal alone. Here both views give the positive the same probability."""
    keys = np.eye(3)[None].repeat(2, 0)
    online = np.array([[[0.5, 0.8, 0.3317]], [[0.5, 0.3317, 0.8]]])
    loss = relicv2_loss(tf.constant(online), tf.constant(keys), positives=np.array([0]))
    assert loss["invariance"] > 0.1


def test_low_precision_embeddings_give_a_float32_loss_and_float64_stays():
    online, target, _, _ = case(6)
    low = relicv2_loss(tf.cast(online, tf.bfloat16), tf.cast(target, tf.bfloat16))["loss"]
    assert low.dtype == tf.float32
    np.testing.assert_allclose(low, reference(online, target)["loss"], rtol=0.05)
    assert relicv2_loss(tf.constant(online), tf.constant(target))["loss"].dtype == tf.float64


@pytest.mark.parametrize(
    ("online", "target", "settings", "word"),
    [
        ((1, 4, 5), (2, 4, 5), {}, "V >= L"),
        ((2, 4, 5), (2, 4, 6), {}, "P"),
        ((2, 4, 5), (2, 4, 5), {"temperature": 0.0}, "temperature"),
        ((1, 4, 5), (1, 4, 5), {"same_view_pairs": False}, "pair"),
    ],
)
def test_bad_input_is_named(online, target, settings, word):
    with pytest.raises(ValueError, match=word):
        relicv2_loss(tf.ones(online), tf.ones(target), **settings)


def test_the_object_is_the_function_with_its_settings_bound():
    online, target, negatives, positives = case(8, b=3, B=6, n=2)
    loss = ReLICv2Loss(0.5, 1.0, 0.1, False)
    got = loss(tf.constant(online), tf.constant(target), negatives, positives=positives)
    want = reference(online, target, negatives, positives, 0.5, 1.0, 0.1, False)
    np.testing.assert_allclose(got["loss"], want["loss"], rtol=1e-9)
