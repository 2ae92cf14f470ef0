"""What a site's features do on a stream of tokens: counts, histogram, and the tokens to show.

The range of a feature is [0, cap), its cap the smallest power of two above its largest activation
so far: BINS bins for the histogram, INTERVALS intervals from which examples are drawn. When the
cap doubles, neighbouring bins become one, exactly, so that one pass over the tokens gives what two
would; in the end BINS / 2 + 1 … BINS bins (INTERVALS / 2 + 1 … INTERVALS intervals) reach the
maximum. Examples are the `top` strongest tokens and `per_interval` of each interval by a hash of
their context; no two examples of a feature have the same context, the strongest stays. Sums are
float64. Nothing depends on how the stream is cut into batches, but for the rounding of activations.

Cost: some 40 passes over the active (token, feature) pairs. Memory: the pairs of one batch, and a
feature's BINS counts and at most top + INTERVALS × per_interval examples of 12 bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.feature_largest import (
    Largest,
    activation_rank,
    keys,
    shuffled_rank,
)

BINS = 32  # of a histogram, a power of two
INTERVALS = 8  # for examples, a power of two
PER_INTERVAL = BINS // INTERVALS  # bins
LEAST = -100  # exponent of the smallest cap; what is smaller than its bins is in the first

FEATURES = pl.Schema(
    {
        "feature": pl.Int32(),
        "density": pl.Float32(),
        "mean_activation": pl.Float32(),
        "max_activation": pl.Float32(),
        "dead": pl.Boolean(),
        "active_tokens": pl.UInt32(),
        "n_tokens": pl.UInt32(),
        "bin_width": pl.Float32(),
        "histogram": pl.List(pl.UInt32()),
    }
)
EXAMPLES = pl.Schema(
    {
        "feature": pl.Int32(),
        "rank": pl.UInt16(),
        "token": pl.Int64(),
        "activation": pl.Float32(),
        "interval": pl.UInt8(),
        "interval_low": pl.Float32(),
        "interval_high": pl.Float32(),
        "sampled": pl.Boolean(),
    }
)


class Active(NamedTuple):
    """Features above 0 on tokens, in no order."""

    token: Tensor  # [pair] int64: number of the token
    feature: Tensor  # [pair] int64
    activation: Tensor  # [pair] float32, above 0


class Tally:
    """The features of one site on the tokens added so far."""

    def __init__(self, n_features: int, top: int, per_interval: int, context: Tensor) -> None:
        """context [token]: hash of each token's context."""
        device = context.device
        self.n_features, self.context = n_features, context
        self.active = torch.zeros(n_features, dtype=torch.int64, device=device)  # tokens
        self.total = torch.zeros(n_features, dtype=torch.float64, device=device)  # of activations
        self.largest = torch.zeros(n_features, device=device)
        self.exponent = torch.full((n_features,), LEAST, device=device)  # of the cap
        self.histogram = torch.zeros(n_features, BINS, dtype=torch.int32, device=device)
        self.top = Largest(n_features, top, context)
        self.sampled = Largest(n_features * INTERVALS, per_interval, context)

    def add(self, found: Active) -> None:
        """Active features of further tokens."""
        feature, activation = found.feature, found.activation
        self.active += torch.bincount(feature, minlength=self.n_features)
        self.total += torch.bincount(feature, activation.double(), self.n_features)
        self.largest.scatter_reduce_(0, feature, activation, "amax")
        self._raise_caps()
        bins = self._bin(feature, activation)
        counts = torch.bincount(feature * BINS + bins, minlength=self.n_features * BINS)
        self.histogram += counts.view(self.n_features, BINS)
        self.top.add(feature, keys(activation_rank(activation), found.token), activation)
        self._sample(found, bins)

    def _sample(self, found: Active, bins: Tensor) -> None:
        rank = shuffled_rank(self.context[found.token], found.feature)
        group = found.feature * INTERVALS + bins // PER_INTERVAL
        self.sampled.add(group, keys(rank, found.token), found.activation)

    def _bin(self, feature: Tensor, activation: Tensor) -> Tensor:
        """Which of the BINS parts of [0, cap) each activation lies in; float32 divides by powers
        of two exactly."""
        scale = (BINS * torch.exp2(-self.exponent.double())).float()
        return (activation * scale[feature]).long()

    def _raise_caps(self) -> None:
        """Caps above the largest activations; bins and examples move along."""
        needed = torch.frexp(self.largest).exponent.clamp(min=LEAST)
        grown = ((needed > self.exponent) & (self.largest > 0)).nonzero()[:, 0]
        if not len(grown):
            return
        shift = needed[grown] - self.exponent[grown]
        self.exponent[grown] = needed[grown].to(self.exponent.dtype)
        bins = torch.arange(BINS, device=grown.device)
        moved = bins >> shift.clamp(max=31)[:, None]
        counts = self.histogram[grown]
        self.histogram[grown] = torch.zeros_like(counts).scatter_add_(1, moved.long(), counts)
        intervals = torch.arange(INTERVALS, device=grown.device)
        held = self.sampled.take_out((grown[:, None] * INTERVALS + intervals).flatten())
        again = Active(held.token, held.group // INTERVALS, held.activation)
        self._sample(again, self._bin(again.feature, again.activation))

    def features(self, n_tokens: int) -> pl.DataFrame:
        """One row a feature, with the columns of FEATURES. n_tokens: tokens added in all."""
        every = torch.arange(self.n_features, device=self.largest.device)
        columns = {
            "feature": every,
            "density": self.active / n_tokens,
            "mean_activation": self.total / self.active.clamp(min=1),
            "max_activation": self.largest,
            "dead": self.active == 0,
            "active_tokens": self.active,
            "n_tokens": torch.full_like(every, n_tokens),
            "bin_width": torch.exp2(self.exponent.double()) / BINS,
            "bins": self._bin(every, self.largest) + 1,
        }
        frame = pl.DataFrame({name: x.cpu().numpy() for name, x in columns.items()})
        counts = pl.Series("counts", self.histogram.cpu().numpy()).arr.to_list()
        return frame.with_columns(
            pl.when(~pl.col("dead")).then(pl.col("mean_activation", "bin_width")),
            histogram=pl.lit(counts).list.head(pl.when(~pl.col("dead")).then("bins").otherwise(0)),
        ).select(pl.col(name).cast(dtype) for name, dtype in FEATURES.items())

    def examples(self) -> pl.DataFrame:
        """Tokens to show, with the columns of EXAMPLES: by feature, the strongest first."""
        held = [(self.top.entries(), False), (self.sampled.entries(), True)]
        parts = []
        for entries, sampled in held:
            group = entries.group // INTERVALS if sampled else entries.group
            columns = {
                "feature": group,
                "token": entries.token,
                "activation": entries.activation,
                "context": self.context[entries.token],
            }
            frame = pl.DataFrame({name: x.cpu().numpy() for name, x in columns.items()})
            parts.append(frame.with_columns(sampled=pl.lit(sampled)))
        rows = pl.concat(parts).sort(
            "feature", "activation", "token", descending=[False, True, False]
        )
        rows = rows.with_columns(pl.col("sampled").max().over("feature", "token"))
        rows = rows.unique(["feature", "context"], keep="first", maintain_order=True)
        return self._with_intervals(rows).select(
            pl.col(name).cast(dtype) for name, dtype in EXAMPLES.items()
        )

    def _with_intervals(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rank, and the interval with its bounds, counted from the feature's highest one."""
        device = self.largest.device
        feature = torch.from_numpy(rows["feature"].to_numpy(writable=True)).to(device)
        activation = torch.from_numpy(rows["activation"].to_numpy(writable=True)).to(device)
        part = self._bin(feature, activation).cpu().numpy() // PER_INTERVAL
        highest = self._bin(feature, self.largest[feature]).cpu().numpy() // PER_INTERVAL
        width = np.exp2(self.exponent[feature].cpu().numpy().astype(np.float64)) / INTERVALS
        return rows.with_columns(
            rank=pl.int_range(pl.len()).over("feature"),
            interval=pl.Series(highest - part),
            interval_low=pl.Series(part * width),
            interval_high=pl.Series((part + 1) * width),
        )
