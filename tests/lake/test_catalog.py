"""The catalog: typed views of whatever there is, published whole, mended when outdated."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from dagster_project.lake import catalog
from dagster_project.lake.schemas import CONTRACT_VERSION, LOGGED, TABLES
from dagster_project.lake.store import Lake, LakeError
from tests.lake.frames import Row, put

ONE: list[Row] = [{"doc_id": 1, "pos": 1, "loss": 0.5}]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "it's a [lake]*")


def count(connection: duckdb.DuckDBPyConnection, table: str = "losses") -> int:
    return int(catalog.fetch(connection, f"select count(*) from {table}").item())


def test_an_empty_lake_has_every_view_typed(lake: Lake) -> None:
    with catalog.connect(lake) as connection:
        for name, table in TABLES.items():
            for schema in ("stored", "main"):
                found = catalog.fetch(connection, f"from {schema}.{name}")
                assert found.height == 0
                assert dict(found.schema) == dict(table.schema)


def test_views_find_new_partitions_by_themselves(lake: Lake) -> None:
    put(lake, "losses", ONE, study="s", shard="00000")
    with catalog.connect(lake) as connection:
        assert count(connection) == 1
        put(lake, "losses", ONE, study="t", shard="00007")
        found = catalog.fetch(connection, "select study, shard, loss from losses order by study")
        assert found.rows() == [("s", "00000", 0.5), ("t", "00007", 0.5)]


def test_a_tables_first_partition_makes_the_catalog_outdated(lake: Lake) -> None:
    with catalog.connect(lake) as before:
        put(lake, "losses", ONE, study="s", shard="00000")
        assert count(before) == 0
        with catalog.connect(lake) as after:  # in one process, beside the old one
            assert count(after) == 1


def test_what_is_current_is_not_published_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.connect(lake).close()
    monkeypatch.setattr(catalog, "publish", lambda _: pytest.fail("published again"))
    catalog.connect(lake).close()


def test_a_broken_catalog_is_replaced(lake: Lake) -> None:
    catalog.publish(lake).write_bytes(b"no database")
    with catalog.connect(lake) as connection:
        assert count(connection) == 0


def test_the_catalog_cannot_be_written(lake: Lake) -> None:
    with (
        catalog.connect(lake) as connection,
        pytest.raises(duckdb.Error, match="read-only"),
    ):
        connection.execute("drop view losses")


def test_columns_of_the_effect_view_are_computed(lake: Lake) -> None:
    rows = [
        {"context_id": 0, "pos": -1, "site": "embed", "activation": 2.0, "gradient": -3.0},
        {"context_id": 1, "site": "embed", "activation": 2.0, "effect": 5.0},
        {"context_id": 2, "site": "embed", "feature": -1, "activation": 2.0},
    ]
    put(lake, "context_features", rows, study="s", shard="00000")
    with catalog.connect(lake) as connection:
        found = catalog.fetch(connection, "select effect from context_features order by context_id")
    assert found["effect"].to_list() == [-6.0, 5.0, None]


def test_filters_reach_the_files_and_the_row_groups(lake: Lake) -> None:
    for shard in ("00000", "00001"):
        put(lake, "losses", ONE, study="s", shard=shard)
    with catalog.connect(lake) as connection:
        plan = connection.execute(
            "explain analyze select loss from losses where shard = '00001' and doc_id = 1"
        ).fetchall()[0][1]
    assert "Scanning Files: 1/2" in plan
    assert "Filters: doc_id = 1" in plan.replace("\n", " ")


def test_a_column_that_came_later_is_null_in_old_files(lake: Lake) -> None:
    put(lake, "losses", ONE, study="s", shard="00000")
    file = lake.file("losses", study="s", shard="00000")
    pl.read_parquet(file, hive_partitioning=False, glob=False).drop("slot").write_parquet(file)
    with catalog.connect(lake) as connection:
        assert catalog.fetch(connection, "select slot from losses").item() is None


def test_it_says_what_it_is_and_what_columns_mean(lake: Lake) -> None:
    with catalog.connect(lake) as connection:
        contract = catalog.fetch(connection, "from lake_contract").row(0, named=True)
        unit = "select unit, doc from lake_columns where table_name = 'losses' "
        found = catalog.fetch(connection, unit + "and column_name = 'loss'").row(0)
        keys = "select column_name from lake_columns where table_name = 'losses' and in_key"
        key = catalog.fetch(connection, keys)["column_name"].to_list()
    assert contract["contract_version"] == CONTRACT_VERSION
    assert contract["root"] == str(lake.root)
    assert "dagster_project.lake.catalog --root" in contract["after_a_move"]
    assert found == ("nats", "−log p of the token given those before it")
    assert key == ["study", "doc_id", "pos"]


def test_a_moved_lake_says_so_and_is_mended(lake: Lake, tmp_path: Path) -> None:
    put(lake, "losses", ONE, study="s", shard="00000")
    catalog.publish(lake)
    moved = Lake(lake.root.rename(tmp_path / "moved"))
    with (
        duckdb.connect(str(moved.root / catalog.CATALOG), read_only=True) as stale,
        pytest.raises(LakeError, match="If the lake was moved, publish its catalog again"),
    ):
        count(stale)
    command = [sys.executable, "-m", "dagster_project.lake.catalog", "--root", str(moved.root)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(moved.root / catalog.CATALOG)
    with duckdb.connect(str(moved.root / catalog.CATALOG), read_only=True) as mended:
        assert count(mended) == 1
        assert mended.execute("select count(*) from queries.loss_by_position").fetchall() == [(1,)]


def test_the_file_is_of_the_older_storage_version(lake: Lake) -> None:
    with catalog.connect(lake) as connection:
        sql = (
            "select tags['storage_version'] from duckdb_databases() where database_name = 'catalog'"
        )
        found = catalog.fetch(connection, sql).item()
    assert found.startswith("v1.5.0")
    assert [f.name for f in lake.root.glob("*.tmp")] == []


def test_it_says_what_can_be_asked(lake: Lake) -> None:
    with catalog.connect(lake) as connection:
        asked = dict(catalog.fetch(connection, "select ask, answers from lake_queries").rows())
        for call in asked:
            connection.execute(call.replace("…", "null")).fetchall()
    assert asked["from queries.loss_by_subset"].startswith("How well does the model predict")
    decode = "select decode_context(study := …, doc_id := …, pos := …, n := 10)"
    names = [call.partition("(")[0].split()[-1] for call in asked]
    questions = [name for name in names if name.startswith("queries.")]
    assert decode in asked
    assert names == sorted(questions) + sorted(set(names) - set(questions))


def test_duckdb_itself_says_what_views_columns_and_macros_are(lake: Lake) -> None:
    with duckdb.connect(str(catalog.publish(lake)), read_only=True) as connection:
        here = "database_name = current_database() and schema_name in ('main', 'queries')"
        views = dict(
            connection.execute(
                f"select view_name, comment from duckdb_views() where {here}"
            ).fetchall()
        )
        macros = dict(
            connection.execute(
                f"select function_name, comment from duckdb_functions() where {here}"
            ).fetchall()
        )
        columns = connection.execute(
            f"select table_name, column_name, comment from duckdb_columns() where {here}"
        ).fetchall()
    assert views["losses"].startswith("A predicted token of a document")
    assert views["losses"].endswith("\ngrain: one row per (study, doc_id, pos)")
    assert "columns: documents and tokens predicted; mean_loss" in views["loss_by_subset"]
    assert macros["layer_of"].startswith("Layer of a site")
    assert None not in views.values()
    assert None not in macros.values()
    assert ("losses", "loss", "−log p of the token given those before it [nats]") in columns
    assert {name for name, _, comment in columns if comment} == {*TABLES, *LOGGED}


def test_a_folder_that_is_not_there_is_no_lake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["catalog", "--root", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match=r"catalog: no lake at .*none: `make demo`"):
        catalog.main()
    assert list(tmp_path.iterdir()) == []


OPENINGS = ("duckdb.connect(path)", "attach and use")


@pytest.mark.parametrize("opening", OPENINGS)
def test_macros_work_however_the_file_is_opened(lake: Lake, opening: str) -> None:
    put(lake, "tokens", [{"doc_id": 1, "pos": 0, "token": "a"}], study="s", shard="00000")
    file = str(catalog.publish(lake))
    path = file if opening == OPENINGS[0] else ":memory:"
    with duckdb.connect(path, read_only=path == file) as connection:
        if opening == OPENINGS[1]:
            connection.execute(f"attach '{file.replace(chr(39), 2 * chr(39))}' as lake (read_only)")
            connection.execute("use lake")
        assert connection.sql("select decode_context('s', 1, 0)").fetchall() == [("a",)]
        assert connection.sql("from queries.loss_by_token(places := 1)").fetchall() == []
        assert connection.sql("from feature_where('s', 'embed', 1)").fetchall() == []


def test_the_duckdb_command_line_opens_it(lake: Lake) -> None:
    client = shutil.which("duckdb")
    if client is None:
        pytest.skip("no duckdb command line (PyPI: duckdb-cli) on this machine")
    put(lake, "tokens", [{"doc_id": 1, "pos": 0, "token": "a"}], study="s", shard="00000")
    sql = "select decode_context('s', 1, 0) as text, (select count(*) from lake_queries) > 20 as q"
    command = [client, "-readonly", "-csv", str(catalog.publish(lake)), sql]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["text,q", "a,true"]


def test_views_in_a_connection_of_ones_own(lake: Lake) -> None:
    put(lake, "losses", ONE, study="s", shard="00000")
    with duckdb.connect() as connection:
        catalog.define_views(connection, lake)
        assert count(connection) == 1
    assert not (lake.root / catalog.CATALOG).exists()
