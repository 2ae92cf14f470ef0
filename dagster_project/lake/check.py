"""Is what lies in a lake what it should be? `python -m dagster_project.lake.check [--mend]`.

Every partition is read whole: footer, schema, the checksum of each page (a flipped bit), row
counts, nulls where there may be none, and the statistics by which readers skip row groups, against
the values. What lies beside partitions is looked through as well: temporary files of writers that
are dead, partitions that failed a check or were set aside, and whatever is none of the lake's.

`--mend` removes what dead writers left and sets damaged partitions aside (`part-0.damaged`), so
that readers go on without them and the next run makes them again; the rest is only told. Nothing
else is changed, and a lake can be checked while it is written and read. Cost: two reads of the
lake; memory: two row groups.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from polars.exceptions import PanicException, PolarsError

from dagster_project.lake.columns import Table
from dagster_project.lake.errors import LakeError
from dagster_project.lake.schemas import TABLES
from dagster_project.lake.store import Lake, footer
from dagster_project.lake.writer import FILE_NAME, abandoned

Kind: TypeAlias = Literal["damaged", "unfinished", "set aside", "foreign"]
ASIDE = (".rejected", ".damaged")
CATALOG = "catalog.duckdb"


class Finding(NamedTuple):
    """Something that is not as it should be."""

    kind: Kind
    path: Path
    what: str
    file: tuple[int, int] = (0, 0)  # which it was: inode and time of change


class DamagedError(Exception):
    """What is wrong with a partition."""


_UNREADABLE = (
    LakeError,
    DamagedError,
    OSError,
    ValueError,  # text in statistics that is none
    pa.ArrowException,
    PolarsError,
    PanicException,
)


def findings(lake: Lake) -> Iterator[Finding]:
    """All that is not as it should be, table by table."""
    for name, table in TABLES.items():
        for file in lake.files(name):
            if (which := _which(file)) and (what := damage(table, file)):
                yield Finding("damaged", file, what, which)
        yield from _beside(lake.root / name, table.path_keys)
    for path in sorted(lake.root.glob("*")):
        known = path.name in TABLES or path.name.startswith((CATALOG, "_", "."))
        if not known:
            yield Finding("foreign", path, "not a table of the lake")


def _which(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def damage(table: Table, file: Path) -> str | None:
    """What is wrong with a partition's file; None: nothing, or it has gone meanwhile."""
    try:
        stated = footer(table, file)
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            _check_schema(table, opened.schema_arrow)
            groups = [stated.row_group(group).num_rows for group in range(stated.num_row_groups)]
            if sum(groups) != stated.num_rows:
                raise DamagedError(f"{sum(groups)} rows in a file that says {stated.num_rows}")
            at = 0
            for group in range(stated.num_row_groups):
                rows = opened.read_row_group(group)
                _check_group(table, stated.row_group(group), rows)
                _check_again(file, at, rows)
                at += rows.num_rows
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        return " ".join(str(error).split())
    return None


def _check_schema(table: Table, found: pa.Schema) -> None:
    expected = table.arrow_schema
    missing = [f.name for f in expected if f.name not in found.names and not f.nullable]
    foreign = [name for name in found.names if name not in expected.names]
    both = set(found.names) & set(expected.names)
    other = sorted(n for n in both if found.field(n).type != expected.field(n).type)
    for what, names in (("missing", missing), ("unknown", foreign), ("of another type", other)):
        if names:
            raise DamagedError(f"columns {what}: {', '.join(names)}")


def _check_again(file: Path, at: int, rows: pa.Table) -> None:
    """Polars, which is stricter with headers, finds the same rows."""
    found = pl.scan_parquet(file, glob=False).slice(at, rows.num_rows).collect()
    expected = pl.from_arrow(rows)
    if not (isinstance(expected, pl.DataFrame) and found.equals(expected)):
        raise DamagedError(f"rows from {at} on differ between Arrow and Polars")


def _check_group(table: Table, stated: pq.RowGroupMetaData, rows: pa.Table) -> None:
    if stated.num_rows != rows.num_rows:
        raise DamagedError(f"{rows.num_rows} rows in a row group that says {stated.num_rows}")
    for place in range(stated.num_columns):
        column = stated.column(place)
        if column.path_in_schema not in rows.column_names:
            continue  # a leaf of a list or struct, which prunes nothing
        values = rows.column(column.path_in_schema)
        if column.num_values != rows.num_rows:
            counted = f"{rows.num_rows} values, not {column.num_values}"
            raise DamagedError(f"{column.path_in_schema}: {counted}")
        if values.null_count and not table.column(column.path_in_schema).nullable:
            raise DamagedError(f"{column.path_in_schema}: {values.null_count} nulls")
        _check_statistics(column, values)


def _check_statistics(column: pq.ColumnChunkMetaData, values: pa.ChunkedArray) -> None:
    stated, name = column.statistics, column.path_in_schema
    if stated is None:
        return
    if stated.has_null_count and stated.null_count != values.null_count:
        found = f"{stated.null_count} nulls, not {values.null_count}"
        raise DamagedError(f"{name}: statistics say {found}")
    if not stated.has_min_max:
        return
    ends = pc.min_max(values).as_py()  # without nulls and NaN
    low, high = ends["min"], ends["max"]
    if low is not None and not (stated.min <= low and high <= stated.max):
        says = f"{stated.min!r} to {stated.max!r}"
        raise DamagedError(f"{name}: statistics say {says}, not {low!r} to {high!r}")


def _beside(folder: Path, keys: Sequence[str]) -> Iterator[Finding]:
    """What lies below a table's folder and is no committed partition."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        path = Path(entry.path)
        if keys and entry.is_dir() and entry.name.startswith(f"{keys[0]}="):
            yield from _beside(path, keys[1:])
        elif not keys and entry.name == FILE_NAME:
            continue
        elif not keys and path.suffix in ASIDE:
            yield Finding("set aside", path, "kept for whoever looks into it; may be removed")
        elif not keys and path.suffix == ".tmp":
            yield from _temporary(path)
        else:
            yield Finding("foreign", path, "neither a partition nor a folder of partitions")


def _temporary(path: Path) -> Iterator[Finding]:
    try:
        if abandoned(path):
            yield Finding("unfinished", path, "its writer is dead")
    except FileNotFoundError:  # committed meanwhile
        return


def mend(found: Finding) -> str:
    """Do what can be done without losing anything; what was done, or "" where nothing was."""
    if found.kind == "unfinished":
        found.path.unlink(missing_ok=True)
        return "removed"
    if found.kind == "damaged" and _which(found.path) == found.file:  # not replaced meanwhile
        aside = found.path.with_suffix(".damaged")
        found.path.replace(aside)
        return f"set aside as {aside.name}: materialize the partition again"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was found; 0 where all is well or mended, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m dagster_project.lake.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = os.environ.get("CIRCUIT_LAKE_ROOT", "lake")
    parser.add_argument("--root", default=default, help="the lake")
    parser.add_argument("--mend", action="store_true", help="remove and set aside")
    options = parser.parse_args(arguments)
    lake, left, n_found = Lake(Path(options.root)), 0, 0
    if not lake.root.is_dir():
        sys.stderr.write(f"{lake.root}: expected a lake, found no folder\n")
        return 2
    for found in findings(lake):
        done = mend(found) if options.mend else ""
        n_found += 1
        left += found.kind in ("damaged", "unfinished") and not done
        place = found.path.relative_to(lake.root)
        sys.stdout.write(f"{found.kind}: {place}: {found.what}{f' ({done})' if done else ''}\n")
    partitions = sum(len(lake.files(name)) for name in TABLES)
    sys.stdout.write(f"{partitions} partitions, {n_found or 'nothing'} to tell\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
