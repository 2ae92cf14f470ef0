"""Neighbours of a feature among those of its site: by what they write, and by when they fire.

`cosine`: cosine of the decoder rows, of features that point less than 90° apart. `coactive`:
Jaccard index |A ∩ B| / |A ∪ B| of the sets of tokens on which two features are above 0, on a
sample of tokens; one common token is taken for chance, so two are the least. Both symmetric; the
order of equal values is that of the features. A neuron has no neighbour by cosine.

Cost: 2 d_model FLOPs a pair of features; for `coactive` one addition a pair of features that are
active on a token. Memory: BLOCK numbers, or pairs, besides the sampled active features.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import torch
from scipy import sparse
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary, IdentityDictionary

NEIGHBOURS = 10  # of each kind
LEAST_COMMON = 2  # tokens
BLOCK = 1 << 22
NEIGHBOUR = pl.Schema(
    {
        "feature": pl.Int32(),
        "kind": pl.String(),
        "rank": pl.UInt16(),
        "other": pl.Int32(),
        "value": pl.Float32(),
        "common_tokens": pl.UInt32(),
    }
)


@torch.no_grad()
def by_cosine(dictionary: Dictionary) -> pl.DataFrame:
    """The NEIGHBOURS features with the largest cosine above 0 of each feature: NEIGHBOUR's
    columns, common_tokens null."""
    if isinstance(dictionary, IdentityDictionary):
        return pl.DataFrame(schema=NEIGHBOUR)
    n = dictionary.n_features
    every = torch.arange(n, device=dictionary.bias.device)
    rows = torch.nn.functional.normalize(dictionary.decoder_rows(every).float(), dim=-1)
    k = min(NEIGHBOURS, n - 1)
    frames = []
    for block in every.split(max(1, BLOCK // n)):
        cosine = rows[block] @ rows.T
        cosine[torch.arange(len(block)), block] = -1  # itself
        found = cosine.topk(k, dim=-1)
        columns = (block[:, None].expand_as(found.indices), found.indices, found.values)
        names = ("feature", "other", "value")
        frames.append(_frame(dict(zip(names, columns, strict=True))))
    pairs = pl.concat(frames).filter(pl.col("value") > 0)
    return _ranked(pairs.with_columns(common_tokens=pl.lit(None)), "cosine")


def by_tokens(token: np.ndarray, feature: np.ndarray, n_features: int) -> pl.DataFrame:
    """The NEIGHBOURS features with the largest Jaccard index of each feature: NEIGHBOUR's columns.

    token, feature [pair]: that the feature is above 0 on the token, each pair once.
    """
    if not len(token):
        return pl.DataFrame(schema=NEIGHBOUR)
    _, rows = np.unique(token, return_inverse=True)
    ones = np.ones(len(rows), dtype=np.int32)
    active = sparse.csc_array((ones, (rows, feature)), shape=(rows.max() + 1, n_features))
    by_token = active.tocsr()
    tokens_of = np.diff(active.indptr)  # [feature]
    pairs_of = active.T @ np.diff(by_token.indptr)  # [feature] pairs that counting it takes
    frames = []
    for start, end in itertools.pairwise(_cuts(pairs_of.tolist(), BLOCK)):
        common = (active[:, start:end].T.tocsr() @ by_token).tocoo()
        this, other = common.coords[0] + start, common.coords[1]
        kept = (this != other) & (common.data >= LEAST_COMMON)
        this, other, both = this[kept], other[kept], common.data[kept]
        jaccard = both / (tokens_of[this] + tokens_of[other] - both)
        columns = {"feature": this, "other": other, "value": jaccard, "common_tokens": both}
        frames.append(_ranked(pl.DataFrame(columns), "coactive"))
    return pl.concat(frames)


def _cuts(sizes: Sequence[int], limit: int) -> Iterator[int]:
    """Where to cut a list, ends included, so that parts add up to at most `limit` (or are one)."""
    yield 0
    total = 0
    for place, size in enumerate(sizes):
        if total and total + size > limit:
            yield place
            total = 0
        total += size
    yield len(sizes)


def _frame(columns: dict[str, Tensor]) -> pl.DataFrame:
    return pl.DataFrame({name: x.flatten().cpu().numpy() for name, x in columns.items()})


def _ranked(pairs: pl.DataFrame, kind: str) -> pl.DataFrame:
    """The first NEIGHBOURS of each feature by value, numbered."""
    ordered = pairs.sort("feature", "value", "other", descending=[False, True, False])
    first = ordered.group_by("feature", maintain_order=True).head(NEIGHBOURS)
    rank = pl.int_range(pl.len()).over("feature")
    numbered = first.with_columns(kind=pl.lit(kind), rank=rank)
    return numbered.select(pl.col(name).cast(dtype) for name, dtype in NEIGHBOUR.items())
