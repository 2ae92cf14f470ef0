"""Node selection: the circuits that faithfulness compares, by size or threshold.

Features (or neurons) with the largest |effect|, and random circuits of the features' shape: as
many nodes at each site, drawn from those with nonzero effect, with the same error nodes. Random
circuits of one seed are nested in each other. The order of equal effects is that of the sites.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
import torch

from dagster_project.interp.evaluation import NodeSet
from dagster_project.interp.states import ERROR
from dagster_project.studies.study import Unit

Selection = Literal["top_n", "threshold"]


class Circuit(NamedTuple):
    """A circuit and how it was chosen."""

    unit: Unit
    selection: Selection
    value: float  # nodes asked for, or the threshold
    nodes: pl.DataFrame | None  # site, pos (null: every position), feature; None: everything
    seed: int | None = None  # of a random circuit

    def node_set(self) -> NodeSet:
        """The nodes as index tensors by site."""
        return NodeSet({}, complement=True) if self.nodes is None else node_set(self.nodes)


def node_set(nodes: pl.DataFrame) -> NodeSet:
    """Rows of site, pos (null: every position) and feature as index tensors by site."""
    places = nodes.select(pl.col("pos").fill_null(-1), "feature")
    rows = torch.from_numpy(places.cast(pl.Int64).to_numpy(writable=True))
    sites = nodes["site"].to_numpy()
    return NodeSet({str(s): rows[torch.from_numpy(sites == s)] for s in np.unique(sites)})


def ranked(effects: pl.DataFrame, sites: Sequence[str]) -> pl.DataFrame:
    """Nodes of the sites with nonzero effect, the largest |effect| first."""
    order = pl.DataFrame({"site": sites}).with_row_index("site_order")
    nodes = effects.filter(pl.col("effect") != 0).join(order, on="site")
    size = nodes.with_columns(size=pl.col("effect").abs())
    by = ["size", "site_order", "pos", "feature"]
    return size.sort(by, descending=[True, False, False, False]).drop("site_order")


def by_size(unit: Unit, nodes: pl.DataFrame, sizes: Sequence[int]) -> Iterator[Circuit]:
    """Circuits of the first n of ranked nodes."""
    for n in sizes:
        yield Circuit(unit, "top_n", n, nodes.head(n))


def by_threshold(unit: Unit, nodes: pl.DataFrame, thresholds: Sequence[float]) -> Iterator[Circuit]:
    """Circuits of the ranked nodes with |effect| above a threshold."""
    for threshold in thresholds:
        yield Circuit(unit, "threshold", threshold, nodes.filter(pl.col("size") > threshold))


def random_circuits(
    circuits: Sequence[Circuit], nodes: pl.DataFrame, seed: int
) -> Iterator[Circuit]:
    """One of each circuit's shape, drawn from ranked nodes with nonzero effect."""
    candidates = nodes.filter(pl.col("feature") != ERROR).sort("site", "pos", "feature")
    place = np.random.default_rng(seed).permutation(len(candidates))
    drawn = candidates.with_columns(pl.Series("place", place)).with_columns(
        rank=pl.col("place").rank("ordinal").over("site")
    )
    largest = max((len(c.nodes) for c in circuits if c.nodes is not None), default=0)
    drawn = drawn.filter(pl.col("rank") <= largest)
    for circuit in circuits:
        assert circuit.nodes is not None
        is_error = pl.col("feature") == ERROR
        wanted = circuit.nodes.filter(~is_error).group_by("site").agg(wanted=pl.len())
        chosen = drawn.join(wanted, on="site", maintain_order="left")
        errors = circuit.nodes.filter(is_error)
        chosen = chosen.filter(pl.col("rank") <= pl.col("wanted")).select(errors.columns)
        yield circuit._replace(unit="random", seed=seed, nodes=pl.concat([errors, chosen]))
