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
sum, so one pull-back serves both, and `mid_i` too, where that is a site. From `z_i`, what reaches
attention's output goes on through its projection (and the norm after it) at the same token. `y` is
the metric: its cotangent is ḡ at the last stream, and the edge is the node's effect.

A feature that is inactive in the clean run has no edge into it: drop such targets with `active`.
A site is encoded once, for what its nodes are as either end (`terms`): in full where its error is
wanted, which is a matter of all features, and otherwise the wanted features alone. Memory: a
block's rows hold at most `batch_tokens` tokens and BLOCK weights; of a site three numbers a token
and wanted feature, and three streams. Sites without a dictionary take no part: no edge goes
through or around them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple

import nnsight
import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary, IdentityDictionary
from dagster_project.interp.encoding import encode_some
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import parse_site
from dagster_project.interp.sites import read, skip_attention
from dagster_project.interp.states import (
    BLOCK,
    ERROR,
    Change,
    SiteState,
    States,
    blocks,
    changes,
)

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


class Terms(NamedTuple):
    """Some features of a site and its error as ends of edges; 0 at tokens that were not read."""

    feature: Tensor  # [column] ascending; the last is −1, the error node
    decoder: Tensor  # W_dec [column − 1, d_model]
    encoder: Tensor  # e' [column − 1, d_model]
    on: Tensor  # [batch, position, column − 1] bool: where the encoder has this derivative
    features: Tensor  # Δf [batch, position, column − 1]
    error: Tensor  # Δε [batch, position, d_model]
    gradient: Tensor  # ḡ [batch, position, d_model]
    error_cotangent: Tensor  # ḡ − Σ_k (ḡ·W_dec,k) e'_k over active k, the same shape


def upstream(site: str, sites: Collection[str], n_layers: int, *, parallel: bool) -> list[str]:
    """Those of `sites` with an edge into a site, in forward order."""
    if site == METRIC:
        return [last] if (last := f"resid_{n_layers - 1}") in sites else []
    kind, i = parse_site(site, n_layers)
    before = f"resid_{i - 1}" if i > 0 else "embed"
    attention = f"attn_{i}" if f"attn_{i}" in sites else f"z_{i}"
    stream = [f"mid_{i}"] if f"mid_{i}" in sites else [before, attention]
    found = {
        "embed": [],
        "z": [before],
        "attn": [f"z_{i}" if f"z_{i}" in sites else before],
        "mid": [before, attention],
        "mlp": [before] if parallel else stream,
        "resid": [*stream, f"mlp_{i}"],
    }[kind]
    return [up for up in found if up in sites]


def passes(site: str, sites: Collection[str]) -> Literal["attention", "mlp", "stream"]:
    """What lies between a site and those of `sites` just before it; stream: nothing but sums."""
    kind, layer = parse_site(site)
    if kind == "z" or (kind == "attn" and f"z_{layer}" not in sites):
        return "attention"
    return "mlp" if kind == "mlp" else "stream"


def terms(
    dictionary: Dictionary, state: SiteState, tokens: Tensor, features: Tensor, errors: Tensor
) -> Terms:
    """Wanted features [column], ascending, at the tokens, and the error at some tokens.

    tokens, errors: [batch, position] bool.
    """
    shape = (*tokens.shape, len(features))
    delta, on = state.gradient.new_zeros(shape), torch.zeros(shape, device=tokens.device).bool()
    error, cotangent = torch.zeros_like(state.gradient), torch.zeros_like(state.gradient)
    column = torch.full((dictionary.n_features,), -1, device=tokens.device)
    column[features] = torch.arange(len(features), device=tokens.device)
    for example, pos, found in changes(dictionary, state, errors):
        active, here = found.features, column[found.features.feature] >= 0
        token = active.token[here]
        at = example[token], pos[token], column[active.feature[here]]
        delta[at], on[at] = active.value[here], found.clean[here] != 0
        error[example, pos] = found.error
        gradient = state.gradient[example, pos]
        cotangent[example, pos] = gradient - _explained(dictionary, found, gradient)
    for example, pos in blocks(dictionary, tokens & ~errors):
        f = encode_some(dictionary, state.clean[example, pos], features).features
        on[example, pos] = f != 0
        if state.patch is None:
            delta[example, pos] = -f
        else:
            patch = encode_some(dictionary, state.patch[example, pos], features).features
            delta[example, pos] = patch - f
    if isinstance(dictionary, IdentityDictionary):
        on.fill_(True)
    names = torch.cat([features, features.new_tensor([ERROR])])
    decoder, encoder = dictionary.decoder_rows(features), dictionary.encoder_rows(features)
    return Terms(names, decoder, encoder, on, delta, error, state.gradient, cotangent)


def _explained(dictionary: Dictionary, found: Change, gradient: Tensor) -> Tensor:
    """Σ_k (ḡ·W_dec,k) e'_k [token, d_model] over the features active in the clean run."""
    active = found.features.where(found.clean != 0)
    strength = dictionary.along_decoder(active, gradient)
    return dictionary.pulled_back(active.with_values(strength))


def weights(source: Terms, pulled: Pulled) -> Tensor:
    """Edges [row, place, column] from a site's nodes into targets."""
    example = pulled.example[:, None]
    features = (pulled.gradient @ source.decoder.T) * source.features[example, pulled.pos]
    error = (pulled.gradient * source.error[example, pulled.pos]).sum(-1, keepdim=True)
    return torch.cat([features, error], -1)


def active(site: Terms, targets: Targets) -> Tensor:
    """[row] bool: the target can have edges into it: errors, and features with f_c ≠ 0."""
    found = targets.feature == ERROR
    rows = (~found).nonzero()[:, 0]
    chosen = targets.take(rows)
    found[rows] = site.on[chosen.example, chosen.pos, _column(site, chosen)]
    return found


def cotangents(site: Terms, targets: Targets) -> Tensor:
    """c = ∂(ḡ a)/∂x_v [row, d_model] of active targets: ḡ_i e'_i; ḡ − Σ_k ḡ_k e'_k for errors."""
    found = site.error_cotangent[targets.example, targets.pos]
    rows = (targets.feature != ERROR).nonzero()[:, 0]
    chosen = targets.take(rows)
    column = _column(site, chosen)
    gradient = site.gradient[chosen.example, chosen.pos]
    strength = (gradient * site.decoder[column]).sum(-1, keepdim=True)
    found[rows] = strength * site.encoder[column]
    return found


def _column(site: Terms, targets: Targets) -> Tensor:
    return torch.searchsorted(site.feature[:-1].contiguous(), targets.feature)


def pull_back(
    model: LanguageModel,
    site: str,
    clean: States,
    here: Terms,
    targets: Targets,
    batch_tokens: int,
    n_columns: int,
    sites: Collection[str],
    *,
    summed: bool = False,
) -> Iterator[Pulled]:
    """Gradients of active targets at the stream that enters their site, in blocks of rows.

    clean: states at the stream before the site, and at `attn_i` for `mlp_i` of sequential models.
    n_columns: of the widest source that they meet. sites: those with a dictionary. summed: through
    attention, an example's targets that differ in position alone are pulled back as one row, their
    sum, under the number of one.
    """
    way = passes(site, sites)
    n_places = here.on.shape[1] if way == "attention" else 1
    size = max(1, min(batch_tokens // n_places, BLOCK // (n_places * n_columns)))
    for rows, share in _blocks(targets, size, summed=summed and way == "attention"):
        block = targets.take(rows)
        cotangent = cotangents(here, block)
        if way == "attention":
            first = share.diff(prepend=share.new_tensor([-1])) > 0
            gradient = _through_attention(model, site, clean, block, cotangent, share, first)
            pos = torch.arange(gradient.shape[1], device=rows.device).expand(len(gradient), -1)
            yield Pulled(rows[first], block.example[first], pos, gradient)
        elif way == "mlp":
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


def at_metric(gradient: Tensor) -> Pulled:
    """The metric as a target: one row an example, its gradient that of the last stream."""
    n, n_places = gradient.shape[:2]
    row = torch.arange(n, device=gradient.device)
    places = torch.arange(n_places, device=row.device).expand(n, -1)
    return Pulled(row, row, places, gradient)


def through_projection(model: LanguageModel, site: str, clean: States, pulled: Pulled) -> Pulled:
    """Targets that read what attention adds, pulled back to `z_i`: each is at a single place."""
    z = clean[site][pulled.example[:, None], pulled.pos].detach().requires_grad_(True)
    added = model.projected(parse_site(site).layer, z)
    (gradient,) = torch.autograd.grad(added, z, pulled.gradient.to(added))
    return pulled._replace(gradient=gradient.to(pulled.gradient))


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
    places = cotangent.new_zeros(*stream.shape[:2], cotangent.shape[-1])
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
            skip_attention(model, layer, attention)
        output = nnsight.save(read(model, site))
        tracer.stop()
    (gradient,) = torch.autograd.grad(output, stream, cotangent.to(output))
    return gradient.to(cotangent)
