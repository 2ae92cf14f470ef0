"""Total weights: how much of a node's effect comes through any earlier node, by all paths.

w(i, j) = ∂(ḡ_i a_i)/∂z_j · Δz_j at the clean run, as in `edges`, but with nothing held constant and
z_j at any site before: the cotangent of node i at its site goes back through the model itself to
all earlier sites at once. Backward is linear, so an example's targets that differ in position
alone are one row where positions are summed.

Cost, of a site with K nodes, n examples of P tokens and N weights of the model below the site: one
forward to the site, 2 n P N FLOPs (as many copies of few examples as make PASS tokens), and one
backward to the embedding a node and example, 2 K n P N FLOPs, a batch of them at a time; layers
above the site are not run. Weights are made where Δz ≠ 0 alone: 2 K d_model FLOPs for each feature
that changes at a token of an earlier site. Memory: the graph of one batch of at most
`batch_tokens` tokens, about 20 numbers a token, layer and dimension of the stream, and
BLOCK weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import nnsight
import torch
from torch import Tensor

from dagster_project.interp.circuit_edges import Kept, Scene, SiteNodes, kept_at, targets_of
from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.edges import Targets, cotangents
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import read
from dagster_project.interp.states import BLOCK, ERROR, Change, SiteState, change, changes

PASS = 512
"""Tokens from which on a batch is as fast as any: few examples are copied until they have them."""


class Moves(NamedTuple):
    """What the patch changes at one site: of each counted token its features, then its error."""

    example: Tensor  # [token] ascending
    pos: Tensor  # [token]
    error: Tensor  # Δε [token, d_model]
    start: Tensor  # [token + 1] the first entry of each token
    feature: Tensor  # [entry] −1: the error node
    delta: Tensor  # [entry] Δf; 1 at errors
    cell: Tensor  # [entry] the number of its (example, node)
    cells: Cells


class Cells(NamedTuple):
    """(example, node) pairs in which something changes, sorted by node."""

    example: Tensor  # [cell]
    node: Tensor  # [cell]
    start: Tensor  # [node + 1] the first cell of each node
    nodes: SiteNodes  # all nodes of the site that change in any example

    def totals(self, values: Tensor) -> Tensor:
        """values [cell, column] -> their sums over examples [node, column]."""
        found = values.new_zeros(len(self.nodes.feature), values.shape[1])
        return found.index_add_(0, self.node, values)

    def by_example(self, values: Tensor, node: Tensor, column: Tensor, n_examples: int) -> Tensor:
        """values [cell, column] of nodes and columns [pair] -> [example, pair]; 0 without one."""
        size = self.start.diff()[node]
        pair = torch.arange(len(node), device=node.device).repeat_interleave(size)
        first = (self.start[node] - (size.cumsum(0) - size)).repeat_interleave(size)
        cell = first + torch.arange(len(pair), device=node.device)
        found = values.new_zeros(n_examples, len(node))
        found[self.example[cell], pair] = values[cell, column[pair]]
        return found


def moves(dictionary: Dictionary, state: SiteState, counted: Tensor, *, summed: bool) -> Moves:
    """What changes at a site. summed: a feature's nodes at all positions are one."""
    blocks = [_entries(dictionary, found) for _, _, found in changes(dictionary, state, counted)]
    if not blocks:  # no token counts
        blocks = [_entries(dictionary, change(dictionary, state.clean.flatten(0, 1)[:0], None))]
    size, column, delta, error = (torch.cat(part) for part in zip(*blocks, strict=True))
    example, pos = counted.nonzero(as_tuple=True)
    n_columns = dictionary.n_features + 1  # the last: the error
    place = column if summed else pos.repeat_interleave(size) * n_columns + column
    places, node = place.unique(return_inverse=True)
    cells, cell = (node * len(counted) + example.repeat_interleave(size)).unique(
        return_inverse=True
    )
    nodes = SiteNodes(None if summed else places // n_columns, _feature(places, n_columns))
    of_node = cells // len(counted)
    start = _starts(torch.bincount(of_node, minlength=len(places)))
    found = Cells(cells % len(counted), of_node, start, nodes)
    return Moves(
        example, pos, error, _starts(size), _feature(column, n_columns), delta, cell, found
    )


def _entries(dictionary: Dictionary, found: Change) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Entries of each token [token]; column and Δf of each [entry]; Δε [token, d_model]."""
    moved = found.features.where(found.features.value != 0)
    erring = found.error.any(-1).nonzero()[:, 0]
    token = torch.cat([moved.token, erring])
    column = torch.cat([moved.feature, torch.full_like(erring, dictionary.n_features)])
    delta = torch.cat([moved.value, found.error.new_ones(len(erring))])
    order = token.argsort(stable=True)  # a token's features, then its error
    size = torch.bincount(token, minlength=len(found.error))
    return size, column[order], delta[order], found.error


def _feature(place: Tensor, n_columns: int) -> Tensor:
    return torch.where(place % n_columns < n_columns - 1, place % n_columns, ERROR)


def _starts(sizes: Tensor) -> Tensor:
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


def total_weights(
    scene: Scene, site: str, nodes: SiteNodes, earlier: Mapping[str, Moves]
) -> Iterator[tuple[SiteNodes, dict[str, Tensor]]]:
    """Weights {earlier site: [cell, node]} into nodes of a site, in blocks of nodes.

    A site that cannot reach this one, as `attn_i` cannot `mlp_i` of parallel models, is left out.
    """
    n_cells = sum(len(m.cells.node) for m in earlier.values())
    size = max(1, min(BLOCK // max(1, n_cells), BLOCK // scene.counted.numel()))
    kept = kept_at(scene, site, nodes)
    for start in range(0, len(nodes.feature), size):
        block = nodes.take(slice(start, start + size))
        yield block, _weights(scene, kept, block, earlier)


def _weights(
    scene: Scene, kept: Kept, nodes: SiteNodes, earlier: Mapping[str, Moves]
) -> dict[str, Tensor]:
    targets, node = targets_of(scene, kept, nodes)
    values: dict[str, Tensor] = {}
    n_nodes, (n_examples, n_places) = len(nodes.feature), scene.counted.shape
    most = max(1, min(PASS, scene.batch_tokens) // n_places)  # examples
    for first in range(0, n_examples, most):
        n = min(most, n_examples - first)
        here = (targets.example >= first) & (targets.example < first + n)
        portion = _Portion(scene, kept, [*earlier], first, n, min(most // n, n_nodes))
        size = max(1, scene.batch_tokens // (n * n_places))
        for start in range(0, n_nodes, size):
            stop = min(start + size, n_nodes)
            block = here & (node >= start) & (node < stop)
            found = portion.gradients(targets.take(block), node[block] - start, stop - start)
            for up, gradient in found.items():
                if up not in values:
                    like = earlier[up].error
                    values[up] = like.new_zeros(len(earlier[up].cells.node), n_nodes)
                into = values[up][:, start:stop]
                _contract(scene.dictionaries[up], earlier[up], gradient, first, into)
    return values


class _Portion:
    """Some of the examples, in copies, with the graph from the embedding to a site."""

    def __init__(
        self, scene: Scene, kept: Kept, earlier: list[str], first: int, n: int, copies: int
    ) -> None:
        self.kept, self.earlier = kept, earlier
        self.first, self.n, self.copies = first, n, copies
        self.stream = scene.clean["embed"][first : first + n].repeat(copies, 1, 1)
        self.graph = _graph(scene.model, self.stream, [*earlier, kept.site])

    def gradients(self, targets: Targets, node: Tensor, n_nodes: int) -> dict[str, Tensor]:
        """{earlier site: [node, example, position, d_model]} of targets of nodes 0, 1, …"""
        cotangent = cotangents(self.kept.terms, targets).to(self.stream)
        passes: dict[str, list[Tensor]] = {}
        for start in range(0, n_nodes, self.copies):
            here = (node >= start) & (node < start + self.copies)
            row = (node[here] - start) * self.n + targets.example[here] - self.first
            places = self.stream.new_zeros(*self.stream.shape[:2], cotangent.shape[-1])
            places[row, targets.pos[here]] = cotangent[here]
            found = torch.autograd.grad(
                self.graph[self.kept.site],
                [self.graph[up] for up in self.earlier],
                places.to(self.graph[self.kept.site]),
                retain_graph=True,
                allow_unused=True,
            )
            for up, gradient in zip(self.earlier, found, strict=True):
                if gradient is not None:
                    by_node = gradient.to(places).unflatten(0, (self.copies, self.n))
                    passes.setdefault(up, []).append(by_node)
        return {up: torch.cat(parts)[:n_nodes] for up, parts in passes.items()}


def _graph(model: LanguageModel, stream: Tensor, sites: list[str]) -> dict[str, Tensor]:
    """Activations of sites with their graph, from the stream [row, position, d_model] on; the last
    site ends the forward."""
    ids = torch.zeros(stream.shape[:2], dtype=torch.int64, device=stream.device)
    stream = stream.detach().requires_grad_(True)
    with model.nn.trace(input_ids=ids, use_cache=False) as tracer:
        model.layers[0].input = stream
        found = nnsight.save({s: stream if s == "embed" else read(model, s) for s in sites})
        tracer.stop()
    return found


def _contract(
    dictionary: Dictionary, moved: Moves, gradient: Tensor, first: int, values: Tensor
) -> None:
    """Add ⟨gradient, change⟩ of gradients [node, example, position, d_model] of the examples from
    `first` on to values [cell, node]."""
    ends = moved.example.new_tensor([first, first + gradient.shape[1]])
    low, high = torch.searchsorted(moved.example, ends).tolist()
    widest = int(moved.start.diff()[low:high].max()) if high > low else 0
    size = max(1, BLOCK // max(1, widest * max(dictionary.d_model, len(gradient))))
    for start in range(low, high, size):
        stop = min(start + size, high)
        change, cell = _padded(dictionary, moved, start, stop)
        at = gradient[:, moved.example[start:stop] - first, moved.pos[start:stop]]
        found = torch.bmm(change, at.to(change).permute(1, 2, 0))  # [token, entry, node]
        there = cell >= 0
        values.index_add_(0, cell[there], found[there])


def _padded(dictionary: Dictionary, moved: Moves, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Changes of the stream [token, entry, d_model], and their cells (−1: there is no entry)."""
    sizes = moved.start[start : stop + 1].diff()
    column = torch.arange(int(sizes.max()), device=sizes.device)
    there = column < sizes[:, None]
    entry = torch.where(there, moved.start[start:stop, None] + column, 0)
    feature = moved.feature[entry]
    rows = dictionary.decoder_rows(feature.clamp(min=0).flatten()).unflatten(0, feature.shape)
    change = rows * moved.delta[entry][..., None]
    token, place = (feature == ERROR).nonzero(as_tuple=True)
    change[token, place] = moved.error[start:stop][token]
    return change, torch.where(there, moved.cell[entry], -1)
