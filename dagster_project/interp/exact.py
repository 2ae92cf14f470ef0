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
from dagster_project.interp.sites import gradients, site_names
from dagster_project.interp.states import ERROR, Change, SiteState, changes, metric_at, patch_states


def exact(
    model: LanguageModel,
    dictionary: Dictionary,
    examples: Examples,
    site: str,
    batch_tokens: int,
    bos_id: int | None = None,
) -> Nodes:
    """m(node patched) − m(clean) of each node of a site that changes, per example and position."""
    sites = site_names(model.n_layers)
    plain = gradients(model, examples.clean, examples.discovery_metric(), sites)
    clean, patches = plain.activation[site], patch_states(model, examples, [site])
    state = SiteState(clean, None if patches is None else patches[site], plain.gradient[site])
    size = max(1, batch_tokens // clean.shape[1])
    found: list[Nodes] = []
    for example, pos, tokens in changes(
        dictionary, state, examples.counted(bos_id) & examples.changed
    ):
        for token, feature in _nodes(tokens, size):
            rows, x = example[token], clean[example[token]]
            x[torch.arange(len(token)), pos[token]] += _moves(dictionary, tokens, token, feature)
            value = metric_at(model, examples, plain.activation, site, x, rows)
            patch_only = (feature != ERROR) & (tokens.clean[token, feature] == 0)
            found.append(Nodes(rows, pos[token], feature, value - plain.value[rows], patch_only))
    return Nodes(*(torch.cat(column) for column in zip(*found, strict=True)))


def _nodes(tokens: Change, size: int) -> list[tuple[Tensor, Tensor]]:
    """(token, feature) of the nodes that change, in portions of `size`."""
    token, feature = tokens.features.nonzero(as_tuple=True)
    erring = tokens.error.any(-1).nonzero()[:, 0]
    token = torch.cat([token, erring])
    feature = torch.cat([feature, torch.full_like(erring, ERROR)])
    return list(zip(token.split(size), feature.split(size), strict=True))


def _moves(dictionary: Dictionary, tokens: Change, token: Tensor, feature: Tensor) -> Tensor:
    """Change of x [node, d_model] when the node alone is patched: Δf W_dec, or Δε."""
    scaled = tokens.features[token, feature][:, None] * dictionary.decoder_rows(
        feature.clamp(min=0)
    )
    return torch.where((feature == ERROR)[:, None], tokens.error[token], scaled)
