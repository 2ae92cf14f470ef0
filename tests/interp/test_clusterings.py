"""The three tables of a clustering, on planted groups whose rules are known."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.interp.clusterings import clustered, part_of, with_previous
from dagster_project.studies.study import ClusteringSpec, ContextFeaturesSpec

RULES = ["article"] * 30 + ["number"] * 20 + ["name"] * 10
SPEC = ClusteringSpec(n_clusters=3)
LAST = ContextFeaturesSpec(aggregation="last")
SUM = ContextFeaturesSpec(aggregation="sum")


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
            "slot": pl.Series([None] * n, dtype=pl.String),
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
    return pl.LazyFrame(rows, names, orient="row").with_columns(gradient=pl.lit(None, pl.Float32))


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


def summed() -> pl.LazyFrame:
    """The same features, summed over positions."""
    groups = features().group_by("context_id", "site", "feature", maintain_order=True)
    sums = groups.agg(pl.col("activation", "effect").sum(), gradient=pl.lit(None, pl.Float32))
    return sums.with_columns(pos=pl.lit(None, pl.Int64)).select(features().collect_schema().names())


def test_sums_have_no_last_position() -> None:
    found = clustered(summed(), contexts(), SPEC, SUM)
    assert "last_ari" not in found.clusterings.columns


def test_the_last_position_beside_sums_is_the_baseline_and_nothing_else() -> None:
    both = pl.concat([summed(), features().filter(pl.col("pos") == -1)])
    found = clustered(both, contexts(), SPEC, replace(SUM, also_last=True))
    alone = clustered(summed(), contexts(), SPEC, SUM)
    assert found.cluster_members.equals(alone.cluster_members)
    baselines = [f"last_{score}" for score in ("ari", "nmi", "purity")]
    assert found.clusterings.drop(baselines).equals(alone.clusterings)
    by_position = clustered(features(), contexts(), SPEC, LAST).clusterings
    assert found.clusterings.select(baselines).equals(by_position.select(baselines))
    assert by_position["last_ari"][0] < 0.3


def test_a_rule_is_a_skill_and_its_slot() -> None:
    """One skill whose slots are the planted groups, one of them without a name."""
    slots = {"article": "article", "number": "number", "name": None}
    one = contexts().with_columns(
        skill=pl.when(pl.col("skill").is_not_null()).then(pl.lit("word")),
        slot=pl.Series([slots[rule] for rule in RULES]),
    )
    found = clustered(features(), one, SPEC, LAST)
    named = ["word/article", "word/article", "word/number", "word"]
    assert found.clusters["top_skill"].to_list() == named
    same = clustered(features(), contexts(), SPEC, LAST).clusterings
    scores = [c for c in same.columns if c.endswith(("ari", "nmi", "purity"))]
    assert len(scores) == 12
    assert found.clusterings.select(scores).equals(same.select(scores))


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


def test_a_clustering_says_which_part_it_is_of() -> None:
    """30 of the 60 contexts, and a sample of 20 of these."""
    half = part_of(contexts(), "report", seed=0)
    found = clustered(features(), half, replace(SPEC, part="report"), LAST)
    assert found.clusterings.select("part", "sample", "n_contexts").row(0) == (
        "report",
        "report",
        30,
    )
    assert found.cluster_members["context_id"].to_list() == half["context_id"].to_list()
    spec = replace(SPEC, part="report", max_contexts=20, seed=5)
    sample = clustered(features(), half, spec, LAST)
    assert sample.clusterings["sample"].to_list() == ["20 of 30 (report), seed 5"]
    assert set(sample.cluster_members["context_id"]) < set(half["context_id"])


HALVES: list[Literal["choose", "report"]] = ["choose", "report"]
RULE_OF = st.sampled_from(
    [(None, None), ("sum", None), ("sum", "digit"), ("sum", "carry"), ("copy", "digit")]
)
DRAWN = st.dictionaries(st.integers(0, 2**40), RULE_OF, max_size=40)


def drawn_contexts(drawn: dict[int, tuple[str | None, str | None]]) -> pl.DataFrame:
    rows = [(i, *rule) for i, rule in drawn.items()]
    schema = {"context_id": pl.Int64, "skill": pl.String, "slot": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


@given(drawn=DRAWN, seed=st.integers(0, 9), data=st.data())
def test_halves_are_disjoint_balanced_and_whatever_the_order(
    drawn: dict[int, tuple[str | None, str | None]], seed: int, data: st.DataObject
) -> None:
    frame = drawn_contexts(drawn)
    order = data.draw(st.permutations(range(len(frame))))
    halves = [part_of(frame, part, seed) for part in HALVES]
    for part, half in zip(HALVES, halves, strict=True):
        assert half.equals(part_of(frame[order], part, seed))
    chosen, reported = (half["context_id"].to_list() for half in halves)
    assert sorted(chosen + reported) == sorted(drawn)
    assert len(chosen) - len(reported) in (0, 1)
    counts = [Counter(half.select("skill", "slot").iter_rows()) for half in halves]
    assert all(abs(counts[0][rule] - counts[1][rule]) <= 1 for rule in set(drawn.values()))
    assert part_of(frame, "all", seed).equals(frame.sort("context_id"))


def test_halves_are_seeded_and_uniform() -> None:
    frame = drawn_contexts(dict.fromkeys(range(2000), ("sum", "digit")))
    chosen = part_of(frame, "choose", 0)["context_id"]
    assert len(chosen) == 1000
    assert 450 < (chosen < 1000).sum() < 550  # the early contexts are not preferred
    other = part_of(frame, "choose", 1)["context_id"]
    assert 400 < len(set(chosen) & set(other)) < 600


def test_previous_token_by_hand() -> None:
    tokens = pl.LazyFrame({"doc_id": [1, 1, 1, 2, 2], "pos": [0, 1, 2, 0, 1], "token_id": range(5)})
    where = pl.DataFrame({"doc_id": [2, 1, 1], "pos": [1, 2, 1]})
    assert with_previous(where, tokens)["previous_id"].to_list() == [3, 1, 0]
