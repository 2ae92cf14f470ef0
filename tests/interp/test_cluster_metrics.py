"""Cluster metrics by hand and against scikit-learn's definitions."""

from __future__ import annotations

from math import log

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from sklearn.metrics import silhouette_samples

from dagster_project.interp.cluster_metrics import (
    agreement,
    cosine_sums,
    describe,
    leaves,
    silhouettes,
)

CONTEXTS = pl.DataFrame(
    {
        "cluster": [0, 0, 0, 0, 1, 1, -1],
        "answer_id": [5, 5, 6, 7, 6, 6, 5],
        "answer": ["was", "was", "we", "he", "we", "we", "was"],
        "loss": [0.1, 0.2, 0.3, 0.4, 1.0, 3.0, 0.5],
        "rule": ["number", "number", "name", None, "name", "name", None],
    }
)


def test_clusters_by_hand() -> None:
    found = describe(CONTEXTS)
    assert found["cluster"].to_list() == [-1, 0, 1]
    assert found["size"].to_list() == [1, 4, 2]
    assert found["mean_loss"].to_list() == pytest.approx([0.5, 0.25, 2.0])
    assert found["top_answers"].to_list() == [["was"], ["was", "we", "he"], ["we"]]
    # cluster 0: shares ½, ¼, ¼ -> ½ ln 2 + 2 · ¼ ln 4 = 1.5 ln 2
    assert found["answer_entropy"].to_list() == pytest.approx([0.0, 1.5 * log(2), 0.0])
    assert found["top_skill"].to_list() == [None, "number", "name"]
    assert found["purity"].to_list() == [None, pytest.approx(2 / 3), 1.0]


def test_a_tie_goes_to_the_smaller_id() -> None:
    tied = CONTEXTS.filter(pl.col("answer").is_in(["we", "he"]) & (pl.col("cluster") == 0))
    assert describe(tied)["top_answers"].to_list() == [["we", "he"]]


def test_agreement_by_hand() -> None:
    # Groups {a a b} and {b b a} (with one unknown): purity (2 + 2)/6.
    groups = pl.Series([0, 0, 0, 1, 1, 1, 1])
    skills = pl.Series(["a", "a", "b", "b", "b", "a", None])
    found = agreement(groups, skills)
    assert found.purity == pytest.approx(4 / 6)
    # ARI: Σ C(n_ij, 2) = 2, Σ C(a_i, 2) = Σ C(b_j, 2) = 6, C(6, 2) = 15: (2 − 2.4)/(6 − 2.4)
    assert found.ari == pytest.approx(-0.4 / 3.6)
    # NMI: I = Σ p ln(p / p_i p_j) = ⅔ ln 4/3 + ⅓ ln 2/3, both entropies ln 2
    assert found.nmi == pytest.approx((2 / 3 * log(4 / 3) + 1 / 3 * log(2 / 3)) / log(2))


def test_equal_groupings_agree_and_constant_ones_do_not() -> None:
    skills = pl.Series(["x", "y", "x", "y"])
    assert agreement(pl.Series([7, 3, 7, 3]), skills) == pytest.approx((1.0, 1.0, 1.0))
    assert agreement(pl.Series([0, 0, 0, 0]), skills) == pytest.approx((0.0, 0.0, 0.5))


def test_unknown_skills_give_nothing() -> None:
    none = pl.Series([None, None], dtype=pl.String)
    assert agreement(pl.Series([0, 1]), none) == (None, None, None)


@given(st.lists(st.tuples(st.integers(-1, 3), st.sampled_from("abc")), min_size=2), st.data())
def test_agreement_does_not_depend_on_order(
    pairs: list[tuple[int, str]], data: st.DataObject
) -> None:
    def of(rows: list[tuple[int, str]]) -> tuple[float | None, ...]:
        return tuple(agreement(pl.Series([r[0] for r in rows]), pl.Series([r[1] for r in rows])))

    shuffled = data.draw(st.permutations(pairs))
    assert of(shuffled) == pytest.approx(of(pairs))


def silhouettes_of(X: NDArray[np.float64], labels: NDArray[np.int32]) -> pl.DataFrame:
    return silhouettes(cosine_sums(sparse.csr_array(X), labels), labels)


def test_silhouette_is_the_cosine_one() -> None:
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((40, 6)), rng.integers(0, 3, 40).astype(np.int32)
    X[0], labels[0] = 0, -1  # a zero vector takes no part
    labels[1] = -2  # nor does what was left out
    found = silhouettes_of(X, labels)
    expected = silhouette_samples(X[2:], labels[2:], metric="cosine")
    np.testing.assert_allclose(found["silhouette"], expected, atol=1e-12)
    assert found["cluster"].to_list() == labels[2:].tolist()
    dense = silhouettes(cosine_sums(X, labels), labels)
    np.testing.assert_allclose(dense["silhouette"], expected, atol=1e-12)


def test_silhouette_by_hand() -> None:
    # Unit vectors at 0°, 0°, 90°, 180°, clusters {0°, 0°} and {90°, 180°}. Cosine distances:
    # 0° : a = 0, b = (1 + 2)/2, s = 1. 90°: a = 1, b = 1, s = 0. 180°: a = 1, b = 2, s = ½.
    X = np.array([[1.0, 0], [3, 0], [0, 2], [-1, 0]])
    found = silhouettes_of(X, np.array([0, 0, 1, 1], np.int32))
    assert found["silhouette"].to_list() == pytest.approx([1, 1, 0, 0.5])


def test_silhouette_of_a_context_alone_is_zero() -> None:
    X = sparse.random_array((30, 8), density=0.5, rng=np.random.default_rng(0)).toarray()
    labels = np.array([3, 0, 4, 1, 2] * 5 + [5] + [1] * 4, np.int32)
    found = silhouettes_of(X, labels)["silhouette"]
    np.testing.assert_allclose(found, silhouette_samples(X, labels, metric="cosine"), atol=1e-12)
    assert found[25] == 0


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, -1, 0], [-1, -1, -1], [-2, -1, -2]])
def test_no_silhouette_without_two_clusters(labels: list[int]) -> None:
    assert silhouettes_of(np.eye(3), np.array(labels, np.int32)).is_empty()


def leaves_of(X: NDArray[np.float64], labels: list[int]) -> dict[int, int]:
    numbers = np.array(labels, np.int32)
    found = leaves(cosine_sums(sparse.csr_array(X), numbers), numbers)
    return dict(found.select("cluster", "leaf").iter_rows())


def test_like_clusters_are_neighbours() -> None:
    """Clusters 0 to 3 at 0°, 90°, 10° and 70°: 0 joins 2 and 1 joins 3, and of the orders that the
    tree allows, 0 2 3 1 has the nearest neighbours (10° + 60° + 20°)."""
    angle = np.deg2rad([0, 90, 10, 70, 0])
    X = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.array([[1], [5], [2], [0.1], [3]])
    place = leaves_of(np.vstack([X, np.zeros((1, 2))]), [0, 1, 2, 3, 0, -1])
    order = sorted(place, key=lambda cluster: place[cluster])
    assert order in ([0, 2, 3, 1], [1, 3, 2, 0])


def test_leaves_are_by_the_means_of_clusters() -> None:
    """Cluster 0 is wide, 0° and 80°: its mean at 40° is like cluster 2 at 45°, whose like by its
    single contexts would be 1 at 75°."""
    angle = np.deg2rad([0, 80, 75, 45])
    X = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    place = leaves_of(X, [0, 0, 1, 2])
    assert abs(place[0] - place[2]) == 1


@pytest.mark.parametrize(("labels", "expected"), [([-1, -2], {}), ([0, 0], {0: 0})])
def test_leaves_of_none_and_of_one(labels: list[int], expected: dict[int, int]) -> None:
    assert leaves_of(np.eye(2), labels) == expected
