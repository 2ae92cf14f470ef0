"""Clusters of contexts that the model predicts by the same nodes (Michaud et al. 2023, section 5).

A context's vector holds the activation, effect, |effect| or its root of each node of each site, a
site's part scaled to norm 1 so that none outweighs the others. The vectors' similarity is embedded
(`spectral.py`); the embedding's rows are grouped by k-means, by a pivoted QR (`kmeans.py`) or by
HDBSCAN, which leaves out contexts that lie in no dense place: cluster −2. Clusters are numbered by
size, 0 the largest, and contexts without any node go to cluster −1. The 2-D map is a t-SNE of the
embedding of up to MAPPED contexts; the others lie among their nearest mapped neighbours.

Cost: 8 bytes a node of a context for X, 24 while X is made; one site's long rows at a time. HDBSCAN
compares all pairs of contexts: seconds for ten thousand, hours for a million. t-SNE runs on one
OpenMP thread: its sums then have one order, and the same seed gives the same clusters and map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.cluster import HDBSCAN
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from dagster_project.interp.affinity import Floats, SpectralError, Vectors, affinity
from dagster_project.interp.context_features import EFFECT
from dagster_project.interp.kmeans import Points, groups_of, qr_groups
from dagster_project.interp.spectral import Embedding, embedding, reduce
from dagster_project.studies.study import ClusteringSpec

Labels = NDArray[np.int32]

MAPPED = 1500
"""Contexts that t-SNE places itself."""
MAP_STEPS = 500
"""Steps of t-SNE; the first 250 exaggerate."""
MAP_ANGLE = 0.8
"""Barnes-Hut angle of t-SNE: a quarter faster than its usual 0.5, KL divergence 0.5 % larger."""
NEIGHBOURS = 3
"""Mapped contexts whose mean is the place of another."""
ZERO = -1
"""Cluster of contexts whose vector is zero."""
LEFT_OUT = -2
"""Cluster of contexts that HDBSCAN leaves out."""


class Clusters(NamedTuple):
    """A clustering of contexts, in the order of the rows of X."""

    labels: Labels  # [context] 0 is the largest; −1: zero vector; −2: left out
    points: Points  # [context with a vector, dimension] the embedding


class _Entries(NamedTuple):
    """What is not zero of one site's part of the vectors."""

    row: NDArray[np.int32]  # of X
    column: NDArray[np.int32]  # from 0
    value: NDArray[np.float32]
    n_columns: int


def sample_of(context_ids: Sequence[int], size: int, seed: int) -> list[int]:
    """`size` of the contexts (0: all), ascending; the choice depends on the seed and the set."""
    ordered = np.sort(np.asarray(context_ids))
    if not 0 < size < len(ordered):
        return ordered.tolist()
    return np.sort(np.random.default_rng(seed).choice(ordered, size, replace=False)).tolist()


def context_vectors(
    features: pl.LazyFrame, context_ids: Sequence[int], spec: ClusteringSpec
) -> sparse.csr_array:
    """X [context, node that occurs] of ascending context_ids; a node is (site, pos, feature).

    features: rows of context_features (context_id, pos, site, feature, activation, gradient,
    effect).
    """
    names = features.select(pl.col("site").unique().sort()).collect()["site"].to_list()
    parts: list[_Entries] = []
    width = 0
    for site in names:
        part = _site_entries(features.filter(pl.col("site") == site), context_ids, spec)
        parts.append(part._replace(column=part.column + np.int32(width)))
        width += part.n_columns
    if not parts:
        return sparse.csr_array((len(context_ids), 0))
    row, column, value = (np.concatenate(x) for x in list(zip(*parts, strict=True))[:3])
    return sparse.csr_array((value, (row, column)), shape=(len(context_ids), width))


def embedded(X: Vectors, spec: ClusteringSpec, device: torch.device | str = "cpu") -> Embedding:
    """Embedding [context, max(n_clusters, embedded)] of the vectors X; NaN for zero vectors.

    Raises SpectralError where it has not fewer dimensions than there are vectors that are not zero.
    """
    X = reduce(X, spec.svd_cut) if spec.svd_cut and _known(X).any() else X
    kept = np.flatnonzero(_known(X))
    alike = affinity(X[kept], spec.similarity, device)
    found = embedding(alike, max(spec.n_clusters, spec.embedded), spec.seed)
    points = np.full((X.shape[0], found.points.shape[1]), np.nan, found.points.dtype)
    points[kept] = found.points
    return found._replace(points=points)


def cluster(X: Vectors, spec: ClusteringSpec, device: torch.device | str = "cpu") -> Clusters:
    """Clusters of the vectors X [context, column], sparse or dense.

    Raises SpectralError where n_clusters are not fewer than the vectors that are not zero.
    """
    return clusters_of(embedded(X, spec, device).points, spec)


def clusters_of(embedding: Points, spec: ClusteringSpec) -> Clusters:
    """Clusters by an embedding [context, dimension], of which the first n_clusters count."""
    kept = np.isfinite(embedding[:, 0])
    points = embedding[kept, : spec.n_clusters]
    if spec.unit_rows:
        points = _unit_rows(points)
    labels = np.full(len(embedding), ZERO, np.int32)
    labels[kept] = grouped(points, spec)
    return Clusters(labels, points)


def grouped(points: Points, spec: ClusteringSpec) -> Labels:
    """The cluster of each row of an embedding [context, dimension], by size."""
    if spec.assign == "kmeans":
        return by_size(groups_of(points, spec.n_clusters, spec.seed))
    if spec.assign == "cluster_qr":
        return by_size(qr_groups(points, spec.n_clusters))
    if len(points) < spec.min_cluster_size:
        expected = f"at least min_cluster_size = {spec.min_cluster_size} contexts"
        raise SpectralError(f"expected {expected}, found {len(points)}")
    found = HDBSCAN(min_cluster_size=spec.min_cluster_size, copy=True).fit_predict(points)
    return np.where(found < 0, LEFT_OUT, by_size(found)).astype(np.int32)


def _known(X: Vectors) -> NDArray[np.bool_]:
    """Which rows hold anything."""
    if isinstance(X, np.ndarray):
        return np.asarray(X.any(axis=1))
    return np.asarray(X.count_nonzero(axis=1) > 0)


def _unit_rows(points: Points) -> Points:
    """Rows of norm 1; what is like nothing else has a row of zeros and keeps it."""
    norm = np.linalg.norm(points, axis=1, keepdims=True)
    return np.divide(points, norm, out=np.zeros_like(points), where=norm > 0)


def places_of(clusters: Clusters, seed: int) -> Floats:
    """The 2-D map [context, 2]; NaN for zero vectors."""
    places = np.full((len(clusters.labels), 2), np.nan)
    places[clusters.labels != ZERO] = map_of(clusters.points, seed)
    return places


def by_size(labels: NDArray[np.integer]) -> Labels:
    """Labels ≥ 0 renumbered: 0 the largest group; of equal sizes, the one that comes first."""
    inside = labels >= 0
    _, first, inverse, sizes = np.unique(
        labels[inside], return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -sizes))
    numbered = labels.astype(np.int32)
    numbered[inside] = np.argsort(order)[inverse]
    return numbered


@threadpool_limits.wrap(limits=1, user_api="openmp")
def map_of(points: Points, seed: int) -> Floats:
    """Places [context, 2] on a plane: neighbours in the embedding lie together."""
    n = len(points)
    chosen = np.asarray(sample_of(range(n), MAPPED, seed))
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    tsne = TSNE(
        perplexity=perplexity,
        init="pca",
        max_iter=MAP_STEPS,
        angle=MAP_ANGLE,
        random_state=seed,
    )
    scaled = (points - points.mean(axis=0)) / points.std()  # t-SNE's start has a scale of its own
    mapped: Floats = tsne.fit_transform(scaled[chosen])
    if len(chosen) == n:
        return mapped
    nearest = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(scaled[chosen])
    places = mapped[nearest.kneighbors(scaled, return_distance=False)].mean(axis=1)
    places[chosen] = mapped
    return places


def _site_entries(rows: pl.LazyFrame, context_ids: Sequence[int], spec: ClusteringSpec) -> _Entries:
    """One site's part of the vectors, columns by position and feature."""
    value = pl.col("activation") if spec.representation == "activations" else EFFECT
    if spec.representation in ("abs_effects", "root_effects"):
        value = value.abs()
    if spec.representation == "root_effects":
        value = value.sqrt()
    wanted = rows if spec.errors else rows.filter(pl.col("feature") >= 0)
    found = (
        wanted.filter(value != 0)
        .select(
            "context_id",
            column=pl.col("pos").fill_null(0).cast(pl.Int64) * 2**32 + pl.col("feature"),
            value=value.cast(pl.Float64),
        )
        .collect()
    )
    order = pl.DataFrame({"context_id": pl.Series(context_ids, dtype=pl.Int64)}).with_row_index()
    found = found.join(order, on="context_id")
    names, column = np.unique(found["column"].to_numpy(), return_inverse=True)
    row, values = found["index"].to_numpy().astype(np.int32), found["value"].to_numpy()
    if spec.unit_norm_per_site:
        values = values / np.sqrt(np.bincount(row, values**2, len(context_ids)))[row]
    return _Entries(row, column.astype(np.int32), values.astype(np.float32), len(names))
