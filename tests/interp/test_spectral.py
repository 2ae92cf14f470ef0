"""Spectral embedding against dense eigenvectors and scikit-learn on the dense affinity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import cosine_similarity

from dagster_project.interp import affinity as similarities
from dagster_project.interp import eigenvectors
from dagster_project.interp.affinity import (
    Floats,
    Similarity,
    SpectralError,
    affinity,
    gram,
    unit_rows,
)
from dagster_project.interp.clustering import cluster
from dagster_project.interp.spectral import embedding, reduce
from dagster_project.studies.study import ClusteringSpec


def planted(
    seed: int, groups: int = 4, size: int = 30, *, signed: bool, noise: float = 0.2
) -> tuple[Floats, NDArray[np.int64]]:
    """Rows around a sparse direction for each group, scaled at random; shuffled."""
    rng = np.random.default_rng(seed)
    directions = rng.random((groups, 60)) * (rng.random((groups, 60)) < 0.2)
    if signed:
        directions *= rng.choice([-1, 1], directions.shape)
    labels = rng.permutation(np.repeat(np.arange(groups), size))
    drawn = rng.standard_normal((len(labels), 60)) * noise
    rows = directions[labels] + (drawn if signed else np.abs(drawn) * 0.3)
    return rows * rng.uniform(0.1, 10, (len(labels), 1)), labels


def dense_affinity(X: Floats, similarity: Similarity) -> Floats:
    """The definitions, written out."""
    C = np.clip(cosine_similarity(np.abs(X) if similarity == "abs" else X), -1, 1)
    if similarity == "clipped":
        return np.maximum(C, 0)
    if similarity == "angular":
        return 1 - np.arccos(C) / np.pi
    return (1 + C) / 2 if similarity == "cosine" and X.min() < 0 else C


def dense_embedding(S: Floats, dimensions: int) -> Floats:
    """Leading eigenvectors of D^-½ (S − I) D^-½, rows scaled by D^-½, signs as they come."""
    S = S - np.diag(np.diag(S))
    scale = 1 / np.sqrt(S.sum(axis=1))
    _, vectors = np.linalg.eigh(scale[:, None] * S * scale)
    return vectors[:, ::-1][:, :dimensions] * scale[:, None]


def embed(
    X: Floats, similarity: Similarity, dimensions: int, seed: int = 0
) -> NDArray[np.floating]:
    return embedding(affinity(sparse.csr_array(X), similarity), dimensions, seed).points


def test_residuals_are_relative_to_their_eigenvalues(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the dense operator, by its own product with each vector; a short basis leaves some."""
    monkeypatch.setattr(eigenvectors, "LEAST_BASIS", 64)
    X, _ = planted(3, groups=6, size=50, signed=False)
    S = dense_affinity(X, "cosine")
    S = S - np.diag(np.diag(S))
    scale = 1 / np.sqrt(S.sum(axis=1))
    A = scale[:, None] * S * scale
    found = embedding(affinity(sparse.csr_array(X), "cosine"), 20, 0)
    V = found.points / scale[:, None]
    values = (V * (A @ V)).sum(axis=0)
    true = np.linalg.norm(A @ V - V * values, axis=0) / np.abs(values)
    np.testing.assert_allclose(found.residuals, true, rtol=1e-4, atol=1e-9)
    assert 1e-9 < found.residuals.max() < 1e-2


CASES: list[tuple[Similarity, bool]] = [
    ("cosine", False),
    ("cosine", True),
    ("abs", True),
    ("clipped", True),
    ("angular", True),
]


@pytest.mark.parametrize(("similarity", "signed"), CASES)
def test_equals_dense_eigenvectors(similarity: Similarity, signed: bool) -> None:
    X, _ = planted(1, signed=signed)
    found = embed(X, similarity, 4)
    expected = dense_embedding(dense_affinity(X, similarity), 4)
    expected *= np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize(("similarity", "signed"), CASES)
def test_product_is_the_dense_matrix(similarity: Similarity, signed: bool) -> None:
    X, _ = planted(2, signed=signed)
    expected = dense_affinity(X, similarity)
    np.fill_diagonal(expected, 0)
    for form in (sparse.csr_array(X), X):
        found = affinity(form, similarity)
        product = found.product(torch.eye(len(X), dtype=torch.float64))
        np.testing.assert_allclose(product, expected, atol=1e-7)
        np.testing.assert_allclose(found.degree, expected.sum(axis=1), atol=1e-6)


@pytest.mark.parametrize("signed", [False, True])
def test_frequent_columns_tiles_and_single_entries_make_one_product(
    monkeypatch: pytest.MonkeyPatch, signed: bool
) -> None:
    """Of 300 columns some are dense, the others in tiles of 40, and some have one entry alone."""
    rng = np.random.default_rng(3)
    share = rng.choice([0.4, 0.05, 0.01], 300)
    X = rng.lognormal(size=(80, 300)) * (rng.random((80, 300)) < share)
    X *= rng.choice([-1, 1], 300) if signed else 1
    X[:, 0] = 1.0  # no zero vectors
    assert ((X != 0).sum(axis=0) == 1).sum() > 10
    monkeypatch.setattr(similarities, "TILE", 40)
    monkeypatch.setattr(similarities, "WIDE", 7)
    expected = dense_affinity(X, "cosine")
    np.fill_diagonal(expected, 0)
    V = rng.standard_normal((80, 20))
    for exact, places in ((4096, 1e-12), (0, 1e-4)):  # double and single precision
        monkeypatch.setattr(similarities, "EXACT", exact)
        found = affinity(sparse.csr_array(X), "cosine")
        product = found.product(torch.from_numpy(V).to(found.degree.dtype))
        np.testing.assert_allclose(product, expected @ V, atol=places)
        np.testing.assert_allclose(
            found.degree, expected.sum(axis=1), rtol=max(places / 100, 1e-12)
        )


def test_what_shares_no_column_has_no_degree_at_all() -> None:
    X = sparse.csr_array([[0.3, 0.7, 0.0, 0.0], [0.5, 0.1, 0.0, 0.0], [0.0, 0.0, 0.2, 0.9]])
    assert affinity(X, "cosine").degree[2] == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("similarity", "signed"), CASES)
def test_labels_equal_scikit_learn(similarity: Similarity, signed: bool, seed: int) -> None:
    X, labels = planted(seed, signed=signed)
    oracle = SpectralClustering(4, affinity="precomputed", random_state=0, n_init=10)
    expected = oracle.fit_predict(dense_affinity(X, similarity))
    found = KMeans(4, n_init=10, random_state=0).fit_predict(embed(X, similarity, 4))
    assert adjusted_rand_score(expected, found) >= 0.99
    assert adjusted_rand_score(labels, found) >= 0.99


def test_labels_equal_scikit_learn_without_clear_groups() -> None:
    X, _ = planted(5, groups=6, size=25, signed=False, noise=1.5)
    oracle = SpectralClustering(6, affinity="precomputed", random_state=0, n_init=10)
    expected = oracle.fit_predict(dense_affinity(X, "cosine"))
    found = KMeans(6, n_init=10, random_state=0).fit_predict(embed(X, "cosine", 6))
    assert adjusted_rand_score(expected, found) >= 0.99


def test_groups_that_share_no_column() -> None:
    # Three blocks: the leading eigenvalue 1 has multiplicity 3.
    blocks = [np.random.default_rng(i).uniform(0.1, 1, (10 + i, 5)) for i in range(3)]
    X = sparse.block_diag(blocks).toarray()
    labels = np.repeat([0, 1, 2], [10, 11, 12])
    found = KMeans(3, n_init=10, random_state=0).fit_predict(embed(X, "cosine", 3))
    assert adjusted_rand_score(labels, found) == 1.0


def test_a_context_like_no_other_does_no_harm() -> None:
    X, _ = planted(0, signed=False)
    X = np.hstack([np.vstack([X, np.zeros(60)]), np.eye(1, 121, 120).T])  # a column of its own
    found = embed(X, "cosine", 4)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[120], 0, atol=1e-6)
    np.testing.assert_allclose(np.abs(found[:120]), np.abs(embed(X[:120], "cosine", 4)), atol=1e-6)


@settings(max_examples=20)
@given(st.randoms(use_true_random=False), st.booleans())
def test_a_permutation_of_the_contexts_permutes_the_rows(random, signed: bool) -> None:  # type: ignore[no-untyped-def]  # hypothesis' Random
    X, _ = planted(3, size=10, signed=signed)
    order = np.array(random.sample(range(len(X)), len(X)))
    straight, permuted = embed(X, "cosine", 4), embed(X[order], "cosine", 4)
    signs = np.sign((straight[order] * permuted).sum(axis=0))
    np.testing.assert_allclose(straight[order] * signs, permuted, atol=1e-7)


def test_the_seed_decides() -> None:
    X, _ = planted(4, signed=True)
    assert np.array_equal(embed(X, "cosine", 3, seed=1), embed(X, "cosine", 3, seed=1))


def test_unit_rows_by_hand() -> None:
    X = sparse.csr_array([[3.0, 0.0, -4.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    expected = [[0.6, 0.0, -0.8], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    found = unit_rows(X)
    assert not isinstance(found, np.ndarray)
    np.testing.assert_allclose(found.toarray(), np.array(expected))
    np.testing.assert_allclose(unit_rows(X.toarray()), np.array(expected))


def test_gram_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    X = sparse.random_array((7, 20), density=0.4, rng=np.random.default_rng(0)).tocsr()
    monkeypatch.setattr(similarities, "BLOCK", 7 * 3)
    np.testing.assert_allclose(gram(X), (X @ X.T).toarray(), atol=1e-14)


def test_cut_is_on_squares() -> None:
    # Singular values 4, 2, 1: squares 16, 4, 1 of 21. One direction explains 0.762, two 0.952.
    # (On plain values they would explain 0.571 and 0.857.)
    X = sparse.csr_array(np.diag([4.0, 2.0, 1.0]))
    assert [reduce(X, cut).shape[1] for cut in (0.5, 0.76, 0.77, 0.95, 0.96, 1.0)] == [
        1, 1, 2, 2, 3, 3,
    ]  # fmt: skip


@given(st.integers(0, 1000), st.floats(0.05, 1.0))
@settings(max_examples=25)
def test_reduced_vectors_explain_the_cut(seed: int, cut: float) -> None:
    X = np.random.default_rng(seed).standard_normal((12, 8))
    found = reduce(sparse.csr_array(X), cut)
    squares = np.linalg.svd(X, compute_uv=False) ** 2
    r = found.shape[1]
    assert squares[:r].sum() / squares.sum() >= cut - 1e-9
    assert r == 1 or squares[: r - 1].sum() / squares.sum() < cut + 1e-9
    U, s, _ = np.linalg.svd(X, full_matrices=False)
    expected = (U[:, :r] * s[:r]) @ (U[:, :r] * s[:r]).T
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-8)


def test_what_the_cut_leaves_nothing_of_becomes_zero() -> None:
    X = sparse.csr_array([[3.0, 3.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 0.0]])
    found = reduce(X, 0.9)
    assert (found[1:3] == 0).all()
    assert (np.abs(found[[0, 3]]).sum(axis=1) > 0).all()


def test_too_few_contexts_are_refused() -> None:
    X, _ = planted(0, size=1, signed=False)
    with pytest.raises(SpectralError, match="expected more than 4 contexts to embed, found 4"):
        embed(X, "cosine", 4)


def test_a_dense_similarity_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarities, "DENSE_BYTES", 8 * 100**2)
    X, _ = planted(0, signed=True)
    with pytest.raises(SpectralError, match="at most 100 contexts, found 120; set max_contexts"):
        embed(X, "angular", 4)
    with pytest.raises(SpectralError, match="svd_cut needs a dense matrix"):
        reduce(sparse.csr_array(X), 0.9)


@pytest.mark.parametrize(("groups", "size"), [(40, 60), (100, 30)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", [0, 1])
def test_more_groups_than_a_block_that_share_nothing(
    groups: int, size: int, dtype: type[np.floating], seed: int
) -> None:
    """The leading eigenvalue is there once for each, however many a block of vectors sees."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(groups), size)
    own = rng.random((len(label), 5)) + 0.1
    columns = 5 * label[:, None] + np.arange(5)
    rows = np.repeat(np.arange(len(label)), 5)
    X = sparse.csr_array((own.ravel().astype(dtype), (rows, columns.ravel())))
    points = embedding(similarities.affinity(X, "cosine"), groups, seed).points
    found = cluster(X, ClusteringSpec(n_clusters=groups, seed=seed))
    means = np.stack([points[label == g].mean(axis=0) for g in range(groups)])
    assert np.linalg.matrix_rank(means, tol=1e-3 * np.linalg.norm(means, 2)) == groups
    assert adjusted_rand_score(label, found.labels) >= 0.99
