"""Tokens: documents in the model's vocabulary, with the piece behind each token.

The tokenizer adds BOS where it does so by itself; the first max_tokens tokens are kept. A token
belongs to the piece in which its first non-space character lies, or its first character where it
is all spaces; tokens that the tokenizer adds belong to none. `token` is the token's text within a
text: leading space kept, `�` for a part of a character. Cost: the tokenizer's own speed over the
whole text, also of what max_tokens cuts off (about 1 MB/s and core, in batches over all cores).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import polars as pl

from dagster_project.interp.corpus import ignore

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase

TOKENS = pl.Schema(
    {
        "doc_id": pl.Int64(),
        "pos": pl.UInt16(),
        "token_id": pl.UInt32(),
        "token": pl.String(),
        "piece": pl.UInt32(),
    }
)
BATCH_ROWS = 256  # documents given to the tokenizer at a time


class Span(TypedDict):
    """Where a piece lies in its document."""

    start: int  # first character
    end: int  # after the last character


class TokenTexts(dict[int, str]):
    """Token id -> its text as it reads within a text, decoded once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        self._anchor = tokenizer("a", add_special_tokens=False)["input_ids"][-1:]
        self._prefix = self._decode(self._anchor)

    def __missing__(self, token_id: int) -> str:
        # After another token, since decoders drop a space at the start of a text.
        text = self._decode([*self._anchor, token_id]).removeprefix(self._prefix)
        self[token_id] = text
        return text

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def tokens(
    documents: Iterable[pl.DataFrame],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    advance: Callable[[int], None] = ignore,
) -> Iterator[pl.DataFrame]:
    """Tokens of documents (frames with doc_id, text, pieces), in order, with TOKENS's columns.

    advance: told of documents as they are done. Raises ValueError where documents have pieces and
    the tokenizer cannot tell where its tokens lie.
    """
    texts = TokenTexts(tokenizer)
    for frame in documents:
        for batch in frame.iter_slices(BATCH_ROWS):
            yield _tokenize(batch, tokenizer, texts, max_tokens)
            advance(len(batch))


def piece_of(text: str, start: int, end: int, pieces: Sequence[Span]) -> int | None:
    """Index of the piece that a token at characters [start, end) of text belongs to.

    pieces: in order, without overlap.
    """
    inside = text[start:end]
    first = start + len(inside) - len(inside.lstrip()) if inside.strip() else start
    index = bisect_right(pieces, first, key=lambda piece: piece["start"]) - 1
    return index if index >= 0 and first < pieces[index]["end"] else None


def _tokenize(
    batch: pl.DataFrame, tokenizer: PreTrainedTokenizerBase, texts: TokenTexts, max_tokens: int
) -> pl.DataFrame:
    known = batch["pieces"].null_count() < len(batch)
    if known and not tokenizer.is_fast:
        raise ValueError("documents have pieces, but this tokenizer gives no character offsets")
    encoded = tokenizer(
        batch["text"].to_list(),
        return_attention_mask=False,
        return_offsets_mapping=known,
        return_special_tokens_mask=known,
        verbose=False,
    )
    ids = [row[:max_tokens] for row in encoded["input_ids"]]
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    flat = np.array([i for row in ids for i in row], dtype=np.int64)
    piece = _all_pieces(batch, encoded, lengths) if known else [None] * len(flat)
    starts = np.repeat(lengths.cumsum() - lengths, lengths)
    return pl.DataFrame(
        {
            "doc_id": np.repeat(batch["doc_id"].to_numpy(), lengths),
            "pos": np.arange(len(flat)) - starts,
            "token_id": flat,
            "token": [texts[i] for i in flat.tolist()],
            "piece": piece,
        },
        schema=TOKENS,
    )


def _all_pieces(
    batch: pl.DataFrame, encoded: BatchEncoding, lengths: np.ndarray
) -> list[int | None]:
    """Piece of each kept token of each document."""
    found: list[int | None] = []
    columns = (batch["text"], batch["pieces"], lengths.tolist())
    for row, (text, pieces, n_tokens) in enumerate(zip(*columns, strict=True)):
        places = encoded["offset_mapping"][row][:n_tokens]
        added = encoded["special_tokens_mask"][row][:n_tokens]
        spans = [] if pieces is None else pieces
        found += [
            None if special else piece_of(text, start, end, spans)
            for (start, end), special in zip(places, added, strict=True)
        ]
    return found
