"""The three tables of a clustering, on planted groups whose rules are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from dagster_project.interp.clusterings import clustered, with_previous
from dagster_project.studies.study import ClusteringSpec, ContextFeaturesSpec

RULES = ["article"] * 30 + ["number"] * 20 + ["name"] * 10
SPEC = ClusteringSpec(n_clusters=3)
LAST = ContextFeaturesSpec(aggregation="last")


def contexts() -> pl.DataFrame:
    """60 contexts; 0, 1 and 2 have no rule, 3 has no features; answers are no guide to rules."""
    n = len(RULES)
    return pl.DataFrame(
        {
            "context_id": pl.Series(np.arange(n) * 65536 + 4, dtype=pl.Int64),
            "answer_id": pl.Series([i % 2 for i in range(n)], dtype=pl.UInt32),
            "answer": [("he", "she")[i % 2] for i in range(n)],
            "loss": [0.1] * n,
            "skill": [None] * 3 + RULES[3:],
            "previous_id": pl.Series([RULES.index(r) for r in RULES], dtype=pl.UInt32),
        }
    )


def features() -> pl.LazyFrame:
    """Each rule has four features of its own; position −1 says nothing of it."""
    rng = np.random.default_rng(0)
    rows = []
    for i, rule in enumerate(RULES):
        if i == 3:
            continue
        first = 4 * sorted(set(RULES)).index(rule)
        for feature in first + rng.choice(4, 3, replace=False):
            value = float(rng.uniform(0.5, 1))
            rows.append((i * 65536 + 4, -2, "mlp_0", int(feature), value, -value))
        rows.append((i * 65536 + 4, -1, "mlp_0", 50 + i % 7, 1.0, 0.1))
        rows.append((i * 65536 + 4, -1, "mlp_0", 60 + i % 5, 1.0, 0.1))
    names = ["context_id", "pos", "site", "feature", "activation", "effect"]
    return pl.LazyFrame(rows, names, orient="row")


def test_clusters_are_the_rules() -> None:
    found = clustered(features(), contexts(), SPEC, LAST)
    sizes = found.clusters.select("cluster", "size", "top_skill", "purity").rows()
    assert sizes == [
        (-1, 1, "article", 1.0),
        (0, 29, "article", 1.0),
        (1, 20, "number", 1.0),
        (2, 10, "name", 1.0),
    ]
    row = found.clusterings.row(0, named=True)
    assert (row["n_clusters"], row["n_contexts"], row["n_zero"]) == (3, 60, 1)
    assert (row["sample"], row["metric"], row["aggregation"]) == ("all", "log_prob", "last")
    assert row["purity"] == 1.0
    assert row["ari"] > 0.95  # one context is a cluster of its own
    assert row["silhouette"] > 0.2


def test_baselines_stand_beside() -> None:
    row = clustered(features(), contexts(), SPEC, LAST).clusterings.row(0, named=True)
    assert (row["previous_ari"], row["previous_nmi"], row["previous_purity"]) == pytest.approx(
        (1.0, 1.0, 1.0)
    )  # the previous token is the rule
    assert abs(row["answer_ari"]) < 0.1
    assert row["answer_purity"] == pytest.approx(27 / 57)  # 27 articles of 57 known
    assert row["last_ari"] < 0.3


def test_sums_have_no_last_position() -> None:
    summed = features().with_columns(pos=pl.lit(None, pl.Int16))
    found = clustered(summed, contexts(), SPEC, replace(LAST, aggregation="sum"))
    assert "last_ari" not in found.clusterings.columns


def test_unknown_rules_leave_scores_empty() -> None:
    unknown = contexts().with_columns(skill=pl.lit(None, pl.String))
    row = clustered(features(), unknown, SPEC, LAST).clusterings.row(0, named=True)
    assert row["ari"] is row["previous_purity"] is None


def test_members_are_in_order_and_zero_vectors_have_no_place() -> None:
    shuffled = contexts().sample(fraction=1, shuffle=True, seed=3)
    members = clustered(features(), shuffled, SPEC, LAST).cluster_members
    assert members["context_id"].to_list() == contexts()["context_id"].to_list()
    assert members.row(3)[1:] == (-1, None, None)
    assert members.equals(clustered(features(), contexts(), SPEC, LAST).cluster_members)


def test_a_sample_says_so() -> None:
    found = clustered(features(), contexts(), replace(SPEC, max_contexts=40, seed=5), LAST)
    assert found.clusterings["sample"].to_list() == ["40 of 60, seed 5"]
    assert found.cluster_members.height == found.clusters["size"].sum() == 40


def test_previous_token_by_hand() -> None:
    tokens = pl.LazyFrame({"doc_id": [1, 1, 1, 2, 2], "pos": [0, 1, 2, 0, 1], "token_id": range(5)})
    where = pl.DataFrame({"doc_id": [2, 1, 1], "pos": [1, 2, 1]})
    assert with_previous(where, tokens)["previous_id"].to_list() == [3, 1, 0]
