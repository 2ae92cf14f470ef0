"""Shipped SQL: headers, every statement on an empty lake, and answers computed by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from dagster_project.lake.catalog import connect, define_views, fetch
from dagster_project.lake.documentation import grain
from dagster_project.lake.queries import SQL_FOLDER, in_order, read, shipped
from dagster_project.lake.schemas import LOGGED, TABLES
from dagster_project.lake.store import Lake, LakeError
from tests.lake.frames import Row, put
from tests.sql import rows
from tests.sql.rows import faithful

S = {"study": "s"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    lake = Lake(tmp_path_factory.mktemp("filled"))
    shard = {**S, "shard": "00000"}
    put(lake, "documents", rows.DOCUMENTS, **shard)
    put(lake, "losses", rows.LOSSES, **shard)
    put(lake, "losses", rows.MANY_LOSSES, study="many", shard="00000")
    put(lake, "losses", rows.RULE_LOSSES, study="rules", shard="00000")
    put(lake, "tokens", rows.MANY_TOKENS, study="many", shard="00000")
    put(lake, "contexts", rows.CONTEXTS, **S)
    put(lake, "context_features", rows.POSITIONS, **shard)
    put(lake, "context_features", rows.SUMS, **S, shard="00001")
    put(lake, "cluster_members", rows.MEMBERS, **S, clustering="c")
    put(lake, "clusters", rows.CLUSTERS, **S, clustering="c")
    for name, row in rows.CLUSTERINGS.items():
        put(lake, "clusterings", [row], **S, clustering=name)
    put(lake, "dictionaries", rows.DICTIONARIES, **S)
    for row in rows.SWEEP[::2]:
        point = f"{row['form']}-x8-k{row['k']}"
        of_point = [r for r in rows.SWEEP if (r["form"], r["k"]) == (row["form"], row["k"])]
        put(lake, "dictionary_sweep", of_point, **S, point=point)
    put(lake, "features", rows.FEATURES, **S)
    for task, circuits in rows.CIRCUITS.items():
        put(lake, "circuits", circuits, **S, task=task)
    put(lake, "circuit_nodes", rows.NODES_A, **S, task="t1")
    put(lake, "circuit_nodes", rows.NODES_B, **S, task="t2")
    put(lake, "circuit_edges", rows.EDGES, **S, task="t1")
    put(lake, "circuits", [rows.SKIPPING], study="skips", task="t")
    put(lake, "circuit_edges", rows.SKIPS, study="skips", task="t")
    put(lake, "features", rows.FEATURES, study="skips")
    put(lake, "faithfulness", rows.FAITHFULNESS, **S, task="t1")
    put(lake, "site_effects", rows.SITE_EFFECTS, **S, task="t1")
    put(lake, "shift", rows.SHIFT, **S)
    put(lake, "shift_features", rows.SHIFT_FEATURES, **S)
    with connect(lake) as connection:
        yield connection


ANSWERS: dict[str, tuple[str, list[tuple[object, ...]]]] = {
    "study_overview": (  # excess: −0.5 + 3 + 1 + 0 nats of four tokens
        "documents, subsets, shards, tokens, predicted, mean_loss, top_share, rules, excess, "
        "n_layers, d_model, sites, n_features, worst_fve, contexts, ari, tasks",
        [(3, 2, 1, None, 5, 2.01, 0.4, 2, 0.875, 2, 0, 3, 24, 0.5, 4, 0.75, 4)],
    ),
    "loss_by_subset": (
        "pile_set_name, documents, tokens, mean_loss, bits_per_char, top_share",
        [
            ("books", 1, 2, 3.0, 6 / math.log(2) / 10, 0.0),
            ("web", 2, 3, 1.35, 4.05 / math.log(2) / 10, 2 / 3),
        ],
    ),
    "loss_by_position": (
        "pos, tokens, mean_loss, median_loss",
        [(1, 3, 3.05 / 3, 1.0), (2, 2, 3.5, 3.5)],
    ),
    "loss_by_repetition": (
        "trigram_seen, bigram_seen, tokens, share, mean_loss, easy_share",
        [
            (False, False, 2, 0.4, 1.5, 0.0),
            (False, True, 1, 0.2, 4.0, 0.0),
            (True, True, 2, 0.4, 1.525, 0.5),
        ],
    ),
    "excess_loss_by_skill": (  # count: pieces of 4 − 1.5 and 2 − 1 nats
        "skill, slot, tokens, pieces, mean_loss, mean_surprisal, excess",
        [("count", None, 3, 2, 3.0, 1.25, 1.75), ("copy", None, 1, 1, 4.0, 4.0, 0.0)],
    ),
    "duplicate_documents": (
        "pile_set_name, documents, duplicates, share, repeated_chars",
        [("web", 2, 1, 0.5, 6), ("books", 1, 0, 0.0, 0)],
    ),
    "context_window": (
        "contexts, mean_loss, mean_context_loss, lost_share",
        [(4, 0.02, 0.1725, 0.25)],
    ),
    "dictionary_quality": (
        "site, layer, alive",
        [("embed", -1, 6), ("resid_2", 2, 6), ("resid_10", 10, 6)],
    ),
    "dictionary_pareto": (
        "site, point, l0, loss_increase, on_front",
        [
            ("all", "topk-x8-k4", 4.0, 1.0, True),
            ("all", "jumprelu-x8-k4", 4.5, 1.25, False),
            ("all", "jumprelu-x8-k8", 7.5, 0.25, True),
            ("all", "topk-x8-k8", 8.0, 0.5, False),
            ("embed", "jumprelu-x8-k4", 4.0, 0.75, False),
            ("embed", "topk-x8-k4", 4.0, 0.5, True),
            ("embed", "jumprelu-x8-k8", 8.0, 0.25, True),
            ("embed", "topk-x8-k8", 8.0, 0.25, True),
            ("resid_0", "topk-x8-k4", 4.0, 1.5, True),
            ("resid_0", "jumprelu-x8-k4", 5.0, 1.75, False),
            ("resid_0", "jumprelu-x8-k8", 7.0, 0.25, True),
            ("resid_0", "topk-x8-k8", 8.0, 0.75, False),
        ],
    ),
    "cluster_ranking()": (
        "cluster, place, share, top_answers, variety, circuit, interestingness",
        [
            (1, 1, 0.5, ["c"], 0.5 * math.log(4), "c-1.ig", 0.5),
            (0, 2, 0.25, ["a", "b"], 0.7 * math.log(2), None, None),
            (2, 3, 0.25, ["d"], 0.0, "c-2.ig", 0.75),
        ],
    ),
    "cluster_features('c')": (  # feature 1 in cluster 0: (|5| + |−3|) / 2
        "cluster, place, feature, contexts, share, mean_activation, mean_effect, elsewhere, label",
        [
            (0, 1, 1, 2, 1.0, 2.0, 4.0, 0.0, "plural"),
            (0, 2, 2, 1, 0.5, 1.0, 1.0, 1.0, None),
            (1, 1, 2, 1, 1.0, 4.0, 1.0, 1.0, None),
        ],
    ),
    "cluster_features('c', places := 1)": (
        "clustering, cluster, feature",
        [("c", 0, 1), ("c", 1, 2)],
    ),
    "cluster_skills": (
        "cluster, skill, slot, contexts, share_of_cluster, share_of_rule",
        [
            (0, "count", "up", 1, 0.5, 0.5),
            (0, "count", None, 1, 0.5, 1.0),
            (1, "count", "up", 1, 1.0, 0.5),
        ],
    ),
    "clusterings_compared": (  # abs_effects: reported twice, (0.625 + 0.875) / 2
        "representation, clusterings, clusters_asked, n_clusters, choose_ari, report_ari, "
        "ari_seeds, ari_halves, chosen, previous_ari, last_ari, over_previous, "
        "over_answer, over_last",
        [
            (
                *("abs_effects", ["abs-c", "abs-r", "abs-r2"], 3, [3, 3, 3], 0.75, 0.75, 1.0),
                *(None, True),
                *(0.5, 0.625, 0.25, 0.5, 0.125),
            ),
            (
                *("effects", ["signed-c", "signed-r"], 3, [3, 3], 0.5, 0.875, 0.625, 0.25, False),
                *(0.5, None, 0.375, None, None),
            ),
            (  # each half has found its own number of clusters
                *("effects", ["dense-c", "dense-r"], 3, [5, 7], 0.25, 0.375, None, None, False),
                *(None,) * 5,
            ),
            ("effects", ["alone"], 4, [4], None, 1.0, None, None, False, *(None,) * 5),
            ("effects", ["finer"], 3, [9], None, 0.5, None, None, False, *(None,) * 5),
            ("effects", ["qr"], 3, [3], None, None, None, None, False, *(None,) * 5),
        ],
    ),
    "strongest_nodes": (
        "circuit, place, site, pos, feature, effect, share, label",
        [
            ("a", 1, "embed", None, 1, 3.0, 0.6, "plural"),
            ("a", 2, "embed", None, -1, -1.0, 0.2, None),
            ("a", 3, "resid_0", None, 2, -1.0, 0.2, None),
            ("b", 1, "embed", 1, 1, 3.0, 3 / 7, "plural"),
            ("b", 2, "resid_0", 1, 3, 3.0, 3 / 7, None),
            ("b", 3, "embed", 0, 1, 1.0, 1 / 7, "plural"),
        ],
    ),
    "strongest_edges": (
        "circuit, place, up_feature, up_label, down_site, down_feature, weight",
        [("a", 1, 1, "plural", "resid_0", 2, -2.0), ("a", 2, -1, None, "y", 0, 0.5)],
    ),
    "circuit_sites": (
        "circuit, site, layer, nodes, error_nodes, feature_effect, error_effect, feature_share",
        [
            ("a", "embed", -1, 2, 1, 3.0, 1.0, 0.75),
            ("a", "resid_0", 0, 1, 0, 1.0, 0.0, 1.0),
            ("b", "embed", -1, 2, 0, 4.0, 0.0, 1.0),
            ("b", "resid_0", 0, 1, 0, 3.0, 0.0, 1.0),
        ],
    ),
    "circuit_overlap": (  # (3, −1, 0) against (4, 0, 3)
        "circuit, other, nodes_both, nodes_either, jaccard, cosine, rank_correlation",
        [("a", "b", 1, 3, 1 / 3, 12 / (math.sqrt(10) * 5), None)],
    ),
    "circuit_difference('a', 'b')": (  # of 5 and of 7
        "site, feature, found, effect_one, effect_other, share_one, share_other, difference, label",
        [
            ("resid_0", 3, "other", None, 3.0, 0.0, 3 / 7, -3 / 7, None),
            ("embed", -1, "one", -1.0, None, -0.2, 0.0, -0.2, None),
            ("resid_0", 2, "one", -1.0, None, -0.2, 0.0, -0.2, None),
            ("embed", 1, "both", 3.0, 4.0, 0.6, 4 / 7, 0.6 - 4 / 7, "plural"),
        ],
    ),
    "shared_features": (
        "site, feature, circuits, mean_effect, mean_abs_effect, label, density",
        [("embed", 1, 2, 3.5, 3.5, "plural", 0.25)],
    ),
    "faithfulness_curves": (
        "value, features, neurons, random, random_high, error_nodes",
        [
            (10, 0.5, 0.125, 0.5, 0.75, 4),
            (100, 0.875, 0.75, None, None, 7),
            (200, None, 0.90625, None, None, None),
        ],
    ),
    "features_against_neurons": (  # 190 neurons are as faithful as 100 features
        "value, features, neurons, advantage, clear, inert, neurons_needed",
        [(10, 0.5, 0.125, 0.375, True, None, 100), (100, 0.875, 0.75, 0.125, False, None, 190)],
    ),
    "smallest_faithful()": (
        "unit, n_nodes, faithfulness, completeness, closest",
        [
            ("feature", 60, 0.9375, 0.5, 0.9375),
            ("neuron", 190, 0.90625, 0.25, 0.90625),
            ("random", None, None, None, 0.75),
        ],
    ),
    "smallest_faithful(at_least := 0.5)": (
        "unit, n_nodes, faithfulness, closest",
        [
            ("feature", 10, 0.5, 0.9375),
            ("neuron", 100, 0.75, 0.90625),
            ("random", 10, 0.75, 0.75),
        ],
    ),
    "ig_residuals": (
        "site, sum_of_effects, true_change, residual, relative",
        [("mlp_0", 1.5, 1.0, 0.5, 0.25), ("embed", 2.0, -2.0, 0.0, 0.0)],
    ),
    "shift_compared": (  # random: (0.5 + 0.75) / 2 and (1 + 0.75) / 2
        "probe, edit, retrained, draws, n_nodes, accuracy, gain, leakage, leakage_low, "
        "leakage_high, off_chance",
        [
            ("p", "none", False, 1, 0, 0.625, 0.0, 0.875, 0.0, 0.0, 0.375),
            ("p", "by_hand", False, 1, 2, 0.875, 0.25, 0.375, 0.0, 0.0, 0.125),
            ("p", "by_hand", True, 1, 0, 1.0, 0.375, 0.5, 0.0, 0.0, 0.0),
            ("p", "random", False, 2, 2, 0.625, 0.0, 0.875, 0.625, 1.0, 0.375),
            ("p", "oracle", False, 1, 0, 1.0, 0.375, 0.5, 0.0, 0.0, 0.0),
            ("q", "none", False, 1, 0, 0.5, 0.0, 1.0, 0.0, 0.0, 0.5),
        ],
    ),
    "shift_selection(places := 1)": (  # the strongest, and the one chosen
        "probe, place, feature, effect, gender_correlation, by_hand, by_rule, why, label, known",
        [
            ("p", 1, 2, 3.0, 0.0, False, False, None, None, 3),
            ("p", 2, 1, 2.0, 0.5, True, False, "she", "plural", 3),
        ],
    ),
}
RANKINGS = {  # clusters of rows.CLUSTERS, what has no figure last
    "size": [1, 0, 2],
    "purity": [2, 0, 1],
    "loss": [1, 0, 2],
    "interestingness": [2, 1, 0],
}
HARDEST: list[tuple[object, ...]] = [  # Σ loss: 20 + 40 + 57 nats
    (2, "b", 20, 2.0, 40 / 117, 0.0),
    (1, "a", 20, 1.0, 20 / 117, 1.0),
]
VOCABULARY: dict[str, list[tuple[object, ...]]] = {
    "": HARDEST,
    "easiest := true": HARDEST[::-1],
    "at_least := 19, places := 1": [(3, "c", 19, 3.0, 57 / 117, 0.0)],
}


def test_every_question_has_an_answer_worked_out_by_hand() -> None:
    here = {name.partition("(")[0] for name in ANSWERS} | {"loss_by_token", "skipping_edges"}
    in_test_meanings = {"features_on_token", "feature_meaning", "circuit_examples"}
    assert set(shipped("queries")) == here | in_test_meanings


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(filled: duckdb.DuckDBPyConnection, name: str) -> None:
    columns, expected = ANSWERS[name]
    found = fetch(filled, f"select {columns} from queries.{name} where study = 's'").rows()
    check(found, expected)


@pytest.mark.parametrize("arguments", VOCABULARY)
def test_answers_about_the_vocabulary(filled: duckdb.DuckDBPyConnection, arguments: str) -> None:
    columns = "token_id, token, predictions, mean_loss, share, top_share"
    query = f"select {columns} from queries.loss_by_token({arguments}) where study = 'many'"
    check(fetch(filled, query).rows(), VOCABULARY[arguments])


@pytest.mark.parametrize("figure", RANKINGS)
def test_clusters_are_ranked_by_what_is_asked(
    filled: duckdb.DuckDBPyConnection, figure: str
) -> None:
    query = f"select cluster from queries.cluster_ranking(ranked_by := '{figure}')"
    assert fetch(filled, query)["cluster"].to_list() == RANKINGS[figure]


def test_an_unknown_ranking_is_refused(filled: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.Error, match="ranked_by: variety, interestingness, purity"):
        fetch(filled, "from queries.cluster_ranking(ranked_by := 'beauty')")


def test_excess_loss_tells_slots_apart_and_leaves_out_what_has_no_rule(
    filled: duckdb.DuckDBPyConnection,
) -> None:
    """sum/digit: pieces of 1 + 2 and of 1 nats with surprisals of 0.25 and 0.75; sum: 1 of 0.5."""
    columns = "skill, slot, tokens, pieces, mean_loss, mean_surprisal, excess"
    query = f"select {columns} from queries.excess_loss_by_skill where study = 'rules'"
    expected: list[tuple[object, ...]] = [
        ("sum", "digit", 3, 2, 2.0, 0.5, 1.5),
        ("sum", None, 1, 1, 1.0, 0.5, 0.5),
    ]
    check(fetch(filled, query).rows(), expected)


def test_edges_skip_layers_where_a_residual_stream_lies_between(
    filled: duckdb.DuckDBPyConnection,
) -> None:
    """Past resid_0 and resid_1, past resid_0, past resid_1; into y none does."""
    columns = "place, up, up_label, down, skipped, weight, skipping, n_edges"
    query = f"select {columns} from queries.skipping_edges where circuit = 'skips'"
    expected: list[tuple[object, ...]] = [
        (1, "embed/1", "plural", "resid_2/5", 2, -4.0, 3, 9),
        (2, "mlp_0/error", None, "attn_1/2@3", 1, 2.0, 3, 9),
        (3, "resid_0/4", None, "mlp_2/2", 1, 1.0, 3, 9),
    ]
    check(fetch(filled, query).rows(), expected)
    assert fetch(filled, "from queries.skipping_edges where circuit <> 'skips'").is_empty()


def check(found: list[tuple[object, ...]], expected: list[tuple[object, ...]]) -> None:
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        for value, hoped in zip(row, wanted, strict=True):
            assert value == (pytest.approx(hoped, 1e-6) if isinstance(hoped, float) else hoped)


def example(name: str, kind: str) -> str | None:
    """A value for a parameter of any type."""
    return {"varchar": name}.get(kind, "1")


def statements() -> Iterator[tuple[str, str]]:
    """Name and SQL of everything shipped, parameters filled in."""
    for file in (*shipped("views").values(), *in_order()):
        needed = {p.name: example(p.name, p.type) for p in file.parameters if p.default is None}
        sql = file.filled(needed)
        yield file.name, sql if file.makes_a_table else f"select {sql} as value"


@pytest.mark.parametrize(("name", "sql"), statements())
def test_every_statement_runs_on_an_empty_lake(
    empty: duckdb.DuckDBPyConnection, name: str, sql: str
) -> None:
    assert fetch(empty, sql).height == (1 if sql.startswith("select ") else 0), name


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(Lake(tmp_path_factory.mktemp("empty"))) as connection:
        yield connection


@pytest.mark.parametrize("name", shipped("queries"))
def test_queries_say_what_they_answer(filled: duckdb.DuckDBPyConnection, name: str) -> None:
    file = shipped("queries")[name]
    assert list(file.header) == ["question", "grain", "columns"]
    assert file.header["question"].endswith("?")
    assert file.header["grain"].startswith("one row per ")
    sql = file.filled(dict.fromkeys(file.needed, ""))
    for column in fetch(filled, f"from ({sql}) limit 0").columns:
        assert any(column in text for text in file.header.values()) or column in KNOWN, column


KNOWN = {"study", "token_id", "tokens", *(c for t in TABLES.values() for c in t.schema)}
"""Columns that the contract explains."""


def test_there_is_a_view_of_every_table_with_its_columns_explained() -> None:
    tables = TABLES | LOGGED
    assert set(shipped("views")) == set(tables)
    for name, file in shipped("views").items():
        assert list(file.header) == ["what", "grain", "columns"]
        assert file.header["grain"] == f"one row per ({', '.join(grain(tables[name]))})"
        said = explained(file.header["columns"], list(tables[name].schema))
        assert set(said) == set(tables[name].schema)
        for column in tables[name].columns:
            text = said[column.name]
            assert not column.unit or text.endswith(f"[{column.unit}]"), f"{name}.{column.name}"
            assert ("null" in text) == column.nullable, f"{name}.{column.name}"


def explained(text: str, columns: list[str]) -> dict[str, str]:
    """What a header says of each column."""
    start = "|".join(map(re.escape, columns))
    parts = [part.split(": ", 1) for part in re.split(rf"(?:^| )(?=(?:{start}): )", text) if part]
    return dict(parts)


def test_views_have_the_columns_and_types_of_the_contract(tmp_path: Path) -> None:
    with connect(Lake(tmp_path)) as connection:
        for name, table in (TABLES | LOGGED).items():
            assert dict(fetch(connection, f"from {name}").schema) == dict(table.schema), name


@pytest.mark.parametrize("name", TABLES | LOGGED)
def test_a_macro_on_a_view_may_name_its_parameters_like_the_columns(
    tmp_path: Path, name: str
) -> None:
    """DuckDB puts a parameter for every bare name of it, in the views that a macro reads too."""
    parameters = [c for c in (TABLES | LOGGED)[name].schema if c != "case"]  # a keyword
    with duckdb.connect() as connection:
        define_views(connection, Lake(tmp_path))
        given = ", ".join(f"{p} varchar" for p in parameters)
        read_by = f"select v.study from {name} as v where v.study = study"
        connection.execute(f"create macro asked({given}) as table {read_by}")
        values = ", ".join("null" for _ in parameters)
        assert fetch(connection, f"from asked({values})").columns == ["study"]


def test_circuits_are_compared_by_the_order_of_their_effects_too(tmp_path: Path) -> None:
    """Places 1, 2, 3 against 1, 3, 2: 1 − 6 · 2 / (3 · 8), and one node apart; against 1½, 1½, 3:
    1.5 / √(2 · 1.5); against a constant: none."""
    lake = Lake(tmp_path)
    effects = {"a": (-5.0, 0.1, 2.0, 9.0), "b": (10.0, 30.0, 20.0), "c": (4.0, 4.0, 7.0)}
    effects["d"] = (1.0, 1.0, 1.0)
    for circuit, of in effects.items():
        nodes: list[Row] = [
            {"circuit": circuit, "site": "embed", "feature": i, "effect": e}
            for i, e in enumerate(of)
        ]
        put(lake, "circuit_nodes", nodes, **S, task=circuit)
    with connect(lake) as connection:
        found = fetch(connection, "from queries.circuit_overlap")
    rows = found.filter(circuit="a").sort("other")
    assert rows.select("nodes_both", "nodes_either", "rank_correlation").rows() == [
        (3, 4, pytest.approx(0.5)),
        (3, 4, pytest.approx(1.5 / math.sqrt(3))),
        (3, 4, None),
    ]


def test_circuits_that_overshoot_are_no_better_than_those_that_fall_short(tmp_path: Path) -> None:
    """At 20 the features are 0.25 above 1 and the neurons 0.125 below; at 30 the intervals of the
    distances, 0.125 to 0.25 and 0 to 0.125, touch; at 50 and 60 a circuit changes nothing."""
    lake = Lake(tmp_path)
    found = [
        faithful("feature", 20, 1.25, 20, low=1.1875, high=1.3125),
        faithful("neuron", 20, 0.875, 20, low=0.8125, high=0.9375 - 1 / 64),
        faithful("feature", 30, 1.1875, 30, low=1.125, high=1.25),
        faithful("neuron", 30, 1.0625, 30, low=0.9375, high=1.125),
        faithful("feature", 40, 1.0, 40, low=0.9375, high=1.03125),
        faithful("neuron", 40, 1.25, 40, low=1.125, high=1.5),
        faithful("feature", 50, 0.5, 50, low=0.25, high=0.75),
        faithful("neuron", 50, 0.0, 50, low=0.0, high=0.0),
        faithful("feature", 60, 0.0, 60, low=0.0, high=0.0),
        faithful("neuron", 60, 0.0, 60, low=0.0, high=0.0),
    ]
    put(lake, "faithfulness", found, **S, task="t")
    with connect(lake) as connection:
        columns = "value, advantage, clear, inert, neurons_needed"
        against = fetch(connection, f"select {columns} from queries.features_against_neurons")
        closest = fetch(connection, "select unit, closest from queries.smallest_faithful()")
    assert against.rows() == [
        (50, 0.5, None, "neurons", 20),
        (40, 0.25, True, None, None),
        (60, 0.0, None, "both", 20),
        (20, -0.125, False, None, 20),
        (30, -0.125, False, None, 20),
    ]
    assert closest.rows() == [("feature", 1.0), ("neuron", 1.0625)]


@pytest.mark.parametrize(
    "question", ["loss_by_subset", "loss_by_repetition", "loss_by_token()", "context_window"]
)
def test_the_order_of_a_sum_does_not_show(tmp_path: Path, question: str) -> None:
    """The same losses, the large ones first or last; the sums differ in their last digits."""
    lake = Lake(tmp_path)
    values = [7.0 / 3**n for n in range(60)]
    for study, of in (("s", values), ("t", values[::-1])):
        losses: list[Row] = [{"pos": i, "loss": x, "entropy": x} for i, x in enumerate(of)]
        contexts: list[Row] = [{"context_id": i, "loss": x} for i, x in enumerate(of)]
        put(lake, "losses", losses, study=study, shard="00000")
        put(lake, "tokens", [{"token": "a"}], study=study, shard="00000")
        put(lake, "documents", [{"n_chars": 7}], study=study, shard="00000")
        put(lake, "contexts", contexts, study=study)
    with connect(lake) as connection:
        one, other = fetch(connection, f"from queries.{question}").drop("study").rows()
        plain = fetch(connection, "select avg(loss) as mean from losses group by study")["mean"]
    assert plain[0] != plain[1]
    assert one == other


def test_grains_hold(filled: duckdb.DuckDBPyConnection) -> None:
    for name, table in (TABLES | LOGGED).items():
        keys = ", ".join(grain(table))
        twice = f"select {keys} from {name} group by {keys} having count(*) > 1"
        assert fetch(filled, twice).height == 0, name


def test_keywords_are_in_lower_case() -> None:
    for file in SQL_FOLDER.rglob("*.sql"):
        body = "\n".join(x for x in read(file).sql.splitlines() if not x.startswith("--"))
        assert body == body.lower(), file.name


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"no\.sql: no readable SQL file"):
        read(tmp_path / "no.sql")
