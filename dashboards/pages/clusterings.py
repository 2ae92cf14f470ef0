"""Clusterings: the runs and the baselines beside them, and one or two of them in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import polars as pl
from dash import dcc, html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import choice, options
from dashboards.components.empty import empty
from dashboards.components.figures import figure
from dashboards.components.files import csv
from dashboards.components.marks import term
from dashboards.components.palette import POSITIVE, SERIES, faint
from dashboards.components.tables import Column, table
from dashboards.numbers import written
from dashboards.page import Download, Page, PageState, Visit
from dashboards.pages.clusters_state import number
from dashboards.text import clip, plotly, visible

Measure = Literal["ari", "nmi", "purity", "silhouette"]
MEASURES: dict[str, str] = {"ari": "ARI", "nmi": "NMI", "purity": "purity"}
MEASURES["silhouette"] = "silhouette"
BASELINES = {"previous": "previous token", "answer": "answer token", "last": "last position"}
MARKS = {"previous": "triangle-up", "answer": "diamond", "last": "square"}
assert set(MEASURES) == set(get_args(Measure))

NONE = "–"  # no second clustering
MOST_RULES = 60  # columns of the picture of rules
LONGEST_NAME, LETTER = 24, 7  # of a clustering, in letters; px of one
FACTS = (
    *("part", "representation", "metric", "aggregation", "similarity", "unit_norm_per_site"),
    *("unit_rows", "errors", "svd_cut", "n_clusters", "n_contexts", "n_zero", "seconds"),
)


@dataclass(frozen=True)
class ClusteringsState(PageState):
    """What runs are compared by, and which are looked at."""

    measure: Measure = "ari"
    one: str = ""
    two: str = NONE


def show(visit: Visit[ClusteringsState]) -> Component:
    """The page."""
    runs = _runs(visit)
    if runs.is_empty():
        return empty("clusterings", visit.study)
    one, two = _chosen(visit, runs["clustering"].to_list())
    measure = visit.state.measure
    return html.Div(
        [
            layout.bar(options(visit, "measure", "Compare by", MEASURES, measure)),
            layout.panel(
                term(MEASURES[measure], _capital(MEASURES[measure])),
                _chart(runs, measure, (one, two)),
                aside="of each clustering, best ARI first"
                + ("" if measure == "silhouette" else "; the baselines beside it"),
            ),
            layout.panel(
                "All clusterings",
                _table(visit, runs),
                aside=layout.download("CSV", visit.file("clusterings.csv")),
            ),
            layout.bar(
                choice("one", "Look at", runs["clustering"].to_list(), one),
                choice("two", "beside", _others(runs, one), two),
            ),
            html.Div(_detail(visit, runs, one, two), key="two" if two != NONE else "one"),
        ]
    )


def _runs(visit: Visit[ClusteringsState]) -> pl.DataFrame:
    return visit.data.ask("clustering_runs", study=visit.study)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _chosen(visit: Visit[ClusteringsState], names: Sequence[str]) -> tuple[str, str]:
    """The clustering looked at, and the one beside it or NONE."""
    one = visit.choose("one", names)
    if visit.state.two == one:
        visit.state = replace(visit.state, two=NONE)
    return one, visit.choose("two", [NONE, *names], NONE)


def _others(runs: pl.DataFrame, one: str) -> dict[str, str]:
    others = [name for name in runs["clustering"].to_list() if name != one]
    return {NONE: "none", **{name: name for name in others}}


def _chart(runs: pl.DataFrame, measure: str, chosen: tuple[str, str]) -> Component:
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


def _table(visit: Visit[ClusteringsState], runs: pl.DataFrame) -> Component:
    rows = [{**row, "href": visit.href(one=row["clustering"])} for row in runs.to_dicts()]
    longest = max(map(len, runs["clustering"].to_list()))
    named = 30 + LETTER * min(longest, LONGEST_NAME)
    columns = [
        Column("clustering", "clustering", term="clustering", width=named),
        Column("part", "part", term="part", width=70),
        Column("representation", "made of", term="representation", width=108),
        Column("n_clusters", "k", ",d", width=52),
        Column("n_contexts", "contexts", ",d", width=74),
        Column("ari", "ARI", ".3f", term="ARI"),
        Column("nmi", "NMI", ".3f", term="NMI"),
        Column("purity", "purity", ".3f", term="purity"),
        Column("silhouette", "silhouette", ".3f", term="silhouette"),
        Column("previous_ari", "ARI previous", ".3f", term="previous token"),
        Column("answer_ari", "ARI answer", ".3f", term="answer token"),
        Column("last_ari", "ARI last", ".3f", term="last position"),
        Column("seconds", "time", ".1f", "s", width=60),
    ]
    return table("clusterings-table", rows, columns, visit=visit)


def _detail(
    visit: Visit[ClusteringsState], runs: pl.DataFrame, one: str, two: str
) -> list[Component]:
    chosen = [name for name in (one, two) if name != NONE]
    rows = [runs.row(by_predicate=pl.col("clustering") == name, named=True) for name in chosen]
    beside = _sizes(visit, chosen)
    picture = _rules(visit, one) if two == NONE else _agreement(visit, one, two)
    return [
        layout.columns(
            layout.panel("How they were made" if rows[1:] else "How it was made", _facts(rows)),
            layout.panel(
                "Sizes of the clusters", beside, aside=_links(visit, chosen), name="sizes"
            ),
        ),
        picture,
    ]


def _links(visit: Visit[ClusteringsState], names: Sequence[str]) -> list[Component | str]:
    links = [
        dcc.Link(visible(clip(name, 40)), href=visit.to("clusters", clustering=name))
        for name in names
    ]
    return ["browse ", *(part for link in links for part in (link, " "))]


def _facts(rows: Sequence[Mapping[str, Any]]) -> Component:
    """Options and figures, a column a clustering; where two differ stands out."""
    heads = [html.Th("")] + [html.Th(visible(clip(row["clustering"], 40))) for row in rows]
    body = [
        html.Tr(
            [html.Td(_fact_name(key), className="quiet")]
            + [html.Td(visible(clip(_fact(row[key]), 60))) for row in rows],
            className="differs" if len({_fact(row[key]) for row in rows}) > 1 else "",
        )
        for key in (*FACTS, *MEASURES)
    ]
    return html.Table([html.Thead(html.Tr(heads)), html.Tbody(body)], className="plain made")


def _fact_name(key: str) -> str | Component:
    explained = {"part": "part", "representation": "representation", "ari": "ARI", "nmi": "NMI"}
    explained |= {"purity": "purity", "silhouette": "silhouette"}
    names = {"n_clusters": "clusters", "n_contexts": "contexts", "n_zero": "zero vectors"}
    names |= {"seconds": "time [s]", "svd_cut": "SVD cut", "errors": "error nodes"}
    shown = names.get(key, MEASURES.get(key, key.replace("_", " ")))
    return term(explained[key], shown) if key in explained else shown


def _fact(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return written(value, ".3f")
    return f"{value:,}" if isinstance(value, int) else str(value) or "–"


def _sizes(visit: Visit[ClusteringsState], names: Sequence[str]) -> Component:
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


def _rules(visit: Visit[ClusteringsState], one: str) -> Component:
    """Clusters against known rules."""
    found = visit.data.ask("clustering_rules", study=visit.study, clustering=one)
    if found.is_empty():
        why = html.P("No rule is known behind any of these contexts.", className="quiet")
        return layout.panel("Clusters and known rules", why)
    # Rules in the order of the clusters that have most of them, so that agreement is a diagonal.
    rules = (
        found.sort("contexts", descending=True)
        .group_by("rule", maintain_order=True)
        .agg(pl.col("cluster").first(), pl.col("contexts").sum())
        .sort("cluster", "contexts", "rule", descending=[False, True, False])
    )
    names = rules["rule"].to_list()
    return layout.panel(
        "Clusters and known rules",
        _matrix(found, "rule", names[:MOST_RULES], [plotly(n, 34) for n in names[:MOST_RULES]]),
        aside="share of each cluster's contexts with a known rule"
        + (f"; {MOST_RULES} of {len(names)} rules" if len(names) > MOST_RULES else ""),
    )


def _agreement(visit: Visit[ClusteringsState], one: str, two: str) -> Component:
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


def _csv(visit: Visit[ClusteringsState]) -> Download:
    return csv(_runs(visit))._replace(of=visit.study)


PAGE = Page(
    "clusterings",
    "Clusterings",
    "Which way of grouping contexts finds the rules behind them?",
    ClusteringsState,
    show,
    {"clusterings.csv": _csv},
)
