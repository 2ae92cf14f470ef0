"""Documents: the rows of a shard as text, with what the corpus knows of it.

doc_id = shard ordinal × 1,000,000 + row within the shard, and a row that holds no document keeps
its number. A row is malformed when it is not UTF-8, not a JSON object, has no text (a string of
valid Unicode: no lone surrogates) or has pieces that do not fit; such rows are reported and left
out, and more than the set share of them is an error. Blank rows hold no document and are no fault.
A document may carry `meta.pieces`: [{start, end, skill, slot, surprisal}], in characters, in order
and without overlap; a piece that no rule determines has no skill and no slot, but a surprisal.
Duplicates are equal texts; they refer to the first in the shard. Cost: parsing
and hashing, about 50 MB/s; memory: one batch and 100 bytes a document.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import polars as pl

from dagster_project.interp.corpus import Shard, ignore, read_rows
from dagster_project.interp.sources import TOO_LONG, CorpusError, Source

PIECE = pl.Struct(
    {
        "start": pl.UInt32(),
        "end": pl.UInt32(),
        "skill": pl.String(),
        "slot": pl.String(),
        "surprisal": pl.Float32(),
    }
)
DOCUMENTS = pl.Schema(
    {
        "doc_id": pl.Int64(),
        "pile_set_name": pl.String(),
        "text": pl.String(),
        "n_chars": pl.UInt32(),
        "content_hash": pl.String(),
        "duplicate_of": pl.Int64(),
        "pieces": pl.List(PIECE),
    }
)

BATCH_ROWS = 4096  # documents in a frame
BATCH_CHARS = 16_000_000  # characters in a frame, unless one document has more

Piece: TypeAlias = dict[str, str | int | float | None]


class Document(NamedTuple):
    """What a row holds."""

    text: str
    pile_set_name: str | None  # subset of the corpus
    pieces: list[Piece] | None  # None: nothing is known


class MalformedError(ValueError):
    """A row that holds no readable document; the text says why."""


class Problem(NamedTuple):
    """A malformed row."""

    path: str
    row: int  # of the source, from 0
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, row {self.row + 1}: {self.reason}"


def documents(
    shard: Shard,
    source: Source,
    max_malformed: float = 0.0,
    report: Callable[[Problem], None] = lambda _: None,
    advance: Callable[[int], None] = ignore,
) -> Iterator[pl.DataFrame]:
    """The shard's documents, in order, as frames with the columns of DOCUMENTS.

    max_malformed: share of the shard's rows; above it, and where the source has changed,
    CorpusError.
    """
    seen: dict[str, int] = {}
    for batch in _batches(_readable(shard, source, max_malformed, report)):
        yield _frame(batch, shard.first_doc_id, seen)
        advance(len(batch))


def parse(raw: bytes, source: Source) -> Document | None:
    """The document of a row; None where the row is blank. Raises MalformedError."""
    if raw == TOO_LONG:
        raise MalformedError("longer than 64 MiB")
    try:
        line = raw.decode("utf-8-sig").strip("\r\n")
        if not line.strip():
            return None
        if source.kind == ".txt":
            return Document(line, None, None)
        record = json.loads(line)
    except UnicodeDecodeError as error:
        raise MalformedError(f"not UTF-8: {error.reason} at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise MalformedError(f"expected a JSON object, found {_name(record)}")
    text = _text(record, source.text_field)
    meta = record.get("meta")
    known = meta if isinstance(meta, dict) else {}
    subset = known.get("pile_set_name", record.get("pile_set_name"))
    valid = isinstance(subset, str) and _is_unicode(subset)
    return Document(text, subset if valid else None, _pieces(known.get("pieces"), len(text)))


def _readable(
    shard: Shard, source: Source, max_malformed: float, report: Callable[[Problem], None]
) -> Iterator[tuple[int, Document]]:
    """Rows of the shard that hold a document, with their numbers in the shard."""
    n_malformed = 0
    for row, raw in enumerate(read_rows(shard, source)):
        try:
            document = parse(raw, source)
        except MalformedError as error:
            n_malformed += 1
            problem = Problem(shard.path, shard.first_row + row, str(error))
            report(problem)
            if n_malformed > max_malformed * shard.rows:
                raise CorpusError(
                    f"shard {shard.key}: {n_malformed} malformed rows of the first {row + 1}, "
                    f"expected at most {max_malformed:.2%} of {shard.rows}; the last is {problem}"
                ) from error
            continue
        if document is not None:
            yield row, document


def _batches(rows: Iterator[tuple[int, Document]]) -> Iterator[list[tuple[int, Document]]]:
    batch: list[tuple[int, Document]] = []
    n_chars = 0
    for row, document in rows:
        batch.append((row, document))
        n_chars += len(document.text)
        if len(batch) == BATCH_ROWS or n_chars >= BATCH_CHARS:
            yield batch
            batch, n_chars = [], 0
    if batch:
        yield batch


def _frame(batch: list[tuple[int, Document]], first_id: int, seen: dict[str, int]) -> pl.DataFrame:
    """Documents as a frame; `seen` learns their hashes."""
    rows = []
    for row, document in batch:
        content = hashlib.blake2b(document.text.encode(), digest_size=16).hexdigest()
        first = seen.setdefault(content, first_id + row)
        rows.append(
            {
                "doc_id": first_id + row,
                "pile_set_name": document.pile_set_name,
                "text": document.text,
                "n_chars": len(document.text),
                "content_hash": content,
                "duplicate_of": None if first == first_id + row else first,
                "pieces": document.pieces,
            }
        )
    return pl.DataFrame(rows, schema=DOCUMENTS)


def _text(record: dict[str, object], field: str) -> str:
    if field not in record:
        keys = json.dumps(list(record))  # escaped: they may be hostile
        raise MalformedError(f'no key "{field}", found the keys {keys[:200]}')
    text = record[field]
    if not isinstance(text, str):
        raise MalformedError(f'"{field}": expected a string, found {_name(text)}')
    if not _is_unicode(text):
        raise MalformedError(f'"{field}": lone surrogate, which no UTF-8 text can hold')
    return text


def _pieces(value: object, n_chars: int) -> list[Piece] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise MalformedError(f"meta.pieces: expected a list, found {_name(value)}")
    end = 0
    for number, piece in enumerate(value):
        if not _is_piece(piece, end, n_chars):
            raise MalformedError(
                f"meta.pieces[{number}]: expected {{start, end, skill, slot, surprisal}} within "
                f"{end} and {n_chars} characters, found {json.dumps(piece)[:200]}"
            )
        end = piece["end"]
    return [{name: piece.get(name) for name in _PIECE_NAMES} for piece in value]


def _is_piece(piece: object, after: int, n_chars: int) -> bool:
    if not isinstance(piece, dict):
        return False
    start, end, skill, slot, surprisal = (piece.get(name) for name in _PIECE_NAMES)
    in_place = type(start) is int and type(end) is int and after <= start < end <= n_chars
    if skill is None:
        return in_place and slot is None and _is_number(surprisal)
    labelled = _is_label(skill) and (slot is None or _is_label(slot))
    return in_place and labelled and (surprisal is None or _is_number(surprisal))


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < 1e38  # fits a Float32; false of nan


def _is_label(value: object) -> bool:
    return isinstance(value, str) and _is_unicode(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _name(value: object) -> str:
    return "null" if value is None else type(value).__name__


_PIECE_NAMES = tuple(field.name for field in PIECE.fields)
