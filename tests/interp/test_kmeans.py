"""k-means and the pivoted QR against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from dagster_project.interp import kmeans
from dagster_project.interp.kmeans import groups_of, qr_groups


def blobs(
    seed: int, k: int, each: int, noise: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(k), each))
    centres = rng.standard_normal((k, 8)) * 3
    return centres[labels] + rng.standard_normal((len(labels), 8)) * noise, labels


def inertia(points: NDArray[np.float64], labels: NDArray[np.integer]) -> float:
    parts = [points[labels == c] for c in np.unique(labels)]
    return float(sum(((part - part.mean(axis=0)) ** 2).sum() for part in parts))


@pytest.mark.parametrize("noise", [0.5, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_as_good_as_ten_starts_of_scikit_learn(seed: int, noise: float) -> None:
    """Clear groups are found; of noise, no worse a grouping than theirs."""
    points, labels = blobs(seed, 12, 40, noise)
    found = groups_of(points, 12, seed)
    expected = KMeans(12, n_init=10, random_state=seed).fit_predict(points)
    assert inertia(points, found) <= inertia(points, expected) * 1.01
    if noise < 1:
        assert adjusted_rand_score(found, labels) == 1.0


def test_starts_on_a_sample_and_mini_batches_find_the_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points, labels = blobs(0, 6, 500, 0.5)
    for name, value in (("SEEDED", 200), ("SAMPLE", 400), ("AT_ONCE", 700), ("CHEAP", 0)):
        monkeypatch.setattr(kmeans, name, value)
    assert adjusted_rand_score(groups_of(points, 6, 0), labels) == 1.0
    monkeypatch.setattr(kmeans, "WHOLE", 1000)
    found = groups_of(points, 6, 0)
    assert adjusted_rand_score(found, labels) == 1.0
    assert np.array_equal(found, groups_of(points, 6, 0))


def test_fewer_different_rows_than_groups() -> None:
    points = np.repeat(np.eye(3), 4, axis=0)
    found = groups_of(points, 5, 0)
    assert adjusted_rand_score(found, np.repeat([0, 1, 2], 4)) == 1.0


def test_a_centre_without_rows_takes_the_farthest() -> None:
    """Rows 0, 1, 2 and 10; the centres 1 and 1: the second has no row, and goes to 10."""
    points = np.array([[0.0], [1.0], [2.0], [10.0]])
    assigned = kmeans._assigned(points, np.array([[1.0], [1.0]]))
    assert assigned.group.tolist() == [0, 0, 0, 0]
    assert assigned.distance.tolist() == [1, 0, 1, 81]
    assert kmeans._means(points, assigned, 2).tolist() == [[3.25], [10.0]]


def test_qr_needs_no_start() -> None:
    """Groups as a block of the leading eigenvectors has them, rotated at will."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    Q = np.linalg.qr(rng.standard_normal((5, 5))).Q
    V = (np.eye(5)[labels] + rng.standard_normal((200, 5)) * 0.05) @ Q
    assert adjusted_rand_score(qr_groups(V, 5), labels) == 1.0


def test_the_seed_decides() -> None:
    points, _ = blobs(3, 5, 30, 3.0)
    assert np.array_equal(groups_of(points, 5, 7), groups_of(points, 5, 7))
