"""What is asked at the command line, as one SQL text: a shipped question or macro with values for
its parameters and conditions on its columns, or a file.

`loss_by_subset study=embedded` keeps the rows of a study, `loss_by_token easiest=true` gives a
parameter; a name that is both is the parameter. `null` stands for null. Values become literals of
the type that is expected, so that nothing in them is SQL.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb

from dagster_project.lake.errors import LakeError
from dagster_project.lake.queries import SqlFile, literal, read, shipped

Values = dict[str, str | None]


def statement_of(connection: duckdb.DuckDBPyConnection, given: Sequence[str]) -> str:
    """The SQL of a file or of a shipped question, then `name=value`. Raises LakeError."""
    name, *arguments = given
    file, is_shipped = _file(name)
    values = _values(file, arguments)
    parameters = {k: v for k, v in values.items() if k in {p.name for p in file.parameters}}
    _check_parameters(connection, file, parameters)
    sql = file.filled(parameters)
    conditions = {k: v for k, v in values.items() if k not in parameters}
    if not is_shipped:
        _refuse(file, conditions, ())
        return sql
    if not file.makes_a_table:
        _refuse(file, conditions, ())
        return f"select {sql} as {file.name}"
    return f"from (\n{sql}\n){_where(connection, file, sql, conditions)}"


def _file(name: str) -> tuple[SqlFile, bool]:
    """The file of a name, and whether it is shipped."""
    known = shipped("queries") | shipped("macros")
    if (found := name.removeprefix("queries.")) in known:
        return known[found], True
    if Path(name).is_file():
        return read(Path(name)), False
    text = f"{name}: neither a file nor a shipped question, which are: {', '.join(sorted(known))}"
    raise LakeError(f"{text}{_nearest(name, known)}")


def _values(file: SqlFile, arguments: Sequence[str]) -> Values:
    values: Values = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not (name and equals):
            raise LakeError(f"{file.name}: expected name=value, found {argument!r}")
        if name in values:
            raise LakeError(f"{file.name}: {name} is given twice")
        values[name] = None if value == "null" else value
    return values


def _check_parameters(
    connection: duckdb.DuckDBPyConnection, file: SqlFile, given: Mapping[str, str | None]
) -> None:
    """Raises LakeError for what is missing and for a value that does not fit."""
    lines = [f"  {p.name} ({p.type}): {p.doc}" for p in file.parameters]
    missing = [name for name in file.needed if name not in given]
    if missing:
        example = " ".join([file.name, *(f"{name}=…" for name in file.needed)])
        raise LakeError("\n".join([f"{file.name} needs {', '.join(missing)}: {example}", *lines]))
    for parameter in file.parameters:
        if parameter.name in given:
            _check(connection, file, parameter.name, parameter.type, given[parameter.name])


def _check(
    connection: duckdb.DuckDBPyConnection, file: SqlFile, name: str, kind: str, value: str | None
) -> None:
    try:
        connection.execute(f"select {literal(value, kind)}").fetchall()
    except duckdb.Error as error:
        raise LakeError(f"{file.name}: {name} is {kind.lower()}, found {value!r}") from error


def _where(
    connection: duckdb.DuckDBPyConnection, file: SqlFile, sql: str, conditions: Values
) -> str:
    """Conditions on columns of a table. Raises LakeError where there is none of that name."""
    if not conditions:
        return ""
    described = connection.execute(f"describe from (\n{sql}\n)").fetchall()
    types = {str(name): str(kind) for name, kind, *_ in described}
    _refuse(file, {k: v for k, v in conditions.items() if k not in types}, types)
    for name, value in conditions.items():
        _check(connection, file, name, types[name], value)
    terms = [
        f'"{name}" is null' if value is None else f'"{name}" = {literal(value, types[name])}'
        for name, value in conditions.items()
    ]
    return f"\nwhere {' and '.join(terms)}"


def _refuse(file: SqlFile, unknown: Values, columns: Iterable[str]) -> None:
    """Raises LakeError that lists what could have been given."""
    if not unknown:
        return
    name, parameters = next(iter(unknown)), [p.name for p in file.parameters]
    known = [f"parameters: {', '.join(parameters)}"] if parameters else []
    known += [f"columns: {', '.join(columns)}"] if columns else []
    listed = "; ".join(known) or "it has none"
    nearest = _nearest(name, [*parameters, *columns])
    raise LakeError(f"{file.name}: no parameter or column {name!r} ({listed}){nearest}")


def _nearest(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"\nDid you mean {found[0]}?" if found else ""
