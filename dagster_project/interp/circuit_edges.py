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
    Source,
    Targets,
    active,
    at_metric,
    pull_back,
    source,
    upstream,
    weights,
)
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import activations, site_names
from dagster_project.interp.states import BLOCK, SiteState, States


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

    def part(self, start: int, stop: int) -> SiteNodes:
        pos = None if self.pos is None else self.pos[start:stop]
        return SiteNodes(pos, self.feature[start:stop])

    def take(self, rows: Tensor) -> SiteNodes:
        return SiteNodes(None if self.pos is None else self.pos[rows], self.feature[rows])


class Upstream(NamedTuple):
    """Kept nodes of one upstream site."""

    site: str
    nodes: SiteNodes
    source: Source
    column: Tensor  # [node] of the source

    def weights(self, pulled: Pulled) -> Tensor:
        """Edges [row, node] from these nodes into targets."""
        found = weights(self.source, pulled)
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
    clean = _states(model, examples.clean.ids, site_names(model.n_layers), batch_tokens)
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
    kept = {site: _site_nodes(nodes, site, scene) for site in scene.dictionaries}
    kept = {site: found for site, found in kept.items() if len(found.feature)}
    n_examples = len(scene.counted)
    resamples = resampling_weights(n_examples, rules.resamples, rules.seed, scene.counted.device)
    held: dict[str, Upstream] = {}  # a stream is upstream of three sites in turn
    for site in [*kept, METRIC]:
        above = upstream(site, scene.model.n_layers, parallel=scene.model.parallel)
        held = {u: held.get(u) or _upstream(scene, u, kept[u]) for u in above if u in kept}
        sources = [*held.values()]
        for down, rows in _targets(scene, site, kept.get(site), sources):
            totals = _totals(rows, sources, n_examples, len(down.feature))
            for up, values in zip(sources, totals, strict=True):
                yield _frame(up, site, down, values, resamples, rules.edge_threshold)


Rows = Iterable[tuple[Tensor, Pulled]]  # (downstream node [row], the rows)


def _targets(
    scene: Scene, site: str, nodes: SiteNodes | None, sources: Sequence[Upstream]
) -> Iterator[tuple[SiteNodes, Rows]]:
    """Downstream nodes in blocks, each with its rows; the metric is one node."""
    if not sources:
        return
    if nodes is None:
        pulled = at_metric(scene.states[sources[0].site])
        yield (
            SiteNodes(None, torch.zeros(1, dtype=torch.int64)),
            [(torch.zeros_like(pulled.row), pulled)],
        )
        return
    widest = max(len(up.column) for up in sources)
    size = max(1, BLOCK // (len(scene.counted) * widest))
    for start in range(0, len(nodes.feature), size):
        block = nodes.part(start, start + size)
        yield block, _rows(scene, site, block, max(len(u.source.feature) for u in sources))


def _rows(scene: Scene, site: str, nodes: SiteNodes, n_columns: int) -> Rows:
    """Each active (example, position) of each node, pulled back in blocks of rows."""
    dictionary, state = scene.dictionaries[site], scene.states[site]
    here = scene.counted[..., None].expand(-1, -1, len(nodes.feature))
    if nodes.pos is not None:
        here = here & (torch.arange(here.shape[1], device=here.device)[:, None] == nodes.pos)
    example, pos, node = here.nonzero(as_tuple=True)
    targets = Targets(example, pos, nodes.feature[node])
    kept = active(dictionary, state.clean, targets).nonzero()[:, 0]
    targets, node = targets.take(kept), node[kept]
    for pulled in pull_back(
        scene.model,
        site,
        scene.clean,
        dictionary,
        state,
        targets,
        scene.batch_tokens,
        n_columns,
        summed=nodes.pos is None,
    ):
        yield node[pulled.row], pulled


def _totals(rows: Rows, sources: Sequence[Upstream], n_examples: int, n_nodes: int) -> list[Tensor]:
    """Weights [example, downstream node × upstream node], summed over rows, for each source."""
    totals = [up.source.error.new_zeros(n_examples * n_nodes, len(up.column)) for up in sources]
    for node, pulled in rows:
        for up, total in zip(sources, totals, strict=True):
            total.index_add_(0, pulled.example * n_nodes + node, up.weights(pulled))
    return [total.view(n_examples, -1) for total in totals]


def _frame(
    up: Upstream,
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


def _site_nodes(nodes: pl.DataFrame, site: str, scene: Scene) -> SiteNodes:
    found = nodes.filter(pl.col("site") == site).sort("pos", "feature")
    device = scene.counted.device
    feature = torch.tensor(found["feature"].to_list(), dtype=torch.int64, device=device)
    if found["pos"].null_count():
        return SiteNodes(None, feature)
    return SiteNodes(
        torch.tensor(found["pos"].to_list(), dtype=torch.int64, device=device), feature
    )


def _upstream(scene: Scene, site: str, nodes: SiteNodes) -> Upstream:
    features = nodes.feature[nodes.feature >= 0].unique()
    found = source(scene.dictionaries[site], scene.states[site], scene.counted, features)
    column = torch.searchsorted(features, nodes.feature)
    column[nodes.feature < 0] = len(features)
    return Upstream(site, nodes, found, column)


def _states(model: LanguageModel, ids: Tensor, sites: Sequence[str], batch_tokens: int) -> States:
    size = max(1, batch_tokens // ids.shape[1])
    parts = [activations(model, part, sites) for part in ids.split(size)]
    return {site: torch.cat([part[site] for part in parts]) for site in sites}
