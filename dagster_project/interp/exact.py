"""Exact node effects: patch one node, at one position of one example, and measure the metric.

The check of what `node_effects` approximates. Cost: a forward from the site on for every node of
every example, stacked into batches; for small models and few examples only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import Nodes
from dagster_project.interp.rerun import rerun
from dagster_project.interp.site_names import in_forward_order, site_names
from dagster_project.interp.sites import gradients
from dagster_project.interp.states import ERROR, Change, SiteState, changes, patch_states


def exact(
    model: LanguageModel,
    dictionary: Dictionary,
    examples: Examples,
    site: str,
    batch_tokens: int,
    bos_id: int | None = None,
) -> Nodes:
    """m(node patched) − m(clean) of each node of a site that changes, per example and position."""
    sites = in_forward_order([*site_names(model.n_layers), site])
    plain = gradients(model, examples.clean, examples.discovery_metric(), sites)
    clean, patches = (
        plain.activation[site].to(dictionary.bias),
        patch_states(model, examples, [site]),
    )
    patch = None if patches is None else patches[site].to(clean)
    state = SiteState(clean, patch, plain.gradient[site].to(clean))
    counted = examples.counted(bos_id) & examples.changed
    again = rerun(model, examples, plain.activation, counted)
    size = max(1, batch_tokens // clean.shape[1])
    found: list[Nodes] = []
    for example, pos, tokens in changes(dictionary, state, counted):
        nodes = zip(*(part.split(size) for part in _nodes(tokens)), strict=True)
        for token, feature, delta, patch_only in nodes:
            rows, x = example[token], clean[example[token]]
            written = delta[:, None] * dictionary.decoder_rows(feature.clamp(min=0))
            move = torch.where((feature == ERROR)[:, None], tokens.error[token], written)
            x[torch.arange(len(token)), pos[token]] += move
            value = again.metric(site, x[:, again.first :], rows)
            found.append(Nodes(rows, pos[token], feature, value - plain.value[rows], patch_only))
    return Nodes(*(torch.cat(column) for column in zip(*found, strict=True)))


def _nodes(tokens: Change) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """token, feature, Δf and whether it is active in the patch alone, of the nodes that change."""
    moved = tokens.features.value != 0
    token, feature, delta, _ = tokens.features.where(moved)
    erring = tokens.error.any(-1).nonzero()[:, 0]
    return (
        torch.cat([token, erring]),
        torch.cat([feature, torch.full_like(erring, ERROR)]),
        torch.cat([delta, torch.zeros_like(erring, dtype=delta.dtype)]),
        torch.cat([tokens.clean[moved] == 0, torch.zeros_like(erring, dtype=torch.bool)]),
    )
