"""Sources: a file, a hub data set or the generator as a stream of rows, each a document's bytes.

A row of `*.jsonl` and `*.jsonl.zst` is a line; of `*.txt` a line, or what stands between
separators; of `*.parquet` and of hub data sets a record, put into the line form; of the generator,
which has no end, a generated line. Rows are numbered by what the source holds, readable or not, so
that numbers never shift; a row of a file that is longer than MAX_ROW is read as TOO_LONG, which no
reader takes for a document. Cost: one chunk and one row in memory, of hub data sets and Parquet a
batch of records. Reading from row n seeks in plain line files and starts there in generated
documents; otherwise it passes over what comes before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, TypeAlias

import polars as pl
import zstandard

from dagster_project.studies.study import CorpusSpec

Kind: TypeAlias = Literal[".jsonl", ".jsonl.zst", ".txt", ".parquet", "hub", "embedded"]

SUFFIXES: tuple[Kind, ...] = (".jsonl", ".jsonl.zst", ".txt", ".parquet")
HUB = "hub:"  # starts the path of a hub data set
EMBEDDED: Literal["embedded"] = "embedded"  # the path of generated documents
RECORD_KEYS = ("meta", "pile_set_name")  # read of a record besides its text
CHUNK = 1 << 20  # bytes read at a time
MAX_ROW = 64 << 20  # bytes of a row in a file; what a missing newline or a zstd bomb is cut off at
TOO_LONG = b"\xff: a row of more than 64 MiB"  # stands for a longer row; neither UTF-8 nor JSON
BATCH = 1024  # Parquet rows read at a time


class CorpusError(ValueError):
    """A corpus that cannot be read; the text names the file and row, found and expected."""


class Row(NamedTuple):
    """One row of a source."""

    raw: bytes  # a JSON object; in *.txt files the text itself
    first_byte: int | None  # its offset, where reading can start there


class Stamp(NamedTuple):
    """What a file's content is judged unchanged by; nulls for a stream, which is read anew."""

    size: int | None  # bytes
    modified_ns: int | None


@dataclass(frozen=True)
class Source:
    """One file, one split of a hub data set, or generated documents."""

    path: str  # absolute path of a file, hub:<id>, or EMBEDDED
    kind: Kind
    text_field: str = "text"
    separator: str = "<|endoftext|>"  # of *.txt; empty: every line is a document
    revision: str = ""  # of a hub data set
    split: str = "train"  # of a hub data set
    seed: int = 0  # of generated documents

    @property
    def generated(self) -> bool:
        """Whether rows are made, not read: `digest` identifies them, and they have no end."""
        return self.kind == EMBEDDED

    @property
    def read_as(self) -> str:
        """What decides which bytes are which row."""
        if self.kind == ".txt":
            return f"text split at {json.dumps(self.separator or chr(10))}"
        if self.kind == ".parquet":
            return f"records with column {self.text_field}"
        if self.kind == "hub":
            return f"split {self.split} at {self.revision or 'default'}, column {self.text_field}"
        if self.generated:
            from dagster_project.embedded.corpus import VERSION

            return f"generated, version {VERSION}, seed {self.seed}"
        return "lines"

    @property
    def pinned(self) -> bool:
        """Whether `read_as` says what it holds: generated documents, and a data set on the hub at
        a named revision."""
        if self.generated:
            return True
        is_hub = self.kind == "hub" and not Path(self.path.removeprefix(HUB)).is_dir()
        return is_hub and bool(self.revision)

    def stamp(self) -> Stamp:
        """Size and modification time. Raises CorpusError where the file is gone."""
        if self.generated or self.kind == "hub":
            return Stamp(None, None)
        with _readable(self.path):
            stat = Path(self.path).stat()
        return Stamp(stat.st_size, stat.st_mtime_ns)

    def digest(self, first_row: int, rows: int) -> str:
        """What identifies generated rows, 32 hexadecimal digits; none of them is made for it."""
        made_of = f"{self.read_as}, rows {first_row} to {first_row + rows - 1}"
        return hashlib.blake2b(made_of.encode(), digest_size=16).hexdigest()

    def rows(self, first_row: int = 0, first_byte: int | None = None) -> Iterator[Row]:
        """Rows from first_row on; first_byte, where known, saves passing over those before.

        Raises CorpusError where the source is gone, damaged, or has no such column.
        """
        with _readable(self.path):
            if self.generated:
                yield from _generated_rows(self.seed, first_row)
            elif self.kind == "hub":
                yield from _hub_rows(self, first_row)
            elif self.kind == ".parquet":
                yield from _parquet_rows(self.path, self.text_field, first_row)
            elif first_byte is not None:
                yield from _file_rows(self, first_byte)
            else:
                yield from islice(_file_rows(self, 0), first_row, None)


def find_sources(patterns: list[str], spec: CorpusSpec) -> list[Source]:
    """Files that match absolute globs, sorted by path.

    Raises CorpusError for a suffix that is none of SUFFIXES.
    """
    found = {path for pattern in patterns for path in _matches(Path(pattern))}
    return [source_at(str(path), spec) for path in sorted(found) if path.is_file()]


def source_at(path: str, spec: CorpusSpec) -> Source:
    """The source at a path: a file, `hub:` and a data set's id or folder, or EMBEDDED."""
    return Source(
        path,
        _kind(path),
        spec.text_field,
        spec.separator,
        spec.revision,
        spec.split,
        spec.seed,
    )


def _matches(pattern: Path) -> Iterator[Path]:
    return Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))


def _kind(path: str) -> Kind:
    if path == EMBEDDED:
        return EMBEDDED
    if path.startswith(HUB):
        return "hub"
    for suffix in SUFFIXES:
        if path.endswith(suffix):
            return suffix
    raise CorpusError(f"{path}: expected a file name that ends in one of {', '.join(SUFFIXES)}")


def _generated_rows(seed: int, first_row: int) -> Iterator[Row]:
    """Without end."""
    from dagster_project.embedded.corpus import line

    for row in count(first_row):
        yield Row(line(seed, row), None)


def _file_rows(source: Source, first_byte: int) -> Iterator[Row]:
    is_text = source.kind == ".txt"
    separator = source.separator if is_text and source.separator else "\n"
    with Path(source.path).open("rb") as file:
        if source.kind != ".jsonl.zst":
            file.seek(first_byte)
            yield from _split(file, separator.encode(), first_byte)
            return
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        for raw, _ in _split(stream, b"\n", 0):
            yield Row(raw, None)


def _split(file: BinaryIO, separator: bytes, offset: int) -> Iterator[Row]:
    """What stands between separators; a blank rest at the end of the file is no row.

    Of a row that is longer than MAX_ROW, only the length is kept, in `dropped`.
    """
    buffer, searched, dropped = bytearray(), 0, 0
    while chunk := file.read(CHUNK):
        buffer += chunk
        while (end := buffer.find(separator, searched)) >= 0:
            yield _row(buffer, end, dropped, offset)
            del buffer[: end + len(separator)]
            offset, searched, dropped = offset + dropped + end + len(separator), 0, 0
        searched = max(0, len(buffer) - len(separator) + 1)
        if dropped + searched > MAX_ROW:
            del buffer[:searched]
            dropped, searched = dropped + searched, 0
    if dropped or buffer.strip():
        yield _row(buffer, len(buffer), dropped, offset)


def _row(buffer: bytearray, end: int, dropped: int, first_byte: int) -> Row:
    """The row that ends there in the buffer, `dropped` bytes of it being gone."""
    return Row(TOO_LONG if dropped + end > MAX_ROW else bytes(buffer[:end]), first_byte)


def _parquet_rows(path: str, text_field: str, first_row: int) -> Iterator[Row]:
    frame = pl.scan_parquet(path, glob=False)
    schema = frame.collect_schema()
    if schema.get(text_field) != pl.String:
        found = schema.get(text_field, f"only the columns {', '.join(schema)}")
        raise CorpusError(f"{path}: expected a column {text_field} of strings, found {found}")
    keys = [text_field, *(key for key in RECORD_KEYS if key in schema)]
    wanted = frame.select(keys).slice(first_row)
    for batch in wanted.collect_batches(chunk_size=BATCH, maintain_order=True):
        for record in batch.iter_rows(named=True):
            yield Row(_line(record), None)


def _hub_rows(source: Source, first_row: int) -> Iterator[Row]:
    import datasets

    name = source.path.removeprefix(HUB)
    stream = datasets.load_dataset(
        name, revision=source.revision or None, split=source.split, streaming=True
    )
    keys = (source.text_field, *RECORD_KEYS)
    for record in stream.skip(first_row):
        yield Row(_line({key: record[key] for key in keys if key in record}), None)


def _line(record: dict[str, object]) -> bytes:
    return json.dumps(record, default=str).encode()


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Library errors of reading as CorpusError."""
    try:
        yield
    except CorpusError:
        raise
    except FileNotFoundError as error:
        gone = "not within reach" if path.startswith(HUB) else "no such file"
        raise CorpusError(f"{path}: {gone} ({_first_line(error)})") from error
    except (OSError, ValueError, zstandard.ZstdError, pl.exceptions.PolarsError) as error:
        raise CorpusError(f"{path}: cannot be read ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
