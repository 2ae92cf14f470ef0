"""Which cluster is shown, of which clustering, and which of its contexts: from address and lake."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import polars as pl

from dashboards.components.cluster_map import Polygon, polygon, within
from dashboards.page import PageState, Visit

Rank = Literal["size", "score", "loss", "entropy", "purity", "silhouette", "interest"]
RANKS: dict[str, str] = {
    "size": "size",
    "score": "size × variety",
    "loss": "mean loss",
    "entropy": "variety of answers",
    "purity": "purity",
    "silhouette": "silhouette",
    "interest": "interestingness",
}
_COLUMN: dict[str, str] = {
    "score": "score",
    "loss": "mean_loss",
    "entropy": "answer_entropy",
    "purity": "purity",
    "silhouette": "silhouette",
    "interest": "interestingness",
}
Colour = Literal["cluster", "skill", "subset", "loss"]
COLOURS: dict[str, str] = {c: c.capitalize() for c in get_args(Colour)}
Order = Literal["closest", "loss", "position"]
ORDERS: dict[str, str] = {
    "closest": "Closest to its centre",
    "loss": "Highest loss",
    "position": "Document and position",
}
View = Literal["contexts", "features", "similarity"]
VIEWS: dict[str, str] = {
    "contexts": "Contexts",
    "features": "Features",
    "similarity": "Similarity",
}
Width = Literal["16", "32", "64", "100"]
WIDTHS: dict[str, str] = {w: w for w in get_args(Width)}
assert {*_COLUMN, "size"} == set(RANKS) == set(get_args(Rank))

OPTIONS = (
    *("representation", "metric", "aggregation", "similarity", "unit_norm_per_site"),
    *("unit_rows", "errors", "svd_cut", "assign", "part", "sample"),
)
"""Columns of clusterings that runs of different k have in common."""


@dataclass(frozen=True)
class ClustersState(PageState):
    """Which cluster, and how it is looked at."""

    clustering: str = ""
    cluster: str = ""  # a number, or <clustering>-<number>: then of that clustering alone
    rank: Rank = "size"
    colour: Colour = "cluster"
    view: View = "contexts"
    order: Order = "closest"
    width: Width = "32"  # tokens before the answer
    breaks: bool = False
    lasso: str = ""  # a polygon on the map
    page: int = 0


class Shown(NamedTuple):
    """What the page shows."""

    runs: pl.DataFrame  # clustering_runs
    clustering: str
    sizes: dict[str, str]  # clusterings made alike, with their k
    clusters: pl.DataFrame  # clusters_of, largest first
    ranked: pl.DataFrame  # the same in the order asked for
    cluster: int
    contexts: pl.DataFrame  # clustering_contexts
    members: pl.DataFrame  # those of the cluster
    polygon: Polygon | None  # the lasso
    listed: pl.DataFrame  # those of the cluster or of the lasso, in the order asked for

    @property
    def task(self) -> str:
        """The cluster's name as a task."""
        return f"{self.clustering}-{self.cluster}"


def find(visit: Visit[ClustersState]) -> Shown | None:
    """What the address asks for, or the first there is; None without clusters."""
    runs = visit.data.ask("clustering_runs", study=visit.study)
    name = visit.choose("clustering", runs["clustering"].to_list())
    of = {"study": visit.study, "clustering": name}
    clusters = visit.data.ask("clusters_of", **of)
    if clusters.is_empty():
        return None
    column = _COLUMN.get(visit.state.rank)
    ranked = (
        clusters
        if column is None
        else clusters.sort(
            pl.col("cluster") < 0, pl.col(column), descending=[False, True], nulls_last=True
        )
    )
    cluster = _asked(visit, name, clusters["cluster"].to_list(), ranked["cluster"][0])
    contexts = visit.data.ask("clustering_contexts", **of)
    members = contexts.filter(pl.col("cluster") == cluster)
    lasso = _lasso(visit)
    listed = contexts.filter(within(lasso)) if lasso else members
    return Shown(
        runs,
        name,
        _sizes(runs, name),
        clusters,
        ranked,
        cluster,
        contexts,
        members,
        lasso,
        _ordered(listed, visit.state.order),
    )


def _asked(visit: Visit[ClustersState], clustering: str, found: list[int], first: int) -> int:
    """The cluster of the address; one of another clustering gives way to the first."""
    of, _, last = visit.state.cluster.rpartition("-")
    if visit.state.cluster.startswith("-") and not of:
        of, last = "", visit.state.cluster
    if of.endswith("-"):
        of, last = of[:-1], f"-{last}"
    if not visit.state.cluster or of not in ("", clustering):
        return first
    cluster = next((c for c in found if str(c) == last), None)
    if cluster is None:
        visit.notes.append(f"This clustering has no such cluster; this is {number(first)}.")
    elif not of:
        visit.state = replace(visit.state, cluster=f"{clustering}-{cluster}")
    return first if cluster is None else cluster


def _lasso(visit: Visit[ClustersState]) -> Polygon | None:
    if not visit.state.lasso:
        return None
    corners = polygon(visit.state.lasso)
    if corners is None:
        visit.notes.append("lasso must be the corners of a polygon, x,y,x,y,…; it is left out.")
    return corners


def _sizes(runs: pl.DataFrame, clustering: str) -> dict[str, str]:
    """Clusterings that differ from this one in k alone, by k; this one at its own."""
    own = runs.filter(pl.col("clustering") == clustering).select(OPTIONS)
    alike = runs.join(own, on=OPTIONS, how="semi", nulls_equal=True).sort("n_clusters")
    mine = int(runs.filter(pl.col("clustering") == clustering)["n_clusters"][0])
    by_k = {k: name for name, k in alike.select("clustering", "n_clusters").rows()}
    by_k[mine] = clustering
    return {name: f"{k:,}" for k, name in sorted(by_k.items())}


def _ordered(contexts: pl.DataFrame, order: Order) -> pl.DataFrame:
    if order == "closest":
        return contexts.sort("distance", "context_id", nulls_last=True)
    if order == "loss":
        return contexts.sort("loss", "context_id", descending=[True, False], nulls_last=True)
    return contexts.sort("doc_id", "pos")


def number(cluster: int) -> str:
    """What a cluster is called."""
    names = {-1: "of zero vectors", -2: "of contexts left out"}
    return names.get(cluster, f"#{cluster}")
