"""Rows made to fit the table contract, or refused with the table, column and row at fault.

Integers may change width and become floats, floats may change width, categories become strings;
a value that does not fit, a fraction for an integer or a number for a string is an error. A
column that may be null and is left out becomes null. Cost: one pass over the rows.
"""

from __future__ import annotations

import polars as pl

from dagster_project.lake.columns import Column, Table
from dagster_project.lake.errors import SchemaError


def conform(table: Table, frame: pl.DataFrame, first_row: int = 0) -> pl.DataFrame:
    """The frame with the columns, order and dtypes of the table's files.

    first_row: number of the frame's first row within its partition, for the text of errors.
    Raises SchemaError.
    """
    _check_names(table, frame)
    columns = [_fit(table, column, frame, first_row) for column in table.columns]
    return pl.DataFrame(columns)


def _check_names(table: Table, frame: pl.DataFrame) -> None:
    for name in frame.columns:
        if name in table.file_schema:
            continue
        if name in table.path_keys:
            raise SchemaError(f"{table.name}.{name}: belongs to the path, not to the rows")
        raise SchemaError(
            f"{table.name}.{name}: unknown column, expected {', '.join(table.file_schema)}"
        )
    for column in table.columns:
        if column.name not in frame.columns and not column.nullable:
            raise SchemaError(f"{table.name}.{column.name}: missing, expected {column.dtype}")


def _fit(table: Table, column: Column, frame: pl.DataFrame, first_row: int) -> pl.Series:
    if column.name not in frame.columns:
        return pl.Series(column.name, [None], dtype=column.dtype).new_from_index(0, frame.height)
    found = frame[column.name]
    where = f"{table.name}.{column.name}"
    if found.null_count() and not column.nullable:
        row = first_row + int(found.is_null().arg_true()[0])
        raise SchemaError(f"{where}: null in row {row}, expected {column.dtype} without nulls")
    if not _may_become(found.dtype, column.dtype):
        raise SchemaError(f"{where}: found {found.dtype}, expected {column.dtype}")
    try:
        return found.cast(column.dtype, strict=True)
    except pl.exceptions.PolarsError as error:
        rows = f"rows {first_row}–{first_row + frame.height - 1}"
        reason = str(error).splitlines()[0]
        raise SchemaError(f"{where}: expected {column.dtype} in {rows}: {reason}") from error


def _may_become(found: object, expected: object) -> bool:
    """Whether a cast keeps what the values say."""
    assert isinstance(found, pl.DataType)
    assert isinstance(expected, pl.DataType)
    if found in (expected, pl.Null()):
        return True
    if isinstance(expected, pl.List):
        return isinstance(found, pl.List | pl.Array) and _may_become(found.inner, expected.inner)
    if isinstance(expected, pl.Struct):
        return isinstance(found, pl.Struct) and _structs_fit(found, expected)
    if expected.is_integer():
        return found.is_integer()
    if expected.is_float():
        return found.is_numeric()
    return expected == pl.String and found.base_type() in (pl.Categorical, pl.Enum)


def _structs_fit(found: pl.Struct, expected: pl.Struct) -> bool:
    here, there = dict(found.to_schema()), dict(expected.to_schema())
    return here.keys() == there.keys() and all(_may_become(here[n], there[n]) for n in there)
