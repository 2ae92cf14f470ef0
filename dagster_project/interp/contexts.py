"""Contexts: predicted tokens, chosen for study, with the n_ctx tokens before them.

Proposed are tokens that the model predicts well (loss ≤ max_loss in the document) and that
induction does not give away, in documents that are no duplicates; of these every k-th, then at
most per_document of each document, then `target` in all, leaving out a context whose window and
answer equal those of one already chosen. With a quota per rule only tokens that start a piece whose
rule the corpus knows are proposed, and a rule (skill and slot) whose quota is full is passed over.
Choices follow a seeded hash of (document, position), so that they do not depend on shards or on the
order of work, and change little as the corpus grows. The model's loss on the window alone differs
from that in the document: both are kept. Cost: two passes over losses, three with a quota per rule,
and about two over tokens; one forward of target × n_ctx tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import polars as pl
import torch

from dagster_project.interp.losses import score
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sequences import buckets
from dagster_project.interp.sites import batch_of, last_hidden
from dagster_project.studies.study import ContextsSpec

POSITIONS = 1 << 16  # context_id = doc_id × this + pos
CHUNK = 1 << 14  # candidates whose windows are read at a time

PROPOSALS = ("doc_id", "pos", "token_id", "loss", "skill", "slot")
RULE = (
    pl.when(pl.col("skill").is_not_null())
    .then(pl.concat_str("skill", "slot", separator="/", ignore_nulls=True))
    .alias("rule")
)
"""A rule by its name: `skill/slot`, or the skill where there is no slot; null where unknown."""


class Selection(NamedTuple):
    """The chosen contexts and what was left."""

    contexts: pl.DataFrame  # context_id, doc_id, pos, answer_id, loss, skill, slot; sorted
    n_proposed: int  # tokens that pass the filters
    n_candidates: int  # of these, after `every` and `per_document`
    n_repeated: int  # candidates left out because their window and answer were there already
    shortfall: int  # contexts that the target asks for and corpus and quotas do not give


def originals(documents: pl.LazyFrame) -> pl.DataFrame:
    """doc_id of the documents that repeat no earlier one. documents: doc_id, content_hash."""
    first = documents.group_by("content_hash").agg(pl.col("doc_id").min())
    return first.select("doc_id").sort("doc_id").collect()


def proposals(losses: pl.LazyFrame, documents: pl.DataFrame, spec: ContextsSpec) -> pl.DataFrame:
    """Tokens that pass the filters, sorted. losses: a shard's; documents: doc_id of those that
    may take part."""
    kept = pl.col("loss") <= spec.max_loss
    if spec.skip_trigrams:
        kept &= ~pl.col("trigram_seen")
    if spec.skip_bigrams:
        kept &= ~pl.col("bigram_seen")
    if spec.per_rule:
        kept &= starts_rule()
    passing = losses.filter(kept).select(PROPOSALS).collect()
    return passing.join(documents, on="doc_id", how="semi").sort("doc_id", "pos")


def starts_rule() -> pl.Expr:
    """Whether a row of losses is the first token of a piece whose rule is known.

    The document's first token has no loss, so that a row at position 1 may be the second token of
    its piece; the surprisal, null for a piece that is not predicted in whole, tells.
    """
    first = pl.col("pos") == pl.col("pos").min().over("doc_id", "piece")
    whole = (pl.col("pos") > 1) | pl.col("surprisal").is_not_null()
    return pl.col("skill").is_not_null() & first & whole


def known_rules(losses: pl.LazyFrame) -> set[str]:
    """Names of the rules in the losses of a shard, those of tokens that do not pass included."""
    pairs = losses.select("skill", "slot").drop_nulls("skill").unique().collect()
    return set(pairs.select(RULE)["rule"])


def count_by_rule(contexts: pl.DataFrame, rules: Collection[str]) -> pl.DataFrame:
    """How many contexts each of the rules has, none included: rule, contexts; fewest first."""
    counts = contexts.select(RULE).group_by("rule").agg(contexts=pl.len())
    every = pl.DataFrame({"rule": sorted(rules)}, schema={"rule": pl.String})
    found = every.join(counts, on="rule", how="left")
    return found.with_columns(pl.col("contexts").fill_null(0)).sort("contexts", "rule")


def select(proposed: pl.DataFrame, tokens: pl.LazyFrame, spec: ContextsSpec) -> Selection:
    """The study's contexts. proposed: all shards' proposals; tokens: doc_id, pos, token_id."""
    waiting = candidates = _candidates(proposed, spec)
    size, quotas = min(CHUNK, 2 * spec.target), _Quotas(spec)
    chosen = [candidates.clear()]
    while len(waiting) and quotas.left:
        chunk, waiting = waiting[:size], waiting[size:]
        sequences = windows(chunk, tokens, spec.n_ctx, answer=True).to_list()
        admitted = [
            row
            for row, rule in enumerate(chunk["rule"])
            if quotas.left and quotas.admit(rule, sequences[row])
        ]
        chosen.append(chunk[admitted])
        if quotas.full:
            waiting = waiting.filter(~pl.col("rule").is_in(quotas.full))
    contexts = pl.concat(chosen).drop("rule").sort("context_id")
    counts = (len(proposed), len(candidates), quotas.repeated)
    return Selection(contexts, *counts, shortfall=quotas.left)


def windows(
    contexts: pl.DataFrame, tokens: pl.LazyFrame, n_ctx: int, *, answer: bool = False
) -> pl.Series:
    """Token ids of each context, oldest first, with the answer last if asked for: List(UInt32).

    contexts: doc_id, pos; tokens: doc_id, pos, token_id of at least their documents. A context
    near its document's start has fewer than n_ctx tokens. Raises ValueError for one that is not
    within its document.
    """
    wanted = contexts.select("doc_id").unique().lazy()
    documents = (
        tokens.select("doc_id", "pos", "token_id")
        .join(wanted, on="doc_id", how="semi")
        .sort("doc_id", "pos")
        .group_by("doc_id", maintain_order=True)
        .agg(ids="token_id")
        .collect()
    )
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
    return ordered.sort("among").drop("within", "among").with_columns(RULE)


class _Quotas:
    """What may still be chosen: `left` in all, and so many of each rule; no window twice."""

    def __init__(self, spec: ContextsSpec) -> None:
        self.left = spec.target
        self.per_rule = spec.per_rule
        self.repeated = 0
        self.full: set[str | None] = set()  # rules of which enough are chosen
        self.of_rule: Counter[str | None] = Counter()
        self.seen: set[bytes] = set()

    def admit(self, rule: str | None, sequence: list[int]) -> bool:
        """Whether a candidate is chosen; sequence: its window and answer."""
        if rule in self.full:
            return False
        key = np.array(sequence, dtype=np.uint32).tobytes()
        if key in self.seen:
            self.repeated += 1
            return False
        self.seen.add(key)
        self.left -= 1
        self.of_rule[rule] += 1
        if self.of_rule[rule] == self.per_rule:
            self.full.add(rule)
        return True


def mix(ids: np.ndarray, seed: int) -> np.ndarray:
    """A seeded hash of integers (splitmix64; Steele et al. 2014), as uint64."""
    step = (seed + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    x = ids.astype(np.uint64) + np.uint64(step)  # wraps around
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))
