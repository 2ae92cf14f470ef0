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
from dagster_project.interp.encoding import active_features
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import activations
from dagster_project.interp.sparse_features import SparseFeatures, at_either

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

    features: SparseFeatures  # Δf = f_p − f_c of those active in either; 0 where they are equal
    clean: Tensor  # f_c [pair] of these
    error: Tensor  # Δε = ε_p − ε_c [token, d_model]


def change(dictionary: Dictionary, clean: Tensor, patch: Tensor | None) -> Change:
    """Δf and Δε of tokens with states x_c and x_p [token, d_model]; Δε = Δx − Δf W_dec."""
    f_c = active_features(dictionary, clean)
    if patch is None:
        end, delta = dictionary.bias, f_c.with_values(-f_c.value)
    else:
        f_c, f_p = at_either(f_c, active_features(dictionary, patch))
        end, delta = patch, f_p.with_values(f_p.value - f_c.value)
    return Change(delta, f_c.value, end - clean - dictionary.written(delta))


def changes(
    dictionary: Dictionary, state: SiteState, tokens: Tensor
) -> Iterator[tuple[Tensor, Tensor, Change]]:
    """(example, pos, change) of the tokens [batch, position] bool, in blocks of tokens."""
    for b, s in blocks(dictionary, tokens):
        patch = None if state.patch is None else state.patch[b, s]
        yield b, s, change(dictionary, state.clean[b, s], patch)


def blocks(dictionary: Dictionary, tokens: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """(example, pos) of the tokens [batch, position] bool; a block's features are at most BLOCK."""
    example, pos = tokens.nonzero(as_tuple=True)
    size = max(1, BLOCK // dictionary.n_features)
    if len(example):
        yield from zip(example.split(size), pos.split(size), strict=True)


def endpoint(
    dictionary: Dictionary, clean: Tensor, patch: Tensor | None, counted: Tensor
) -> Tensor:
    """x_p [batch, position, d_model] where a position counts, x_c elsewhere."""
    return torch.where(counted[..., None], dictionary.bias if patch is None else patch, clean)


def patch_states(model: LanguageModel, examples: Examples, sites: Sequence[str]) -> States | None:
    """Activations of the patch prompts, one forward; None without a patch."""
    return None if examples.patch is None else activations(model, examples.patch.ids, sites)
