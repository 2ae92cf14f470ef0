"""Losses: how well the model predicts each token of a document from those before it.

loss[t] = −log p(x_t | x_<t) in nats, rank of x_t (0 = the model's top choice) and the entropy of
the prediction (see `predictions`). `trigram_seen` (`bigram_seen`): the same three (two) tokens,
ending here, occurred earlier in the document, so that induction may predict x_t; BOS counts as a
token.

Cost: one forward, about 2 FLOPs a parameter and token. Documents of BATCHES batches make a window,
in which lengths are sorted, so that padding is about 1 % (right of all real tokens, which never
see it). Memory: a shard's ids, one window's results, one batch's hidden states, a tile of logits.
A window that was kept is not computed again.

The rule behind a token, where the corpus knows it: `surprisal` is that of the piece on the piece's
first token and 0 on its others, so that sum(loss) − sum(surprisal) over a piece is its excess
loss. It is null where that sum would not hold: at pieces cut off by max_tokens, and at one whose
first token is the document's first and so not predicted. A piece in which no token has its
first letter (one that a longer token swallows) leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import polars as pl
import torch

from dagster_project.interp.corpus import ignore
from dagster_project.interp.kept import Kept
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.predictions import Scores, score
from dagster_project.interp.sequences import buckets
from dagster_project.interp.sites import batch_of, final_hidden

__all__ = ["LOSSES", "RULES", "losses", "mark_pieces", "mark_seen", "rules_of", "score", "windows"]

BATCHES = 128  # batches in a window: many lengths to sort, and little to lose
ON_CPU = 2048  # tokens of a batch there at most: larger results are new memory, zeroed, each time

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


def losses(
    model: LanguageModel,
    tokens: pl.DataFrame,
    pieces: pl.DataFrame,
    max_tokens: int,
    batch_tokens: int,
    advance: Callable[[int], None] = ignore,
    kept: Kept | None = None,
) -> Iterator[pl.DataFrame]:
    """Losses of all predicted tokens (pos ≥ 1), in order, as frames with the columns of LOSSES.

    tokens: doc_id, pos, token_id, piece of whole documents, sorted. pieces: doc_id and the list
    `pieces` of documents (see `rules_of`). max_tokens: what documents were cut at. advance: told
    of tokens as they are done. kept: takes each window's frame, and gives those that it has.
    """
    rules = rules_of(pieces)
    size = tokens_a_batch(model, batch_tokens)
    for number, window in enumerate(windows(tokens, BATCHES * size)):
        frame = kept.get(number) if kept else None
        if frame is not None and _is_of(frame, window):
            advance(len(window))
        else:
            scores = _score_window(model, window, size, advance)
            frame = _frame(window, scores, rules, max_tokens)
            if kept:
                kept.put(number, frame)
        yield frame


def tokens_a_batch(model: LanguageModel, batch_tokens: int) -> int:
    """Padded tokens that make a batch on the model's device."""
    return min(batch_tokens, ON_CPU) if model.device.type == "cpu" else batch_tokens


def _is_of(frame: pl.DataFrame, window: pl.DataFrame) -> bool:
    """The frame holds the losses of just this window."""
    key = ["doc_id", "pos", "token_id"]
    predicted = window.filter(pl.col("pos") > 0)
    return frame.schema == LOSSES and frame.select(key).equals(predicted.select(key))


def _frame(
    window: pl.DataFrame, scores: Scores, rules: pl.DataFrame, max_tokens: int
) -> pl.DataFrame:
    marked = mark_pieces(mark_seen(window), max_tokens)
    predicted = marked.filter(pl.col("pos") > 0).with_columns(
        loss=scores.loss.numpy(), rank=scores.rank.numpy(), entropy=scores.entropy.numpy()
    )
    return _with_rules(predicted, rules)


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


def windows(tokens: pl.DataFrame, most: int) -> Iterator[pl.DataFrame]:
    """Whole documents that have a token to predict, in frames of at most `most` tokens, or of one
    document. tokens: doc_id and more, sorted by document."""
    documents = tokens.filter(pl.len().over("doc_id") > 1)
    lengths = documents.group_by("doc_id", maintain_order=True).len()["len"].to_list()
    start = 0
    for size in _sizes(lengths, most):
        yield documents.slice(start, size)
        start += size


def _sizes(lengths: Sequence[int], most: int) -> list[int]:
    """Sums of neighbours, each as large as can be, at most `most` or of one alone."""
    sizes: list[int] = []
    for length in lengths:
        if sizes and sizes[-1] + length <= most:
            sizes[-1] += length
        else:
            sizes.append(length)
    return sizes
