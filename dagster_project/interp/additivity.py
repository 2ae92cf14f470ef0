"""Additivity: do the sites hold what they are defined to hold?

The stream after a layer must be the stream before it plus what attention and the MLP add. Where
that fails, a family's modules are named wrongly or add something that no site shows. Cost: one
forward.
"""

from __future__ import annotations

import torch

from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import activations, site_names


def additivity_error(model: LanguageModel, ids: torch.Tensor) -> float:
    """Largest |resid_{i−1} + attn_i + mlp_i − resid_i| over layers, relative to the largest
    |resid_i| of the layer. ids [batch, position]."""
    found = activations(model, ids, site_names(model.n_layers))
    before, worst = found["embed"], 0.0
    for layer in range(model.n_layers):
        after = found[f"resid_{layer}"]
        gap = before + found[f"attn_{layer}"] + found[f"mlp_{layer}"] - after
        worst = max(worst, float(gap.abs().max() / after.abs().max()))
        before = after
    return worst
