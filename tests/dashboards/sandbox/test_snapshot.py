"""The snapshot: the lake's tables, whole or as samples that say which share they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from dagster_project.lake.catalog import connect, fetch
from dagster_project.lake.queries import shipped
from dagster_project.lake.schemas import LOGGED, TABLES
from dagster_project.lake.store import Lake
from dashboards.data import Data, Holding
from dashboards.sandbox.snapshot import Order, Part, build, shares, unit, wanted
from tests.lake.frames import Row, put

K = {"study": "s", "shard": "00000"}


def sampled(lake: Lake, file: Path, **bounds: int) -> dict[str, Part]:
    data = Data(lake)
    held = {study: data.holdings(study) for study in data.studies()}
    order = Order(root=str(lake.root), file=str(file), wants=wanted(held, **bounds))
    return {f"{part['study']}.{part['table']}": part for part in build(order)}


def read(file: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.sql(sql).fetchall()


def test_tables_questions_and_types_are_those_of_the_lake(lake: Lake, snapshot: Path) -> None:
    with duckdb.connect(str(snapshot), read_only=True) as copied, connect(lake) as catalog:
        asked = [
            f"queries.{name}({', '.join(['null'] * len(file.needed))})"
            if file.parameters
            else f"queries.{name}"
            for name, file in shipped("queries").items()
        ]
        for name in [*TABLES, *LOGGED, "lake_columns", "lake_queries", *asked]:
            mine, theirs = copied.sql(f"from {name}"), catalog.sql(f"from {name}")
            assert mine.columns == theirs.columns, name
            assert mine.types == theirs.types, name
        for name in ("losses", "tokens", "faithfulness", "queries.loss_by_subset"):
            found = copied.sql(f"from {name}").pl()
            assert_same(found, fetch(catalog, f"from {name}"))


def assert_same(left: pl.DataFrame, right: pl.DataFrame) -> None:
    assert sorted(map(str, left.rows())) == sorted(map(str, right.rows()))


def test_it_holds_tables_and_no_way_to_the_lake(lake: Lake, snapshot: Path) -> None:
    said = read(snapshot, "select string_agg(sql, ' ') from duckdb_views() where not internal")
    assert "read_parquet" not in str(said)
    assert str(lake.root) not in str(said)
    assert str(lake.root).encode() not in snapshot.read_bytes()


@pytest.mark.parametrize(
    ("amounts", "most", "found"),
    [
        ({"a": 10}, 100, {"a": 1.0}),
        ({"a": 100}, 25, {"a": 0.25}),
        ({"a": 10, "b": 190}, 100, {"a": 1.0, "b": 90 / 190}),
        ({"a": 100, "b": 100}, 100, {"a": 0.5, "b": 0.5}),
        ({"a": 0, "b": 100}, 50, {"a": 1.0, "b": 0.5}),
        ({}, 50, {}),
    ],
)
def test_the_small_are_whole_and_the_large_share_what_is_left(
    amounts: dict[str, int], most: int, found: dict[str, float]
) -> None:
    assert shares(amounts, most) == found


def test_the_stricter_of_rows_and_bytes_counts() -> None:
    def holding(rows: int, size: int) -> dict[str, Holding]:
        return {"losses": Holding(("0",), rows, size, 0.0, 0.0, ())}

    (want,) = wanted({"s": holding(100, 1000)}, rows=50, size=100)
    assert want == {"table": "losses", "study": "s", "rows": 100, "share": 0.1}
    (want,) = wanted({"s": holding(100, 1000)}, rows=50, size=1000)
    assert want["share"] == 0.5


def test_samples_are_drawn_by_what_joins() -> None:
    units = {name: unit(table) for name, table in TABLES.items()}
    assert units["losses"] == units["tokens"] == units["documents"] == ("doc_id",)
    assert units["context_features"] == ("context_id",)
    assert units["node_effects"] == units["circuit_edges"] == ("task",)
    assert units["features"] == units["feature_examples"] == ("site", "feature")


def test_a_sample_is_whole_documents_the_same_in_every_table(root: Lake, tmp_path: Path) -> None:
    """1,000 documents of 4 tokens and 3 losses; half the losses, a quarter of the tokens."""
    documents = range(1000)
    put(root, "documents", [{"doc_id": d} for d in documents], **K)
    places: list[Row] = [{"doc_id": d, "pos": p} for d in documents for p in range(4)]
    put(root, "tokens", places, **K)
    put(root, "losses", [place for place in places if place["pos"]], **K)
    parts = sampled(root, tmp_path / "a", rows=1500)
    tokens, losses = parts["s.tokens"], parts["s.losses"]
    assert (tokens["of"], losses["of"]) == (4000, 3000)
    assert tokens["by"] == losses["by"] == "doc_id"
    assert 1200 < tokens["rows"] < 1800
    assert 1200 < losses["rows"] < 1800
    assert parts["s.documents"] == {
        "table": "documents",
        "study": "s",
        "rows": 1000,
        "of": 1000,
        "by": "",
        "fault": "",
    }
    counts = "select distinct count(*) from {} group by doc_id"
    assert read(tmp_path / "a", counts.format("tokens")) == [(4,)]
    assert read(tmp_path / "a", counts.format("losses")) == [(3,)]
    apart = "select count(*) from tokens anti join losses using (study, doc_id)"
    assert read(tmp_path / "a", apart) == [(0,)]  # the smaller share is part of the larger
    assert sampled(root, tmp_path / "b", rows=1500) == parts
    drawn = "select distinct doc_id from tokens order by all"
    assert read(tmp_path / "a", drawn) == read(tmp_path / "b", drawn)


def test_a_large_study_leaves_a_small_one_whole(root: Lake, tmp_path: Path) -> None:
    for study, documents in (("large", 2000), ("small", 10)):
        rows: list[Row] = [{"doc_id": d, "pos": 1} for d in range(documents)]
        put(root, "losses", rows, study=study, shard="00000")
    parts = sampled(root, tmp_path / "a", rows=500)
    assert parts["small.losses"]["rows"] == 10
    assert parts["small.losses"]["by"] == ""
    assert 350 < parts["large.losses"]["rows"] < 650
    assert parts["large.losses"]["by"] == "doc_id"


def test_what_cannot_be_sampled_or_read_is_left_out_and_said(root: Lake, tmp_path: Path) -> None:
    put(root, "dictionaries", [{"site": f"attn_{i}"} for i in range(9)], study="s")
    put(root, "documents", [{"doc_id": d} for d in range(9)], **K)
    put(root, "losses", [{"doc_id": 1, "pos": 1}], **K)
    root.file("losses", **K).write_bytes(b"no parquet")
    parts = sampled(root, tmp_path / "a", rows=8)
    assert parts["s.dictionaries"]["fault"] == "too large, and nothing to sample it by"
    assert parts["s.losses"]["fault"]
    assert parts["s.documents"]["fault"] == ""
    assert read(tmp_path / "a", "select count(*) from dictionaries") == [(0,)]
    assert read(tmp_path / "a", "from queries.dictionary_quality") == []


def test_the_process_says_how_far_it_is(lake: Lake, tmp_path: Path) -> None:
    wants = wanted({"plain": Data(lake).holdings("plain")})
    order = Order(root=str(lake.root), file=str(tmp_path / "a"), wants=wants)
    ended = subprocess.run(
        [sys.executable, "-m", "dashboards.sandbox.snapshot"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=True,
    )
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [line["done"] for line in told[:-1]] == [*range(1, len(wants) + 1)]
    assert told[-1] == {"parts": [line["part"] for line in told[:-1]]}
    assert all(part["fault"] == "" for part in told[-1]["parts"])
