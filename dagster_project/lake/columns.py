"""Columns and tables as data: dtype, unit, nullability, meaning, and the schemas derived from them.

A table's files hold its `columns`; `study` and the partition key are columns of the path
(`study=…/shard=…`), strings, and join the others on reading. Polars dtypes are the source;
Arrow and SQL types follow from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import polars as pl
import pyarrow as pa

PartitionKey: TypeAlias = Literal["shard", "task", "clustering", "point"]


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    dtype: pl.DataType
    doc: str  # what it says, one line
    unit: str = ""  # nats, tokens, bytes, …; empty where there is none
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """One table of the lake."""

    name: str
    doc: str  # what a row is
    partition: PartitionKey | None  # second level of the path; None: the study alone
    key: tuple[str, ...]  # with the path's columns, unique to a row; row groups are sorted by it
    columns: tuple[Column, ...]  # of the files

    @property
    def path_keys(self) -> tuple[str, ...]:
        """Columns that the path holds."""
        return ("study", self.partition) if self.partition else ("study",)

    @property
    def file_schema(self) -> pl.Schema:
        """Polars schema of a file."""
        return pl.Schema({c.name: c.dtype for c in self.columns})

    @property
    def schema(self) -> pl.Schema:
        """Polars schema of a scan: the path's columns, then the file's."""
        return pl.Schema({**dict.fromkeys(self.path_keys, pl.String()), **self.file_schema})

    @property
    def arrow_schema(self) -> pa.Schema:
        """Arrow schema of a file, nullability and documentation included."""
        return pa.schema([_arrow_field(column) for column in self.columns])

    @property
    def encodings(self) -> dict[str, list[str]]:
        """How a file's leaves are encoded: numbers with a fraction byte by byte, so that zstd finds
        their signs and exponents together (a quarter smaller); the rest by dictionary."""
        leaves = [leaf for field in self.arrow_schema for leaf in _leaves(field.name, field.type)]
        split = [path for path, kind in leaves if pa.types.is_floating(kind)]
        rest = [path for path, _ in leaves if path not in split]
        return {"use_byte_stream_split": split, "use_dictionary": rest}

    @property
    def sql_types(self) -> dict[str, str]:
        """DuckDB type of each column of a scan."""
        return {name: sql_type(dtype) for name, dtype in self.schema.items()}

    def column(self, name: str) -> Column:
        """A column of the files by name. Raises KeyError."""
        return {c.name: c for c in self.columns}[name]


BOOL, STRING = pl.Boolean(), pl.String()
F32, F64 = pl.Float32(), pl.Float64()
I8, I16, I32, I64 = pl.Int8(), pl.Int16(), pl.Int32(), pl.Int64()
U8, U16, U32 = pl.UInt8(), pl.UInt16(), pl.UInt32()


def column(name: str, dtype: pl.DataType, doc: str, unit: str = "") -> Column:
    """A column without nulls."""
    return Column(name, dtype, doc, unit)


def nullable(name: str, dtype: pl.DataType, doc: str, unit: str = "") -> Column:
    """A column that may hold nulls, and is all null where a writer leaves it out."""
    return Column(name, dtype, doc, unit, nullable=True)


def table(name: str, partition: PartitionKey | None, key: str, doc: str, *columns: Column) -> Table:
    """A table; key: names of columns, separated by spaces."""
    return Table(name, doc, partition, tuple(key.split()), columns)


DOC = column("doc_id", I64, "Document: shard ordinal × 1,000,000 + row")
POS = column("pos", U16, "Position in the document", "tokens")
SITE = column("site", STRING, "Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i")
FEATURE = column("feature", I32, "Feature of the site's dictionary; −1: the error node")
TOKEN = column("token_id", U32, "Token in the tokenizer's vocabulary")


def arrow_type(dtype: pl.DataType) -> pa.DataType:
    """The Arrow type that a polars dtype is stored as. Raises KeyError for one not in use."""
    if isinstance(dtype, pl.List):
        return pa.list_(arrow_type(_inner(dtype)))
    if isinstance(dtype, pl.Struct):
        return pa.struct([pa.field(f.name, arrow_type(_instance(f.dtype))) for f in dtype.fields])
    return _ARROW[dtype.base_type()]


def sql_type(dtype: pl.DataType) -> str:
    """The DuckDB type that a polars dtype reads as. Raises KeyError for one not in use."""
    if isinstance(dtype, pl.List):
        return f"{sql_type(_inner(dtype))}[]"
    if isinstance(dtype, pl.Struct):
        parts = (f'"{f.name}" {sql_type(_instance(f.dtype))}' for f in dtype.fields)
        return f"STRUCT({', '.join(parts)})"
    return _SQL[dtype.base_type()]


def _arrow_field(column: Column) -> pa.Field:
    text = f"{column.doc} [{column.unit}]" if column.unit else column.doc
    kind = arrow_type(column.dtype)
    return pa.field(column.name, kind, column.nullable, metadata={"doc": text})


def _leaves(path: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """Path, as Parquet names it, and type of each leaf of a column."""
    if pa.types.is_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{path}.{field.name}", field.type)
    else:
        yield path, kind


def _inner(dtype: pl.List) -> pl.DataType:
    return _instance(dtype.inner)


def _instance(dtype: object) -> pl.DataType:
    kind = dtype() if isinstance(dtype, type) else dtype
    assert isinstance(kind, pl.DataType)
    return kind


_SQL: dict[type[pl.DataType], str] = {
    pl.Boolean: "BOOLEAN",
    pl.Int8: "TINYINT",
    pl.Int16: "SMALLINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.UInt8: "UTINYINT",
    pl.UInt16: "USMALLINT",
    pl.UInt32: "UINTEGER",
    pl.UInt64: "UBIGINT",
    pl.Float32: "FLOAT",
    pl.Float64: "DOUBLE",
    pl.String: "VARCHAR",
}
_ARROW: dict[type[pl.DataType], pa.DataType] = {
    pl.Boolean: pa.bool_(),
    pl.Int8: pa.int8(),
    pl.Int16: pa.int16(),
    pl.Int32: pa.int32(),
    pl.Int64: pa.int64(),
    pl.UInt8: pa.uint8(),
    pl.UInt16: pa.uint16(),
    pl.UInt32: pa.uint32(),
    pl.UInt64: pa.uint64(),
    pl.Float32: pa.float32(),
    pl.Float64: pa.float64(),
    pl.String: pa.large_string(),
}
