"""Pictures of the page Clusterings: measures, sizes, clusters against rules or against others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.figures import figure
from dashboards.components.palette import POSITIVE, SERIES, faint
from dashboards.numbers import written
from dashboards.page import Visit
from dashboards.pages.clusters_state import number
from dashboards.text import clip, plotly, visible

BASELINES = {"previous": "previous token", "answer": "answer token", "last": "last position"}
MARKS = {"previous": "triangle-up", "answer": "diamond", "last": "square"}
MOST_RULES = 60  # columns of the picture of rules


def chart(runs: pl.DataFrame, measure: str, chosen: tuple[str, str]) -> Component:
    """A bar a clustering, and a mark a baseline."""
    places = list(range(runs.height))
    names = [plotly(name) for name in runs["clustering"].to_list()]
    bars = {
        "type": "bar",
        "orientation": "h",
        "name": "clustering",
        "showlegend": False,
        "y": places,
        "x": runs[measure].to_list(),
        "customdata": names,
        "marker": {
            "color": [
                SERIES[0] if name in chosen else faint(SERIES[0], 0.45)
                for name in runs["clustering"].to_list()
            ]
        },
        "hovertemplate": "<b>%{customdata}</b> %{x:.3f}<extra></extra>",
    }
    marks = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "y": places,
            "x": runs[f"{key}_{measure}"].to_list(),
            "marker": {"symbol": MARKS[key], "size": 9, "color": SERIES[i + 1]},
            "hovertemplate": f"{name} %{{x:.3f}}<extra></extra>",
        }
        for i, (key, name) in enumerate(BASELINES.items())
        if f"{key}_{measure}" in runs.columns
    ]
    return figure(
        "clusterings-chart",
        [bars, *marks],
        height=70 + 26 * min(runs.height, 20),
        bargap=0.4,
        showlegend=bool(marks),
        margin={"t": 24},
        xaxis={"rangemode": "tozero", "tickformat": ".2f"},
        yaxis={
            "tickvals": places,
            "ticktext": names,
            "ticklabelstandoff": 6,
            "range": [min(runs.height, 20) - 0.4, -0.6],
            "showgrid": False,
        },
    )


def sizes(visit: Visit[Any], names: Sequence[str]) -> Component:
    """A bar a cluster, beside those of the other clustering."""
    traces = []
    for place, name in enumerate(names):
        found = visit.data.ask("clusters_of", study=visit.study, clustering=name)
        found = found.filter(pl.col("cluster") >= 0)
        traces.append(
            {
                "type": "bar",
                "name": plotly(name),
                "x": found["cluster"].to_list(),
                "y": found["size"].to_list(),
                "marker": {"color": SERIES[place]},
                "hovertemplate": "cluster %{x}: <b>%{y:,d}</b> contexts<extra></extra>",
            }
        )
    return figure(
        "clusterings-sizes",
        traces,
        height=470,
        bargap=0.2,
        showlegend=len(names) > 1,
        margin={"t": 24},
        xaxis={"title": "cluster, largest first", "showgrid": False},
        yaxis={"title": "contexts"},
    )


def rules(visit: Visit[Any], one: str) -> Component:
    """Clusters against known rules."""
    found = visit.data.ask("clustering_rules", study=visit.study, clustering=one)
    if found.is_empty():
        why = html.P("No rule is known behind any of these contexts.", className="quiet")
        return layout.panel("Clusters and known rules", why)
    # Rules in the order of the clusters that have most of them, so that agreement is a diagonal.
    ordered = (
        found.sort("contexts", descending=True)
        .group_by("rule", maintain_order=True)
        .agg(pl.col("cluster").first(), pl.col("contexts").sum())
        .sort("cluster", "contexts", "rule", descending=[False, True, False])
    )
    names = ordered["rule"].to_list()
    return layout.panel(
        "Clusters and known rules",
        _matrix(found, "rule", names[:MOST_RULES], [plotly(n, 34) for n in names[:MOST_RULES]]),
        aside="share of each cluster's contexts with a known rule"
        + (f"; {MOST_RULES} of {len(names)} rules" if len(names) > MOST_RULES else ""),
    )


def agreement(visit: Visit[Any], one: str, two: str) -> Component:
    """Clusters against those of the other clustering."""
    found = visit.data.ask("clustering_agreement", study=visit.study, clustering=one, other=two)
    title = f"Clusters of {visible(clip(one, 40))} and {visible(clip(two, 40))}"
    if found.is_empty():
        why = "They have no context in common: they are of different parts or samples."
        return layout.panel(title, html.P(why, className="quiet"))
    others = (
        found.sort("contexts", descending=True)
        .group_by("other_cluster", maintain_order=True)
        .agg(pl.col("cluster").first(), pl.col("other_size").first())
        .sort("cluster", "other_size", descending=[False, True])["other_cluster"]
        .to_list()
    )
    ari = found["ari"][0]
    said = "" if ari is None else f"ARI of the two {written(ari, '.3f')} on "
    return layout.panel(
        title,
        _matrix(found, "other_cluster", others, [number(other) for other in others]),
        aside=[
            f"{said}{found['shared'][0]:,} contexts in common; share of the first's cluster, "
            "the second's ordered to match"
        ],
    )


def _matrix(found: pl.DataFrame, key: str, columns: Sequence[Any], names: list[str]) -> Component:
    """Shares [cluster, column] as a heatmap; found: cluster, the key, contexts, share."""
    clusters = sorted(found["cluster"].unique().to_list())
    cells = {
        (c, k): (s, n) for c, k, s, n in found.select("cluster", key, "share", "contexts").rows()
    }
    trace = {
        "type": "heatmap",
        "z": [[cells.get((c, k), (None, 0))[0] for k in columns] for c in clusters],
        "text": [[cells.get((c, k), (0, 0))[1] for k in columns] for c in clusters],
        "customdata": [names] * len(clusters),
        "x": list(range(len(columns))),
        "y": list(range(len(clusters))),
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, faint(POSITIVE, 0.08)], [1, POSITIVE]],
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"thickness": 10, "len": 0.6, "outlinewidth": 0, "tickformat": ".0%"},
        "hovertemplate": "%{customdata}: <b>%{text}</b> contexts, %{z:.0%} of the cluster"
        "<extra></extra>",
        "hoverongaps": False,
    }
    return figure(
        "clusterings-matrix",
        [trace],
        height=140 + 17 * max(8, min(len(clusters), 60)),
        xaxis={
            "tickvals": list(range(len(columns))),
            "ticktext": names,
            "tickangle": -55 if key == "rule" else 0,
            "showgrid": False,
        },
        yaxis={
            "tickvals": list(range(len(clusters))),
            "ticktext": [number(c) for c in clusters],
            "autorange": "reversed",
            "showgrid": False,
            "title": "cluster",
        },
    )
