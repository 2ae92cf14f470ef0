"""Locating: the total-effect graph, found from the metric down.

The metric keeps the nodes whose effect on it exceeds a threshold. Then each kept node, from the
last site down, adds the nodes of all earlier sites whose total weight into it exceeds another, and
these are expanded in their turn (`Circuit.locate_circuit` of an early version of Marks et al.'s
code). Edges skip layers, and a weight counts every path, so that those out of a node do not add up
to its effect; a node whose own effect cancels is in for what it does to others.

Cost: `total_weights` of every site with kept nodes. Memory: what changes at each site, sparse, and
blocks of BLOCK weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import torch

from dagster_project.interp.bootstrap import resampling_weights, summarize
from dagster_project.interp.circuit_edges import Rules, Scene, SiteNodes
from dagster_project.interp.edges import METRIC
from dagster_project.interp.states import BLOCK
from dagster_project.interp.total_weights import moves, total_weights

NODE = ["site", "pos", "feature"]


def locate(scene: Scene, nodes: pl.DataFrame, rules: Rules) -> Iterator[pl.DataFrame]:
    """Edges of the total-effect graph, as frames with columns of the circuit_edges table.

    nodes: rows of the node_effects table that the metric keeps: their effects are its edges.
    rules.edge_threshold: what |weight| into a node must exceed. y has feature 0 and no position.
    """
    yield _into_metric(nodes)
    if nodes.is_empty():
        return
    device, n_examples = scene.counted.device, len(scene.counted)
    summed = bool(nodes["pos"].null_count())
    resamples = resampling_weights(n_examples, rules.resamples, rules.seed, device)
    found = {
        site: moves(dictionary, scene.states[site], scene.counted, summed=summed)
        for site, dictionary in scene.dictionaries.items()
    }
    kept = {
        site: set(nodes.filter(site=site).select("pos", "feature").iter_rows()) for site in found
    }
    sites = list(found)
    for place in range(len(sites) - 1, 0, -1):
        site, earlier = sites[place], {up: found[up] for up in sites[:place]}
        for block, values in total_weights(scene, site, _site_nodes(kept[site], device), earlier):
            for up, weights in values.items():
                cells = earlier[up].cells
                mean = cells.totals(weights) / n_examples
                node, down = (mean.abs() > rules.edge_threshold).nonzero(as_tuple=True)
                size = max(1, BLOCK // max(n_examples, rules.resamples))
                for j, i in zip(node.split(size), down.split(size), strict=True):
                    above = cells.nodes.take(j)
                    kept[up].update(_rows(above))
                    summary = summarize(
                        cells.by_example(weights, j, i, n_examples), resamples, rules.edge_threshold
                    )
                    ends = _end("up", up, above), _end("down", site, block.take(i))
                    yield pl.concat([*ends, summary.frame("weight")], how="horizontal")


def located_nodes(effects: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """site, pos, feature, effect, patch_only of all nodes of a total-effect graph: those from which
    an edge goes out. effects: of all nodes; one without a row has none."""
    ends = edges.select(pl.col(f"up_{name}").alias(name) for name in NODE).unique()
    known = effects.select(*NODE, "effect", "patch_only")
    found = ends.join(known, on=NODE, how="left", nulls_equal=True)
    return found.with_columns(pl.col("effect").fill_null(0.0)).sort(NODE)


def _into_metric(nodes: pl.DataFrame) -> pl.DataFrame:
    """The effects of the nodes that the metric keeps as edges into it."""
    there = {"down_site": pl.lit(METRIC), "down_pos": pl.lit(None, pl.Int16)}
    return nodes.select(
        *(pl.col(name).alias(f"up_{name}") for name in NODE),
        **there,
        down_feature=pl.lit(0, pl.Int32),
        weight=pl.col("effect"),
        share_above="share_above",
        low="low",
        high="high",
    )


def _site_nodes(nodes: set[tuple[int | None, int]], device: torch.device) -> SiteNodes:
    """Nodes as (pos, feature), sorted."""
    ordered = sorted(nodes, key=lambda node: (node[0] or 0, node[1]))
    pos, feature = ([node[i] for node in ordered] for i in (0, 1))
    placed = None if None in pos else torch.tensor(pos, dtype=torch.int64, device=device)
    return SiteNodes(placed, torch.tensor(feature, dtype=torch.int64, device=device))


def _rows(nodes: SiteNodes) -> Iterator[tuple[int | None, int]]:
    feature = nodes.feature.tolist()
    return zip(
        [None] * len(feature) if nodes.pos is None else nodes.pos.tolist(), feature, strict=True
    )


def _end(end: str, site: str, nodes: SiteNodes) -> pl.DataFrame:
    """One end of edges."""
    rows = [(site, *node) for node in _rows(nodes)]
    names = {"site": pl.String, "pos": pl.Int16, "feature": pl.Int32}
    schema = {f"{end}_{name}": dtype for name, dtype in names.items()}
    return pl.DataFrame(rows, schema=schema, orient="row")
