"""Stability: clear groups are found again, and noise is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dagster_project.interp import cluster_stability
from dagster_project.interp.cluster_stability import Stability, stability
from dagster_project.interp.clustering import cluster
from dagster_project.studies.study import ClusteringSpec

SPEC = ClusteringSpec(n_clusters=3)


def groups(noise: float, n: int = 90) -> NDArray[np.float32]:
    """Rows near three directions; one row is zero."""
    rng = np.random.default_rng(0)
    X = np.eye(3, 12)[np.arange(n) % 3] + np.abs(rng.standard_normal((n, 12))) * noise
    X[4] = 0
    return X.astype(np.float32)


def of(X: NDArray[np.float32], spec: ClusteringSpec = SPEC) -> Stability:
    return stability(X, cluster(X, spec), spec)


def test_clear_groups_are_stable() -> None:
    assert of(groups(0.02)) == (1.0, 1.0)


def test_groups_of_noise_are_not() -> None:
    seeds, halves = of(groups(100.0))
    assert seeds is not None
    assert halves is not None
    assert halves < 0.7
    assert seeds > halves


@pytest.mark.parametrize("assign", ["cluster_qr", "hdbscan"])
def test_what_has_no_seed_is_not_seeded(assign: str) -> None:
    found = of(groups(0.02), replace(SPEC, assign=assign))  # type: ignore[arg-type]
    assert found.ari_seeds is None
    assert found.ari_halves is not None


def test_halves_that_are_too_small() -> None:
    """Seven contexts that are not zero, of which a half has three: not more than the clusters."""
    seeds, halves = of(groups(0.02, n=8))
    assert seeds is not None
    assert halves is None


def test_many_contexts_are_not_clustered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_stability, "STABLE", 88)
    assert of(groups(0.02)) == (None, None)
    monkeypatch.setattr(cluster_stability, "STABLE", 89)  # without the zero vector
    assert of(groups(0.02)) == (1.0, 1.0)
