"""What is asked at the command line, as one SQL text: a shipped question, macro or table with
values for its parameters and conditions on its columns, or a file with values for its parameters.

`loss_by_subset study=embedded` keeps the rows of a study, `loss_by_token easiest=true` gives a
parameter; a name that is both is the parameter. `null` stands for null. Values become literals of
the type that is expected, so that nothing in them is SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from dagster_project.lake import hints
from dagster_project.lake.errors import LakeError
from dagster_project.lake.queries import SqlFile, askable, literal, read, shipped

Values = dict[str, str | None]


def statement_of(connection: duckdb.DuckDBPyConnection, given: Sequence[str]) -> str:
    """The SQL of a file or of a shipped question, then `name=value`. Raises LakeError."""
    name, *arguments = given
    file = _file(name)
    parameters, conditions = _values(file, arguments)
    _check_parameters(connection, file, parameters)
    sql = file.filled(parameters)
    if not file.kind:
        _refuse(file, conditions, ())
        return sql
    if not file.makes_a_table:
        _refuse(file, conditions, ())
        return f"select {sql} as {file.name}"
    return f"from (\n{sql}\n){_where(connection, file, sql, conditions)}"


def why_no_rows(connection: duckdb.DuckDBPyConnection, given: Sequence[str]) -> list[str]:
    """Of what was asked and has no rows: each value that is none of those there are, with these."""
    file = _file(given[0])
    parameters, conditions = _values(file, given[1:])
    sql = file.filled(parameters)
    study = parameters.get("study", conditions.get("study"))
    lines = []
    for name, value in (parameters | conditions).items():
        known = hints.values_of_column(connection, sql, name) if name in conditions else set()
        known = known or hints.values_of_parameter(connection, name, study)
        if value is not None and known and value not in known:
            lines.append(hints.none_of(name, value, known))
    return lines


def _file(name: str) -> SqlFile:
    """What is shipped under a name, or the file."""
    known = shipped("views") | askable()
    if (found := name.removeprefix("queries.")) in known:
        return known[found]
    if Path(name).is_file():
        return replace(read(Path(name)), name=name)
    listed = f"; questions and macros are: {', '.join(sorted(askable()))}"
    hint = hints.did_you_mean(name, known) or listed
    raise LakeError(f"{name}: no file, question, macro or table{hint}")


def _values(file: SqlFile, arguments: Sequence[str]) -> tuple[Values, Values]:
    """What is given: for parameters, and of columns."""
    values: Values = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not (name and equals):
            raise LakeError(f"{file.name}: expected name=value, found {argument!r}")
        if name in values:
            raise LakeError(f"{file.name}: {name} is given twice")
        values[name] = None if value == "null" else value
    parameters = {p.name: values[p.name] for p in file.parameters if p.name in values}
    return parameters, {name: v for name, v in values.items() if name not in parameters}


def _check_parameters(
    connection: duckdb.DuckDBPyConnection, file: SqlFile, given: Mapping[str, str | None]
) -> None:
    """Raises LakeError for what is missing and for a value that does not fit."""
    lines = [f"  {p.name} ({p.type}): {p.doc}" for p in file.parameters if p.type]
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
    nearest = hints.did_you_mean(name, [*parameters, *columns])
    raise LakeError(f"{file.name}: no parameter or column {name!r} ({listed}){nearest}")
