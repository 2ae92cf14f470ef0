"""How far a clustering is one of its contexts, and not of chance: agreement with clusterings made
otherwise.

`ari_seeds`: k-means from SEEDS other seeds, on the same embedding. `ari_halves`: each of two seeded
halves of the contexts clustered alone, against the clusters that its contexts have in the whole.
Both are mean adjusted Rand indices; contexts with a zero vector take no part, and what HDBSCAN
leaves out is a group. None above STABLE contexts, where they would take several times as long as
the clustering itself; no seeds where the grouping has none; no halves where they are too small.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from dagster_project.interp.affinity import SpectralError, Vectors
from dagster_project.interp.clustering import ZERO, Clusters, Labels, cluster, grouped
from dagster_project.studies.study import ClusteringSpec

SEEDS = 3
"""Other seeds of k-means."""
STABLE = 20_000
"""Contexts up to which a clustering is made again."""


class Stability(NamedTuple):
    """Mean adjusted Rand indices with clusterings of the same contexts; None: not known."""

    ari_seeds: float | None
    ari_halves: float | None


def stability(
    X: Vectors, found: Clusters, spec: ClusteringSpec, device: torch.device | str = "cpu"
) -> Stability:
    """Of the clusters found of vectors X [context, column]."""
    if len(found.points) > STABLE:
        return Stability(None, None)
    kept = np.flatnonzero(found.labels != ZERO)
    labels, seeded = found.labels[kept], spec.assign == "kmeans"
    others = [replace(spec, seed=(spec.seed + i + 1) % 2**32) for i in range(SEEDS)]
    again = [adjusted_rand_score(labels, grouped(found.points, s)) for s in others if seeded]
    order = np.random.default_rng(spec.seed).permutation(len(kept))
    halves = [np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])]
    try:
        alone = []
        for half in halves:
            by_itself = _alone(X, kept[half], spec, device)
            known = by_itself != ZERO  # svd_cut may leave nothing of a context
            alone.append(adjusted_rand_score(labels[half][known], by_itself[known]))
    except SpectralError:
        alone = []
    return Stability(_mean(again), _mean(alone))


def _alone(
    X: Vectors, rows: NDArray[np.intp], spec: ClusteringSpec, device: torch.device | str
) -> Labels:
    return cluster(X[rows], replace(spec, embedded=0), device).labels


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
