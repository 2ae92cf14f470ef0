"""What sets a cluster apart: its features, and how alike its contexts are beside the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from dash import html
from dash.development.base_component import Component
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dashboards.components import layout
from dashboards.components.empty import empty
from dashboards.components.figures import figure
from dashboards.components.marks import term
from dashboards.components.palette import NEGATIVE, POSITIVE, faint
from dashboards.components.tables import Column, table
from dashboards.page import Visit
from dashboards.pages.clusters_state import ClustersState, Shown, number

COMPARED = 160  # contexts of the heatmap
LEAST = 2  # of each cluster


def features_view(visit: Visit[ClustersState], shown: Shown) -> list[Component]:
    """The features that are stronger in the cluster than elsewhere."""
    held = visit.data.holdings(visit.study).get("distinct_features")
    if held is None or shown.clustering not in held.parts:
        return [empty("distinct_features", visit.study)]
    found = visit.data.ask(
        "cluster_features_distinct",
        study=visit.study,
        clustering=shown.clustering,
        cluster=shown.cluster,
    )
    rows = [
        {**row, "href": visit.to("feature", site=row["site"], feature=row["feature"])}
        for row in found.to_dicts()
    ]
    columns = [
        Column("feature", "feature", term="feature", width=92),
        Column("site", "site", term="site", width=96),
        Column("difference", "difference", ".4f", term="difference"),
        Column("mean_effect", "here", ".4f", term="mean effect"),
        Column("mean_effect_else", "elsewhere", ".4f", term="mean effect"),
        Column("share", "active here", ".1%", shade=True),
        Column("share_else", "active elsewhere", ".1%", shade=True),
        Column("label", "label"),
    ]
    return [
        layout.panel(
            f"Features that tell cluster {number(shown.cluster)} from the others",
            table("cluster-features", rows, columns, visit=visit),
            aside=["by the ", term("difference"), " of mean |effect|"],
        )
    ]


def similarity_view(visit: Visit[ClustersState], shown: Shown) -> list[Component]:
    """Cosines of the vectors of some contexts, cluster by cluster, in the order of their tree."""
    run = shown.runs.row(by_predicate=pl.col("clustering") == shown.clustering, named=True)
    representation = run["representation"]
    source = "context_gradients" if representation == "gradients" else "context_features"
    if source not in visit.data.holdings(visit.study):
        return [empty(source, visit.study)]
    chosen = _sample(shown)
    contexts = chosen["context_id"].to_list()
    if representation == "gradients":
        found = visit.data.ask("gradient_vectors", study=visit.study, contexts=contexts)
        cosines = vector_similarity(found, contexts)
    else:
        entries = visit.data.ask(
            "context_vectors",
            study=visit.study,
            clustering=shown.clustering,
            contexts=contexts,
            representation=representation,
        )
        cosines = similarity(entries, contexts)
    signed = representation in ("effects", "gradients")
    return [
        layout.panel(
            term("cosine", "Similarity of contexts, like clusters together"),
            html.Div(_heatmap(chosen, cosines, shown.cluster, signed), className="square"),
            aside=f"{chosen.height:,} of {shown.contexts.height:,} contexts, a few of each "
            f"cluster; framed: cluster {number(shown.cluster)}",
        )
    ]


def _sample(shown: Shown) -> pl.DataFrame:
    """Some contexts of each cluster, like clusters together; more of the one shown."""
    inside = shown.contexts.filter(pl.col("cluster") >= 0)
    n_clusters = max(1, inside["cluster"].n_unique())
    each = max(LEAST, COMPARED // (n_clusters + 3))
    quota = pl.when(pl.col("cluster") == shown.cluster).then(4 * each).otherwise(each)
    drawn = pl.int_range(pl.len()).shuffle(seed=0).over("cluster")
    largest = COMPARED // each - 3  # clusters for which there is room, sorted by size
    kept = (pl.col("cluster") < largest) | (pl.col("cluster") == shown.cluster)
    order = shown.clusters.select("cluster", "leaf")
    return (
        inside.filter(drawn < quota, kept)
        .join(order, on="cluster")
        .sort("leaf", "cluster", "distance", "context_id", nulls_last=True)
    )


def similarity(entries: pl.DataFrame, contexts: list[int]) -> NDArray[np.float32]:
    """Cosines [context, context] of vectors given by their entries: context_id, site, pos,
    feature, value. A vector without entries has none with any."""
    order = pl.DataFrame({"context_id": pl.Series(contexts, dtype=pl.Int64)}).with_row_index("row")
    node = ["site", "pos", "feature"]
    columns = entries.select(node).unique().with_row_index("column")
    placed = entries.join(columns, on=node, nulls_equal=True).join(order, on="context_id")
    row, value = placed["row"].to_numpy(), placed["value"].cast(pl.Float32).to_numpy()
    norms = np.sqrt(np.bincount(row, value.astype(np.float64) ** 2, len(contexts)))
    unit = csr_array(
        (value / np.where(norms > 0, norms, 1)[row], (row, placed["column"].to_numpy())),
        shape=(len(contexts), columns.height or 1),
        dtype=np.float32,
    )
    return np.asarray((unit @ unit.T).toarray())


def vector_similarity(found: pl.DataFrame, contexts: list[int]) -> NDArray[np.float32]:
    """Cosines [context, context] of vectors: context_id, vector. A zero vector has none with any,
    nor has a context without a vector."""
    order = pl.DataFrame({"context_id": pl.Series(contexts, dtype=pl.Int64)}).with_row_index("row")
    placed = found.join(order, on="context_id")
    cosines = np.zeros((len(contexts), len(contexts)), np.float32)
    if not placed.height:
        return cosines
    vectors = np.stack([vector.to_numpy() for vector in placed["vector"]])
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit, row = vectors / np.where(norms > 0, norms, 1), placed["row"].to_numpy()
    cosines[np.ix_(row, row)] = unit @ unit.T
    return cosines


def _heatmap(
    chosen: pl.DataFrame, cosines: NDArray[np.float32], cluster: int, signed: bool
) -> Component:
    groups = chosen["cluster"].to_list()
    starts = [i for i, c in enumerate(groups) if not i or groups[i - 1] != c]
    ends = [*starts[1:], len(groups)]
    middle = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    names = [str(groups[start]) for start in starts]
    low = faint(POSITIVE, 0)
    scale: list[list[Any]] = [[0, low], [1, POSITIVE]]
    if signed:
        scale = [[0, NEGATIVE], [0.5, low], [1, POSITIVE]]
    trace = {
        "type": "heatmap",
        "z": np.round(cosines.astype(np.float64), 3).tolist(),  # of float32, twice as long
        "zmin": -1 if signed else 0,
        "zmax": 1,
        "colorscale": scale,
        "colorbar": {"thickness": 10, "len": 0.6, "outlinewidth": 0},
        "hovertemplate": "cosine <b>%{z:.3f}</b><extra></extra>",
    }
    axis = {"tickvals": middle, "ticktext": names, "showgrid": False, "title": "cluster"}
    frames = [
        {
            "type": "rect",
            **{"x0": start - 0.5, "x1": end - 0.5, "y0": start - 0.5, "y1": end - 0.5},
            "line": {"color": NEGATIVE, "width": 2},
        }
        for start, end in zip(starts, ends, strict=True)
        if groups[start] == cluster
    ]
    return figure(
        "cluster-similarity",
        [trace],
        height=640,
        xaxis=axis,
        yaxis={**axis, "autorange": "reversed", "scaleanchor": "x", "constrain": "domain"},
        shapes=frames,
    )
