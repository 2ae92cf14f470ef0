"""Clean and patched states of a site, in the stream's terms (x) and in the dictionary's (f, ε).

Without a patch the patched state has no features and no error, f_p = 0 and ε_p = 0, so that
x_p = decode(0), the dictionary's bias. Positions that do not count keep their clean state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.encoding import encode
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import Batch, activations, at_last, metric_from, parse_site

BLOCK = 1 << 24
"""Numbers of one intermediate tensor held at a time (64 MiB in float32)."""
ERROR = -1
"""The feature of a site's error node."""

States = Mapping[str, Tensor]  # site -> activation [batch, position, d_model]


class SiteState(NamedTuple):
    """A site in a batch of examples, with the metric's gradient there."""

    clean: Tensor  # x_c [batch, position, d_model]
    patch: Tensor | None  # x_p, the same shape; None: no features and no error
    gradient: Tensor  # ḡ, mean of ∂m/∂x over the steps of the method, the same shape


class Change(NamedTuple):
    """Tokens of a site in the dictionary's terms."""

    clean: Tensor  # f_c [token, feature]
    features: Tensor  # Δf = f_p − f_c [token, feature]
    error: Tensor  # Δε = ε_p − ε_c [token, d_model]


def change(dictionary: Dictionary, clean: Tensor, patch: Tensor | None) -> Change:
    """Δf and Δε of tokens with states x_c and x_p [token, d_model]."""
    f_c = encode(dictionary, clean)
    e_c = clean - dictionary.decode(f_c)
    if patch is None:
        return Change(f_c, -f_c, -e_c)
    f_p = encode(dictionary, patch)
    return Change(f_c, f_p - f_c, patch - dictionary.decode(f_p) - e_c)


def changes(
    dictionary: Dictionary, state: SiteState, counted: Tensor
) -> Iterator[tuple[Tensor, Tensor, Change]]:
    """(example, pos, change) of the counted [batch, position] tokens, in blocks of tokens.

    A block's features hold at most BLOCK numbers.
    """
    example, pos = counted.nonzero(as_tuple=True)
    size = max(1, BLOCK // dictionary.n_features)
    for b, s in zip(example.split(size), pos.split(size), strict=True):
        patch = None if state.patch is None else state.patch[b, s]
        yield b, s, change(dictionary, state.clean[b, s], patch)


def endpoint(
    dictionary: Dictionary, clean: Tensor, patch: Tensor | None, counted: Tensor
) -> Tensor:
    """x_p [batch, position, d_model] where a position counts, x_c elsewhere."""
    return torch.where(counted[..., None], dictionary.bias if patch is None else patch, clean)


def patch_states(model: LanguageModel, examples: Examples, sites: Sequence[str]) -> States | None:
    """Activations of the patch prompts, one forward; None without a patch."""
    return None if examples.patch is None else activations(model, examples.patch.ids, sites)


def metric_at(
    model: LanguageModel,
    examples: Examples,
    clean: States,
    site: str,
    value: Tensor,
    rows: Tensor,
) -> Tensor:
    """The discovery metric [n] of examples rows [n] when the site holds value [n, P, d_model].

    clean: states of the examples at `resid_i` of the layer below the site, and at `attn_i` for
    `mlp_i`. Layers below the site are not computed; neither are, in the last layer, whose sites
    reach the metric at their own position alone, positions that it does not read.
    """
    chosen = examples.take(rows)
    batch, metric = chosen.clean, chosen.discovery_metric()
    x = value.to(model.hf.dtype)
    below = _below(clean, site, x, rows)
    if parse_site(site).layer == model.n_layers - 1:
        lengths = batch.lengths
        x, below = _last(x, lengths), {s: _last(state, lengths) for s, state in below.items()}
        batch = Batch(_last(batch.ids, lengths), torch.ones_like(lengths))
    return metric_from(model, batch, metric, site, x, below)


def _last(states: Tensor, lengths: Tensor) -> Tensor:
    """[n, 1, ..] the last real position of [n, position, ..]."""
    return at_last(states, lengths)[:, None]


def _below(clean: States, site: str, value: Tensor, rows: Tensor) -> dict[str, Tensor]:
    """What metric_from puts in place of the layers below: all but the last are overwritten."""
    kind, layer = parse_site(site)
    if layer < 1:
        stream = value
    else:
        stream = value.detach() if kind == "resid" else clean[f"resid_{layer - 1}"][rows]
    states = {f"resid_{i}": stream for i in range(layer)}
    if kind == "mlp":
        states[f"attn_{layer}"] = clean[f"attn_{layer}"][rows]
    return states
