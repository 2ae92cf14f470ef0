"""Features that tell a cluster from the others, on rows that can be summed by hand."""

from __future__ import annotations

from collections import defaultdict
from typing import TypeAlias

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.interp.distinct_features import MOST, distinct_features

Kept: TypeAlias = tuple[int, str, int | None, int, float]  # context, site, pos, feature, effect
SCHEMA = {
    "context_id": pl.Int64,
    "site": pl.String,
    "pos": pl.Int16,
    "feature": pl.Int32,
    "effect": pl.Float32,
}
MEANS = ("share", "share_else", "mean_effect", "mean_effect_else", "difference")


def rows(*kept: Kept) -> pl.LazyFrame:
    frame = pl.LazyFrame(list(kept), SCHEMA, orient="row")
    return frame.with_columns(activation=pl.lit(1.0), gradient=pl.lit(None, pl.Float32))


def members(*clusters: int) -> pl.DataFrame:
    return pl.DataFrame(
        enumerate(clusters), {"context_id": pl.Int64, "cluster": pl.Int32}, orient="row"
    )


def test_a_feature_stands_with_the_cluster_in_which_it_is_stronger() -> None:
    """Feature 1: |3| + |−1| over the two contexts of cluster 0, 1 over the one of cluster 1."""
    features = rows(
        (0, "embed", None, 1, 3.0),
        (1, "embed", None, 1, -1.0),
        (2, "embed", None, 1, 1.0),
        (2, "mlp_0", None, 5, 0.5),
        (2, "mlp_0", None, -1, 9.0),
        (3, "mlp_0", None, 5, 7.0),
    )
    found = distinct_features(features, members(0, 0, 1, -1))
    assert found.select("cluster", "place", "site", "feature", *MEANS).rows() == [
        (0, 1, "embed", 1, 1.0, 1.0, 2.0, 1.0, 1.0),
        (1, 1, "mlp_0", 5, 1.0, 0.0, 0.5, 0.0, 0.5),
    ]


def test_positions_are_summed_before_the_sign_is_dropped() -> None:
    found = distinct_features(
        rows((0, "embed", -1, 7, 2.0), (0, "embed", -2, 7, -1.0), (1, "embed", -1, 7, -4.0)),
        members(0, 1),
    )
    assert found.select("cluster", "mean_effect", "mean_effect_else").rows() == [(1, 4.0, 1.0)]


def test_an_effect_that_is_not_stored_is_the_product() -> None:
    stored = rows((0, "embed", -1, 1, 0.0)).with_columns(
        effect=pl.lit(None, pl.Float32), gradient=pl.lit(-2.0, pl.Float32)
    )
    assert distinct_features(stored, members(0, 1))["mean_effect"].to_list() == [2.0]


def test_there_is_nothing_elsewhere_where_there_is_one_cluster() -> None:
    found = distinct_features(rows((0, "embed", None, 1, 1.0)), members(0, 0))
    assert found.select(MEANS).rows() == [(0.5, None, 0.5, None, 0.5)]


def test_no_more_than_most_stand_with_a_cluster() -> None:
    many = [(0, f"mlp_{i % 2}", None, i, 1.0 + i // 4) for i in range(MOST + 9)]
    found = distinct_features(rows(*many), members(0, 1))
    assert found["place"].to_list() == list(range(1, MOST + 1))
    first = found.select("site", "feature").head(5).rows()
    assert first == [("mlp_0", 28), ("mlp_0", 24), ("mlp_0", 26), ("mlp_1", 25), ("mlp_1", 27)]


def test_nothing_comes_of_nothing() -> None:
    assert distinct_features(rows(), members(0, 1)).is_empty()


EFFECTS = st.floats(-8, 8, width=16)
KEYS = st.tuples(
    st.integers(0, 5), st.sampled_from(["embed", "mlp_0"]), st.none(), st.integers(-1, 3)
)


@given(
    st.dictionaries(KEYS, EFFECTS, max_size=30),
    st.lists(st.integers(-1, 2), min_size=6, max_size=6),
)
def test_equals_sums_over_contexts_one_by_one(
    kept: dict[tuple[int, str, None, int], float], clusters: list[int]
) -> None:
    found = distinct_features(rows(*((*key, e) for key, e in kept.items())), members(*clusters))
    effects: dict[tuple[int, str, int], float] = defaultdict(float)
    for (context, site, _, feature), effect in kept.items():
        effects[clusters[context], site, feature] += abs(effect)
    wanted = {}
    for (cluster, site, feature), total in effects.items():
        size, others = clusters.count(cluster), sum(c not in (cluster, -1) for c in clusters)
        elsewhere = sum(
            effects[c, site, feature]
            for c in {*clusters} - {cluster, -1}
            if (c, site, feature) in effects
        )
        difference = total / size - (elsewhere / others if others else 0)
        if cluster >= 0 <= feature and difference > 1e-9:
            wanted[cluster, site, feature] = difference
    shown = found.filter(pl.col("difference") > 1e-9)
    got = {
        (c, s, f): d
        for c, s, f, d in shown.select("cluster", "site", "feature", "difference").rows()
    }
    assert got == pytest.approx(wanted)
