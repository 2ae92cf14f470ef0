"""Activations around examples: what a feature does on the tokens near each of its examples.

A second pass over the documents, since examples are known only after the first. Of each example
the tokens from BEFORE before it to AFTER after it in its document are kept on which the feature is
above 0, itself among them: where a feature is sparse that is little, and 0 is what is not said.
With each goes what the feature does there to the losses after it (`loss_effects`); null where that
is not finite.

Memory: 12 bytes a kept token of an example, besides a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.feature_tally import Active
from dagster_project.interp.feature_tokens import FeatureTokens

BEFORE, AFTER = 32, 16  # tokens
NEAR = pl.Schema(
    {
        "near_offsets": pl.List(pl.Int8()),
        "near_activations": pl.List(pl.Float32()),
        "near_effects": pl.List(pl.Float32()),
    }
)


class _Cells(NamedTuple):
    """Tokens near examples where their feature is above 0."""

    example: np.ndarray  # [cell] int32
    offset: np.ndarray  # [cell] int8: tokens after the example, negative before
    activation: np.ndarray  # [cell] float32
    effect: np.ndarray  # [cell] float32, nats


class Windows:
    """The examples of one site while documents come in."""

    def __init__(self, tokens: FeatureTokens, examples: pl.DataFrame, n_features: int) -> None:
        """examples: feature and token, the token's number."""
        self.tokens, self.n_examples, self.n_features = tokens, len(examples), n_features
        self.order = np.argsort(examples["token"].to_numpy(), kind="stable")
        self.token = examples["token"].to_numpy()[self.order]
        self.feature = examples["feature"].to_numpy()[self.order].astype(np.int64)
        self.cells: list[_Cells] = []

    def add(self, rows: Sequence[int], found: Active, effects: Callable[[Tensor], Tensor]) -> None:
        """All active features of some documents. rows: of the documents; effects: of those at some
        places in `found`."""
        here = self._of(rows)
        keys = self._keys(self.token[here], self.feature[here])
        by_key = np.argsort(keys, kind="stable")
        here, keys = here[by_key], keys[by_key]
        token, feature, activation = (part.cpu().numpy() for part in found)
        wanted = self._keys(token, feature)
        start = np.searchsorted(keys, wanted, side="left")
        count = np.searchsorted(keys, wanted, side="right") - start
        pair = np.arange(len(wanted)).repeat(count)  # with each example of its document, feature
        example = here[np.arange(len(pair)) + (start - count.cumsum() + count).repeat(count)]
        offset = token[pair] - self.token[example]
        near = (offset >= -BEFORE) & (offset <= AFTER)
        place = torch.from_numpy(pair[near]).to(found.token.device)
        self.cells.append(
            _Cells(
                self.order[example[near]].astype(np.int32),
                offset[near].astype(np.int8),
                activation[pair[near]],
                effects(place).cpu().numpy(),
            )
        )

    def _of(self, rows: Sequence[int]) -> np.ndarray:
        """Places in the order of tokens of the examples in some documents."""
        edges = np.append(self.tokens.first, len(self.tokens.document))
        bounds = np.searchsorted(self.token, edges)
        return np.concatenate([np.arange(bounds[row], bounds[row + 1]) for row in rows])

    def _keys(self, token: np.ndarray, feature: np.ndarray) -> np.ndarray:
        """One number for document and feature."""
        return self.tokens.document[token].astype(np.int64) * self.n_features + feature

    def near(self) -> pl.DataFrame:
        """For each example, in the given order, the columns of NEAR."""
        every = pl.DataFrame({"example": np.arange(self.n_examples, dtype=np.int32)})
        columns = zip(*self.cells, strict=True)
        cells = dict(zip(_Cells._fields, map(np.concatenate, columns), strict=True))
        finite = pl.when(pl.col("effect").is_finite()).then("effect")
        lists = (
            pl.DataFrame(cells)
            .sort("example", "offset")
            .group_by("example", maintain_order=True)
            .agg(near_offsets="offset", near_activations="activation", near_effects=finite)
        )
        joined = every.join(lists, on="example", how="left", maintain_order="left")
        return joined.select(pl.col(n).fill_null([]).cast(kind) for n, kind in NEAR.items())
