"""Measures of embeddings against loops written from the papers, and in corner cases."""

import math

import keras
import numpy as np
import pytest

from ssl_keras.learning import measures


def embeddings(n=60, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def knn_by_loops(train, labels, test, classes, k, temperature):
    answers = []
    for image in test:
        cosines = [
            sum(a * b for a, b in zip(image, other, strict=True)) / (np.linalg.norm(image) * np.linalg.norm(other))
            for other in train.astype(np.float64)
        ]
        votes = [0.0] * classes
        for index in sorted(range(len(train)), key=lambda i: -cosines[i])[:k]:
            votes[labels[index]] += math.exp(cosines[index] / temperature)
        answers.append(votes.index(max(votes)))
    return np.array(answers)


@pytest.mark.parametrize("k", [1, 7, 60])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_knn_is_the_weighted_vote_of_the_paper(k, temperature):
    train, test = embeddings(), embeddings(40, seed=1)
    labels = np.random.default_rng(2).integers(0, 4, 60)
    expected = knn_by_loops(train, labels, test, 4, k, temperature)
    np.testing.assert_array_equal(measures.knn_predict(train, labels, test, 4, k, temperature), expected)


def test_knn_in_blocks_equals_knn_in_one_piece(monkeypatch):
    train, test = embeddings(), embeddings(40, seed=1)
    labels = np.random.default_rng(2).integers(0, 4, 60)
    whole = measures.knn_predictions(train, labels, test, 4, (3, 20))
    monkeypatch.setattr(measures, "_BLOCK_ELEMENTS", 7 * 60)
    np.testing.assert_array_equal(measures.knn_predictions(train, labels, test, 4, (3, 20)), whole)
    monkeypatch.setattr(measures, "_TRAINING_ROWS", 13)
    np.testing.assert_array_equal(measures.knn_predictions(train, labels, test, 4, (3, 20)), whole)


def test_knn_with_a_tiny_temperature_is_the_nearest_neighbour():
    train, test = embeddings(), embeddings(40, seed=1)
    labels = np.arange(60) % 5
    nearest = measures.knn_predict(train, labels, test, 5, 1)
    np.testing.assert_array_equal(measures.knn_predict(train, labels, test, 5, 30, temperature=1e-4), nearest)


def test_knn_weighs_by_similarity():
    # Two far neighbours of class 0 outvote one near neighbour of class 1 only when all weigh the same.
    train = np.array([[1.0, 0.9], [0.9, 1.0], [1.0, 0.05]])
    labels, test = np.array([0, 0, 1]), np.array([[1.0, 0.0]])
    assert measures.knn_predict(train, labels, test, 2, 3, temperature=0.1) == [1]
    assert measures.knn_predict(train, labels, test, 2, 3, temperature=100.0) == [0]


@pytest.mark.parametrize(
    ("labels", "d", "k", "said"),
    [
        (np.zeros(60, int), 6, 61, "k = 61 with 60 training embeddings"),
        (np.zeros(60, int), 6, 0, "k = 0"),
        (np.zeros(59, int), 6, 5, "labels of shape"),
        (np.full(60, 3), 6, 5, "for 3 classes"),
        (np.zeros(60, int), 5, 5, "of size 6 and test embeddings of size 5"),
    ],
)
def test_knn_refuses_what_does_not_fit(labels, d, k, said):
    with pytest.raises(ValueError, match=said):
        measures.knn_predict(embeddings(), labels, embeddings(4, d), 3, k)


def test_rankme_follows_its_formula():
    matrix = embeddings(50, 8)
    sigma = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    p = [s / sum(sigma) + 1e-7 for s in sigma]
    assert measures.rankme(matrix) == pytest.approx(math.exp(-sum(q * math.log(q) for q in p)), rel=1e-6)
    assert measures.rankme(matrix.T) == pytest.approx(measures.rankme(matrix), rel=1e-6)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_rankme_counts_equal_directions(rank):
    frame = np.linalg.qr(embeddings(8, 8))[0]
    matrix = np.tile(frame[:rank], (5, 1))
    assert measures.rankme(matrix) == pytest.approx(rank, rel=1e-3)


def test_rankme_of_broken_embeddings():
    assert measures.rankme(np.zeros((10, 4))) == pytest.approx(1.0, abs=1e-4)
    assert math.isnan(measures.rankme(np.full((10, 4), np.nan)))


def test_alignment_and_uniformity_follow_their_formulas():
    first, second = embeddings(20, 4), embeddings(20, 4, seed=1)
    u = first / np.linalg.norm(first, axis=1, keepdims=True)
    v = second / np.linalg.norm(second, axis=1, keepdims=True)
    for power in (1, 2):
        expected = np.mean([np.linalg.norm(a - b) ** power for a, b in zip(u, v, strict=True)])
        assert measures.alignment(first, second, power) == pytest.approx(expected, rel=1e-5)
    pairs = [math.exp(-3 * np.sum((u[i] - u[j]) ** 2)) for i in range(20) for j in range(20) if i != j]
    assert measures.uniformity(first, 3) == pytest.approx(math.log(np.mean(pairs)), rel=1e-5)


def test_alignment_is_zero_for_equal_directions_and_uniformity_for_collapse():
    first = embeddings()
    assert measures.alignment(first, 3 * first) == pytest.approx(0.0, abs=1e-10)
    assert measures.uniformity(np.ones((30, 4))) == pytest.approx(0.0, abs=1e-5)


def test_embedding_std_is_that_of_a_sphere_for_even_directions_and_zero_for_collapse():
    spread = embeddings(20_000, 16)
    assert measures.embedding_std(spread) == pytest.approx(1 / math.sqrt(16), rel=0.01)
    assert measures.embedding_std(spread * np.arange(1, 20_001)[:, None]) == pytest.approx(1 / 4, rel=0.01)
    assert measures.embedding_std(np.arange(1, 31)[:, None] * np.ones((30, 4))) == pytest.approx(0.0, abs=1e-6)


def test_mean_cosine_is_the_mean_over_different_images():
    matrix = embeddings(15, 5)
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    expected = np.mean([unit[i] @ unit[j] for i in range(15) for j in range(15) if i != j])
    assert measures.mean_cosine(matrix) == pytest.approx(expected, abs=1e-6)
    assert measures.mean_cosine(np.ones((30, 4))) == pytest.approx(1.0)
    assert math.isnan(measures.mean_cosine(np.ones((1, 4))))


@pytest.mark.parametrize("name", ["rankme", "uniformity", "embedding_std", "mean_cosine"])
def test_tensors_and_half_precision_are_taken_like_arrays(name):
    measure, matrix = getattr(measures, name), embeddings().astype(np.float16)
    expected = measure(matrix.astype(np.float32))
    assert measure(keras.ops.convert_to_tensor(matrix)) == pytest.approx(expected, rel=1e-5)
    assert isinstance(measure(matrix), float)


@pytest.mark.parametrize("name", ["rankme", "uniformity", "embedding_std", "mean_cosine"])
def test_what_is_no_matrix_is_refused(name):
    with pytest.raises(ValueError, match=r"matrix .* got shape \(0, 4\)"):
        getattr(measures, name)(np.zeros((0, 4)))
