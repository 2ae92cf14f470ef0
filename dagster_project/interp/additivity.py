"""Additivity: do the sites hold what they are defined to hold?

The stream after a layer must be the stream before it plus what attention and the MLP add. Where
that fails, a family's modules are named wrongly or add something that no site shows. What is
allowed is rounding, so the gap is told in units in the last place of what is added up, whatever the
model's dtype. Cost: one forward.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import site_names
from dagster_project.interp.sites import activations

ULPS = 8.0
"""Rounding allowed of a sum of three numbers."""


def additivity_error(model: LanguageModel, ids: Tensor) -> float:
    """Largest gap of a layer's sum, in units in the last place. ids [batch, position]."""
    return max(sum_gaps(activations(model, ids, site_names(model.n_layers)), model.n_layers))


def sum_gaps(found: Mapping[str, Tensor], n_layers: int) -> list[float]:
    """Of each layer, the largest |resid_{i−1} + attn_i + mlp_i − resid_i|, in units in the last
    place. found: the usual sites' activations."""
    gaps, before = [], found["embed"]
    for layer in range(n_layers):
        parts = [before, *(found[f"{kind}_{layer}"] for kind in ("attn", "mlp"))]
        before = found[f"resid_{layer}"]
        gaps.append(rounding(before, parts))
    return gaps


def rounding(total: Tensor, terms: list[Tensor]) -> float:
    """Largest |Σ terms − total|, in units in the last place of Σ |terms|."""
    exact = torch.stack([term.double() for term in terms])
    size = exact.abs().sum(0).clamp_min(1e-30) * torch.finfo(total.dtype).eps
    return float(((exact.sum(0) - total.double()).abs() / size).max())
