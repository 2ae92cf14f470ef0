"""Context vectors from long rows, and clusters of planted groups."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from dagster_project.interp import clustering
from dagster_project.interp.affinity import SpectralError
from dagster_project.interp.clustering import (
    by_size,
    cluster,
    clusters_of,
    context_vectors,
    embedded,
    map_of,
    places_of,
    sample_of,
)
from dagster_project.studies.study import ClusteringSpec

PLAIN = ClusteringSpec(n_clusters=2, representation="effects", unit_norm_per_site=False)
SCHEMA = {
    "context_id": pl.Int64,
    "pos": pl.Int16,
    "site": pl.String,
    "feature": pl.Int32,
    "activation": pl.Float32,
    "gradient": pl.Float32,
    "effect": pl.Float32,
}
ROWS = pl.LazyFrame(
    [
        (4, None, "mlp_0", 0, 1.0, None, -3.0),
        (4, None, "mlp_0", 7, 2.0, None, 4.0),
        (4, None, "resid_0", 0, 5.0, None, 10.0),
        (4, None, "resid_0", -1, 9.0, None, -1.0),
        (6, None, "mlp_0", 7, 3.0, None, -2.0),
        (8, None, "resid_0", -1, 4.0, None, 6.0),
        (99, None, "mlp_0", 0, 1.0, None, 1.0),  # not asked for
    ],
    schema=SCHEMA,
    orient="row",
)
IDS = [4, 6, 8, 9]  # 9 has no rows


def vectors(spec: ClusteringSpec, rows: pl.LazyFrame = ROWS) -> list[list[float]]:
    """Rows with their nonzero values in the order of columns, columns sorted as tuples."""
    dense = context_vectors(rows, IDS, spec).toarray()
    used = dense[:, np.abs(dense).sum(axis=0) > 0]
    return used.tolist()


def test_vectors_by_hand() -> None:
    # columns (mlp_0, 0), (mlp_0, 7), (resid_0, 0); context 8 has an error node alone
    assert vectors(PLAIN) == [[-3, 4, 10], [0, -2, 0], [0, 0, 0], [0, 0, 0]]
    magnitudes = replace(PLAIN, representation="abs_effects")
    assert vectors(magnitudes) == [[3, 4, 10], [0, 2, 0], [0, 0, 0], [0, 0, 0]]
    roots = replace(PLAIN, representation="root_effects")
    assert vectors(roots) == [
        pytest.approx([3**0.5, 2, 10**0.5]),
        pytest.approx([0, 2**0.5, 0]),
        [0, 0, 0],
        [0, 0, 0],
    ]
    activations = replace(PLAIN, representation="activations")
    assert vectors(activations) == [[1, 2, 5], [0, 3, 0], [0, 0, 0], [0, 0, 0]]


def test_an_effect_that_is_not_stored_is_the_product() -> None:
    products = ROWS.with_columns(
        gradient=pl.col("effect") / pl.col("activation"), effect=pl.lit(None, pl.Float32)
    )
    assert vectors(PLAIN, products) == [pytest.approx(row) for row in vectors(PLAIN)]


def test_each_site_has_norm_one() -> None:
    found = vectors(replace(PLAIN, unit_norm_per_site=True))
    assert found == [pytest.approx([-0.6, 0.8, 1.0]), [0, -1, 0], [0, 0, 0], [0, 0, 0]]


def test_error_nodes_are_columns_where_asked() -> None:
    found = vectors(replace(PLAIN, errors=True))  # (resid_0, −1) before (resid_0, 0)
    assert found == [[-3, 4, -1, 10], [0, -2, 0, 0], [0, 0, 6, 0], [0, 0, 0, 0]]


def test_positions_are_columns_of_their_own() -> None:
    rows = [(4, -1, "embed", 3, 1.0, None, 1.0), (4, -2, "embed", 3, 1.0, None, 2.0)]
    rows.append((6, -2, "embed", 3, 1.0, None, 5.0))
    found = vectors(PLAIN, pl.LazyFrame(rows, schema=SCHEMA, orient="row"))
    assert found == [[2, 1], [5, 0], [0, 0], [0, 0]]  # position −2, then −1


def test_no_rows_at_all() -> None:
    X = context_vectors(pl.LazyFrame(schema=SCHEMA), IDS, PLAIN)
    assert X.shape[0] == 4
    assert X.nnz == 0


def planted(
    seed: int, *, signed: bool
) -> tuple[sparse.csr_array, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Groups of 40, 30 and 20, with disjoint main columns; row 7 of the whole is zero."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], [40, 30, 20])
    X = np.zeros((90, 30))
    for row, label in enumerate(labels):
        X[row, 10 * label + rng.choice(10, 6, replace=False)] = rng.uniform(0.5, 1, 6)
        X[row, rng.choice(30, 3)] += 0.2
    if signed:
        X *= rng.choice([-1, 1], 30)
    X[7] = 0
    return sparse.csr_array(X), labels


@pytest.mark.parametrize("signed", [False, True])
def test_planted_groups_by_size(signed: bool) -> None:
    X, labels = planted(0, signed=signed)
    found = cluster(X, ClusteringSpec(n_clusters=3))
    assert found.labels[7] == -1
    others = np.arange(90) != 7
    assert found.labels[others].tolist() == labels[others].tolist()  # 39, 30, 20: by size
    places = places_of(found, seed=0)
    assert np.isfinite(places[others]).all()
    assert np.isnan(places[7]).all()


def test_a_context_like_no_other_has_a_place_among_unit_rows() -> None:
    X, labels = planted(0, signed=False)
    alone = sparse.block_diag([X, [[1.0]]], format="csr")
    found = cluster(sparse.csr_array(alone), ClusteringSpec(n_clusters=3, unit_rows=True))
    assert np.isfinite(found.points).all()
    others = np.flatnonzero(np.arange(90) != 7)
    assert adjusted_rand_score(found.labels[others], labels[others]) > 0.9


def test_the_same_seed_gives_the_same_clusters_and_map() -> None:
    X, _ = planted(1, signed=True)
    one, two = cluster(X, ClusteringSpec(n_clusters=3)), cluster(X, ClusteringSpec(n_clusters=3))
    assert np.array_equal(one.labels, two.labels)
    assert np.array_equal(places_of(one, 0), places_of(two, 0), equal_nan=True)


@settings(max_examples=5)
@given(st.permutations(range(90)), st.booleans())
def test_a_permutation_of_contexts_permutes_labels(order: list[int], signed: bool) -> None:
    X, _ = planted(2, signed=signed)
    spec = ClusteringSpec(n_clusters=3)
    permuted = cluster(X[order], spec).labels
    assert adjusted_rand_score(cluster(X, spec).labels[order], permuted) == 1.0
    assert permuted[order.index(7)] == -1


def test_a_permutation_of_rows_changes_nothing() -> None:
    X, _ = planted(3, signed=True)
    coo = X.tocoo()
    rows = pl.DataFrame(
        {
            "context_id": coo.row,
            "pos": None,
            "site": ["mlp_0" if c % 2 else "embed" for c in coo.col],
            "feature": coo.col,
            "activation": coo.data,
            "gradient": None,
            "effect": coo.data,
        },
        schema=SCHEMA,
    )
    spec = ClusteringSpec(n_clusters=3)
    straight = context_vectors(rows.lazy(), range(90), spec)
    shuffled = context_vectors(
        rows.sample(fraction=1, shuffle=True, seed=1).lazy(), range(90), spec
    )
    np.testing.assert_allclose(straight.toarray(), shuffled.toarray(), rtol=1e-15)


def test_more_clusters_than_contexts_is_an_error() -> None:
    X = sparse.csr_array(np.eye(3))
    with pytest.raises(SpectralError, match="expected more than 3 contexts to embed, found 3"):
        cluster(X, ClusteringSpec(n_clusters=3))


def test_svd_makes_the_same_clusters() -> None:
    X, labels = planted(4, signed=False)
    found = cluster(X, ClusteringSpec(n_clusters=3, svd_cut=0.9)).labels
    assert found[7] == -1
    assert adjusted_rand_score(np.where(np.arange(90) == 7, -1, labels), found) == 1.0


def test_labels_by_size_by_hand() -> None:
    # sizes: 5 -> 1, 2 -> 3, 9 -> 2, 0 -> 2; 9 comes before 0
    found = by_size(np.array([5, 9, 2, 0, 2, 9, 2, 0]))
    assert found.tolist() == [3, 1, 0, 2, 0, 1, 0, 2]


def test_map_places_those_not_mapped_among_their_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clustering, "MAPPED", 60)
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)
    points = rng.standard_normal((100, 3)) * 0.1 + labels[:, None]
    places = map_of(points, seed=0)
    assert np.array_equal(places, map_of(points, seed=0))
    centres = np.stack([places[labels == k].mean(axis=0) for k in (0, 1)])
    nearest = np.linalg.norm(places[:, None] - centres, axis=-1).argmin(axis=1)
    assert nearest.tolist() == labels.tolist()


def test_sample_depends_on_the_set_and_the_seed() -> None:
    assert sample_of([5, 3, 9], 0, 0) == [3, 5, 9]
    assert sample_of([5, 3, 9], 7, 0) == [3, 5, 9]
    assert sample_of(range(100), 10, 1) == sample_of(list(reversed(range(100))), 10, 1)
    assert sample_of(range(100), 10, 1) != sample_of(range(100), 10, 2)
    assert len(set(sample_of(range(100), 10, 1))) == 10


def test_several_sizes_of_one_embedding_are_those_one_by_one() -> None:
    """Clusters of 2 and of 4 by the embedding for 4; its first columns are the embedding for 2."""
    X, _ = planted(5, signed=True)
    together = embedded(X, ClusteringSpec(n_clusters=2, embedded=4)).points
    assert together.shape == (90, 4)
    assert np.isnan(together[7]).all()
    for k in (2, 4):
        spec = ClusteringSpec(n_clusters=k)
        alone = cluster(X, spec)
        np.testing.assert_allclose(clusters_of(together, spec).points, alone.points, atol=1e-9)
        assert np.array_equal(clusters_of(together, spec).labels, alone.labels)
        assert np.array_equal(cluster(X, replace(spec, embedded=4)).labels, alone.labels)


def test_dense_vectors_are_clustered_as_sparse_ones() -> None:
    X, _ = planted(6, signed=True)
    spec = ClusteringSpec(n_clusters=3)
    dense = cluster(X.toarray().astype(np.float32), spec)
    assert np.array_equal(dense.labels, cluster(X, spec).labels)
    assert dense.labels[7] == -1


@pytest.mark.parametrize("assign", ["kmeans", "cluster_qr", "hdbscan"])
def test_ways_to_group_find_planted_groups(assign: Literal["kmeans", "cluster_qr"]) -> None:
    X, labels = planted(0, signed=False)
    found = cluster(X, ClusteringSpec(n_clusters=3, assign=assign)).labels
    inside = found >= 0
    assert inside.sum() > 70
    assert adjusted_rand_score(labels[inside], found[inside]) > 0.95


def test_contexts_far_from_all_others_are_left_out() -> None:
    """Two places of five contexts and of three, and one context between: cluster 0, 1 and −2."""
    points = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1], [0.5, 0.5], [9, 9], [9, 10], [10, 9]])
    points = np.vstack([points, [[5.0, -40.0]], [[np.nan, np.nan]]])
    spec = ClusteringSpec(n_clusters=2, assign="hdbscan", min_cluster_size=3, unit_rows=False)
    found = clusters_of(points, spec)
    assert found.labels.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, -2, -1]
    assert found.points.shape == (9, 2)


def test_what_is_left_out_has_a_place_on_the_map_and_no_number() -> None:
    X, _ = planted(0, signed=False)
    found = cluster(X, ClusteringSpec(n_clusters=3, assign="hdbscan", min_cluster_size=25))
    out = found.labels == -2
    assert out.any()
    assert np.isfinite(places_of(found, 0)[out]).all()


def test_labels_below_zero_keep_their_number() -> None:
    assert by_size(np.array([-1, 4, 4, -1, -1, 2])).tolist() == [-1, 0, 0, -1, -1, 1]


def test_rows_of_large_groups_are_not_lost_beside_small_ones() -> None:
    """Three groups of 2,000, and two contexts of their own, in single precision: rows of a large
    group are small, not zero."""
    label = np.repeat([0, 1, 2, 3], [2000, 2000, 2000, 2])
    value = np.random.default_rng(0).uniform(0.5, 1, 2 * len(label)).astype(np.float32)
    column = np.stack([2 * label, 2 * label + 1], -1).ravel()
    X = sparse.csr_array((value, (np.repeat(np.arange(len(label)), 2), column)))
    found = cluster(X, ClusteringSpec(n_clusters=4))
    assert np.bincount(found.labels).tolist() == [2000, 2000, 2000, 2]


def test_fewer_contexts_than_a_cluster_needs_are_refused() -> None:
    points = np.random.default_rng(0).random((9, 2))
    spec = ClusteringSpec(n_clusters=2, assign="hdbscan", min_cluster_size=10)
    with pytest.raises(SpectralError, match="at least min_cluster_size = 10 contexts, found 9"):
        clusters_of(points, spec)
