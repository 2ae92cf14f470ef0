"""The lake's tables in one DuckDB file of their own: what statements of readers are answered from.

`python -m dashboards.sandbox.snapshot`: an Order as JSON on standard input, progress and at last
the contents as JSON lines on standard output; a process apart, so that the server neither waits
nor holds the memory. Each view becomes a table; macros and shipped questions come along. A table
over the bounds is a sample: of tokens, whole documents; of features of contexts, whole contexts; so
that what is there joins, and counts and sums are the share said. The same rows are drawn each time,
and a smaller share of one table is part of a larger one of another. Cost: 7 s for 5 million rows.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

import duckdb

from dagster_project.lake.catalog import define_views, patiently, statements
from dagster_project.lake.columns import Table
from dagster_project.lake.errors import LakeError
from dagster_project.lake.schemas import LOGGED, TABLES
from dagster_project.lake.store import Lake
from dashboards.data import Holding

MOST_ROWS = 5_000_000  # of a table
MOST_BYTES = 64 * 2**20  # of a table's Parquet files
MOST_SECONDS = 120  # for a table of a study
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "1GB",
    "threads": 2,
    "temp_directory": "",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
UNITS = ("context_id", "doc_id", "feature")  # what samples are made of, where a table's key has it


class Want(TypedDict):
    """A table of a study, and which share of it."""

    table: str
    study: str
    rows: int  # that the lake has
    share: float


class Order(TypedDict):
    """What to copy, and where to."""

    root: str
    file: str
    wants: list[Want]


class Part(TypedDict):
    """What a snapshot has of a table of a study."""

    table: str
    study: str
    rows: int  # in the snapshot
    of: int  # in the lake
    by: str  # column whose values are drawn or left out as a whole; empty: the table is whole
    fault: str  # why it is not there; empty


def wanted(
    holdings: Mapping[str, Mapping[str, Holding]], rows: int = MOST_ROWS, size: int = MOST_BYTES
) -> list[Want]:
    """What to copy of each study's tables, within bounds for a table of all studies."""
    wants = []
    for table in TABLES:
        held = {study: tables[table] for study, tables in holdings.items() if table in tables}
        by_rows = shares({study: h.rows for study, h in held.items()}, rows)
        by_size = shares({study: h.bytes for study, h in held.items()}, size)
        wants += [
            Want(table=table, study=s, rows=h.rows, share=min(by_rows[s], by_size[s]))
            for s, h in held.items()
        ]
    return wants


def shares(amounts: Mapping[str, int], most: int) -> dict[str, float]:
    """Share of each amount such that their sum is within bounds; the small ones are whole first."""
    found, left = {}, most
    for place, (name, amount) in enumerate(sorted(amounts.items(), key=lambda item: item[1])):
        fair = left // (len(amounts) - place)
        found[name] = min(1.0, fair / amount) if amount else 1.0
        left -= min(amount, fair)
    return found


def unit(table: Table) -> tuple[str, ...]:
    """Columns whose values are drawn or left out as a whole."""
    if table.partition == "task":
        return ("task",)
    kind = next((column for column in UNITS if column in table.key), "")
    return ("site", kind) if kind == "feature" else (kind,) if kind else ()


def build(order: Order) -> Iterable[Part]:
    """Write a snapshot; each part when it is there."""
    lake = Lake(Path(order["root"]))
    with duckdb.connect(config=SETTINGS) as connection:
        for statement in statements(lake):
            with suppress(duckdb.Error):  # a partition that is no Parquet; told with its table
                connection.execute(statement)
        connection.execute("attach $1 as snapshot", [order["file"]])
        made = {table for table in (*TABLES, *LOGGED) if _created(connection, table)}
        for want in order["wants"]:
            yield _part(connection, want, want["table"] in made)
        for log in LOGGED.keys() & made:
            yield from _logged(connection, log)
        _described(connection, Lake(Path(order["file"]).parent))
        _questions(connection, lake)
        connection.execute("use memory")
        connection.execute("detach snapshot")


def _created(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    try:
        patiently(
            lambda: connection.execute(f"create table snapshot.{table} as from {table} limit 0")
        )
    except (LakeError, duckdb.Error):
        return False
    return True


def _part(connection: duckdb.DuckDBPyConnection, want: Want, made: bool) -> Part:
    columns = unit(TABLES[want["table"]])
    kept = Part(table=want["table"], study=want["study"], rows=0, of=want["rows"], by="", fault="")
    if want["share"] < 1 and columns:
        kept["by"] = columns[-1]
    if not made:
        return {**kept, "fault": "a partition cannot be read"}
    if want["share"] < 1 and not columns:
        return {**kept, "fault": "too large, and nothing to sample it by"}
    clock = threading.Timer(MOST_SECONDS, connection.interrupt)
    clock.start()
    try:
        return {**kept, "rows": patiently(lambda: _copied(connection, want, columns))}
    except duckdb.InterruptException:
        return {**kept, "fault": f"reading it took longer than {MOST_SECONDS} seconds"}
    except (LakeError, duckdb.Error) as error:
        return {**kept, "fault": str(error).partition("\n")[0][:200]}
    finally:
        clock.cancel()


def _logged(connection: duckdb.DuckDBPyConnection, log: str) -> Iterable[Part]:
    """Copy what readers have written, of all studies; it is never too much."""
    copy = f"insert into snapshot.{log} by name from {log} limit {MOST_ROWS}"
    patiently(lambda: connection.execute(copy))
    counted = f"select study, count(*) from snapshot.{log} group by study"
    for study, rows in connection.execute(counted).fetchall():
        yield Part(table=log, study=study, rows=rows, of=rows, by="", fault="")


def _copied(connection: duckdb.DuckDBPyConnection, want: Want, columns: Sequence[str]) -> int:
    """Copy a share of a table's rows of a study; how many."""
    copy = f"insert into snapshot.{want['table']} by name from {want['table']} where study = $study"
    values: dict[str, str | int] = {"study": want["study"]}
    if want["share"] < 1:
        copy += f" and hash(study, {', '.join(columns)}) < $most"
        values["most"] = int(want["share"] * 2**64)
    row = connection.execute(copy, values).fetchone()
    assert row is not None
    return int(row[0])


def _described(connection: duckdb.DuckDBPyConnection, empty: Lake) -> None:
    """What the catalog says of columns and questions, which is the same for every lake."""
    with duckdb.connect() as catalog:
        define_views(catalog, empty)
        for name in ("lake_columns", "lake_queries"):
            connection.register("described", catalog.sql(f"from {name}").pl())
            connection.execute(f"create table snapshot.{name} as from described")
            connection.unregister("described")


def _questions(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    """The catalog's macros and shipped questions, on the snapshot's tables."""
    connection.execute("use snapshot")
    tables = [f"create view {table} as " for table in (*TABLES, *LOGGED)]
    skipped = ("create schema stored", "create view stored.", *tables)
    for statement in statements(lake):
        if not statement.startswith(skipped):
            try:
                connection.execute(statement)
            except duckdb.CatalogException:  # of a table that could not be read
                continue


def main() -> None:
    """Build what standard input orders."""
    os.nice(5)  # pages come first
    order: Order = json.load(sys.stdin)
    parts = []
    for part in build(order):
        parts.append(part)
        _tell({"part": part, "done": len(parts), "of": max(len(parts), len(order["wants"]))})
    _tell({"parts": parts})


def _tell(what: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
