"""Generated documents as token ids: what the recipe's model is trained on, in order, once.

A document is a function of its corpus's seed and its number, so that processes make them side by
side. To begin with half of the documents are of the subset `Drills`, which forms the heads that
copy within a minute; on their own they take many: to `EXTRA_UNTIL` of the stream, then ever fewer,
none from `EXTRA_END` on. Cost: 0.1 ms a document and core (half a million tokens a second); 2 bytes
a token on disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dagster_project.embedded.corpus import document
from dagster_project.processes import stand_by_the_first

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHUNK = 2000  # documents that a process makes at a time
EXTRA_SUBSET, EXTRA_SHARE = "Drills", 0.5
EXTRA_UNTIL, EXTRA_END = 0.2, 0.5  # shares of the stream
IDS, LENGTHS = "ids.npy", "lengths.npy"


class Stored(NamedTuple):
    """Documents one after the other."""

    ids: np.ndarray  # [token] uint16
    lengths: np.ndarray  # [document] int64, tokens with BOS

    @property
    def ends(self) -> np.ndarray:
        """[document] where each one ends in `ids`."""
        return self.lengths.cumsum()


def extra_share(progress: float) -> float:
    """Share of documents that are of EXTRA_SUBSET at this part of the stream, 0 to 1, besides
    those that its own share of the corpus makes so."""
    falling = (EXTRA_END - progress) / (EXTRA_END - EXTRA_UNTIL)
    return EXTRA_SHARE * min(1.0, max(0.0, falling))


def text(seed: int, row: int, documents: int) -> str:
    """Document `row` of a stream of so many."""
    chosen = Random(f"extra {seed} {row}").random() < extra_share(row / documents)
    return document(seed, row, EXTRA_SUBSET if chosen else None).text


def store(
    tokenizer: Path,
    seed: int,
    documents: int,
    positions: int,
    folder: Path,
    processes: int,
    advance: Callable[[int], None],
) -> Stored:
    """The stream, tokenized and written to a folder. tokenizer: a tokenizer.json; positions:
    tokens that documents are cut at; advance: told of documents as they are done."""
    chunks = [range(i, min(i + CHUNK, documents)) for i in range(0, documents, CHUNK)]
    parts = []
    with ProcessPoolExecutor(
        processes, get_context("spawn"), _start, (tokenizer, seed, documents, positions)
    ) as pool:
        try:
            for part in pool.map(_tokenized, chunks):
                parts.append(part)
                advance(len(part.lengths))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    whole = Stored(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    np.save(folder / IDS, whole.ids)
    np.save(folder / LENGTHS, whole.lengths)
    return stored(folder)


def stored(folder: Path) -> Stored:
    """What `store` has written, mapped into memory."""
    return Stored(np.load(folder / IDS, mmap_mode="r"), np.load(folder / LENGTHS))


def endless(tokenizer: Tokenizer, seed: int, positions: int) -> Iterator[list[int]]:
    """All documents of a corpus, at their natural shares."""
    for first in count(0, CHUNK):
        texts = [document(seed, row).text for row in range(first, first + CHUNK)]
        for encoding in tokenizer.encode_batch_fast(texts):
            yield encoding.ids[:positions]


_process: tuple[Tokenizer, int, int, int] | None = None  # of this process: as _start's arguments


def _start(tokenizer: Path, seed: int, documents: int, positions: int) -> None:
    """Make a process ready."""
    stand_by_the_first()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # as many processes as cores are at work
    from tokenizers import Tokenizer

    global _process  # noqa: PLW0603  # what a pool's initializer is for
    _process = (Tokenizer.from_file(str(tokenizer)), seed, documents, positions)


def _tokenized(rows: range) -> Stored:
    assert _process is not None
    tokenizer, seed, documents, positions = _process
    encoded = tokenizer.encode_batch_fast([text(seed, row, documents) for row in rows])
    ids = [encoding.ids[:positions] for encoding in encoded]
    lengths = np.array([len(document_ids) for document_ids in ids], dtype=np.int64)
    return Stored(np.concatenate([np.array(i, dtype=np.uint16) for i in ids]), lengths)
