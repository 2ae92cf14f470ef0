"""A process that answers one statement, or says why not, and ends.

`python -m dashboards.sandbox.worker`: a Task as JSON on standard input, an answer as JSON on
standard output. Before DuckDB is opened the process gives up what it does not need: it may write no
file, hold no more memory than asked, live no longer than asked (an alarm, which no long call holds
up), and its environment is empty. The database is opened read-only, without access to files, and
its settings are locked. Cost: 0.2 s of imports, and 0.1 s beside the statement's own.
"""

from __future__ import annotations

import json
import math
import os
import re
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

import duckdb

from dashboards.sandbox.statement import RefusedError, admitted

MOST_COLUMNS = 256
EXACT = 2**53  # integers that a browser's numbers hold
BATCH = 256  # rows fetched at a time
WHOLE = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
)
LARGE = re.compile(r"U?HUGEINT|BIGNUM|DECIMAL\(\d+,\d+\)")


class Task(TypedDict):
    """What is asked, and within which bounds."""

    file: str  # the snapshot
    sql: str
    study: str  # value of $study
    rows: int  # the most that are answered
    cell: int  # characters of a cell
    bytes: int  # of all cells
    memory: int  # bytes that DuckDB may take; the process: three times that
    seconds: int  # of wall time


class Heading(TypedDict):
    """A column of an answer. kind: whole, real, large (a number as text) or text."""

    name: str
    type: str
    kind: str


def main() -> None:
    """Answer the task of standard input."""
    task: Task = json.load(sys.stdin)
    confine(task)
    json.dump(answer(task), sys.stdout, ensure_ascii=True, allow_nan=False)


def confine(task: Task) -> None:
    """Give up what answering does not need, for good."""
    signal.alarm(task["seconds"] + 1)  # kills; the server's own clock comes first
    limits = {
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CPU: 4 * task["seconds"],
        resource.RLIMIT_AS: 3 * task["memory"],
    }
    for kind, most in limits.items():
        with suppress(ValueError, OSError):  # macOS refuses some; DuckDB's bounds remain
            resource.setrlimit(kind, (most, most))
    os.environ.clear()
    os.chdir(Path(task["file"]).parent)


def answer(task: Task) -> dict[str, Any]:
    """Columns and rows, or an error's text."""
    started = time.perf_counter()
    try:
        with opened(task) as connection:
            found = _fetched(connection, task)
    except (RefusedError, duckdb.Error) as error:
        return {"error": _said(error)}
    except MemoryError:
        return {"error": "Out of memory: the answer or a part of it is too large."}
    return {**found, "seconds": time.perf_counter() - started}


def opened(task: Task) -> duckdb.DuckDBPyConnection:
    """The snapshot, read-only and locked."""
    return duckdb.connect(
        Path(task["file"]).name,
        read_only=True,
        config={
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "python_enable_replacements": "false",
            "memory_limit": f"{task['memory']}B",
            "max_temp_directory_size": "0B",
            "temp_directory": "",
            "threads": 2,
            "lock_configuration": "true",
        },
    )


def _fetched(connection: duckdb.DuckDBPyConnection, task: Task) -> dict[str, Any]:
    sql, parameters = admitted(connection, task["sql"])
    values = {"study": task["study"]} if parameters else None
    relation = connection.sql(sql, params=values)
    if len(relation.columns) > MOST_COLUMNS:
        found = f"{len(relation.columns):,} columns"
        raise RefusedError(f"The answer has {found}; at most {MOST_COLUMNS} are shown.")
    types = [str(kind) for kind in relation.types]
    named = zip(relation.columns, types, strict=True)
    columns = [Heading(name=n[:200], type=t[:200], kind=kind_of(t)) for n, t in named]
    cells = ", ".join(_cell(i, c, task["cell"]) for i, c in enumerate(columns, 1))
    limited = relation.limit(task["rows"] + 1).project(cells).sql_query()
    connection.execute(limited, values) if values else connection.execute(limited)
    rows, whole = _within(connection, task)
    return {"columns": columns, "rows": rows, "more": not whole}


def _within(
    connection: duckdb.DuckDBPyConnection, task: Task
) -> tuple[list[tuple[object, ...]], bool]:
    """Rows as far as the bounds go, and whether these are all."""
    rows: list[tuple[object, ...]] = []
    size = 0
    while batch := connection.fetchmany(BATCH):
        for row in batch:
            made = tuple(_value(value, task["cell"]) for value in row)
            size += sum(len(v) if isinstance(v, str) else 8 for v in made)
            if len(rows) == task["rows"] or size > task["bytes"]:
                return rows, False
            rows.append(made)
    return rows, True


def kind_of(type_name: str) -> str:
    """How a column's values are shown."""
    if type_name in WHOLE:
        return "whole"
    if type_name in ("FLOAT", "DOUBLE"):
        return "real"
    return "large" if LARGE.fullmatch(type_name) else "text"


def _cell(place: int, column: Heading, most: int) -> str:
    """SQL of a column's values: numbers as such, all else as DuckDB writes it, cut."""
    if column["type"] == "FLOAT":  # as short as DuckDB writes it: 0.1, not 0.10000000149
        return f"#{place}::varchar::double"
    return (
        f"#{place}"
        if column["kind"] in ("whole", "real")
        else f"left(#{place}::varchar, {most + 1})"
    )


def _value(value: object, most: int) -> str | int | float | None:
    """What JSON and a browser hold without loss."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    if isinstance(value, int) and abs(value) > EXACT:
        return str(value)
    if isinstance(value, str):
        return value if len(value) <= most else value[:most] + "…"
    assert value is None or isinstance(value, int | float)
    return value


def _said(error: Exception) -> str:
    """An error's text, without advice on settings that are locked."""
    text = str(error).split("\n\nPossible solutions", 1)[0].split("\nDatabase is launched", 1)[0]
    return text.replace(str(Path.cwd()), "")[:4000]


if __name__ == "__main__":
    main()
