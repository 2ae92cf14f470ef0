"""Scores: faithfulness and completeness of a circuit from F of each example.

Faithfulness = (F(C) − F(∅)) / (F(M) − F(∅)); completeness: the same with the complement in place
of C (Marks et al. 2024, section 3.2). Ratios of means over examples, with a percentile interval
over resampled examples. Null where the model is too close to the empty circuit for the ratio to
mean anything.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dagster_project.interp.bootstrap import HIGH, LOW

SMALLEST_DIVISOR = 0.05
"""|F(M) − F(∅)| / |F(M)| below which faithfulness is null."""


class Score(NamedTuple):
    """A circuit's F, as means over the examples, and what follows."""

    f_model: float
    f_circuit: float
    f_empty: float
    f_complement: float
    faithfulness: float | None  # null: F(M) − F(∅) is too small a divisor
    completeness: float | None  # 0: without the circuit nothing is left
    low: float | None  # 5 % of the bootstrap of faithfulness
    high: float | None  # 95 %
    completeness_low: float | None  # likewise of completeness
    completeness_high: float | None


def score(
    f_model: Tensor,
    f_circuit: Tensor,
    f_empty: Tensor,
    f_complement: Tensor,
    weights: Tensor | None = None,
) -> Score:
    """Faithfulness from F of each example; weights [resample, example] for the interval."""
    by_example = torch.stack([f_model, f_circuit, f_empty, f_complement]).double()
    means = by_example.mean(1)
    model, circuit, empty, complement = means.tolist()
    if abs(model - empty) < SMALLEST_DIVISOR * abs(model) or model == empty:
        return Score(model, circuit, empty, complement, *[None] * 6)
    divisor = model - empty
    return Score(
        model,
        circuit,
        empty,
        complement,
        (circuit - empty) / divisor,
        (complement - empty) / divisor,
        *interval(by_example[[0, 1, 2]], weights),
        *interval(by_example[[0, 3, 2]], weights),
    )


def interval(by_example: Tensor, weights: Tensor | None) -> tuple[float | None, float | None]:
    """5 % and 95 % of (F − F(∅)) / (F(M) − F(∅)) over resamples; None without, or where a divisor
    is 0. by_example: F(M), F, F(∅) [3, example]."""
    if weights is None:
        return None, None
    model, part, empty = by_example @ weights.T.to(by_example)  # [F, resample]
    ratio = (part - empty) / (model - empty)
    if not ratio.isfinite().all():
        return None, None
    low, high = ratio.quantile(ratio.new_tensor([LOW, HIGH])).tolist()
    return low, high
