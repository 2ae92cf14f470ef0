"""The rows of one statement as a file: CSV, JSON or Parquet, all of them, in batches.

CSV is made for spreadsheets: text (and a column's name) that a spreadsheet would take for a formula
has a quote before it, lists and structs are JSON. JSON is an array with an object a line; a number
that is not finite is null there, as JSON has none. A file appears when it is whole; `-` is standard
output, which Parquet cannot go to. Memory: one batch of 122,880 rows.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import duckdb
import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.parquet as pq

from dagster_project.lake.errors import LakeError
from dagster_project.lake.writer import put_in_place, temporary_beside

FORMATS = ("csv", "json", "parquet")
BATCH = 122_880  # rows
FORMULA = r"^[=+\-@\t\r]"  # what spreadsheets take for the start of a formula


def write(connection: duckdb.DuckDBPyConnection, sql: str, kind: str, file: str) -> int:
    """Write the answer of one statement; its rows. Raises LakeError."""
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1:
        raise LakeError(f"one statement goes into a file, found {len(statements)}")
    if kind == "parquet" and file == "-":
        raise LakeError("Parquet goes into a file: --parquet FILE")
    if statements[0].expected_result_type != [duckdb.ExpectedResultType.QUERY_RESULT]:
        raise LakeError("the statement has no rows to write")
    reader = connection.sql(statements[0]).to_arrow_reader(BATCH)
    if twice := [n for n, times in Counter(reader.schema.names).items() if times > 1]:
        raise LakeError(f"two columns are named {twice[0]!r}: tell them apart with `as`")
    with _opened(file) as out:
        if kind == "parquet":
            return _parquet(reader, out)
        return (_csv if kind == "csv" else _json)(reader, out)


@contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    """A binary stream whose file appears when it is left in peace. Raises LakeError."""
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    target = Path(file).expanduser().absolute()
    temporary = temporary_beside(target)
    try:
        with temporary.open("wb") as out:
            yield out
        put_in_place(temporary, target)
    except OSError as error:  # of the disk; or of the statement on its way, which Arrow tells so
        raise LakeError(f"{file}: not written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _parquet(reader: pa.RecordBatchReader, out: IO[bytes]) -> int:
    rows = 0
    with pq.ParquetWriter(out, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _csv(reader: pa.RecordBatchReader, out: IO[bytes]) -> int:
    rows = 0
    names = pl.Series(reader.schema.names, dtype=pl.String)
    header = pl.DataFrame([names.str.replace(FORMULA, "'$0")]).transpose()
    header.write_csv(out, include_header=False)
    for batch in reader:
        flat(_frame(batch)).write_csv(out, include_header=False)
        rows += batch.num_rows
    return rows


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows fit for CSV: text that is no formula, JSON for what is no single value."""
    nested = [n for n, kind in frame.schema.items() if kind.is_nested() or kind == pl.Binary]
    columns = [
        pl.Series(
            name, [None if v is None else _dumped(v) for v in frame[name].to_list()], pl.String
        )
        for name in nested
    ]
    texts = frame.with_columns(columns).with_columns(
        cs.by_dtype(pl.Enum, pl.Categorical).cast(pl.String)
    )
    return texts.with_columns(cs.string().str.replace(FORMULA, "'$0"))


def _json(reader: pa.RecordBatchReader, out: IO[bytes]) -> int:
    rows = 0
    out.write(b"[")
    for batch in reader:
        for row in _frame(batch).iter_rows(named=True):
            out.write((",\n" if rows else "\n").encode() + _dumped(row).encode())
            rows += 1
    out.write(b"\n]\n")
    return rows


def _frame(batch: pa.RecordBatch) -> pl.DataFrame:
    frame = pl.from_arrow(pa.Table.from_batches([batch]))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _dumped(value: object) -> str:
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=str)


def _finite(value: object) -> object:
    """The value with null for numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list) else value
