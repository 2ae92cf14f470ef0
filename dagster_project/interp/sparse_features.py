"""Sparse features: of a token's thousands the few that are not zero, and products with them alone.

A dictionary has tens of active features a token among tens of thousands, so that adding up their
decoder rows, or reading a gradient along them, costs a hundredth of the dense product. Where more
than one in DENSE is active the dense product is the faster, and is what is done.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

DENSE = 16
"""Features for each active one up to which products are dense."""
GATHERED = 1 << 22
"""Numbers of rows that are gathered at a time (16 MiB in float32)."""

with warnings.catch_warnings():  # said once: that sparse tensors are young
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 0], [], [], (1, 1), check_invariants=False)


class SparseFeatures(NamedTuple):
    """Numbers f of some features of each token, token after token; all others are 0."""

    token: Tensor  # [pair] ascending
    feature: Tensor  # [pair]
    value: Tensor  # [pair]
    shape: tuple[int, int]  # tokens, features

    @property
    def is_sparse(self) -> bool:
        return len(self.value) * DENSE <= self.shape[0] * self.shape[1]

    @property
    def first(self) -> Tensor:
        """[token + 1] where each token's pairs begin, and where the last one's end."""
        tokens = torch.arange(self.shape[0] + 1, device=self.token.device)
        return torch.searchsorted(self.token, tokens)

    def with_values(self, value: Tensor) -> SparseFeatures:
        """Other numbers [pair] at the same places."""
        return self._replace(value=value)

    def where(self, kept: Tensor) -> SparseFeatures:
        """Those of kept [pair] bool."""
        return SparseFeatures(self.token[kept], self.feature[kept], self.value[kept], self.shape)

    def dense(self) -> Tensor:
        """f [token, feature]."""
        f = self.value.new_zeros(self.shape)
        f[self.token, self.feature] = self.value
        return f


def sparse_of(f: Tensor, places: Tensor | None = None) -> SparseFeatures:
    """The numbers of f [token, feature] that are not zero, or those at places [token, feature]."""
    token, feature = (f if places is None else places).nonzero(as_tuple=True)
    return SparseFeatures(token, feature, f[token, feature], (f.shape[0], f.shape[1]))


def joined(parts: Sequence[SparseFeatures]) -> SparseFeatures:
    """Those of tokens one part after the other; of one part at least."""
    if len(parts) == 1:
        return parts[0]
    n_tokens = [part.shape[0] for part in parts]
    token = torch.cat([p.token + sum(n_tokens[:i]) for i, p in enumerate(parts)])
    feature, value = (
        torch.cat(x) for x in zip(*((p.feature, p.value) for p in parts), strict=True)
    )
    return SparseFeatures(token, feature, value, (sum(n_tokens), parts[0].shape[1]))


def at_either(a: SparseFeatures, b: SparseFeatures) -> tuple[SparseFeatures, SparseFeatures]:
    """Both at the places that either has, 0 where it has none; a and b of one shape."""
    n = a.shape[1]
    places = [f.token * n + f.feature for f in (a, b)]
    either = torch.cat(places).unique()
    token, feature = either // n, either % n

    def spread(f: SparseFeatures, place: Tensor) -> SparseFeatures:
        value = f.value.new_zeros(len(either))
        value[torch.searchsorted(either, place)] = f.value
        return SparseFeatures(token, feature, value, f.shape)

    return spread(a, places[0]), spread(b, places[1])


def summed_rows(active: SparseFeatures, rows: Tensor) -> Tensor:
    """Σ f_i rows_i [token, d] over each token's features; rows [feature, d]."""
    if not active.is_sparse:
        return active.dense() @ rows
    return torch.nn.functional.embedding_bag(
        active.feature, rows, active.first[:-1], per_sample_weights=active.value, mode="sum"
    )


def along_rows(active: SparseFeatures, x: Tensor, rows: Tensor) -> Tensor:
    """⟨x_token, rows_feature⟩ [pair] of x [token, d]; rows [feature, d]."""
    if not active.is_sparse:
        return (x @ rows.T)[active.token, active.feature]
    if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64):
        nothing = torch.zeros_like(active.value)
        places = torch.sparse_csr_tensor(
            active.first, active.feature, nothing, active.shape, check_invariants=False
        )
        return torch.sparse.sampled_addmm(places, x, rows.T).values()
    size = max(1, GATHERED // rows.shape[1])
    parts = zip(active.token.split(size), active.feature.split(size), strict=True)
    return torch.cat([x.new_zeros(0), *((x[t] * rows[f]).sum(-1) for t, f in parts)])
