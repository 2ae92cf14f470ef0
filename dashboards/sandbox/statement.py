"""Which statements are answered: one select, over the snapshot's tables and views alone.

DuckDB's own parser reads the statement and hands back its tree; of the tree, what is known to be
harmless is let through (kinds of nodes, tables, functions that make tables) and scalar functions
that tell of the server or wait are not. That no file is written or read, and nothing set, does not
hang on this: the database is read-only, without access to files, its settings locked, in a process
that may write none. It keeps the server's paths and settings from being told, and gives refusals
their words. Pure but for the connection: the worker imports it, so nothing heavy may be here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb

LONGEST = 50_000  # characters of a statement
NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
TABLE_FUNCTIONS = frozenset(
    {"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"}
)
CATALOG_VIEWS = frozenset({("information_schema", "tables"), ("information_schema", "columns")})
TELLING = frozenset(  # functions of the server's state, or that wait, or that run text as SQL
    {
        "current_connection_id",
        "current_query",
        "current_query_id",
        "current_setting",
        "currval",
        "getenv",
        "getvariable",
        "json_execute_serialized_sql",
        "json_serialize_plan",
        "nextval",
        "parse_duckdb_log_message",
        "pg_sleep",
        "setseed",
        "setval",
        "sleep_ms",
        "write_log",
    }
)
PARAMETERS = frozenset({"study"})


class RefusedError(ValueError):
    """A statement that is not answered; the text says why."""


def admitted(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[str, frozenset[str]]:
    """The one select of a text, ready to stand in brackets, and its parameters.

    Raises RefusedError, or duckdb.Error where the text is no SQL.
    """
    if len(sql) > LONGEST:
        raise RefusedError(f"The statement has {len(sql):,} characters; at most {LONGEST:,}.")
    if "\0" in sql:
        raise RefusedError("The statement holds a null character.")
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise RefusedError("The statement is not Unicode: it holds half a character.") from error
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        found = f"{len(statements)} of them" if statements else "none"
        raise RefusedError(f"One select at a time; here are {found}.")
    if (kind := _kind(statements[0])) != "select":
        raise RefusedError(f"Only a select is answered; this is {kind}.")
    parameters = frozenset(statements[0].named_parameters)
    if unknown := parameters - PARAMETERS:
        named = ", ".join(f"${name}" for name in sorted(unknown))
        raise RefusedError(f"{named}: write the value itself. Only $study is filled in.")
    _look_through(connection, _tree(connection, sql))
    return _bare(sql), parameters


def _kind(statement: duckdb.Statement) -> str:
    """What a statement is, in a word or two."""
    try:
        kind = statement.type
    except ValueError:  # one that the Python client has no name for
        return "something else"
    if kind == duckdb.StatementType.MULTI:  # its values are looked up first, and kept as a type
        return "several statements in one (a pivot must name its values: on … in (…))"
    return kind.name.lower()


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    asked = "select json_serialize_sql($1::varchar, skip_empty := true, skip_null := true)"
    row = connection.execute(asked, [sql]).fetchone()
    assert row is not None
    try:
        tree = json.loads(row[0])
    except RecursionError as error:
        raise RefusedError("The statement is nested too deeply.") from error
    if tree["error"] or len(tree["statements"]) != 1:
        raise RefusedError(f"Only a select is answered: {tree.get('error_message', '')}")
    return tree["statements"]


def _look_through(connection: duckdb.DuckDBPyConnection, tree: Any) -> None:
    """Every part of a statement's tree. Raises RefusedError."""
    own = {(s, n) for s, n in _rows(connection, _OWN)}
    macros = {name for (name,) in _rows(connection, _MACROS)}
    internal = {name for (name,) in _rows(connection, _INTERNAL)}
    shared = {entry["key"].lower() for part in _parts(tree) for entry in _ctes(part)}
    if hidden := shared & internal:
        raise RefusedError(f"{min(hidden)} is a name of DuckDB's own; choose another.")
    for part in _parts(tree):
        kind = str(part.get("type", ""))
        if kind.endswith("_NODE") and kind not in NODES:
            verb = kind.removesuffix("_NODE").removesuffix("_QUERY").lower().replace("_", " ")
            raise RefusedError(f"Only a select is answered; this holds {verb}.")
        if kind == "BASE_TABLE":
            _table(part["qualified_name"]["path"], own, shared)
        elif kind == "SHOW_REF":
            _shown(part)
        elif kind == "TABLE_FUNCTION":
            name = part["function"]["function_name"].lower()
            if name not in TABLE_FUNCTIONS | macros:
                raise RefusedError(f"The table function {name} is not available here.")
        elif part.get("class") in ("FUNCTION", "WINDOW", "AGGREGATE"):
            name = str(part.get("function_name", "")).lower()
            if name in TELLING:
                raise RefusedError(f"The function {name} is not available here.")


def _table(path: list[str], own: set[tuple[str, str]], shared: set[str]) -> None:
    *above, name = [part.strip('"').lower() for part in path]
    if not above and (name in shared or ("main", name) in own):
        return
    if above and (above[-1], name) in own | CATALOG_VIEWS and above[:-1] in ([], ["snapshot"]):
        return
    if above == ["snapshot"] and ("main", name) in own:
        return
    said = ".".join(path)
    raise RefusedError(f"There is no table {said[:200]} in the snapshot; files cannot be read.")


def _shown(part: dict[str, Any]) -> None:
    """`describe`, `summarize` and `show tables`, which read as selects."""
    if part.get("show_type") in ("DESCRIBE", "SUMMARY") and "query" in part:
        return
    if str(part.get("table_name", "")).strip('"').lower() != "tables":
        raise RefusedError("Of these, describe, summarize and show tables are answered.")


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON tree; without recursion, for its depth is the reader's."""
    left = [tree]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            yield part
            left.extend(part.values())
        elif isinstance(part, list):
            left.extend(part)


def _ctes(part: dict[str, Any]) -> list[dict[str, Any]]:
    found = part.get("cte_map")
    return found.get("map", []) if isinstance(found, dict) else []


def _bare(sql: str) -> str:
    """A statement without what follows its end: semicolons, and comments after them."""
    text = sql.encode()
    tokens = [start for start, kind in duckdb.tokenize(sql) if kind != duckdb.token_type.comment]
    while tokens and text[tokens[-1] : tokens[-1] + 1] == b";":
        text = text[: tokens.pop()]
    return text.decode()


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = connection.execute(sql).fetchall()
    return rows


_OWN = """
select lower(schema_name), lower(table_name) from duckdb_tables() where not internal
union all
select lower(schema_name), lower(view_name) from duckdb_views() where not internal
"""
_MACROS = "select lower(function_name) from duckdb_functions() where not internal"
_INTERNAL = """
select lower(view_name) from duckdb_views()
where internal and schema_name <> 'information_schema'
"""
