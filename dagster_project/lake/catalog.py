"""`<root>/catalog.duckdb`: every table of the lake as a view, for any DuckDB of version 1.5 on.

Schema `stored` has one raw view a table over its Parquet files, typed and empty where there are
none; the main schema has `sql/views` on top and `sql/macros`, and schema `queries` the shipped
questions: one view each, a table macro for one with parameters. Tables `lake_contract`,
`lake_columns` and `lake_queries` say what the catalog was made for, what each column means and what
can be asked; comments on views, columns and macros say the same. The views find new partitions and
studies by themselves; a table's first partition, other SQL files or a moved lake need a new
catalog, which `connect` publishes when it sees the difference: a few statements into a temporary
file, then one rename. Paths are absolute.

`python -m dagster_project.lake.catalog [--root R]` publishes it anew: so is a moved lake mended.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import duckdb
import polars as pl

from dagster_project.lake.columns import Table
from dagster_project.lake.documentation import comments, describe
from dagster_project.lake.errors import LakeError
from dagster_project.lake.label_log import FILE as LOG_FILE
from dagster_project.lake.label_log import FOLDER as LOG_FOLDER
from dagster_project.lake.label_log import log_files
from dagster_project.lake.queries import SqlFile, in_order, quoted, shipped
from dagster_project.lake.schemas import CONTRACT_VERSION, LOGGED, TABLES
from dagster_project.lake.store import Lake
from dagster_project.lake.writer import (
    FILE_NAME,
    package_version,
    put_in_place,
    remove_left_behind,
    temporary_beside,
)

T = TypeVar("T")

CATALOG = "catalog.duckdb"
STORAGE_VERSION = "v1.5.0"  # the oldest DuckDB that opens the file
TRIES = 5  # readings before a failure counts
PAUSE = 0.05  # seconds between them
FILL = "`make demo` fills one, and `python -m dagster_project.run STUDY` with your study"
MOVED = "If the lake was moved, publish its catalog again"


def connect(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A read-only connection on the lake's catalog, published first if missing or outdated.

    For one thread; a `cursor()` of it needs `use catalog` first.
    """
    if published_for(lake) != fingerprint(statements(lake)):
        publish(lake)
    return patiently(lambda: _attached(lake))


def fetch(connection: duckdb.DuckDBPyConnection, sql: str) -> pl.DataFrame:
    """The rows of one statement; tried again where a partition was replaced under it."""
    return patiently(lambda: connection.sql(sql).pl())


def publish(lake: Lake) -> Path:
    """Build the catalog and put it in place; its path."""
    target = lake.root / CATALOG
    lake.root.mkdir(parents=True, exist_ok=True)
    remove_left_behind(lake.root)
    temporary = temporary_beside(target)
    try:
        _build(lake, temporary)
        put_in_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def define_views(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    """The catalog's views and tables in a connection of one's own, in memory for instance."""
    made = statements(lake)
    for statement in made:
        connection.execute(statement)
    describe(connection, str(lake.root), fingerprint(made))


def published_for(lake: Lake) -> str:
    """Fingerprint that the lake's catalog was made for; empty without a readable catalog."""
    try:
        with _attached(lake) as connection:
            (found,) = connection.execute("select fingerprint from lake_contract").fetchall()
    except (duckdb.Error, ValueError):
        return ""
    return str(found[0])


def fingerprint(made: list[str]) -> str:
    """What a catalog consists of, as a short text to compare."""
    stated = "\n".join([str(CONTRACT_VERSION), package_version(), *made, *comments()])
    return hashlib.sha256(stated.encode()).hexdigest()[:16]


def statements(lake: Lake) -> list[str]:
    """The SQL that makes the views and macros of a lake, as it stands."""
    stored = [f"create view stored.{t.name} as {stored_view(lake, t)}" for t in TABLES.values()]
    stored.append(f"create view stored.label_log as {logged_view(lake)}")
    # Those of the logs come first: others read them.
    ordered = sorted(shipped("views").values(), key=lambda view: view.name not in LOGGED)
    views = [f"create view {v.name} as {v.sql}" for v in ordered]
    rest = [_creation(file) for file in in_order()]
    return ["create schema stored", "create schema queries", *stored, *views, *rest]


def _creation(file: SqlFile) -> str:
    if file.is_macro:
        return f"create macro {file.called}{file.macro()}"
    return f"create view {file.called} as {file.sql}"


def stored_view(lake: Lake, table: Table) -> str:
    """Select over a table's Parquet files below rows that give every column its type."""
    types = table.sql_types
    empty = f"select {', '.join(f'null::{t} as {_name(n)}' for n, t in types.items())} where false"
    if not lake.files(table.name):
        return empty
    pattern = "/".join([glob.escape(str(lake.root / table.name)), *_levels(table), FILE_NAME])
    hive = ", ".join(f"{key}: varchar" for key in table.path_keys)
    options = f"hive_partitioning = true, hive_types = {{{hive}}}, union_by_name = true"
    return f"{empty} union all by name from read_parquet({quoted(pattern)}, {options})"


def logged_view(lake: Lake) -> str:
    """Select over the lines of all studies' logs of labels; what is no label is passed over."""
    types = {n: t for n, t in LOGGED["label_history"].sql_types.items() if n != "study"}
    empty = ", ".join(f"null::{kind} as {_name(name)}" for name, kind in types.items())
    if not log_files(lake):
        return f"select null::varchar as study, {empty} where false"
    pattern = f"{glob.escape(str(lake.root / LOG_FOLDER))}/study=*/{LOG_FILE}"
    columns = ", ".join(f"{_name(name)}: {quoted(kind)}" for name, kind in types.items())
    options = (
        f"format = 'newline_delimited', ignore_errors = true, columns = {{{columns}}}, "
        "hive_partitioning = true, hive_types = {study: varchar}"
    )
    needed = ("site", "feature", "author", "time")
    known = " and ".join(f"{name} is not null" for name in needed)
    lines = f"read_json({quoted(pattern)}, {options})"
    return f"select study, {', '.join(types)} from {lines} where {known}"


def _attached(lake: Lake) -> duckdb.DuckDBPyConnection:
    """The published catalog, read-only. (Opened by path, a process that still has the file's
    predecessor open would get that one.)"""
    connection = duckdb.connect()
    try:
        connection.execute(f"attach {quoted(str(lake.root / CATALOG))} as catalog (read_only)")
        connection.execute("use catalog")
    except duckdb.Error:
        connection.close()
        raise
    return connection


def _levels(table: Table) -> list[str]:
    return [f"{key}=*" for key in table.path_keys]


def _build(lake: Lake, file: Path) -> None:
    with duckdb.connect() as connection:
        attach = (
            f"attach {quoted(str(file))} as catalog (storage_version {quoted(STORAGE_VERSION)})"
        )
        connection.execute(attach)
        connection.execute("use catalog")
        define_views(connection, lake)
        connection.execute("begin")
        for comment in comments():
            connection.execute(comment)
        connection.execute("commit")
        connection.execute("use memory")
        connection.execute("detach catalog")  # writes all of it into the file


def patiently(read: Callable[[], T]) -> T:
    """The result of reading files that may be replaced meanwhile. Raises LakeError at last.

    A file replaced between the reading of its footer and of its data fails to decode: DuckDB
    raises an IOException or an Error of no class of its own. Faults of the SQL pass through.
    """
    for left in reversed(range(TRIES)):
        try:
            return read()
        except duckdb.Error as error:
            if type(error) not in (duckdb.Error, duckdb.IOException):
                raise
            if not left:
                raise LakeError(f"{error}\n{MOVED}") from error
        time.sleep(PAUSE)
    raise AssertionError("unreachable")


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def existing(root: str) -> Lake:
    """The lake in a folder. Raises LakeError where there is no such folder."""
    lake = Lake(Path(root))
    if not lake.root.is_dir():
        raise LakeError(f"no lake at {lake.root}: {FILL}")
    return lake


def is_empty(lake: Lake) -> bool:
    """No table has a partition."""
    return not any(lake.files(table) for table in TABLES)


def root_option(parser: argparse.ArgumentParser) -> None:
    """The option that names a lake, for command lines."""
    default = os.environ.get("CIRCUIT_LAKE_ROOT", "lake")
    parser.add_argument("--root", default=default, help="folder of the lake (%(default)s)")


def main() -> None:
    """Publish a lake's catalog."""
    parser = argparse.ArgumentParser(description="Publish the catalog of a lake.")
    root_option(parser)
    try:
        file = publish(existing(parser.parse_args().root))
    except (LakeError, duckdb.Error, OSError) as error:
        raise SystemExit(f"catalog: {error}") from error
    print(file)  # noqa: T201


if __name__ == "__main__":
    main()
