"""Losses: how well the model predicts each token of a document from those before it.

loss[t] = −log p(x_t | x_<t) in nats, rank of x_t (0 = the model's top choice) and the entropy of
the prediction, all from float32 log-probabilities. `trigram_seen` (`bigram_seen`): the same three
(two) tokens, ending here, occurred earlier in the document, so that induction may predict x_t; BOS
counts as a token. Cost: one forward, about 2 FLOPs a parameter and token. Logits exist for LOGITS
numbers at a time, never for a batch; hidden states for one batch; ids and results for WINDOW
documents. Padding stands on the right and never reaches a real token.

The rule behind a token, where the corpus knows it: `surprisal` is that of the piece on the piece's
first token and 0 on its others, so that sum(loss) − sum(surprisal) over a piece is its excess
loss. It is null where that sum would not hold: at pieces cut off by max_tokens, and at one whose
first token is the document's first and so not predicted. A piece in which no token has its
first letter (one that a longer token swallows) leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.corpus import ignore
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sequences import WINDOW, buckets
from dagster_project.interp.sites import batch_of, final_hidden

LOGITS = 1 << 24  # logits in memory at a time: 64 MiB, three times over in between
ROWS = 512  # predictions at a time: with a small vocabulary their logits stay in a CPU's cache

LOSSES = pl.Schema(
    {
        "doc_id": pl.Int64(),
        "pos": pl.UInt16(),
        "token_id": pl.UInt32(),
        "loss": pl.Float32(),
        "rank": pl.UInt32(),
        "entropy": pl.Float32(),
        "trigram_seen": pl.Boolean(),
        "bigram_seen": pl.Boolean(),
        "piece": pl.UInt32(),
        "skill": pl.String(),
        "slot": pl.String(),
        "surprisal": pl.Float32(),
    }
)
RULES = pl.Schema(
    {
        "doc_id": pl.Int64(),
        "piece": pl.UInt32(),
        "skill": pl.String(),
        "slot": pl.String(),
        "piece_surprisal": pl.Float32(),
    }
)


class Scores(NamedTuple):
    """Of predictions, each [n]."""

    loss: Tensor  # float32, nats
    rank: Tensor  # int32, tokens with a larger logit
    entropy: Tensor  # float32, nats


def losses(
    model: LanguageModel,
    tokens: pl.DataFrame,
    pieces: pl.DataFrame,
    max_tokens: int,
    batch_tokens: int,
    advance: Callable[[int], None] = ignore,
) -> Iterator[pl.DataFrame]:
    """Losses of all predicted tokens (pos ≥ 1), in order, as frames with the columns of LOSSES.

    tokens: doc_id, pos, token_id, piece of whole documents, sorted. pieces: doc_id and the list
    `pieces` of documents (see `rules_of`). max_tokens: what documents were cut at. advance: told
    of tokens as they are done.
    """
    rules = rules_of(pieces)
    for window in _windows(tokens):
        scores = _score_window(model, window, batch_tokens, advance)
        marked = mark_pieces(mark_seen(window), max_tokens)
        predicted = marked.filter(pl.col("pos") > 0).with_columns(
            loss=scores.loss.numpy(), rank=scores.rank.numpy(), entropy=scores.entropy.numpy()
        )
        yield _with_rules(predicted, rules)


def score(model: LanguageModel, hidden: Tensor, targets: Tensor) -> Scores:
    """Loss, rank and entropy of each prediction. hidden [n, d_model], targets [n]."""
    rows = predictions_at_a_time(model)
    parts = [
        _score_chunk(model, h, t)
        for h, t in zip(hidden.split(rows), targets.split(rows), strict=True)
    ]
    return Scores(*(torch.cat(part) for part in zip(*parts, strict=True)))


@torch.no_grad()
def _score_chunk(model: LanguageModel, hidden: Tensor, targets: Tensor) -> Scores:
    log_p = model.logits(hidden).float().log_softmax(-1)  # [n, vocabulary]
    chosen = log_p.gather(-1, targets[:, None])
    rank = (log_p > chosen).sum(-1, dtype=torch.int32)
    entropy = -log_p.exp().mul_(log_p).sum(-1)
    return Scores(-chosen[:, 0], rank, entropy)


def _score_window(
    model: LanguageModel, window: pl.DataFrame, batch_tokens: int, advance: Callable[[int], None]
) -> Scores:
    """Scores of the window's predicted tokens, in its order, on the CPU."""
    grouped = window.group_by("doc_id", maintain_order=True).agg("token_id")
    sequences = grouped["token_id"].to_list()
    lengths = np.array([len(ids) for ids in sequences])
    first = (lengths - 1).cumsum() - (lengths - 1)  # where a document's predictions start
    places: list[np.ndarray] = []
    parts: list[Scores] = []
    for bucket in buckets(lengths.tolist(), batch_tokens):
        batch = batch_of([sequences[i] for i in bucket], model.device)
        real = batch.real[:, 1:]
        hidden = final_hidden(model, batch.ids)[:, :-1]
        parts.append(score(model, hidden[real], batch.ids[:, 1:][real]))
        places += [np.arange(first[i], first[i] + lengths[i] - 1) for i in bucket]
        advance(int(lengths[bucket].sum()))
    order = torch.from_numpy(np.argsort(np.concatenate(places)))
    return Scores(*(torch.cat(part).cpu()[order] for part in zip(*parts, strict=True)))


def mark_seen(tokens: pl.DataFrame) -> pl.DataFrame:
    """With trigram_seen and bigram_seen. tokens: doc_id, pos, token_id, sorted by doc_id, pos."""
    before = {k: pl.col("token_id").shift(k) for k in (1, 2)}
    bigram = pl.struct("doc_id", before[1].alias("b"), "token_id")
    trigram = pl.struct("doc_id", before[2].alias("a"), before[1].alias("b"), "token_id")
    # The first tokens of a document have no such n-gram: a number of their own makes them new.
    young = {k: pl.when(pl.col("pos") < k).then("pos") for k in (1, 2)}
    return tokens.with_columns(
        bigram_seen=~pl.struct(bigram, young[1].alias("young")).is_first_distinct(),
        trigram_seen=~pl.struct(trigram, young[2].alias("young")).is_first_distinct(),
    )


def mark_pieces(tokens: pl.DataFrame, max_tokens: int) -> pl.DataFrame:
    """With `starts_piece`: 1 on a piece's first token, 0 on its others, null where the piece may
    not be predicted in whole, or there is none. tokens: doc_id, pos, piece, sorted."""
    piece = pl.struct("doc_id", "piece")
    known = pl.col("piece").is_not_null()
    partial = pl.col("pos").is_in([0, max_tokens - 1]) & known
    unfit = tokens.filter(partial).select("doc_id", "piece", unfit=True).unique()
    starts = pl.when(known).then(piece.is_first_distinct().cast(pl.Float32))
    joined = tokens.with_columns(starts_piece=starts).join(
        unfit, on=["doc_id", "piece"], how="left", maintain_order="left"
    )
    fit = pl.col("unfit").is_null()
    return joined.with_columns(starts_piece=pl.when(fit).then("starts_piece")).drop("unfit")


def rules_of(pieces: pl.DataFrame) -> pl.DataFrame:
    """One row a piece, with the columns of RULES. pieces: doc_id and the list `pieces`."""
    known = pieces.filter(pl.col("pieces").list.len() > 0).select("doc_id", "pieces")
    number = pl.int_range(pl.len()).over("doc_id").cast(pl.UInt32)
    rows = known.explode("pieces").with_columns(piece=number).unnest("pieces")
    return rows.rename({"surprisal": "piece_surprisal"}).select(list(RULES))


def _with_rules(predicted: pl.DataFrame, rules: pl.DataFrame) -> pl.DataFrame:
    joined = predicted.join(rules, on=["doc_id", "piece"], how="left", maintain_order="left")
    surprisal = pl.col("piece_surprisal") * pl.col("starts_piece")
    return joined.with_columns(surprisal=surprisal).select(
        pl.col(name).cast(dtype) for name, dtype in LOSSES.items()
    )


def _windows(tokens: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Groups of WINDOW documents that have a token to predict."""
    lengths = tokens.group_by("doc_id", maintain_order=True).len()
    ends = lengths["len"].cum_sum().to_list()
    start = 0
    for end in [*ends[WINDOW - 1 :: WINDOW], len(tokens)]:
        window = tokens.slice(start, end - start)
        start = end
        window = window.filter(pl.len().over("doc_id") > 1)
        if len(window):
            yield window


def predictions_at_a_time(model: LanguageModel) -> int:
    """Predictions whose logits are made at a time."""
    return max(1, min(ROWS, LOGITS // model.n_vocab))
