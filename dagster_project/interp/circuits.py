"""Circuits: the nodes and edges whose aggregated effect exceeds a threshold, and their figures.

A node is in if |effect| > node threshold, an edge if both ends are in and |weight| > edge
threshold. Shares compare features with errors among the kept nodes (A_u, E_u: sums of |effect| of
site u's features and of its error nodes): how much of the circuit can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import torch

from dagster_project.interp.edges import METRIC
from dagster_project.interp.examples import Examples
from dagster_project.interp.metrics import Metric
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import Batch, last_hidden
from dagster_project.interp.states import ERROR


class Shares(NamedTuple):
    """How much of a circuit's effect features hold; None where it has no effect at all."""

    feature_share: float | None  # ΣA / (ΣA + ΣE)
    interestingness: float | None  # A / (A + E) with A = Σ softmax(A_u)·A_u, E likewise
    writer_ratio: float | None  # ΣA over embed, attn, mlp / ΣA over all sites


def select_nodes(effects: pl.DataFrame, threshold: float) -> pl.DataFrame:
    """Rows of the node_effects table whose |effect| exceeds the threshold."""
    return effects.filter(pl.col("effect").cast(pl.Float64).abs() > threshold)


def shares(nodes: pl.DataFrame, sites: Sequence[str]) -> Shares:
    """Shares of nodes with site, feature and effect.

    sites: all that could have held a node; one without any has A_u = E_u = 0, and still its part
    in the softmax.
    """
    is_error = pl.col("feature") == ERROR
    size = pl.col("effect").cast(pl.Float64).abs()
    kept = nodes.group_by("site", maintain_order=True).agg(
        a=size.filter(~is_error).sum(), e=size.filter(is_error).sum()
    )
    every = pl.Series("site", sites, pl.String)
    by_site = every.to_frame().join(kept, on="site", how="left").fill_null(0.0)
    a, e = by_site["a"].to_numpy(), by_site["e"].to_numpy()
    writers = ~by_site["site"].str.starts_with("resid").to_numpy()
    return Shares(
        _ratio(a.sum(), e.sum()),
        _ratio(_emphasised(a), _emphasised(e)),
        _ratio(a[writers].sum(), a[~writers].sum()),
    )


def total_effect(model: LanguageModel, examples: Examples, batch_tokens: int) -> float | None:
    """Mean over examples of m(patch) − m(clean), the whole prompt patched; None without a patch."""
    if examples.patch is None:
        return None
    found = [
        _metric(model, part.patch, part.discovery_metric())
        - _metric(model, part.clean, part.discovery_metric())
        for _, part in examples.portions(batch_tokens)
        if part.patch is not None
    ]
    return float(torch.cat(found).mean())


def backward_edges(edges: pl.DataFrame, sites: Sequence[str]) -> pl.DataFrame:
    """Edges that do not go forward in the order of sites, or go back in position: none is right.

    Without such edges a circuit has no cycle.
    """
    order = {site: place for place, site in enumerate([*sites, METRIC])}
    up, down = (
        pl.col(f"{end}_site").replace_strict(order, return_dtype=pl.Int32) for end in ("up", "down")
    )
    return edges.filter((up >= down) | (pl.col("up_pos") > pl.col("down_pos")).fill_null(False))


def _metric(model: LanguageModel, batch: Batch, metric: Metric) -> torch.Tensor:
    return metric(model, last_hidden(model, batch))


def _ratio(part: float, rest: float) -> float | None:
    return float(part / (part + rest)) if part + rest else None


def _emphasised(sizes: np.ndarray) -> float:
    """Σ softmax(s)·s: nearly the largest, where they differ by more than 1."""
    if not len(sizes):
        return 0.0
    weights = np.exp(sizes - sizes.max())
    return float((weights / weights.sum() * sizes).sum())
