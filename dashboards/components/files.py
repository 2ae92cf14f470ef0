"""Files that pages offer: frames as CSV that no spreadsheet takes for formulas."""

from __future__ import annotations

import json

import polars as pl

from dashboards.page import Download
from dashboards.text import spreadsheet


def csv(frame: pl.DataFrame) -> Download:
    """A frame as CSV; lists as JSON."""
    return Download(
        frame.select(_cells(frame[name]) for name in frame.columns).write_csv(), "text/csv"
    )


def _cells(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        quoted = [None if v is None else spreadsheet(v) for v in column.to_list()]
        return pl.Series(column.name, quoted, dtype=pl.String)
    if column.dtype.is_nested():
        return pl.Series(column.name, [json.dumps(v, ensure_ascii=False) for v in column.to_list()])
    return column
