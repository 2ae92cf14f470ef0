"""The questions of the pages of clusterings and clusters, on clusterings made by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dagster_project.lake.store import Lake
from dashboards.data import Data, Value
from dashboards.pages.clusters_nodes import similarity, vector_similarity
from tests.dashboards.clusters import C0, C1, C2, C3, C4, C5, FAR, fill_clusters
from tests.lake.frames import Row, put

STUDY = {"study": "plain"}
FIRST = {**STUDY, "clustering": "first"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    lake = fill_clusters(Lake(tmp_path_factory.mktemp("clusters")))
    return Data(fill_clusters(lake, "other"))  # of which nothing may come into an answer


def test_runs_come_best_first_with_the_baselines_beside_them(data: Data) -> None:
    rows = data.ask("clustering_runs", **STUDY)
    shown = rows.select("clustering", "n_clusters", "ari", "over_answer", "best_baseline").rows()
    assert shown == [("first", 2, 0.75, 0.5, 0.25), ("second", 4, 0.5, 0.25, 0.25)]


def test_two_clusterings_agree_on_the_contexts_that_both_have(data: Data) -> None:
    """{0 1 2} {3 4} and {0} {1 2} {3 4}: of 10 pairs 4 and 2 are together, 2 in both; expected
    4 · 2 / 10 = 0.8, at most (4 + 2) / 2 = 3."""
    rows = data.ask("clustering_agreement", **FIRST, other="second")
    columns = ("cluster", "other_cluster", "contexts", "share", "size", "other_size", "shared")
    assert rows.select(columns).rows() == [
        (0, 1, 2, pytest.approx(2 / 3), 3, 2, 5),
        (0, 3, 1, pytest.approx(1 / 3), 3, 1, 5),
        (1, 2, 2, 1.0, 2, 2, 5),
    ]
    assert rows["ari"].to_list() == pytest.approx([1.2 / 2.2] * 3)
    assert set(data.ask("clustering_agreement", **FIRST, other="first")["ari"]) == {1.0}
    assert data.ask("clustering_agreement", **FIRST, other="none").is_empty()


def test_agreement_is_unknown_where_chance_is_all_there_is(tmp_path: Path) -> None:
    """One cluster each: every pair is together, by chance as well."""
    lake = Lake(tmp_path)
    for name in ("a", "b"):
        put(
            lake,
            "cluster_members",
            [{"context_id": 1}, {"context_id": 2}],
            study="s",
            clustering=name,
        )
    rows = Data(lake).ask("clustering_agreement", study="s", clustering="a", other="b")
    assert rows["ari"].to_list() == [None]


def test_rules_of_clusters_leave_out_what_has_none(data: Data) -> None:
    assert data.ask("clustering_rules", **FIRST).rows() == [
        (0, "agreement/main", 2, pytest.approx(2 / 3)),
        (0, "copy", 1, pytest.approx(1 / 3)),
        (1, "copy", 1, 1.0),
    ]


def test_clusters_come_largest_first_with_their_circuits(data: Data) -> None:
    rows = data.ask("clusters_of", **FIRST)
    shown = rows.select("cluster", "size", "share", "score", "circuits", "interestingness").rows()
    assert shown == [
        (0, 3, 0.5, pytest.approx(0.625 * math.log(3)), ["first-0.ig.sum"], 0.5),
        (1, 2, pytest.approx(1 / 3), pytest.approx(0.5 * math.log(2)), [], None),
        (-1, 1, pytest.approx(1 / 6), 0.0, [], None),
    ]


def test_contexts_come_with_their_rules_and_distances(data: Data) -> None:
    """The centre of cluster 0 is (1, 1): √2, √2 and 2 away."""
    rows = data.ask("clustering_contexts", **FIRST)
    shown = rows.select("context_id", "cluster", "answer", "loss", "rule", "distance").rows()
    assert shown == [
        (C0, 0, " was", 0.5, "agreement/main", pytest.approx(math.sqrt(2))),
        (C5, -1, ".\n", 4.0, None, None),
        (C1, 0, " was", 1.5, "agreement/main", pytest.approx(math.sqrt(2))),
        (C2, 0, " happy", 1.0, "copy", pytest.approx(2.0)),
        (C3, 1, " happy", 2.0, "copy", pytest.approx(1.0)),
        (C4, 1, ".\n", 3.0, None, pytest.approx(1.0)),
    ]
    assert rows.select("skill", "subset", "doc_id", "pos").row(0) == ("agreement", "web", 0, 2)


def test_windows_end_with_the_answer_and_start_with_the_document(data: Data) -> None:
    wanted = [C0, C2, FAR * 65_536 + 2]
    asked: dict[str, Value] = {**STUDY, "contexts": wanted, "shards": ["00000", "00001"]}
    assert data.ask("context_windows", **asked, width=2).rows() == [
        (C0, ["The", " girl", " was"]),
        (C2, [" girl", " was", " happy"]),
        (wanted[2], ["The", " girl", " was"]),
    ]
    asked["shards"] = ["00001"]
    assert data.ask("context_windows", **asked, width=1).rows() == [(wanted[2], [" girl", " was"])]


def test_shards_are_named(data: Data) -> None:
    assert data.ask("shard_names", **STUDY).rows() == [(0, "00000"), (1, "00001")]


def test_features_that_tell_a_cluster_apart(data: Data) -> None:
    """Feature 1: |3| + |−1| over the three contexts of cluster 0, 1 over the two of cluster 1."""
    rows = data.ask("cluster_features_distinct", **FIRST, cluster=0)
    means = map(pytest.approx, (2 / 3, 1 / 2, 4 / 3, 1 / 2, 5 / 6))
    assert rows.rows() == [(1, "embed", 1, *means, "plural")]
    rows = data.ask("cluster_features_distinct", **FIRST, cluster=1)
    assert rows.rows() == [(1, "embed", 2, 0.5, 0.0, 1.0, 0.0, 1.0, None)]


@pytest.mark.parametrize(
    ("representation", "values"),
    [
        ("effects", (1.0, -1.0, 1 / math.sqrt(5), 2 / math.sqrt(5))),
        ("abs_effects", (1.0, 1.0, 1 / math.sqrt(5), 2 / math.sqrt(5))),
        ("root_effects", (1.0, 1.0, 1 / math.sqrt(3), math.sqrt(2 / 3))),
    ],
)
def test_vectors_are_those_of_the_clustering(
    data: Data, representation: str, values: tuple[float, ...]
) -> None:
    asked: dict[str, Value] = {**FIRST, "contexts": [C0, C1, C3], "representation": representation}
    rows = data.ask("context_vectors", **asked).sort("context_id", "feature")
    assert rows["feature"].to_list() == [1, 1, 1, 2]
    assert rows["pos"].null_count() == 4
    assert rows["value"].to_list() == pytest.approx(values)
    first, second, third = values[0], values[1], values[2]
    expected = [[1, first * second, first * third, 0], [0] * 4]
    found = similarity(rows, [C0, C1, C3, C4])
    assert found[0] == pytest.approx(expected[0], abs=1e-6)
    assert found[3] == pytest.approx(expected[1])
    assert np.array_equal(found, found.T)


def test_nothing_is_like_nothing() -> None:
    entries = pl.DataFrame(
        schema={"context_id": pl.Int64, "site": pl.String, "pos": pl.Int16}
        | {"feature": pl.Int32, "value": pl.Float32}
    )
    assert similarity(entries, [1, 2]).tolist() == [[0, 0], [0, 0]]


def test_gradients_of_contexts_are_compared_by_direction(tmp_path: Path) -> None:
    """(3, 4) and (4, 3): 24/25; nothing is like a zero vector or a context without a vector."""
    lake = Lake(tmp_path)
    vectors = {C0: [3.0, 4.0], C1: [8.0, 6.0], C2: [0.0, 0.0], C4: [1.0, 0.0]}
    rows: list[Row] = [{"context_id": c, "vector": v} for c, v in vectors.items()]
    put(lake, "context_gradients", rows, study="s", shard="00000")
    put(lake, "context_gradients", rows[:1], study="other", shard="00000")
    found = Data(lake).ask("gradient_vectors", study="s", contexts=[C3, C1, C0, C2])
    assert sorted(found["context_id"]) == [C0, C1, C2]
    cosines = vector_similarity(found, [C3, C1, C0, C2])
    expected = np.array([[0, 0, 0, 0], [0, 1, 0.96, 0], [0, 0.96, 1, 0], [0, 0, 0, 0]])
    assert cosines == pytest.approx(expected, abs=1e-6)
    assert vector_similarity(found.clear(), [C0]).tolist() == [[0]]
