"""What is answered: one select over the snapshot, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.lake.queries import shipped
from dashboards.sandbox.statement import LONGEST, RefusedError, admitted
from tests.dashboards.sandbox import ways_out


@pytest.fixture(scope="module")
def connection(snapshot: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(snapshot), read_only=True) as made:
        yield made


@pytest.mark.parametrize("sql", ways_out.ALL)
def test_no_way_out_is_admitted(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, sql: str
) -> None:
    named = sql.format(out=tmp_path / "out", secret=tmp_path / "secret", folder=tmp_path)
    with pytest.raises((RefusedError, duckdb.Error)):
        admitted(connection, named)


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "from losses",
        "from main.losses limit 1",
        "from snapshot.main.losses limit 1",
        'select l."loss" from "losses" as l',
        "with a as (select 1 as x), b as (from a) from b",
        "with recursive n as (select 1 as i union all select i + 1 from n where i < 3) from n",
        "select * from losses join tokens using (study, doc_id, pos)",
        "select 1 union all select 2 intersect select 2",
        "values (1), (2)",
        "from range(3), generate_series(1, 2)",
        "select unnest([1, 2])",
        "select * from unnest([1, 2])",
        "from queries.loss_by_subset where study = $study",
        "from lake_columns",
        "from lake_queries",
        "from queries.loss_by_token(places := 3)",
        "select decode_context('plain', 0, 3, n := 2)",
        "from feature_where('plain', 'embed', 0)",
        "from information_schema.columns",
        "describe losses",
        "describe select 1 as x",
        "summarize losses",
        "show tables",
        "select list_transform([1, 2], lambda x: x + 1)",
        "from (pivot losses on skill in ('count', 'copy') using count(*))",
        "with tables as (select 1 as x) from tables",
        "select 1; -- said",
        "select 1 ;;",
        "select ';'",
        "/* a */ select 'copy (select 1) to x' as copy",
        "select 'read_text(''x'')'",
    ],
)
def test_selects_are(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    bare, parameters = admitted(connection, sql)
    values = {"study": "plain"} if parameters else None
    assert connection.sql(f"select count(*) from ({bare}\n)", params=values).fetchall()


@pytest.mark.parametrize("name", sorted(shipped("queries")))
def test_shipped_questions_are(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    file = shipped("queries")[name]
    bare, _ = admitted(connection, file.filled(dict.fromkeys(file.needed)))
    connection.sql(bare).fetchall()


def test_refusals_say_why(connection: duckdb.DuckDBPyConnection) -> None:
    told = {
        "copy (select 1) to 'x'": "Only a select is answered; this is copy.",
        "with c as (copy (select 1) to 'x') select 1": "this holds copy",
        "from read_text('x')": "The table function read_text is not available here.",
        "from 'x.csv'": "There is no table x.csv in the snapshot; files cannot be read.",
        "select getenv('HOME')": "The function getenv is not available here.",
        "pivot losses on skill": "a pivot must name its values",
        "update extensions": "this is something else",
        "select 1; select 2": "One select at a time; here are 2 of them.",
        " ": "here are none",
        "select $task": "$task: write the value itself. Only $study is filled in.",
        "select ?": "write the value itself",
        "select '\0'": "null character",
        "select '\ud800'": "not Unicode",
        "select '" + "x" * LONGEST + "'": "at most 50,000",
    }
    for sql, why in told.items():
        with pytest.raises(RefusedError) as refused:
            admitted(connection, sql)
        assert why in str(refused.value)


def test_a_name_of_a_system_view_does_not_hide_behind_ones_own(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """A name of a CTE is only known below it; the system's view would be read elsewhere."""
    with pytest.raises(RefusedError, match="pg_settings"):
        admitted(
            connection,
            "select (with pg_settings as (select 1) select 1), * from pg_settings",
        )


def test_nesting_without_end_is_an_answer_not_a_fall(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for sql in ("select " + "(" * 9_000 + "1" + ")" * 9_000, "select " + "1+" * 20_000 + "1"):
        with pytest.raises((RefusedError, duckdb.Error)):
            admitted(connection, sql)


@given(st.text(st.sampled_from("select from losses;'\"()-/*\n$?é1,")), st.data())
def test_any_text_is_admitted_or_refused(
    connection: duckdb.DuckDBPyConnection, sql: str, data: st.DataObject
) -> None:
    try:
        bare, _ = admitted(connection, sql)
    except (RefusedError, duckdb.Error):
        return
    assert len(connection.extract_statements(bare)) == 1
