"""Node effects: what patching a feature or an error would do to the metric, to first order.

`attrib`: effect = ∂m/∂f ⊙ Δf at clean. `ig`: the gradient is the mean over N points of the straight
line from clean to patched activation, one site at a time (Marks et al. 2024, section 3.1).
Decoding is affine, so f and ε enter the model only through x: ∂m/∂f = ḡ W_decᵀ and ∂m/∂ε = ḡ with
ḡ = ∂m/∂x, and the dictionary stays outside the graph and the loop. Positions that do not count
(padding, BOS, tokens before the first one changed) keep their clean state all along the line.

Cost per batch: one forward and backward of the model for all sites; for `ig`, per site and step
one forward from that site and the first changed position on and one backward to it, an example's
steps stacked into one batch of `batch_tokens` where they fit; then one encode of clean and patch
per site. Memory: activations and gradients of all sites for one batch, and a block of one site's
features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.rerun import Rerun, rerun
from dagster_project.interp.site_names import in_forward_order, site_names
from dagster_project.interp.sites import gradients
from dagster_project.interp.states import (
    ERROR,
    Change,
    SiteState,
    changes,
    endpoint,
    patch_states,
)
from dagster_project.studies.study import NodeEffectsSpec


class Nodes(NamedTuple):
    """Effects of one site's nodes per example and position: those that are not zero."""

    example: Tensor  # [node]
    pos: Tensor  # [node]
    feature: Tensor  # [node] −1: the error node
    effect: Tensor  # [node]
    patch_only: Tensor  # [node] bool: the feature is active in the patch alone


class Attribution(NamedTuple):
    """One site in one batch of examples."""

    site: str
    examples: Tensor  # [batch] numbers of the batch's examples
    counted: Tensor  # [batch, position] bool: where effects are taken
    gradient: Tensor  # ḡ [batch, position, d_model]
    nodes: Nodes
    total: Tensor  # [batch] sum of the site's effects
    true_change: Tensor  # [batch] m(site patched) − m(clean)


def attribute(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    examples: Examples,
    spec: NodeEffectsSpec,
    batch_tokens: int,
    bos_id: int | None = None,
) -> Iterator[Attribution]:
    """Effects of all nodes, batch after batch of examples, and in each site after site.

    Batches go from short examples to long ones, so that there is little padding. bos_id: a token
    that does not count at position 0; None: every real token counts.
    """
    order = examples.clean.lengths.argsort(stable=True)
    sites = in_forward_order([*site_names(model.n_layers), *dictionaries])
    stacked = spec.steps if spec.method == "ig" else 1
    for first, part in examples.take(order).portions(batch_tokens // stacked):
        numbers = order[first : first + len(part)]
        counted = part.counted(bos_id) & part.changed
        plain = gradients(model, part.clean, part.discovery_metric(), sites)
        patches = patch_states(model, part, list(dictionaries))
        again = rerun(model, part, plain.activation, counted)
        rows = torch.arange(len(part), device=part.device)
        for site, dictionary in dictionaries.items():
            dtype = dictionary.bias.dtype
            clean = plain.activation[site].to(dtype)
            patch = None if patches is None else patches[site].to(dtype)
            end = endpoint(dictionary, clean, patch, counted)
            gradient = plain.gradient[site].to(dtype)
            if spec.method == "ig":
                line = Line(again, site, clean[:, again.first :], end[:, again.first :])
                gradient = mean_gradient(line, gradient, spec.steps, spec.rule, batch_tokens)
            nodes = project(dictionary, SiteState(clean, patch, gradient), counted)
            patched = again.metric(site, end[:, again.first :], rows)
            total = nodes.effect.new_zeros(len(part)).index_add_(0, nodes.example, nodes.effect)
            change = patched - plain.value
            yield Attribution(site, numbers, counted, gradient, nodes, total, change)


class Line(NamedTuple):
    """The way from the clean to the patched activation of one site."""

    again: Rerun
    site: str
    start: Tensor  # [batch, position, d_model] from the first position that changes on
    end: Tensor  # the same shape


def mean_gradient(
    line: Line,
    at_clean: Tensor,
    steps: int,
    rule: Literal["midpoint", "left"],
    batch_tokens: int,
) -> Tensor:
    """Mean of ∂m/∂x over points x_c + α (x_p − x_c): α = (k+½)/N, or k/N (k = 0 is at_clean).

    [batch, position, d_model]; 0 at positions before the first that changes.
    """
    mean = torch.zeros_like(at_clean)
    total = mean[:, line.again.first :]
    alphas = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    if rule == "left":
        total += at_clean[:, line.again.first :]
        alphas = torch.arange(1, steps, dtype=torch.float64) / steps
    rows = torch.arange(len(line.start), device=line.start.device)
    for block in alphas.to(line.start).split(max(1, batch_tokens // line.start[..., 0].numel())):
        points = torch.lerp(line.start, line.end, block[:, None, None, None])  # [step, B, P, d]
        x = points.flatten(0, 1).requires_grad_(True)
        value = line.again.metric(line.site, x, rows.repeat(len(block)))
        (gradient,) = torch.autograd.grad(value.sum(), x)
        total += gradient.view_as(points).sum(0)
    return mean.div_(steps)


def project(dictionary: Dictionary, state: SiteState, counted: Tensor) -> Nodes:
    """Effects of the nodes with Δf ≠ 0 or Δε ≠ 0 at the counted [batch, position] tokens."""
    blocks = [
        _block(dictionary, example, pos, found, state.gradient[example, pos])
        for example, pos, found in changes(dictionary, state, counted)
    ]
    if not blocks:
        nothing = torch.zeros(0, dtype=torch.int64, device=counted.device)
        return Nodes(nothing, nothing, nothing, state.clean.new_zeros(0), nothing.bool())
    return Nodes(*(torch.cat(column) for column in zip(*blocks, strict=True)))


def _block(
    dictionary: Dictionary, example: Tensor, pos: Tensor, found: Change, gradient: Tensor
) -> Nodes:
    """Effects of a block of tokens."""
    moved = found.features.value != 0
    features = found.features.where(moved)
    effect = dictionary.along_decoder(features, gradient) * features.value
    error = (found.error * gradient).sum(-1)
    erring = found.error.any(-1).nonzero()[:, 0]
    return Nodes(
        torch.cat([example[features.token], example[erring]]),
        torch.cat([pos[features.token], pos[erring]]),
        torch.cat([features.feature, torch.full_like(erring, ERROR)]),
        torch.cat([effect, error[erring]]),
        torch.cat([found.clean[moved] == 0, torch.zeros_like(erring, dtype=torch.bool)]),
    )
