"""Examples: clean (and patch) prompts with their answers, as batches for attribution.

An example is a pair (clean and patch prompt of equal length, two answers) or has no patch: then
the patched state of a site is that of no features and no error, x_p = the dictionary's bias, and
the metric reads the clean answer alone. Examples of different lengths are right-padded together;
`counted` says which positions enter sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.metrics import Metric
from dagster_project.interp.sites import Batch, batch_of

NoPairMetric = Literal["log_prob", "logit"]


@dataclass(frozen=True)
class Examples:
    """A batch of examples: all pairs, or all without a patch."""

    clean: Batch
    patch: Batch | None  # None: zero ablation (f = 0, ε = 0, so x = the dictionary's bias)
    answer: Tensor  # [batch] token ids
    patch_answer: Tensor | None  # [batch] token ids, where there is a patch
    metric: NoPairMetric = "log_prob"  # of the answer, where there is no patch

    def __len__(self) -> int:
        return len(self.answer)

    @property
    def device(self) -> torch.device:
        return self.answer.device

    def discovery_metric(self) -> Metric:
        """m: logit[patch answer] − logit[clean answer], or −log p or −logit of the answer."""
        if self.patch is None:
            return Metric(self.metric, self.answer, sign=-1)
        return Metric("pair", self.answer, self.patch_answer)

    def evaluation_metric(self) -> Metric:
        """F = −m."""
        metric = self.discovery_metric()
        return replace(metric, sign=-metric.sign)

    def counted(self, bos_id: int | None = None) -> Tensor:
        """[batch, position] bool: real tokens, without a BOS at position 0 if bos_id is given."""
        counted = self.clean.real.clone()
        if bos_id is not None:
            counted[:, 0] &= self.clean.ids[:, 0] != bos_id
        return counted

    @property
    def changed(self) -> Tensor:
        """[batch, position] bool: at or after the first token that the patch changes.

        Before it clean and patched states are equal. Without a patch every position is changed.
        """
        if self.patch is None:
            return torch.ones_like(self.clean.ids, dtype=torch.bool)
        return (self.clean.ids != self.patch.ids).cumsum(1) > 0

    def take(self, rows: Tensor) -> Examples:
        """The rows of the batch [n], repeated where named repeatedly; padding stays."""
        return replace(
            self,
            clean=_take(self.clean, rows),
            patch=None if self.patch is None else _take(self.patch, rows),
            answer=self.answer[rows],
            patch_answer=None if self.patch_answer is None else self.patch_answer[rows],
        )

    def rows(self, start: int, stop: int) -> Examples:
        """A slice of the batch, without positions that are padding in all of its rows."""
        part = self.take(torch.arange(start, min(stop, len(self)), device=self.device))
        longest = int(part.clean.lengths.max())
        patch = None if part.patch is None else part.patch._replace(ids=part.patch.ids[:, :longest])
        return replace(
            part, clean=part.clean._replace(ids=part.clean.ids[:, :longest]), patch=patch
        )

    def portions(self, batch_tokens: int) -> Iterator[tuple[int, Examples]]:
        """(first row, examples) in portions of at most batch_tokens padded tokens, or one row."""
        size = max(1, batch_tokens // self.clean.ids.shape[1])
        for start in range(0, len(self), size):
            yield start, self.rows(start, start + size)


def examples_from(
    pairs: pl.DataFrame, device: torch.device | str = "cpu", metric: NoPairMetric = "log_prob"
) -> Examples:
    """Rows of the pairs table, in their order. Raises ValueError naming a row that does not fit."""
    if pairs.is_empty():
        raise ValueError("pairs: expected at least one example, found none")
    clean = batch_of(pairs["clean_ids"].to_list(), device)
    answer = _ids(pairs["clean_answer_id"], device)
    n_patched = len(pairs) - pairs["patch_ids"].null_count()
    if n_patched == 0:
        return Examples(clean, None, answer, None, metric)
    _check_pairs(pairs)
    patch = batch_of(pairs["patch_ids"].to_list(), device)
    return Examples(clean, patch, answer, _ids(pairs["patch_answer_id"], device), metric)


def _check_pairs(pairs: pl.DataFrame) -> None:
    lengths = pairs.with_row_index("row").select(
        "row",
        clean=pl.col("clean_ids").list.len(),
        patch=pl.col("patch_ids").list.len(),
        answer=pl.col("patch_answer_id"),
    )
    for row, clean, patch, answer in lengths.iter_rows():
        if clean != patch:
            raise ValueError(f"pairs row {row}: patch_ids must have {clean} ids, found {patch}")
        if answer is None:
            raise ValueError(f"pairs row {row}: patch_answer_id must be given, found null")


def _ids(column: pl.Series, device: torch.device | str) -> Tensor:
    return torch.tensor(column.to_list(), dtype=torch.int64, device=device)


def _take(batch: Batch, rows: Tensor) -> Batch:
    return Batch(batch.ids[rows], batch.lengths[rows])
