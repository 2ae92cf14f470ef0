"""Bootstrap over examples: how far a mean would move had other examples been drawn.

A resample draws as many examples as there are, with replacement; its mean is a weighted mean of
the examples, so all resamples of all quantities are one matrix product of weights [resample,
example] with values [example, quantity]. The same seed gives the same weights, so that nodes and
edges are resampled alike. Intervals are percentile intervals: too narrow for a handful of examples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

LOW, HIGH = 0.05, 0.95


class Summary(NamedTuple):
    """Means over examples, and what the resamples say of them."""

    mean: Tensor  # [quantity]
    share_above: Tensor | None  # [quantity] share of resamples with |mean| > threshold
    low: Tensor | None  # [quantity] 5 % of the resamples
    high: Tensor | None  # [quantity] 95 % of the resamples

    def frame(self, mean: str) -> pl.DataFrame:
        """Columns: the mean, under the name given, share_above, low, high (null: no bootstrap)."""
        bounds = {"share_above": self.share_above, "low": self.low, "high": self.high}
        nothing = pl.repeat(None, len(self.mean), dtype=pl.Float32, eager=True)
        columns = {k: nothing if v is None else v.cpu().numpy() for k, v in bounds.items()}
        return pl.DataFrame({mean: self.mean.cpu().numpy(), **columns}).cast(pl.Float32)


def resampling_weights(
    n_examples: int, resamples: int, seed: int, device: torch.device | str = "cpu"
) -> Tensor | None:
    """Weights [resample, example] whose rows sum to 1; None for no resamples."""
    if not resamples:
        return None
    even = np.full(n_examples, 1 / n_examples)
    counts = np.random.default_rng(seed).multinomial(n_examples, even, size=resamples)
    return torch.from_numpy(counts / n_examples).float().to(device)


def summarize(values: Tensor, weights: Tensor | None, threshold: float) -> Summary:
    """values [example, quantity] -> their means with share_above, low and high."""
    mean = values.mean(0)
    if weights is None:
        return Summary(mean, None, None, None)
    means = values.T @ weights.T.to(values)  # [quantity, resample]
    share = (means.abs() > threshold).float().mean(1)
    ordered = means.sort(1).values
    last = means.shape[1] - 1
    return Summary(mean, share, ordered[:, round(LOW * last)], ordered[:, round(HIGH * last)])
