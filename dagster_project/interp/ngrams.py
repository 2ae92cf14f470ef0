"""N-grams seen before: how far back the n-gram that ends at a token occurred last.

What a model predicts because it stands in the text already tells little about what it knows; a
context is chosen among tokens that neither their document nor, where asked, their window gives
away. An n-gram lies in the window of `n_ctx` tokens before its last token if it ends at most
n_ctx − (n − 1) tokens back. Cost: one sort of the tokens by n-gram, 1 µs a token; whether alone,
without how far, is what `losses.mark_seen` tells, seven times as fast.
"""

from __future__ import annotations

import polars as pl


def tokens_since(tokens: pl.DataFrame, n: int) -> pl.Series:
    """Tokens from the last earlier occurrence of each token's n-gram in its document to the token:
    [token] UInt16, null where there is none or the n-gram begins before the document.

    tokens: doc_id, pos, token_id, sorted by doc_id, pos; documents are whole from their start.
    """
    ngram = [pl.col("token_id").shift(k).alias(f"back_{k}") for k in range(n)]
    whole = tokens.select("doc_id", "pos", *ngram).with_row_index().filter(pl.col("pos") >= n - 1)
    pos = pl.col("pos").cast(pl.Int32)
    since = pos - pos.shift(1).over("doc_id", *(f"back_{k}" for k in range(n)))
    found = whole.select("index", since=since.cast(pl.UInt16))
    every = pl.DataFrame({"index": range(len(tokens))}, schema={"index": found.schema["index"]})
    return every.join(found, on="index", how="left", maintain_order="left")["since"]
