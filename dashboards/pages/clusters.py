"""Clusters: one cluster of a clustering at a time, its contexts, and where they lie on the map."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
from dash import dcc, html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.cluster_map import MOST, cluster_map
from dashboards.components.controls import choice, options, stepper
from dashboards.components.empty import empty
from dashboards.components.figures import figure
from dashboards.components.files import csv
from dashboards.components.marks import drawn, term
from dashboards.components.palette import NEUTRAL, SERIES
from dashboards.numbers import written
from dashboards.page import Download, Page, Visit
from dashboards.pages.clusters_contexts import contexts_view, tokens_of
from dashboards.pages.clusters_nodes import features_view, similarity_view
from dashboards.pages.clusters_state import (
    COLOURS,
    RANKS,
    VIEWS,
    ClustersState,
    Shown,
    find,
    number,
)
from dashboards.text import clip, plotly, token, visible

BARS = 10  # answers in the histogram
MOST_DOWNLOADED = 10_000  # contexts
OF_CLUSTER: dict[str, Any] = {"lasso": "", "page": 0}  # starts anew with another
OF_CLUSTERING: dict[str, Any] = {"cluster": "", **OF_CLUSTER}


def show(visit: Visit[ClustersState]) -> Component:
    """The page."""
    shown = find(visit)
    if shown is None:
        known = visit.data.ask("clustering_runs", study=visit.study).height > 0
        return empty("clusters" if known else "clusterings", visit.study)
    view = visit.state.view
    return html.Div(
        [
            _controls(visit, shown),
            layout.columns(_portrait(visit, shown), _map(visit, shown)),
            layout.bar(options(visit, "view", "Show", VIEWS, view)),
            html.Div(SHOW[view](visit, shown), key=view),
            drawn("place", _place(visit, shown), "kept"),
        ]
    )


def _place(visit: Visit[ClustersState], shown: Shown) -> dict[str, Any]:
    """Where the reader is, and the names under which the browser keeps that: study and clustering
    as an address has them. None where the address asks for a cluster that is not there."""
    studies = [visit.study, ""] if visit.study == visit.data.studies()[0] else [visit.study]
    names = [f"{study} {name}" for study in studies for name in (shown.clustering, "")]
    return {
        "place": {"study": visit.study, "clustering": shown.clustering, "cluster": shown.task},
        "names": names if visit.state.cluster in ("", shown.task) else [],
    }


SHOW: Mapping[str, Callable[[Visit[ClustersState], Shown], list[Component]]] = {
    "contexts": contexts_view,
    "features": features_view,
    "similarity": similarity_view,
}


def _controls(visit: Visit[ClustersState], shown: Shown) -> Component:
    """Run and k, the order of the clusters, and the cluster."""
    ranked = shown.ranked["cluster"].to_list()
    at = ranked.index(shown.cluster)
    named = {f"{shown.clustering}-{row['cluster']}": _label(row) for row in shown.ranked.to_dicts()}

    def step(place: int) -> str | None:
        if not 0 <= place < len(ranked):
            return None
        return visit.href(cluster=f"{shown.clustering}-{ranked[place]}", **OF_CLUSTER)

    runs = shown.runs["clustering"].to_list()
    resets = " ".join(OF_CLUSTERING)
    file = dcc.Link("Open a cluster file", href=visit.to("cluster-file"), className="beside")
    return html.Div(
        [
            layout.bar(
                choice("clustering", "Run", runs, shown.clustering, resets=resets),
                options(visit, "clustering", "k", shown.sizes, shown.clustering, **OF_CLUSTERING),
                choice("rank", "Ranked by", RANKS, visit.state.rank, wide=False),
                file,
            ),
            layout.bar(
                choice("cluster", "Cluster", named, shown.task, resets=" ".join(OF_CLUSTER)),
                stepper(step(at - 1), step(at + 1), f"{at + 1} of {len(ranked)}"),
            ),
        ],
        className="cluster-controls",
    )


def _label(row: Mapping[str, Any]) -> str:
    answers = " ".join(token(clip(answer, 24)) for answer in row["top_answers"][:3])
    return f"{number(row['cluster'])} · {row['size']:,} · {answers}"


def _portrait(visit: Visit[ClustersState], shown: Shown) -> Component:
    """The cluster in figures, and its answers."""
    row = shown.clusters.row(by_predicate=pl.col("cluster") == shown.cluster, named=True)
    rule = visible(clip(row["top_skill"] or "", 60))
    known = f"{rule}, {row['purity']:.0%} of the known" if rule and row["purity"] else "unknown"
    pairs = [
        (term("context", "contexts"), f"{row['size']:,} ({row['share']:.1%} of the clustering)"),
        (term("loss", "mean loss"), written(row["mean_loss"], ".4f", "nats")),
        (term("answer entropy"), written(row["answer_entropy"], ".3f", "nats")),
        (term("skill", "commonest rule"), known),
        (term("silhouette"), written(row["silhouette"], ".3f")),
        (term("circuit"), _circuits(visit, shown, row)),
    ]
    files = html.Span(
        [
            layout.download("JSON", visit.file("cluster.json")),
            " ",
            layout.download("all clusters, CSV", visit.file("clusters.csv")),
        ],
        className="files",
    )
    return layout.panel(
        f"Cluster {number(shown.cluster)}",
        layout.facts(pairs),
        _answers(shown),
        aside=files,
        name="portrait",
    )


def _circuits(
    visit: Visit[ClustersState], shown: Shown, row: Mapping[str, Any]
) -> list[Component | str]:
    """Links to the cluster's circuits, or which partition would make one."""
    if not row["circuits"]:
        task = html.Code(visible(clip(shown.task, 60)))
        made = f"{visit.study}/circuits"
        return ["none yet: the partition ", task, " of ", html.Code(made), " fills it"]
    links: list[Component | str] = []
    for name in row["circuits"][:4]:
        links += [dcc.Link(visible(clip(name, 60)), href=visit.to("circuit", circuit=name)), " "]
    if row["interestingness"] is not None:
        links += [term("interestingness"), f" {written(row['interestingness'], '.2f')}"]
    return links


def _answers(shown: Shown) -> Component:
    """The commonest answer tokens; longest bar on top."""
    counts = (
        shown.members["answer"]
        .value_counts(sort=True)
        .sort("count", "answer", descending=[True, False])
    )
    rest = counts[BARS:]
    bars = [(plotly(token(answer)), count, SERIES[0]) for answer, count in counts[:BARS].rows()]
    if rest.height:
        bars.append((f"{rest.height:,} others", int(rest["count"].sum()), NEUTRAL))
    names, values, colours = zip(*bars, strict=True) if bars else ((), (), ())
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": list(values),
        "y": list(range(len(bars))),
        "text": [f"{value:,}" for value in values],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": list(colours)},
        "customdata": list(names),
        "hovertemplate": "<b>%{customdata}</b> %{x:,d} contexts<extra></extra>",
    }
    return figure(
        "cluster-answers",
        [trace],
        height=26 + 20 * (BARS + 1),
        bargap=0.25,
        margin={"l": 8, "r": 40, "t": 2, "b": 4},
        xaxis={"visible": False, "fixedrange": True},
        yaxis={
            "tickvals": list(range(len(bars))),
            "ticktext": list(names),
            "ticklabelstandoff": 6,
            "range": [BARS + 0.6, -0.6],
            "showgrid": False,
            "fixedrange": True,
        },
    )


def _map(visit: Visit[ClustersState], shown: Shown) -> Component:
    """All contexts of the clustering."""
    drawn_of = shown.contexts.height
    sampled = f", {MOST:,} of them drawn" if drawn_of > MOST else ""
    colours = COLOURS if shown.contexts["skill"].count() else _without(COLOURS, "skill")
    return layout.panel(
        "Map",
        layout.bar(options(visit, "colour", "Colour", colours, visit.state.colour)),
        cluster_map(
            shown.contexts, shown.clustering, visit.state.colour, shown.cluster, shown.polygon
        ),
        aside=f"{drawn_of:,} contexts{sampled} · draw around some to list them",
        name="map",
    )


def _without(named: Mapping[str, str], key: str) -> dict[str, str]:
    return {name: label for name, label in named.items() if name != key}


def _json(visit: Visit[ClustersState]) -> Download:
    """The contexts shown, in the original's format: {id: {context, answer, document_idx}}.

    A file of the kind that `tasks.<name>.train` takes.
    """
    shown = find(visit)
    members = pl.DataFrame() if shown is None else shown.listed[:MOST_DOWNLOADED]
    tokens = tokens_of(visit, members) if members.height else {}
    contexts = {
        str(row["context_id"]): {
            "context": tokens[row["context_id"]][:-1],
            "answer": tokens[row["context_id"]][-1],
            "y": tokens[row["context_id"]][-1],  # the answer's name in its first browser
            "document_idx": row["doc_id"],
        }
        for row in members.iter_rows(named=True)
        if row["context_id"] in tokens
    }
    return Download(json.dumps(contexts), "application/json", _listed(shown))


def _listed(shown: Shown | None) -> str:
    """What the contexts that are listed are of."""
    if shown is None:
        return ""
    return f"{shown.clustering}-lasso" if shown.polygon else shown.task


def _csv(visit: Visit[ClustersState]) -> Download:
    shown = find(visit)
    if shown is None:
        return csv(pl.DataFrame())
    return csv(shown.ranked)._replace(of=shown.clustering)


PAGE = Page(
    "clusters",
    "Clusters",
    "Which contexts does the model predict by the same features?",
    ClustersState,
    show,
    {"cluster.json": _json, "clusters.csv": _csv},
)
