"""The lake as pages read it: questions of `sql/dashboards` and `sql/queries`, answered as frames.

The only module of the server that opens DuckDB (sandbox/ does in processes of its own): one
connection in memory on the lake's views, a cursor a question, memory and threads bounded, nothing
outside the lake's folder within its reach.
Parameters are bound, never written into the SQL. Answers are kept until a partition of a table
they come from changes, up to MOST_BYTES; what is being asked is waited for, not asked twice. Cost:
1 to 30 ms a question on the embedded study, microseconds when kept; the lake's files are looked
over once a second at most.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from dagster_project.lake.catalog import define_views, patiently
from dagster_project.lake.label_log import log_files
from dagster_project.lake.queries import SqlFile, shipped
from dagster_project.lake.schemas import LOGGED, TABLES
from dagster_project.lake.store import Lake

Value: TypeAlias = str | int | float | bool | Sequence[str] | Sequence[int] | None

MOST_BYTES = 64 * 2**20  # of answers kept
FRESH = 1.0  # seconds for which the lake's state is taken as known
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "1GB",
    "threads": min(4, os.cpu_count() or 1),
    "temp_directory": "",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_WORD = re.compile(r"[a-z_]+")
_COMMENT = re.compile(r"--.*")


class Part(NamedTuple):
    """A committed partition of a table."""

    study: str
    key: str  # shard, task or clustering; empty for a table of whole studies
    file: Path
    modified_ns: int


class Holding(NamedTuple):
    """What the lake has of a table, of one study."""

    parts: tuple[str, ...]  # keys of its partitions
    rows: int
    bytes: int
    oldest: float  # seconds since 1970
    newest: float
    unreadable: tuple[str, ...]  # keys of partitions that are no Parquet


class Data:
    """Answers from one lake. Safe to share between threads."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._lock = threading.Lock()
        self._parts: dict[str, tuple[Part, ...]] = {}
        self._looked = -FRESH
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._viewed: frozenset[str] = frozenset()  # tables that the views find files of
        self._kept: OrderedDict[object, pl.DataFrame] = OrderedDict()
        self._coming: dict[object, Future[pl.DataFrame]] = {}

    def ask(self, question: str, **parameters: Value) -> pl.DataFrame:
        """Answer of `sql/dashboards/<question>.sql`; its `$names` are the parameters."""
        return self._answer(shipped("dashboards")[question].sql, parameters)

    def shared(self, query: str, study: str) -> pl.DataFrame:
        """Answer of `sql/queries/<query>.sql` for one study, its parameters left as they are."""
        call = f"queries.{query}()" if shipped("queries")[query].parameters else f"queries.{query}"
        return self._answer(f"from {call} where study = $study", {"study": study})

    def studies(self) -> list[str]:
        """Studies that the lake has anything of, sorted."""
        return sorted({p.study for parts in self._look().values() for p in parts})

    def state(self) -> int:
        """What the lake consists of, as a number that changes with it."""
        return hash(tuple(self._look().items()))

    def holdings(self, study: str) -> dict[str, Holding]:
        """What there is of each table that a study has any of."""
        found = {t: [p for p in ps if p.study == study] for t, ps in self._look().items()}
        return {t: _holding(parts) for t, parts in found.items() if parts and t in TABLES}

    def look_again(self) -> None:
        """What was written just now is seen by the next question."""
        with self._lock:
            self._looked = -FRESH

    def _answer(self, sql: str, parameters: Mapping[str, Value]) -> pl.DataFrame:
        state = self._look()
        read = tuple(state[table] for table in sorted(tables_of(sql)))
        bound = tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in parameters.items())
        key = (sql, bound, hash(read))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            coming = self._coming.get(key)  # asked by another thread just now
            if coming is None:
                cursor = self._views(state).cursor()
                own = self._coming[key] = Future()
        if coming is not None:
            return coming.result()
        try:
            with cursor:
                answer = patiently(lambda: cursor.sql(sql, params=dict(parameters) or None).pl())
        except BaseException as error:
            own.set_exception(error)
            raise
        else:
            own.set_result(answer)
            self._keep(key, answer)
            return answer
        finally:
            with self._lock:
                del self._coming[key]

    def _keep(self, key: object, answer: pl.DataFrame) -> None:
        with self._lock:
            self._kept[key] = answer
            while len(self._kept) > 1 and _size(self._kept) > MOST_BYTES:
                self._kept.popitem(last=False)

    def _views(self, state: Mapping[str, tuple[Part, ...]]) -> duckdb.DuckDBPyConnection:
        """The connection; made anew when a table gets its first partition or loses its last."""
        filled = frozenset(table for table, parts in state.items() if parts)
        if self._connection is None or filled != self._viewed:
            self._connection, self._viewed = _opened(self.lake), filled
        return self._connection

    def _look(self) -> Mapping[str, tuple[Part, ...]]:
        """Committed partitions of every table; the logs of labels."""
        with self._lock:
            if time.monotonic() >= self._looked + FRESH:
                logs = dict.fromkeys(LOGGED, _logs(self.lake))
                self._parts = {table: _parts(self.lake, table) for table in TABLES} | logs
                self._looked = time.monotonic()
            return self._parts


@cache
def tables_of(sql: str) -> frozenset[str]:
    """Tables and logs that a statement reads, through shipped views, queries and macros too."""
    found, left = dict[tuple[str, str], SqlFile](), [sql]
    while left:
        new = {key: file for key, file in _mentioned(left.pop()).items() if key not in found}
        found |= new
        left += [file.sql for file in new.values()]
    return frozenset(name for kind, name in found if kind == "views")


def _mentioned(sql: str) -> dict[tuple[str, str], SqlFile]:
    """Views, queries and macros by kind and name, as far as a statement names them."""
    marks = {"views": "{}", "queries": "queries.{}", "macros": "{}("}
    said = _COMMENT.sub("", sql)
    words = set(_WORD.findall(said))
    return {
        (kind, word): shipped(kind)[word]
        for kind, mark in marks.items()
        for word in words & shipped(kind).keys()
        if mark.format(word) in said
    }


def _opened(lake: Lake) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config=SETTINGS)
    define_views(connection, lake)
    connection.execute("set allowed_directories = $1", [[str(lake.root)]])
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def _parts(lake: Lake, table: str) -> tuple[Part, ...]:
    found = []
    partitioned = TABLES[table].partition is not None
    for file in lake.files(table):
        try:
            modified = file.stat().st_mtime_ns
        except FileNotFoundError:  # removed meanwhile
            continue
        study = file.parents[1] if partitioned else file.parent
        key = file.parent.name.partition("=")[2] if partitioned else ""
        found.append(Part(study.name.partition("=")[2], key, file, modified))
    return tuple(found)


def _logs(lake: Lake) -> tuple[Part, ...]:
    return tuple(
        Part(file.parent.name.partition("=")[2], "", file, file.stat().st_mtime_ns)
        for file in log_files(lake)
    )


def _holding(parts: Sequence[Part]) -> Holding:
    footers = [_footer(part) for part in parts]
    return Holding(
        tuple(part.key for part in parts),
        sum(rows for rows, _ in footers if rows is not None),
        sum(size for _, size in footers),
        min(part.modified_ns for part in parts) / 1e9,
        max(part.modified_ns for part in parts) / 1e9,
        tuple(p.key for p, (rows, _) in zip(parts, footers, strict=True) if rows is None),
    )


@lru_cache(maxsize=50_000)
def _footer(part: Part) -> tuple[int | None, int]:
    """Rows and bytes of a file; None where it is no Parquet."""
    try:
        return int(pq.read_metadata(part.file).num_rows), part.file.stat().st_size
    except (OSError, pa.ArrowException):
        return None, 0


def _size(kept: Mapping[object, pl.DataFrame]) -> int:
    return sum(int(frame.estimated_size()) for frame in kept.values())
