"""Edges: how much of a downstream node's effect comes through an upstream node, at the clean run.

w(i, j) = ∂(ḡ_i a_i)/∂z_j · Δz_j (Marks et al. 2024, section 3.2): a_i is a feature or the error of
site v, ḡ_i its mean gradient, z_j a feature or the error of a site u just before v. A target
(example, position, feature) is one row: its cotangent c at x_v, pulled back to the stream that
enters v, is projected on the decoder rows of the kept upstream features alone. Into `resid_i` the
pull-back is the identity. Into `mlp_i` it goes through that layer's norm and MLP at the target's
own token, with attention held constant; into `attn_i` through norm and attention, to all
positions up to it: one forward and backward of that module alone, for the rows of a block. Pulling
back is linear: where weights are summed over positions, an example's targets of one feature go
through attention as one row. The stream and (in sequential models) `attn_i` enter the MLP as a
sum, so one pull-back serves both. `y` is the metric: its cotangent is ḡ at the last stream, and the
edge is the node's effect.

A feature that is inactive in the clean run has no edge into it: drop such targets with `active`.
Memory: a block's rows hold at most `batch_tokens` tokens and BLOCK weights. Sites without a
dictionary take no part: no edge goes through or around them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import nnsight
import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary, IdentityDictionary
from dagster_project.interp.encoding import encode
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import parse_site, read
from dagster_project.interp.states import BLOCK, ERROR, SiteState, States, changes

METRIC = "y"


class Targets(NamedTuple):
    """Downstream nodes of one site."""

    example: Tensor  # [row]
    pos: Tensor  # [row]
    feature: Tensor  # [row] −1: the error node

    def take(self, rows: Tensor) -> Targets:
        return Targets(self.example[rows], self.pos[rows], self.feature[rows])


class Pulled(NamedTuple):
    """∂(ḡ a)/∂(the stream that enters the site) of targets."""

    row: Tensor  # [row] number of the target
    example: Tensor  # [row]
    pos: Tensor  # [row, place] position of each place: 0, 1, … if there are several
    gradient: Tensor  # [row, place, d_model]


class Source(NamedTuple):
    """Upstream nodes of one site: some of its features, and its error."""

    feature: Tensor  # [column] ascending; the last is −1, the error node
    decoder: Tensor  # [column − 1, d_model]
    features: Tensor  # Δf [batch, position, column − 1], 0 where a position does not count
    error: Tensor  # Δε [batch, position, d_model], likewise


def upstream(site: str, n_layers: int, *, parallel: bool) -> list[str]:
    """The sites with an edge into a site, in forward order."""
    if site == METRIC:
        return [f"resid_{n_layers - 1}"]
    kind, layer = parse_site(site, n_layers)
    before = [f"resid_{layer - 1}" if layer > 0 else "embed"]
    if kind == "resid":
        return [*before, f"attn_{layer}", f"mlp_{layer}"]
    if kind == "mlp" and not parallel:
        return [*before, f"attn_{layer}"]
    return [] if kind == "embed" else before


def source(
    dictionary: Dictionary, state: SiteState, counted: Tensor, features: Tensor | None = None
) -> Source:
    """Δz of upstream features [column] (None: all that change anywhere) and of the error."""
    if features is None:
        moving = [c.features.any(0) for _, _, c in changes(dictionary, state, counted)]
        features = torch.stack(moving).any(0).nonzero()[:, 0]
    delta = state.gradient.new_zeros(*counted.shape, len(features))
    error = torch.zeros_like(state.gradient)
    for example, pos, found in changes(dictionary, state, counted):
        delta[example, pos] = found.features[:, features]
        error[example, pos] = found.error
    names = torch.cat([features, features.new_tensor([ERROR])])
    return Source(names, dictionary.decoder_rows(features), delta, error)


def weights(source: Source, pulled: Pulled) -> Tensor:
    """Edges [row, place, column] from a site's nodes into targets."""
    example = pulled.example[:, None]
    features = (pulled.gradient @ source.decoder.T) * source.features[example, pulled.pos]
    error = (pulled.gradient * source.error[example, pulled.pos]).sum(-1, keepdim=True)
    return torch.cat([features, error], -1)


def active(dictionary: Dictionary, clean: Tensor, targets: Targets) -> Tensor:
    """[row] bool: the target can have edges into it: errors, and features with f_c ≠ 0."""
    token = targets.example * clean.shape[1] + targets.pos
    tokens, index = token.unique(return_inverse=True)
    found = targets.feature == ERROR
    size = max(1, BLOCK // dictionary.n_features)
    for start in range(0, len(tokens), size):
        on = _active(dictionary, clean.flatten(0, 1)[tokens[start : start + size]])
        here = ((index >= start) & (index < start + size) & ~found).nonzero()[:, 0]
        found[here] = on[index[here] - start, targets.feature[here]]
    return found


def cotangents(dictionary: Dictionary, state: SiteState, targets: Targets) -> Tensor:
    """c = ∂(ḡ a)/∂x_v [row, d_model] of active targets: ḡ_i e'_i; ḡ − Σ_k ḡ_k e'_k for errors."""
    gradient = state.gradient[targets.example, targets.pos]
    feature = targets.feature.clamp(min=0)
    strength = (gradient * dictionary.decoder_rows(feature)).sum(-1, keepdim=True)
    found = strength * dictionary.encoder_rows(feature)
    errors = (targets.feature == ERROR).nonzero()[:, 0]
    for rows in errors.split(max(1, BLOCK // dictionary.n_features)):
        on = _active(dictionary, state.clean[targets.example[rows], targets.pos[rows]])
        columns = on.any(0).nonzero()[:, 0]
        explained = (gradient[rows] @ dictionary.decoder_rows(columns).T) * on[:, columns]
        found[rows] = gradient[rows] - explained @ dictionary.encoder_rows(columns)
    return found


def pull_back(
    model: LanguageModel,
    site: str,
    clean: States,
    dictionary: Dictionary,
    state: SiteState,
    targets: Targets,
    batch_tokens: int,
    n_columns: int,
    *,
    summed: bool = False,
) -> Iterator[Pulled]:
    """Gradients of active targets at the stream that enters their site, in blocks of rows.

    clean: states at the stream before the site, and at `attn_i` for `mlp_i` of sequential models.
    n_columns: of the widest source that they meet. summed: through attention, an example's targets
    that differ in position alone are pulled back as one row, their sum, under the number of one.
    """
    n_places = state.clean.shape[1] if site.startswith("attn") else 1
    size = max(1, min(batch_tokens // n_places, BLOCK // (n_places * n_columns)))
    for rows, share in _blocks(targets, size, summed=summed and site.startswith("attn")):
        block = targets.take(rows)
        cotangent = cotangents(dictionary, state, block)
        if site.startswith("attn"):
            first = share.diff(prepend=share.new_tensor([-1])) > 0
            gradient = _through_attention(model, site, clean, block, cotangent, share, first)
            pos = torch.arange(gradient.shape[1], device=rows.device).expand(len(gradient), -1)
            yield Pulled(rows[first], block.example[first], pos, gradient)
        elif site.startswith("mlp"):
            gradient = _through_mlp(model, site, clean, block, cotangent)
            yield Pulled(rows, block.example, block.pos[:, None], gradient)
        else:
            yield Pulled(rows, block.example, block.pos[:, None], cotangent[:, None])


def _blocks(targets: Targets, size: int, *, summed: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """(targets, which of the block's rows 0, 1, … each belongs to, ascending) in blocks of `size`
    rows, those that end early first. summed: rows of an example and feature, else of one target."""
    row = torch.arange(len(targets.pos), device=targets.pos.device)
    if not len(row):
        return
    if summed:
        row = torch.stack([targets.example, targets.feature]).unique(dim=1, return_inverse=True)[1]
    n_rows = int(row.max()) + 1
    end = torch.zeros_like(row[:n_rows]).scatter_reduce_(0, row, targets.pos, "amax")
    place = end.argsort(stable=True).argsort()[row]
    order = place.argsort(stable=True)
    for start in range(0, n_rows, size):
        here = order[(place[order] >= start) & (place[order] < start + size)]
        yield here, place[here] - start


def at_metric(state: SiteState) -> Pulled:
    """The metric as a target: one row an example, its gradient that of the last stream."""
    n, n_places = state.gradient.shape[:2]
    row = torch.arange(n, device=state.gradient.device)
    places = torch.arange(n_places, device=row.device).expand(n, -1)
    return Pulled(row, row, places, state.gradient)


def _active(dictionary: Dictionary, clean: Tensor) -> Tensor:
    """[token, feature] bool: where the encoder has a derivative."""
    features = encode(dictionary, clean)
    if isinstance(dictionary, IdentityDictionary):
        return torch.ones_like(features, dtype=torch.bool)
    return features != 0


def _through_mlp(
    model: LanguageModel, site: str, clean: States, targets: Targets, cotangent: Tensor
) -> Tensor:
    """[row, 1, d_model]: each target is a sequence of its own token."""
    layer = parse_site(site).layer
    stream = _before(clean, layer)[targets.example, targets.pos][:, None]
    attention = torch.zeros_like(stream)
    if not model.parallel:
        attention = clean[f"attn_{layer}"][targets.example, targets.pos][:, None]
    return _local(model, site, stream, attention, cotangent[:, None])


def _through_attention(
    model: LanguageModel,
    site: str,
    clean: States,
    targets: Targets,
    cotangent: Tensor,
    share: Tensor,
    first: Tensor,
) -> Tensor:
    """[row, position, d_model]: each row is a copy of its example up to the last target.

    share: the row of each target; first: whether it is the row's first.
    """
    n_places = int(targets.pos.max()) + 1
    stream = _before(clean, parse_site(site).layer)[targets.example[first], :n_places]
    places = torch.zeros_like(stream, dtype=cotangent.dtype)
    places[share, targets.pos] = cotangent
    return _local(model, site, stream, None, places)


def _before(clean: States, layer: int) -> Tensor:
    return clean[f"resid_{layer - 1}" if layer > 0 else "embed"]


def _local(
    model: LanguageModel,
    site: str,
    stream: Tensor,
    attention: Tensor | None,
    cotangent: Tensor,
) -> Tensor:
    """Vector-Jacobian product [row, place, d_model] of one site in the stream before its layer.

    Layers below are skipped, and the trace ends at the site. attention: held constant.
    """
    layer = parse_site(site).layer
    ids = torch.zeros(stream.shape[:2], dtype=torch.int64, device=stream.device)
    stream = stream.detach().requires_grad_(True)
    with model.nn.trace(input_ids=ids, use_cache=False) as tracer:
        if layer == 0:
            model.layers[0].input = stream
        for i in range(layer):
            model.layers[i].skip(stream)
        if attention is not None:
            model.attention(layer).skip((attention, None))
        output = nnsight.save(read(model, site))
        tracer.stop()
    (gradient,) = torch.autograd.grad(output, stream, cotangent.to(output))
    return gradient.to(cotangent)
