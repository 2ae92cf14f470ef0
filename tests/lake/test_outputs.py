"""Files of an answer: whole or not there, all rows, and no formulas for a spreadsheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.lake import outputs
from dagster_project.lake.errors import LakeError


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        yield made


def write(
    connection: duckdb.DuckDBPyConnection, sql: str, kind: str, folder: Path
) -> tuple[int, Path]:
    file = folder / f"answer.{kind}"
    return outputs.write(connection, sql, kind, str(file)), file


def test_formulas_are_quoted_in_csv(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "a=1", " =1", "'=1", "", 'x"y\n,z']
    connection.execute('create table t as select unnest($1) as "=name", -1 as number', [texts])
    _, file = write(connection, "from t", "csv", tmp_path)
    with file.open(newline="", encoding="utf-8") as lines:
        header, *rows = csv.reader(lines)
    assert header == ["'=name", "number"]
    assert [row[0] for row in rows] == ["'" + t if t[:1] in "=+-@\t\r" and t else t for t in texts]
    assert {row[1] for row in rows} == {"-1"}  # a number is no formula


def test_what_is_no_single_value_is_json_in_csv(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    connection.execute("create type mood as enum ('=sad')")
    sql = """select ['=a', null] as l, {'k': 'nan'::float} as s, null as n, '=sad'::mood as e,
        date '2026-01-02' as d, 1.5::decimal(3, 1) as f"""
    _, file = write(connection, sql, "csv", tmp_path)
    with file.open(newline="", encoding="utf-8") as lines:
        (row,) = csv.DictReader(lines)
    expected = {"l": '["=a", null]', "s": '{"k": null}', "n": "", "e": "'=sad", "d": "2026-01-02"}
    assert row == {**expected, "f": "1.5"}


def test_json(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    sql = """select * from (values (1, 'é"\u2028', 'inf'::double, [1]), (2, null, 0.5, []))
        as t(a, b, c, d)"""
    rows, file = write(connection, sql, "json", tmp_path)
    assert rows == 2
    assert json.loads(file.read_text("utf-8")) == [
        {"a": 1, "b": 'é"\u2028', "c": None, "d": [1]},
        {"a": 2, "b": None, "c": 0.5, "d": []},
    ]


@pytest.mark.parametrize("kind", outputs.FORMATS)
def test_all_rows_of_many_batches(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, kind: str
) -> None:
    n = 2 * outputs.BATCH + 7
    rows, file = write(connection, f"select range as i, 'x' as t from range({n})", kind, tmp_path)
    read: Callable[[Path], pl.DataFrame] = getattr(pl, f"read_{kind}")
    found = read(file)
    assert rows == n
    assert found["i"].to_list() == list(range(n))
    assert set(found["t"]) == {"x"}


@pytest.mark.parametrize("kind", outputs.FORMATS)
def test_nothing_to_write_is_a_file_without_rows(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, kind: str
) -> None:
    rows, file = write(connection, "select 1 as a where false", kind, tmp_path)
    assert rows == 0
    assert file.is_file()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_parquet_and_json_give_text_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("texts")
    with duckdb.connect() as connection:
        connection.execute("create table t as select unnest($1::varchar[]) as text", [texts])
        _, parquet = write(connection, "from t", "parquet", folder)
        _, lines = write(connection, "from t", "json", folder)
    assert pl.read_parquet(parquet)["text"].to_list() == texts
    assert [row["text"] for row in json.loads(lines.read_text("utf-8"))] == texts


FAULTS = {
    ("select 1; select 2", "csv"): "one statement goes into a file, found 2",
    ("", "csv"): "one statement goes into a file, found 0",
    ("select 1 as a, 2 as a", "json"): "two columns are named 'a'",
    ("create table t (a integer)", "csv"): "has no rows to write",
}


@pytest.mark.parametrize("asked", FAULTS)
def test_faults(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, asked: tuple[str, str]
) -> None:
    with pytest.raises(LakeError, match=FAULTS[asked]):
        write(connection, *asked, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_on_the_way_leaves_the_file_of_before(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    _, file = write(connection, "select 1 as a", "csv", tmp_path)
    n = 3 * outputs.BATCH
    sql = f"select if(range = {n} - 1, error('late'), range) as a from range({n})"
    with pytest.raises(LakeError, match="late"):
        write(connection, sql, "csv", tmp_path)
    assert file.read_text() == "a\n1\n"
    assert list(tmp_path.iterdir()) == [file]


def test_parquet_needs_a_file(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(LakeError, match="--parquet FILE"):
        outputs.write(connection, "select 1", "parquet", "-")


def test_a_folder_that_is_not_there(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="not written"):
        write(connection, "select 1 as a", "csv", tmp_path / "no")
