"""Circuit edges: the weights between kept nodes that exceed a threshold, as means over examples.

Edges are computed between kept nodes alone, at the clean run, from stored mean gradients: two
plain forwards of the examples, then `edges` site by site. `sum`: a weight is summed over the
positions of both ends; `none`: both ends have positions. Cost: the pull-back of every active
(example, position, kept node); with `sum`, through attention, of every (example, kept node).
Memory: clean and patched states and gradients of all sites and examples, and blocks of BLOCK
weights [example, downstream node, upstream node].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.bootstrap import resampling_weights, summarize
from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.edges import (
    METRIC,
    Pulled,
    Targets,
    Terms,
    active,
    at_metric,
    pull_back,
    terms,
    through_projection,
    upstream,
    weights,
)
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import in_forward_order, parse_site, site_names
from dagster_project.interp.sites import activations
from dagster_project.interp.states import BLOCK, ERROR, SiteState, States


class Rules(NamedTuple):
    """What is kept, and how sure it is."""

    edge_threshold: float  # an edge is kept if |weight| exceeds it
    resamples: int  # of the bootstrap; 0: none
    seed: int  # the same as of the nodes: the same resamples


@dataclass(frozen=True)
class Scene:
    """All that edges need of a task's examples."""

    model: LanguageModel
    dictionaries: Mapping[str, Dictionary]  # by site, in forward order
    clean: States  # of all sites
    states: Mapping[str, SiteState]  # of sites with a dictionary
    counted: Tensor  # [example, position] bool
    batch_tokens: int


class SiteNodes(NamedTuple):
    """Nodes of one site."""

    pos: Tensor | None  # [node]; None: summed over positions
    feature: Tensor  # [node] −1: the error node

    def take(self, rows: Tensor | slice) -> SiteNodes:
        return SiteNodes(None if self.pos is None else self.pos[rows], self.feature[rows])

    def places(self, n_positions: int) -> Tensor:
        """[position] bool: where any of them is."""
        found = torch.zeros(n_positions, dtype=torch.bool, device=self.feature.device)
        if self.pos is None:
            return found.fill_(len(self.feature) > 0)
        return found.index_fill_(0, self.pos, True)


class Kept(NamedTuple):
    """Kept nodes of one site, as either end of edges."""

    site: str
    nodes: SiteNodes
    terms: Terms
    column: Tensor  # [node] of the terms

    def weights(self, pulled: Pulled) -> Tensor:
        """Edges [row, node] from these nodes into targets."""
        found = weights(self.terms, pulled)
        if self.nodes.pos is None:
            return found.sum(1)[:, self.column]
        n_places = found.shape[1]
        if n_places > 1:
            reached = self.nodes.pos < n_places
            return found[:, self.nodes.pos.clamp(max=n_places - 1), self.column] * reached
        return found[:, 0, self.column] * (pulled.pos == self.nodes.pos)


def scene(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    examples: Examples,
    gradients: Mapping[str, Tensor],
    batch_tokens: int,
    bos_id: int | None = None,
) -> Scene:
    """Clean and patched states beside the mean gradients [example, position, d_model] by site."""
    sites = list(dictionaries)
    every = in_forward_order([*site_names(model.n_layers), *sites])
    clean = _states(model, examples.clean.ids, every, batch_tokens)
    patch: States = {}
    if examples.patch is not None:
        patch = _states(model, examples.patch.ids, sites, batch_tokens)
    states = {}
    for site, dictionary in dictionaries.items():
        dtype, patched = dictionary.bias.dtype, patch.get(site)
        end = None if patched is None else patched.to(dtype)
        states[site] = SiteState(clean[site].to(dtype), end, gradients[site].to(dtype))
    counted = examples.counted(bos_id) & examples.changed
    return Scene(model, dictionaries, clean, states, counted, batch_tokens)


def circuit_edges(scene: Scene, nodes: pl.DataFrame, rules: Rules) -> Iterator[pl.DataFrame]:
    """Kept edges among nodes (site, pos, feature) and from them into the metric `y`.

    Frames with columns of the circuit_edges table; y has feature 0 and no position.
    """
    chosen = {site: site_nodes(nodes, site, scene) for site in scene.dictionaries}
    order = [*(site for site, found in chosen.items() if len(found.feature)), METRIC]
    model, n_examples = scene.model, len(scene.counted)
    above = {
        site: upstream(site, scene.dictionaries, model.n_layers, parallel=model.parallel)
        for site in order
    }
    last = {up: place for place, site in enumerate(order) for up in above[site]}
    resamples = resampling_weights(n_examples, rules.resamples, rules.seed, scene.counted.device)
    held: dict[str, Kept] = {}
    for place, site in enumerate(order):
        sources = [held[up] for up in above[site] if up in held]
        if site != METRIC:
            held[site] = kept_at(scene, site, chosen[site])
        for down, rows in _targets(scene, held.get(site), sources):
            totals = _totals(scene, rows, sources, len(down.feature))
            for up, values in zip(sources, totals, strict=True):
                yield _frame(up, site, down, values, resamples, rules.edge_threshold)
        held = {up: kept for up, kept in held.items() if last.get(up, -1) > place}


def kept_at(scene: Scene, site: str, nodes: SiteNodes) -> Kept:
    """Nodes of a site in the dictionary's terms; the error only where a node is that."""
    is_error, n_positions = nodes.feature == ERROR, scene.counted.shape[1]
    features = nodes.feature[~is_error].unique()
    column = torch.searchsorted(features, nodes.feature)
    column[is_error] = len(features)
    found = terms(
        scene.dictionaries[site],
        scene.states[site],
        scene.counted & nodes.places(n_positions),
        features,
        scene.counted & nodes.take(is_error).places(n_positions),
    )
    return Kept(site, nodes, found, column)


Rows = Iterable[tuple[Tensor, Pulled]]  # (downstream node [row], the rows)


def _targets(
    scene: Scene, kept: Kept | None, sources: Sequence[Kept]
) -> Iterator[tuple[SiteNodes, Rows]]:
    """Downstream nodes in blocks, each with its rows; the metric is one node."""
    if not sources:
        return
    if kept is None:
        pulled = at_metric(sources[0].terms.gradient)
        yield (
            SiteNodes(None, torch.zeros(1, dtype=torch.int64)),
            [(torch.zeros_like(pulled.row), pulled)],
        )
        return
    widest = max(len(up.column) for up in sources)
    size = max(1, BLOCK // max(len(scene.counted) * widest, scene.counted.numel()))
    for start in range(0, len(kept.nodes.feature), size):
        block = kept.nodes.take(slice(start, start + size))
        yield block, _rows(scene, kept, block, max(len(u.terms.feature) for u in sources))


def _rows(scene: Scene, kept: Kept, nodes: SiteNodes, n_columns: int) -> Rows:
    """Each active (example, position) of each node, pulled back in blocks of rows."""
    targets, node = targets_of(scene, kept, nodes)
    for pulled in pull_back(
        scene.model,
        kept.site,
        scene.clean,
        kept.terms,
        targets,
        scene.batch_tokens,
        n_columns,
        scene.dictionaries,
        summed=nodes.pos is None,
    ):
        yield node[pulled.row], pulled


def targets_of(scene: Scene, kept: Kept, nodes: SiteNodes) -> tuple[Targets, Tensor]:
    """Each active (example, position) of some of the kept nodes, with the node's number."""
    here = scene.counted[..., None].expand(-1, -1, len(nodes.feature))
    if nodes.pos is not None:
        here = here & (torch.arange(here.shape[1], device=here.device)[:, None] == nodes.pos)
    example, pos, node = here.nonzero(as_tuple=True)
    targets = Targets(example, pos, nodes.feature[node])
    rows = active(kept.terms, targets).nonzero()[:, 0]
    return targets.take(rows), node[rows]


def _totals(scene: Scene, rows: Rows, sources: Sequence[Kept], n_nodes: int) -> list[Tensor]:
    """Weights [example, downstream node × upstream node], summed over rows, for each source."""
    n_examples = len(scene.counted)
    totals = [up.terms.error.new_zeros(n_examples * n_nodes, len(up.column)) for up in sources]
    for node, pulled in rows:
        for up, total in zip(sources, totals, strict=True):
            here = pulled
            if parse_site(up.site).kind == "z":
                here = through_projection(scene.model, up.site, scene.clean, pulled)
            total.index_add_(0, pulled.example * n_nodes + node, up.weights(here))
    return [total.view(n_examples, -1) for total in totals]


def _frame(
    up: Kept,
    site: str,
    down: SiteNodes,
    values: Tensor,
    resamples: Tensor | None,
    threshold: float,
) -> pl.DataFrame:
    """The edges above the threshold, of weights [example, downstream node × upstream node]."""
    kept = (values.mean(0).abs() > threshold).nonzero()[:, 0]
    i, j = kept // len(up.column), kept % len(up.column)
    ends = {"up": (up.site, up.nodes, j), "down": (site, down, i)}
    columns = {
        f"{end}_{name}": column
        for end, (at, nodes, rows) in ends.items()
        for name, column in _end(at, nodes, rows).items()
    }
    summary = summarize(values[:, kept], resamples, threshold).frame("weight")
    return pl.concat([pl.DataFrame(columns), summary], how="horizontal")


def _end(site: str, nodes: SiteNodes, rows: Tensor) -> dict[str, pl.Series]:
    rows = rows.to(nodes.feature.device)
    pos = [None] * len(rows) if nodes.pos is None else nodes.pos[rows].tolist()
    return {
        "site": pl.Series([site] * len(rows), dtype=pl.String),
        "pos": pl.Series(pos, dtype=pl.Int16),
        "feature": pl.Series(nodes.feature[rows].tolist(), dtype=pl.Int32),
    }


def site_nodes(nodes: pl.DataFrame, site: str, scene: Scene) -> SiteNodes:
    found = nodes.filter(pl.col("site") == site).sort("pos", "feature")
    device = scene.counted.device
    feature = torch.tensor(found["feature"].to_list(), dtype=torch.int64, device=device)
    if found["pos"].null_count():
        return SiteNodes(None, feature)
    return SiteNodes(
        torch.tensor(found["pos"].to_list(), dtype=torch.int64, device=device), feature
    )


def _states(model: LanguageModel, ids: Tensor, sites: Sequence[str], batch_tokens: int) -> States:
    size = max(1, batch_tokens // ids.shape[1])
    parts = [activations(model, part, sites) for part in ids.split(size)]
    return {site: torch.cat([part[site] for part in parts]) for site in sites}
