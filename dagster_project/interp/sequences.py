"""Token sequences: from rows of the `tokens` table to documents, batches and an endless stream.

A sequence is one document's token ids in order. Batches are length-bucketed: within a window of
sequences the longest come first, so that padding stays small, and no batch holds more than
`batch_tokens` padded tokens (one sequence at least). Everything is deterministic: the order of
the stream depends on the seed, the epoch and the shard alone, so that a position in it is a
number of documents. Cost: one shard of ids in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice

import numpy as np
import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.sites import Batch, batch_of

Ids = Sequence[int]
Shard = Callable[[], Sequence[Ids]]  # reads one shard's documents

WINDOW = 1024  # sequences among which lengths are sorted


def sequences(frame: pl.DataFrame) -> list[list[int]]:
    """Token ids of each document of a frame with doc_id, pos, token_id, ascending doc_id."""
    ordered = frame.select("doc_id", "pos", "token_id").sort("doc_id", "pos")
    grouped = ordered.group_by("doc_id", maintain_order=True).agg("token_id")
    return grouped["token_id"].to_list()


def buckets(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices of sequences that make batches: longest first, padded size ≤ batch_tokens.

    A sequence longer than batch_tokens makes a batch of its own; of equal lengths the earlier
    index comes first.
    """
    made: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if made and (len(made[-1]) + 1) * lengths[made[-1][0]] <= batch_tokens:
            made[-1].append(index)
        else:
            made.append([index])
    return made


def batches(
    documents: Iterable[Ids],
    batch_tokens: int,
    device: torch.device | str = "cpu",
    window: int = WINDOW,
) -> Iterator[Batch]:
    """Length-bucketed, right-padded batches of at most batch_tokens padded tokens.

    Sequences keep no order within a window; use `buckets` where rows must be told apart.
    """
    for group in _windows(documents, window):
        for bucket in buckets([len(ids) for ids in group], batch_tokens):
            yield batch_of([group[i] for i in bucket], device)


def shuffled(shards: Sequence[Shard], seed: int) -> Iterator[Ids]:
    """All documents of all shards again and again, in a new seeded order each epoch.

    Documents of one token are left out: nothing in them is predicted. Raises ValueError where
    that leaves none.
    """
    for epoch in count():
        empty = True
        for shard in np.random.default_rng([seed, epoch]).permutation(len(shards)).tolist():
            documents = shards[shard]()
            order = np.random.default_rng([seed, epoch, shard + 1]).permutation(len(documents))
            for row in order.tolist():
                if len(documents[row]) > 1:
                    empty = False
                    yield documents[row]
        if empty:
            raise ValueError("no document of two tokens or more in any shard")


def content(batch: Batch, bos_id: int | None) -> Tensor:
    """[batch, position] bool: neither padding nor a BOS in first place."""
    mask = batch.real
    if bos_id is not None:
        mask[:, 0] &= batch.ids[:, 0] != bos_id
    return mask


def held_out_from(lengths: pl.DataFrame, tokens: int) -> int:
    """doc_id of the first held-out document: the last documents with at least `tokens` tokens.

    lengths: doc_id, n_tokens; all documents where there are fewer tokens.
    """
    backwards = lengths.sort("doc_id", descending=True)
    reached = backwards.filter(pl.col("n_tokens").cum_sum() >= tokens)
    chosen = reached if len(reached) else backwards.tail(1)
    if not len(chosen):
        raise ValueError("the corpus has no tokens")
    return int(chosen["doc_id"][0])


def _windows(documents: Iterable[Ids], size: int) -> Iterator[Sequence[Ids]]:
    remaining = iter(documents)
    while group := list(islice(remaining, size)):
        yield group
