"""Corpus: the append-only manifest of shards, and the rows of a shard.

A shard is a row range of one source; its ordinal never changes. One streaming pass over a source
counts rows and hashes what each range holds. A source whose size, time and way of reading are
known is not read again, nor is a hub data set at a named revision; generated documents are never
read here, since a range's hash follows from what it is made of. A changed source gets new content
hashes under the same ordinals; rows that it gained fill its last shard and then make new shards. A
shard of a vanished source stays in the manifest, one of a shrunken source stays with fewer rows.
Cost: one read of new and changed sources (about 0.2 GB/s), one row in memory. A change of content
that keeps a file's size and modification time, or its revision, goes unseen here; reading the shard
refuses it, since the hash is checked again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count, islice
from typing import NamedTuple

import polars as pl

from dagster_project.interp.sources import CorpusError, Source, Stamp

MANIFEST = pl.Schema(
    {
        "shard": pl.String(),
        "ordinal": pl.UInt32(),
        "path": pl.String(),
        "first_row": pl.Int64(),
        "first_byte": pl.Int64(),
        "rows": pl.UInt32(),
        "size": pl.Int64(),
        "modified_ns": pl.Int64(),
        "read_as": pl.String(),
        "ends_source": pl.Boolean(),
        "content_hash": pl.String(),
    }
)
ROWS_PER_ORDINAL = 1_000_000  # doc_id = ordinal × this + row


@dataclass(frozen=True)
class Shard:
    """A row of the manifest."""

    ordinal: int
    path: str
    first_row: int  # of the source
    first_byte: int | None  # where it starts, in a plain line file
    rows: int  # malformed ones included
    size: int | None  # bytes of the source when last read; null for a stream
    modified_ns: int | None  # of the source when last read; null for a stream
    read_as: str  # how rows were told apart
    ends_source: bool  # no rows came after these when last read
    content_hash: str  # of the rows

    @property
    def key(self) -> str:
        """Partition key."""
        return f"{self.ordinal:05d}"

    @property
    def first_doc_id(self) -> int:
        return self.ordinal * ROWS_PER_ORDINAL


class Range(NamedTuple):
    """What a shard holds of its source."""

    first_row: int
    first_byte: int | None
    rows: int
    ends_source: bool
    content_hash: str


class RowHash:
    """Hash of a sequence of rows: 32 hexadecimal digits."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, raw: bytes) -> None:
        self._hash.update(len(raw).to_bytes(8, "little"))
        self._hash.update(raw)

    def digest(self) -> str:
        return self._hash.hexdigest()


def ignore(_: int) -> None:
    """Progress that nobody watches."""


def extend(
    manifest: pl.DataFrame,
    sources: Sequence[Source],
    rows_per_shard: int,
    max_shards: int = 0,
    advance: Callable[[int], None] = ignore,
) -> pl.DataFrame:
    """The manifest with what is new in the sources: same ordinals, more or changed shards.

    max_shards: shards in all (0: no limit). advance: told of rows as they are read. Raises
    CorpusError where a source cannot be read.
    """
    shards = {shard.ordinal: shard for shard in shards_of(manifest)}
    for source in sources:
        mine = [shard for shard in shards.values() if shard.path == source.path]
        room = max(0, max_shards - len(shards)) if max_shards else None
        if _settled(mine, source, room):
            continue
        for shard in _register(source, mine, rows_per_shard, len(shards), room, advance):
            shards[shard.ordinal] = shard
    return manifest_of(list(shards.values()))


def shards_of(manifest: pl.DataFrame) -> list[Shard]:
    """The manifest's rows, by ordinal."""
    columns = [name for name in MANIFEST if name != "shard"]
    return [Shard(**row) for row in manifest.sort("ordinal").select(columns).iter_rows(named=True)]


def manifest_of(shards: Sequence[Shard]) -> pl.DataFrame:
    """Shards as a frame with the columns of MANIFEST, by ordinal."""
    rows = [{"shard": shard.key, **asdict(shard)} for shard in shards]
    return pl.DataFrame(rows, schema=MANIFEST).sort("ordinal")


def read_rows(shard: Shard, source: Source) -> Iterator[bytes]:
    """The shard's rows, as registered.

    Raises CorpusError where the source is gone and, after the last row, where the rows are not
    those that the manifest speaks of.
    """
    content, found = RowHash(), 0
    for row in islice(source.rows(shard.first_row, shard.first_byte), shard.rows):
        if not source.generated:
            content.add(row.raw)
        found += 1
        yield row.raw
    generated = source.generated
    digest = source.digest(shard.first_row, shard.rows) if generated else content.digest()
    if digest != shard.content_hash:
        raise CorpusError(
            f"{shard.path}: rows {shard.first_row} to {shard.first_row + shard.rows - 1} of shard "
            f"{shard.key} have changed since the corpus was registered ({found} of {shard.rows} "
            f"rows, hash {digest}, expected {shard.content_hash}): register it again"
        )


def _settled(mine: Sequence[Shard], source: Source, room: int | None) -> bool:
    """Whether reading the source again could tell nothing new."""
    if not mine:
        return room == 0
    last = max(mine, key=lambda shard: shard.first_row)
    stamp = source.stamp()
    known = source.pinned or stamp.size is not None
    same = known and stamp == Stamp(last.size, last.modified_ns)
    return same and source.read_as == last.read_as and (last.ends_source or room == 0)


def _register(
    source: Source,
    mine: Sequence[Shard],
    rows_per_shard: int,
    next_ordinal: int,
    room: int | None,
    advance: Callable[[int], None],
) -> Iterator[Shard]:
    """The source's shards as they are now: those it had, then at most `room` new ones."""
    stamp = source.stamp()  # before reading: a change meanwhile is seen the next time
    known = sorted(mine, key=lambda shard: shard.first_row)
    limit = None if room is None else len(known) + room
    for index, held in enumerate(_ranges(source, known, rows_per_shard, limit)):
        advance(held.rows)
        is_known = index < len(known)
        yield Shard(
            ordinal=known[index].ordinal if is_known else next_ordinal + index - len(known),
            path=source.path,
            size=stamp.size,
            modified_ns=stamp.modified_ns,
            read_as=source.read_as,
            **held._asdict(),
        )


def _ranges(
    source: Source, known: Sequence[Shard], rows_per_shard: int, limit: int | None
) -> Iterator[Range]:
    """What the source's shards hold now: the known ones, then new ones, `limit` in all."""
    if not source.generated:
        return _read_ranges(source, known, rows_per_shard, limit)
    if limit is None:
        raise CorpusError(f"{source.path}: expected a limit of shards, since rows have no end")
    return _generated_ranges(source, known, rows_per_shard, limit)


def _read_ranges(
    source: Source, known: Sequence[Shard], rows_per_shard: int, limit: int | None
) -> Iterator[Range]:
    rows = source.rows()
    head, first_row = next(rows, None), 0
    for index in count():
        if index >= len(known) and (head is None or index == limit):
            return
        size = _capacity(known, index, rows_per_shard)
        first_byte = head.first_byte if head else None
        content, n_rows = RowHash(), 0
        while head and n_rows < size:
            content.add(head.raw)
            n_rows += 1
            head = next(rows, None)
        yield Range(first_row, first_byte, n_rows, head is None, content.digest())
        first_row += size


def _generated_ranges(
    source: Source, known: Sequence[Shard], rows_per_shard: int, limit: int
) -> Iterator[Range]:
    first_row = 0
    for index in range(limit):
        size = _capacity(known, index, rows_per_shard)
        digest = source.digest(first_row, size)
        yield Range(first_row, None, size, ends_source=False, content_hash=digest)
        first_row += size


def _capacity(known: Sequence[Shard], index: int, rows_per_shard: int) -> int:
    """Rows that a shard may hold: a known one keeps its range, the last known one may grow."""
    if index + 1 < len(known):
        return known[index + 1].first_row - known[index].first_row
    return max(known[index].rows if index < len(known) else 0, rows_per_shard)
