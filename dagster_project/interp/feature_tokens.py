"""Tokens that features are described on: whole documents, each token with a hash of its context.

A token's context is the token itself and the `n_ctx` before it in its document, fewer at the
document's start. Two tokens with the same 64-bit hash count as the same context (of a million
contexts two others agree with a chance of 3e-8). Hashes depend on token ids alone, so what is
chosen by them does not depend on shards, batches or the order of documents.

Cost: n_ctx passes over the ids. Memory: 14 bytes a token, besides the ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.contexts import mix
from dagster_project.interp.sequences import WINDOW, buckets, content
from dagster_project.interp.sites import Batch, batch_of

PAIRED = 1 << 16
"""Tokens, drawn by their hash, on which it is counted which features are active together."""
BASE = np.uint64(0x9E3779B97F4A7C15)  # of the polynomial of token ids that is hashed


class FeatureTokens(NamedTuple):
    """Documents whose tokens are numbered from 0, one document after the other."""

    documents: list[list[int]]  # token ids
    doc_id: np.ndarray  # [document] int64, ascending
    first: np.ndarray  # [document] int64: number of its first token
    document: np.ndarray  # [token] int32: row of its document
    context: Tensor  # [token] int64: hash of the context
    counted: Tensor  # [token] bool: not a BOS in first place
    paired: Tensor  # [token] bool: counted, and in the sample of PAIRED tokens


class TokenBatch(NamedTuple):
    """Documents as the model sees them, and which of their positions count."""

    rows: list[int]  # numbers of the documents
    batch: Batch
    chosen: Tensor  # [batch, position] bool: neither padding nor BOS
    number: Tensor  # [token] number of each chosen token, in the order of the mask


def first_tokens(shards: Iterable[pl.LazyFrame], limit: int) -> pl.DataFrame:
    """doc_id, pos, token_id of the first documents, as many as reach `limit` tokens.

    shards: the same columns, in order; no more of them are read than needed.
    """
    parts: list[pl.DataFrame] = []
    left = limit
    for shard in shards:
        rows = shard.select("doc_id", "pos", "token_id").sort("doc_id", "pos").collect()
        begun = rows.with_row_index("row").filter(pl.col("pos") == 0)
        wanted = begun.filter(pl.col("row") < left)["doc_id"]
        parts.append(rows.filter(pl.col("doc_id") <= wanted[-1]) if len(wanted) else rows)
        left -= len(parts[-1])
        if left <= 0:
            break
    if not any(len(part) for part in parts):
        raise ValueError("features: expected at least one token, found none")
    return pl.concat(parts)


def feature_tokens(
    rows: pl.DataFrame, n_ctx: int, bos_id: int | None, device: torch.device | str = "cpu"
) -> FeatureTokens:
    """Numbered tokens of whole documents. rows: doc_id, pos, token_id, sorted."""
    grouped = rows.group_by("doc_id", maintain_order=True).agg("token_id")
    lengths = grouped["token_id"].list.len().cast(pl.Int64).to_numpy()
    pos, ids = rows["pos"].to_numpy(), rows["token_id"].to_numpy()
    hashes = context_hashes(ids, pos, n_ctx)
    counted = np.ones(len(ids), dtype=bool) if bos_id is None else (pos > 0) | (ids != bos_id)
    return FeatureTokens(
        documents=grouped["token_id"].to_list(),
        doc_id=grouped["doc_id"].to_numpy(),
        first=lengths.cumsum() - lengths,
        document=np.arange(len(lengths), dtype=np.int32).repeat(lengths),
        context=torch.from_numpy(hashes.view(np.int64)).to(device),
        counted=torch.from_numpy(counted).to(device),
        paired=torch.from_numpy(_sample(hashes, counted)).to(device),
    )


def context_hashes(ids: np.ndarray, pos: np.ndarray, n_ctx: int) -> np.ndarray:
    """[token] uint64 hash of each token and the n_ctx before it. ids, pos [token]: of documents
    in a row."""
    values = ids.astype(np.uint64) + np.uint64(1)  # 0 is what lies before a document
    power, total = np.uint64(1), values.copy()
    for back in range(1, min(n_ctx, len(ids) - 1) + 1):
        with np.errstate(over="ignore"):
            power = power * BASE
            total[back:] += np.where(pos[back:] >= back, values[:-back] * power, np.uint64(0))
    return mix(total, 0)


def _sample(hashes: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """[token] bool: the PAIRED counted tokens that come first by hash, or all."""
    order = np.argsort(mix(hashes, 1), kind="stable")
    chosen = np.zeros(len(hashes), dtype=bool)
    chosen[order[counted[order]][:PAIRED]] = True
    return chosen


def token_batches(
    tokens: FeatureTokens,
    batch_tokens: int,
    bos_id: int | None,
    device: torch.device | str,
) -> Iterator[TokenBatch]:
    """The documents in length-bucketed batches of at most batch_tokens padded tokens."""
    for start in range(0, len(tokens.documents), WINDOW):
        window = tokens.documents[start : start + WINDOW]
        for bucket in buckets([len(ids) for ids in window], batch_tokens):
            yield token_batch(tokens, [start + i for i in bucket], bos_id, device)


def token_batch(
    tokens: FeatureTokens, rows: list[int], bos_id: int | None, device: torch.device | str
) -> TokenBatch:
    """Some of the documents as one batch."""
    batch = batch_of([tokens.documents[row] for row in rows], device)
    first = torch.from_numpy(tokens.first[np.asarray(rows)]).to(device)
    number = first[:, None] + torch.arange(batch.ids.shape[1], device=device)
    chosen = content(batch, bos_id)
    return TokenBatch(rows, batch, chosen, number[chosen])


def places(tokens: FeatureTokens, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """doc_id and pos of tokens by their number."""
    document = tokens.document[number]
    return tokens.doc_id[document], number - tokens.first[document]
