"""The stage `tokens`: a shard's documents in the model's vocabulary."""

from __future__ import annotations

import polars as pl

from dagster_project.assets.progress import progress
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.interp.tokens import tokens

DOC = """Tokenizes a shard's documents with the model's own tokenizer; the model is not loaded.

BOS is added where the tokenizer does so by itself; the first `max_tokens` tokens of a document are
kept. Where the corpus knows the rules behind its text, each token is given the piece in which its
first non-space character lies.

Cost: the tokenizer's own speed; about 2 bytes a token on disk."""

BATCH = 1024  # documents in memory


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources

    tokenizer, n_vocab = resources.tokenizer(run.study), resources.n_vocab(run.study)
    limit = run.study.tokens.max_tokens
    documents = run.scan("documents", shard=run.partition).select("doc_id", "text", "pieces")
    n_documents = run.lake.rows("documents", **run.keys("shard"))
    tally = Tally(limit)
    with (
        run.writer("tokens", kind="shard") as writer,
        progress(run, "tokens", "documents", n_documents) as advance,
    ):
        batches = documents.collect_batches(chunk_size=BATCH, maintain_order=True)
        for frame in tokens(batches, tokenizer, limit, advance):
            writer.append(frame)
            tally.add(frame)
    figures = {
        "tokens": tally.tokens,
        "documents_with_tokens": tally.documents,
        "documents_without_tokens": n_documents - tally.documents,
        "documents_at_max_tokens": tally.full,
        "tokens_with_a_piece": tally.pieces,
    }
    return StageResult(figures, _checks(tally, n_vocab))


class Tally:
    """What the shard's tokens come to."""

    def __init__(self, limit: int) -> None:
        self.limit = limit  # tokens of a document at most
        self.tokens = self.documents = self.full = self.pieces = 0
        self.largest_id = 0
        self.without_gap = True

    def add(self, frame: pl.DataFrame) -> None:
        n_tokens, last = pl.len().cast(pl.Int64), pl.col("pos").max().cast(pl.Int64)
        lengths = frame.group_by("doc_id").agg(n=n_tokens, gap=last + 1 - n_tokens)
        self.tokens += len(frame)
        self.documents += len(lengths)
        self.full += int((lengths["n"] == self.limit).sum())
        self.pieces += len(frame) - frame["piece"].null_count()
        self.largest_id = max(self.largest_id, *frame["token_id"].top_k(1))
        self.without_gap &= bool(((lengths["gap"] == 0) & (lengths["n"] <= self.limit)).all())


def _checks(tally: Tally, n_vocab: int) -> list[Check]:
    ids = {"largest_token_id": tally.largest_id, "vocabulary": n_vocab}
    places = {"tokens": tally.tokens, "max_tokens": tally.limit}
    return [
        Check("in_vocabulary", tally.largest_id < n_vocab, ids),
        Check("positions", tally.without_gap, places),
    ]


STAGE = Stage(
    name="tokens",
    doc=DOC,
    partition="shard",
    tables=("tokens",),
    inputs=("documents", "model"),
    reads=lambda study, _: {"max_tokens": study.tokens.max_tokens},
    compute=compute,
    checks={
        "in_vocabulary": "Every token id is in the model's vocabulary.",
        "positions": "A document's positions are 0, 1, … without a gap, at most max_tokens.",
    },
    kinds=("parquet", "huggingface"),
)
