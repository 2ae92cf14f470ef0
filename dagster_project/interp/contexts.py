"""Contexts: predicted tokens, chosen for study, with the n_ctx tokens before them.

Proposed are tokens that the model predicts well (loss ≤ max_loss in the document) and that no
earlier n-gram gives away, in documents that are no duplicates; of these every k-th, then at most
per_document of each document, then `target` in all, leaving out a context whose window and answer
equal those of one already chosen. Where the study stratifies, by subset, answer, skill or rule, a
stratum whose quota is full is passed over. Choices follow a seeded hash of (document, position), so
that they do not depend on shards or on the order of work, and change little as the corpus grows.
The model's loss on the window alone differs from that in the document: both are kept. Cost: two
passes over losses, three with strata of rules; over tokens about two, three where n-grams are
looked for in windows, and one more for each LARGEST_CHUNK candidates where quotas stay open; one
forward of target × n_ctx tokens.
"""

from __future__ import annotations

from collections import Counter
from math import log
from typing import NamedTuple

import numpy as np
import polars as pl
import torch

from dagster_project.interp.losses import score
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.ngrams import tokens_since
from dagster_project.interp.sequences import buckets
from dagster_project.interp.sites import batch_of, last_hidden
from dagster_project.interp.strata import BY_RULE, starts_rule, stratum
from dagster_project.studies.study import ContextsSpec

POSITIONS = 1 << 16  # context_id = doc_id × this + pos
CHUNK = 1 << 14  # candidates whose windows are read first; then twice as many, and so on
LARGEST_CHUNK = 1 << 17

PROPOSALS = ("doc_id", "pos", "token_id", "loss", "skill", "slot")


class Selection(NamedTuple):
    """The chosen contexts and what was left."""

    contexts: pl.DataFrame  # context_id, doc_id, pos, answer_id, loss, skill, slot; sorted
    n_proposed: int  # tokens that pass the filters
    n_candidates: int  # of these, after `every` and `per_document`
    n_repeated: int  # candidates left out because their window and answer were there already
    shortfall: int  # contexts that the target asks for and corpus and quotas do not give
    of_stratum: dict[str, int]  # contexts chosen of each stratum; empty where there are none


def originals(documents: pl.LazyFrame) -> pl.DataFrame:
    """doc_id and subset of the documents that repeat no earlier one.

    documents: doc_id, content_hash, pile_set_name.
    """
    first = pl.all().sort_by("doc_id").first()
    unlike = documents.group_by("content_hash").agg(first)
    return unlike.select("doc_id", subset="pile_set_name").sort("doc_id").collect()


def proposals(
    losses: pl.LazyFrame, documents: pl.DataFrame, tokens: pl.LazyFrame, spec: ContextsSpec
) -> pl.DataFrame:
    """Tokens that pass the filters, sorted, with the subset of their document.

    losses, tokens: a shard's; documents: doc_id and subset of those that may take part.
    """
    kept = pl.col("loss") <= largest_loss(spec)
    if spec.seen_in == "document" and spec.skip_trigrams:
        kept &= ~pl.col("trigram_seen")
    if spec.seen_in == "document" and spec.skip_bigrams:
        kept &= ~pl.col("bigram_seen")
    if spec.stratify in BY_RULE:
        kept &= starts_rule()
    passing = losses.filter(kept).select(PROPOSALS).collect().join(documents, on="doc_id")
    return _unseen(passing, tokens, spec).sort("doc_id", "pos")


def largest_loss(spec: ContextsSpec) -> float:
    """Of a context's answer, in nats."""
    return spec.max_loss * (log(2) if spec.loss_unit == "bits" else 1.0)


def _unseen(passing: pl.DataFrame, tokens: pl.LazyFrame, spec: ContextsSpec) -> pl.DataFrame:
    """Those of `passing` that no n-gram gives away which the losses do not tell of."""
    in_window = spec.seen_in == "window"
    asked = {3: in_window and spec.skip_trigrams, 2: in_window and spec.skip_bigrams}
    sizes = [n for n, wanted in {**asked, 1: spec.skip_repeated}.items() if wanted]
    if not sizes or passing.is_empty():
        return passing
    text = _of_documents(tokens, passing).collect()
    unseen = pl.lit(True)
    for n in sizes:
        since = pl.lit(tokens_since(text, n))
        unseen &= since.is_null() | (since > spec.n_ctx - (n - 1) if in_window else False)
    where = text.filter(unseen).select("doc_id", pl.col("pos").cast(passing.schema["pos"]))
    return passing.join(where, on=["doc_id", "pos"], how="semi")


def _of_documents(tokens: pl.LazyFrame, rows: pl.DataFrame) -> pl.LazyFrame:
    """doc_id, pos, token_id of the documents that rows (doc_id) are of, sorted."""
    wanted = rows.select("doc_id").unique().lazy()
    found = tokens.select("doc_id", "pos", "token_id").join(wanted, on="doc_id", how="semi")
    return found.sort("doc_id", "pos")


def select(proposed: pl.DataFrame, tokens: pl.LazyFrame, spec: ContextsSpec) -> Selection:
    """The study's contexts. proposed: all shards' proposals; tokens: doc_id, pos, token_id."""
    waiting = candidates = _candidates(proposed, spec)
    size, quotas = min(CHUNK, 2 * spec.target), _Quotas(spec)
    chosen = [candidates.clear()]
    while len(waiting) and quotas.left:
        chunk, waiting = waiting[:size], waiting[size:]
        size = min(2 * size, LARGEST_CHUNK)
        sequences = windows(chunk, tokens, spec.n_ctx, answer=True).to_list()
        admitted = [
            row
            for row, name in enumerate(chunk["stratum"])
            if quotas.left and quotas.admit(name, sequences[row])
        ]
        chosen.append(chunk[admitted])
        if quotas.full:
            waiting = waiting.filter(~pl.col("stratum").is_in(quotas.full))
    contexts = pl.concat(chosen).drop("stratum", "subset").sort("context_id")
    counts = (len(proposed), len(candidates), quotas.repeated)
    return Selection(contexts, *counts, quotas.left, dict(quotas.of_stratum))


def windows(
    contexts: pl.DataFrame, tokens: pl.LazyFrame, n_ctx: int, *, answer: bool = False
) -> pl.Series:
    """Token ids of each context, oldest first, with the answer last if asked for: List(UInt32).

    contexts: doc_id, pos; tokens: doc_id, pos, token_id of at least their documents. A context
    near its document's start has fewer than n_ctx tokens. Raises ValueError for one that is not
    within its document.
    """
    grouped = _of_documents(tokens, contexts).group_by("doc_id", maintain_order=True)
    documents = grouped.agg(ids="token_id").collect()
    joined = contexts.select("doc_id", pos=pl.col("pos").cast(pl.Int64)).join(
        documents, on="doc_id", how="left", maintain_order="left"
    )
    outside = joined.filter(pl.col("ids").list.len().fill_null(0) <= pl.col("pos"))
    if len(outside):
        doc_id, pos, _ = outside.row(0)
        raise ValueError(f"context at document {doc_id}, position {pos}: no such token")
    start = (pl.col("pos") - n_ctx).clip(lower_bound=0)
    length = pl.col("pos") - start + int(answer)
    return joined.select(pl.col("ids").list.slice(start, length))["ids"]


def context_losses(
    model: LanguageModel, windows: pl.Series, answers: pl.Series, batch_tokens: int
) -> pl.Series:
    """Loss of each answer given its window alone, in nats, Float32. Windows are not empty."""
    sequences, targets = windows.to_list(), answers.to_list()
    found = np.zeros(len(sequences), dtype=np.float32)
    for bucket in buckets([len(ids) for ids in sequences], batch_tokens):
        batch = batch_of([sequences[i] for i in bucket], model.device)
        hidden = last_hidden(model, batch)
        target = torch.tensor([targets[i] for i in bucket], device=model.device)
        found[bucket] = score(model, hidden, target).loss.cpu().numpy()
    return pl.Series("context_loss", found)


def _candidates(proposed: pl.DataFrame, spec: ContextsSpec) -> pl.DataFrame:
    """Every k-th proposal, at most per_document of each document, in the order of choice."""
    spaced = proposed.sort("doc_id", "pos").gather_every(spec.every)
    identity = pl.col("doc_id") * POSITIONS + pl.col("pos")
    spaced = spaced.rename({"token_id": "answer_id"}).with_columns(context_id=identity)
    ids = spaced["context_id"].to_numpy()
    ordered = spaced.with_columns(
        within=pl.Series(mix(ids, 2 * spec.seed)), among=pl.Series(mix(ids, 2 * spec.seed + 1))
    )
    if spec.per_document:
        rank = pl.col("within").rank("ordinal").over("doc_id")
        ordered = ordered.filter(rank <= spec.per_document)
    return ordered.sort("among").drop("within", "among").with_columns(stratum=stratum(spec))


class _Quotas:
    """What may still be chosen: `left` in all, so many of each stratum; no window twice."""

    def __init__(self, spec: ContextsSpec) -> None:
        self.left = spec.target
        self.per_stratum = spec.per_stratum
        self.repeated = 0
        self.full: set[str] = set()  # strata of which enough are chosen
        self.of_stratum: Counter[str] = Counter()
        self.seen: set[bytes] = set()

    def admit(self, stratum: str | None, sequence: list[int]) -> bool:
        """Whether a candidate is chosen; sequence: its window and answer."""
        if stratum in self.full:
            return False
        key = np.array(sequence, dtype=np.uint32).tobytes()
        if key in self.seen:
            self.repeated += 1
            return False
        self.seen.add(key)
        self.left -= 1
        if stratum is not None:
            self.of_stratum[stratum] += 1
            if self.of_stratum[stratum] == self.per_stratum:
                self.full.add(stratum)
        return True


def mix(ids: np.ndarray, seed: int) -> np.ndarray:
    """A seeded hash of integers (splitmix64; Steele et al. 2014), as uint64."""
    step = (seed + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    x = ids.astype(np.uint64) + np.uint64(step)  # wraps around
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))
