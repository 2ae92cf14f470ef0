"""Shipped macros: answers computed by hand, and the same SQL with and without the catalog."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from dagster_project.lake.catalog import connect, fetch
from dagster_project.lake.queries import SqlFile, in_order, shipped
from dagster_project.lake.store import Lake
from tests.lake.frames import Row, put
from tests.sql import rows
from tests.sql.test_queries import check

FAR = 3_000_004  # a document of shard 00003


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    made = Lake(tmp_path_factory.mktemp("macros"))
    study = {"study": "s"}
    far: list[Row] = [{"doc_id": FAR, "pos": i, "token": text} for i, text in enumerate("xyz")]
    put(made, "tokens", rows.MANY_TOKENS, **study, shard="00000")
    put(made, "tokens", far, **study, shard="00003")
    put(made, "tokens", far, study="other", shard="00003")
    put(made, "losses", rows.MANY_LOSSES, **study, shard="00000")
    put(made, "contexts", rows.CONTEXTS, **study)
    put(made, "context_features", rows.POSITIONS, **study, shard="00000")
    put(made, "context_features", rows.SUMS, **study, shard="00001")
    put(made, "cluster_members", rows.MEMBERS, **study, clustering="c")
    put(made, "clusters", rows.CLUSTERS, **study, clustering="c")
    put(made, "circuit_nodes", rows.NODES_A, **study, task="t1")
    put(made, "circuit_nodes", rows.NODES_B, **study, task="t2")
    put(made, "circuit_edges", rows.EDGES, **study, task="t1")
    put(made, "circuit_edges", rows.GRAPH, **study, task="t3")
    put(made, "faithfulness", rows.FAITHFULNESS, **study, task="t1")
    put(made, "shift_features", rows.SHIFT_FEATURES, **study)
    with connect(made) as connection:
        yield connection


VALUES = {
    "layer_of('resid_12')": 12,
    "layer_of('embed')": -1,
    "site_place('embed')": 0,
    **{
        f"site_place('{kind}_0')": i
        for i, kind in enumerate(("z", "attn", "mid", "mlp", "resid"), 1)
    },
    "site_place('z_10')": 51,
    "shard_of(9)": "00000",
    f"shard_of({FAR})": "00003",
    "node_name('resid_0', null, 17)": "resid_0/17",
    "node_name('resid_0', 3, 17)": "resid_0/17@3",
    "node_name('mlp_1', null, -1)": "mlp_1/error",
    "node_name('y', null, 0)": "y",
    "decode_context('s', 9, 21, 3)": "aabb",
    "decode_context('s', 9, 21)": "aaaaaaaaabb",
    "decode_context('s', 9, 1, 5)": "aa",  # the document starts
    f"decode_context('s', {FAR}, 2, 1)": "yz",
    "decode_context(pos := 0, doc_id := 3000004, study := 's')": "x",
    "decode_context('s', 8, 2, 1)": None,
    "decode_context('nobody', 9, 2, 1)": None,
}


@pytest.mark.parametrize("call", VALUES)
def test_values(lake: duckdb.DuckDBPyConnection, call: str) -> None:
    assert fetch(lake, f"select {call}").item() == VALUES[call]


def test_contexts_of_many_rows_are_decoded_at_once(lake: duckdb.DuckDBPyConnection) -> None:
    query = """
        select decode_context(study, doc_id, pos, 1) as text
        from tokens where study = 's' and (doc_id = 3000004 or pos between 19 and 20)
        order by doc_id, pos"""
    assert fetch(lake, query)["text"].to_list() == ["aa", "ab", "x", "xy", "yz"]


def test_decoding_one_context_reads_one_shard(lake: duckdb.DuckDBPyConnection) -> None:
    query = f"explain analyze select decode_context('s', {FAR}, 2, 1)"
    assert "Scanning Files: 1/3" in lake.execute(query).fetchall()[0][1]


TABLES: dict[str, tuple[str, list[tuple[object, ...]]]] = {
    "context_sums() where study = 's'": (
        "context_id, feature, activation, effect",
        [
            *((0, -1, 9.0, 9.0), (0, 1, 3.0, 5.0), (0, 2, 1.0, -2.0)),
            *((1, 1, 1.0, -3.0), (2, 2, 4.0, 1.0)),
        ],
    ),
    "feature_contexts('s', 'embed', 1)": (
        "context_id, activation, effect, loss",
        [(0, 3.0, 5.0, 0.01), (1, 1.0, -3.0, 0.03)],
    ),
    "feature_contexts('s', 'embed', 2)": (  # the last position stands beside the sum
        "context_id, activation, effect",
        [(2, 4.0, 1.0), (0, 1.0, -2.0)],
    ),
    "feature_clusters('s', 'embed', 1)": (
        "clustering, cluster, task, size, contexts, share, mean_activation, mean_effect, top_skill",
        [("c", 0, "c-0", 2, 2, 1.0, 2.0, 4.0, "count/up")],
    ),
    "feature_circuits('s', 'embed', 1)": (
        "circuit, task, pos, effect, share, place, edges_in, edges_out",
        [
            ("a", "t1", None, 3.0, 0.6, 1, 0, 1),
            ("b", "t2", 1, 3.0, 3 / 7, 1, 0, 0),
            ("b", "t2", 0, 1.0, 1 / 7, 3, 0, 0),
        ],
    ),
    "feature_where('s', 'embed', 1)": (
        "kind, name, about, contexts, share, activation, effect",
        [
            ("circuit", "a", "t1", None, 0.6, None, 3.0),
            ("circuit", "b", "t2", None, 4 / 7, None, 4.0),
            ("cluster", "c-0", "count/up", 2, 1.0, 2.0, 4.0),
            ("context", "0", "", None, None, 3.0, 5.0),
            ("context", "1", "", None, None, 1.0, -3.0),
        ],
    ),
    "feature_where('other', 'embed', 1)": ("*", []),
    "circuit_between('s', 'g', 'embed/1', 'y')": (  # neither embed/9 nor resid_0/4 is on the way
        "up, down, weight",
        [
            ("resid_0/3", "y", 4.0),
            ("attn_0/2", "resid_0/3", -2.0),
            ("embed/1", "attn_0/2", 1.0),
            ("embed/1", "resid_0/3", 0.5),
            ("resid_0/error", "y", 0.25),
            ("embed/1", "resid_0/error", 0.125),
        ],
    ),
    "circuit_between('s', 'g', 'attn_0', 'resid_0')": (
        "up, down, weight",
        [("attn_0/2", "resid_0/3", -2.0)],
    ),
    "circuit_between('s', 'g', 'embed/7', 'resid_0/8')": (
        "up, down, weight",
        [("embed/7@3", "resid_0/8@4", 0.75), ("embed/7@4", "resid_0/8@4", 0.625)],
    ),
    "circuit_between('s', 'g', 'embed/7@4', 'y')": (
        "up, down, weight",
        [("embed/7@4", "resid_0/8@4", 0.625), ("resid_0/8@4", "y", -0.0625)],
    ),
    "circuit_between('s', 'g', 'y', 'embed')": ("*", []),
    "circuit_between('s', 'a', 'embed/error', 'y')": ("weight", [(0.5,)]),
}


@pytest.mark.parametrize("call", TABLES)
def test_tables(lake: duckdb.DuckDBPyConnection, call: str) -> None:
    columns, expected = TABLES[call]
    order = " order by all" if call.startswith("context_sums") else ""
    check(fetch(lake, f"select {columns} from {call}{order}").rows(), expected)


ASKED: dict[str, dict[str, str | None]] = {
    "node_name": {"site": "embed", "pos": "3", "feature": "17"},
    "layer_of": {"site": "mlp_3"},
    "site_place": {"site": "mlp_3"},
    "shard_of": {"doc_id": str(FAR)},
    "decode_context": {"study": "s", "doc_id": "9", "pos": "21", "n": "3"},
    "feature_contexts": {"study": "s", "site": "embed", "feature": "1"},
    "feature_clusters": {"study": "s", "site": "embed", "feature": "1"},
    "feature_circuits": {"study": "s", "site": "embed", "feature": "1"},
    "feature_where": {"study": "s", "site": "embed", "feature": "1"},
    "circuit_between": {"study": "s", "circuit": "g", "source": "embed", "target": "y"},
    "circuit_difference": {"one": "a", "other": "b"},
    "cluster_features": {"clustering": "c"},
    "cluster_ranking": {"ranked_by": "purity"},
    "loss_by_token": {"easiest": "true", "at_least": "19"},
    "shift_selection": {"places": "1"},
    "smallest_faithful": {"at_least": "0.5"},
}


def test_a_name_stands_for_the_parameter_wherever_it_is_asked(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    """In a macro a parameter may hide a column of its name: the two ways must agree."""
    files = [file for file in in_order() if file.parameters]
    assert {file.name for file in files} == set(ASKED)
    for file in files:
        plain, called = (fetch(lake, sql) for sql in both_ways(file))
        assert plain.height > 0, file.name
        assert plain.rows() == called.rows(), file.name


def both_ways(file: SqlFile) -> tuple[str, str]:
    values = ASKED[file.name]
    types = {p.name: p.type for p in file.parameters}
    given = ", ".join(f"{n} := cast('{value}' as {types[n]})" for n, value in values.items())
    call = f"{file.called}({given})"
    if file.makes_a_table:
        return file.filled(values), f"from {call}"
    return f"select {file.filled(values)}", f"select {call}"


def test_macros_say_what_they_make(lake: duckdb.DuckDBPyConnection) -> None:
    for name, file in shipped("macros").items():
        assert set(file.header) <= {"what", "grain", "columns"}, name
        assert file.header["what"], name
        if file.makes_a_table:
            assert file.header["grain"].startswith("one row per ("), name
            sql = file.filled(dict.fromkeys(file.needed))
            for column in fetch(lake, f"from ({sql}) limit 0").columns:
                known = " ".join([*file.header.values(), *(p.name for p in file.parameters)])
                assert column in known, f"{name}.{column}"
