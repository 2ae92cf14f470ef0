"""One partition, written as a stream of row groups and committed in one rename.

Rows are buffered until a row group is full (122,880 rows or 64 MiB), each group is sorted by the
table's key, so that statistics prune, and written as zstd Parquet to
`part-0.<host>~<pid>~<uuid>.tmp` beside the target. A clean exit syncs that file and its folder
and renames it; an exception removes it, and what was committed before stays. Whoever writes a
partition next removes what killed writers left behind. The bytes depend on the appended frames
and the version alone. Two writers of one partition do not see each other: the last rename wins.
"""

from __future__ import annotations

import os
import platform
import re
import time
import uuid
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from dagster_project.lake.columns import Table
from dagster_project.lake.errors import LakeError
from dagster_project.lake.rows import conform
from dagster_project.lake.schemas import CONTRACT_VERSION

FILE_NAME = "part-0.parquet"
GROUP_ROWS = 122_880  # rows: DuckDB's own row group, the unit of its parallelism
GROUP_BYTES = 64 << 20  # bytes, uncompressed: bounds memory where rows are long (texts, gradients)
LEFT_BEHIND = 3600.0  # seconds after which another host's temporary file counts as abandoned

VERSION_KEY = b"circuit_lake.data_version"
CONTRACT_KEY = b"circuit_lake.contract_version"
TABLE_KEY = b"circuit_lake.table"
PACKAGE_KEY = b"circuit_lake.package_version"


class Held(NamedTuple):
    """A finished partition that waits to be committed, with others or after checks."""

    table: str
    temporary: Path
    target: Path
    rows: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.temporary.stat().st_size

    def commit(self) -> None:
        with _reported(self.target):
            put_in_place(self.temporary, self.target)

    def set_aside(self) -> Path:
        """Keep it for whoever looks into it, under a name that no reader knows."""
        return self.temporary.replace(self.target.with_suffix(".rejected"))

    def drop(self) -> None:
        self.temporary.unlink(missing_ok=True)


class PartitionWriter:
    """Context manager that appends frames to one partition and commits it when left in peace.

    held: a list that takes the finished partition instead.
    """

    def __init__(
        self, table: Table, target: Path, version: str, held: list[Held] | None = None
    ) -> None:
        self.rows = 0  # appended so far
        self._held = held
        self._table, self._target = table, target
        self._schema = table.arrow_schema.with_metadata(_footer(table, version))
        self._buffer: list[pl.DataFrame] = []
        self._buffered = 0.0  # bytes in the buffer
        self._written = 0  # rows in row groups
        self._temporary: Path | None = None
        self._file: pq.ParquetWriter | None = None

    def __enter__(self) -> PartitionWriter:
        with _reported(self._target):
            self._target.parent.mkdir(parents=True, exist_ok=True)
            remove_left_behind(self._target.parent)
            self._temporary = temporary_beside(self._target)
            self._file = pq.ParquetWriter(
                self._temporary,
                self._schema,
                compression="zstd",
                compression_level=3,
                write_page_checksum=True,
                **self._table.encodings,
            )
        return self

    def append(self, frame: pl.DataFrame) -> None:
        """Add rows. Raises SchemaError where they are not what the table contract says."""
        if self._file is None:
            raise LakeError(f"{self._target}: the writer is not open, use it in a with statement")
        rows = conform(self._table, frame, self.rows)
        self.rows += rows.height
        self._buffer.append(rows)
        self._buffered += rows.estimated_size()
        if self.rows - self._written >= GROUP_ROWS:
            self._flush(keep_rest=True)
        elif self._buffered >= GROUP_BYTES:
            self._flush(keep_rest=False)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            self._close()

    def _commit(self) -> None:
        assert self._file is not None
        assert self._temporary is not None
        self._flush(keep_rest=False)
        with _reported(self._target):
            self._file.close()
            finished = Held(self._table.name, self._temporary, self._target, self.rows)
            if self._held is None:
                finished.commit()
            else:
                self._held.append(finished)
            self._temporary = None

    def _close(self) -> None:
        """Free the file and whatever is left of it."""
        if self._file is not None:
            with suppress(Exception):  # a full disk fails again on closing
                self._file.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
        self._file = self._temporary = None
        self._buffer = []

    def _flush(self, *, keep_rest: bool) -> None:
        """Write the buffer as row groups; keep_rest: what does not fill a group stays in it."""
        if not self._buffer:
            return
        rows = pl.concat(self._buffer)
        end = rows.height - rows.height % GROUP_ROWS if keep_rest else rows.height
        for start in range(0, end, GROUP_ROWS):
            self._write_group(rows[start : min(start + GROUP_ROWS, end)])
        self._written += end
        self._buffer = [rows[end:]] if end < rows.height else []
        self._buffered = sum(f.estimated_size() for f in self._buffer)

    def _write_group(self, rows: pl.DataFrame) -> None:
        assert self._file is not None
        if self._table.key:
            rows = rows.sort(self._table.key, maintain_order=True)
        arrow = rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(self._schema)
        with _reported(self._target):
            self._file.write_table(arrow, row_group_size=GROUP_ROWS)


def temporary_beside(target: Path) -> Path:
    """A name for a file that is to become the target; it says which process writes it."""
    stem = target.name.split(".")[0]
    return target.with_name(f"{stem}.{host()}~{os.getpid()}~{uuid.uuid4().hex}.tmp")


def put_in_place(temporary: Path, target: Path) -> None:
    """Make a finished file the target, durably: readers see the old one or the new one."""
    _sync(temporary)
    temporary.replace(target)
    for folder in list(target.parents)[:3]:  # the partition's folder and those made for it
        _sync(folder)


def remove_left_behind(folder: Path) -> None:
    """Remove temporary files of writers that are dead (this host) or long silent (others)."""
    for file in folder.glob("*.tmp"):
        with suppress(FileNotFoundError):  # another writer was faster
            if abandoned(file):
                file.unlink()


def abandoned(file: Path) -> bool:
    """A temporary file whose writer is dead, as far as can be told. Raises FileNotFoundError."""
    parts = file.name.split("~")
    if len(parts) == 3 and parts[0].endswith(f".{host()}") and parts[1].isdigit():
        return not alive(int(parts[1]))
    return time.time() - file.stat().st_mtime > LEFT_BEHIND


def alive(pid: int) -> bool:
    """There is a process with this number on this host."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # not ours to signal
    return True


def host() -> str:
    """This machine's name, fit for file names."""
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "host"


def _footer(table: Table, version: str) -> dict[bytes, bytes]:
    return {
        VERSION_KEY: version.encode(),
        CONTRACT_KEY: str(CONTRACT_VERSION).encode(),
        TABLE_KEY: table.name.encode(),
        PACKAGE_KEY: package_version().encode(),
    }


def package_version() -> str:
    """Version of the installed package; recorded, never compared."""
    try:
        return metadata.version("circuit-lake")
    except metadata.PackageNotFoundError:
        return "unknown"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _reported:  # noqa: N801  # reads as a word of the with statement
    """Failures of the file system as LakeErrors that name the partition."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: object, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError | pa.ArrowException):
            raise LakeError(f"{self._target}: cannot be written: {error}") from error
