"""Small frames that fit the table contract."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dagster_project.lake.columns import Table
from dagster_project.lake.schemas import TABLES
from dagster_project.lake.store import Lake

Row = dict[str, object]


def filler(dtype: pl.DataType) -> object:
    """A value where a test does not care."""
    if isinstance(dtype, pl.List):
        return []
    if dtype == pl.String:
        return ""
    return False if dtype == pl.Boolean else 0


def frame(table: str, rows: Sequence[Row]) -> pl.DataFrame:
    """Rows of a table; columns that a row leaves out are null, or a filler where they cannot be."""
    spec: Table = TABLES[table]
    empty = {c.name: None if c.nullable else filler(c.dtype) for c in spec.columns}
    return pl.DataFrame([{**empty, **row} for row in rows], schema=spec.file_schema)


def put(lake: Lake, table: str, rows: Sequence[Row], version: str = "v1", **keys: str) -> None:
    """Write one partition of a lake."""
    with lake.writer(table, version, **keys) as out:
        out.append(frame(table, rows))


def losses(doc_id: int, *values: float) -> pl.DataFrame:
    """Losses of the predicted tokens of one document."""
    rows: list[Row] = [{"doc_id": doc_id, "pos": i, "loss": v} for i, v in enumerate(values, 1)]
    return frame("losses", rows)
