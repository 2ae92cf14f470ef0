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
from dashboards.components.files import csv
from dashboards.components.marks import term
from dashboards.components.tables import Column, table
from dashboards.numbers import written
from dashboards.page import Download, Page, PageState, Visit
from dashboards.pages.clusterings_pictures import agreement, chart, rules, sizes
from dashboards.text import clip, visible

Measure = Literal["ari", "nmi", "purity", "silhouette"]
MEASURES: dict[str, str] = {"ari": "ARI", "nmi": "NMI", "purity": "purity"}
MEASURES["silhouette"] = "silhouette"
assert set(MEASURES) == set(get_args(Measure))

STABILITY = {"ari_seeds": "ARI other seeds", "ari_halves": "ARI halves"}
PARTS = {"report": "to report by", "all": "all", "choose": "to choose by"}  # opened in this order
NONE = "–"  # no second clustering
LEAST = 0.001  # below which a figure is written by its first digits
LONGEST_NAME, LETTER = 30, 7  # of a clustering, in letters; px of one
FACTS = (
    *("part", "representation", "metric", "aggregation", "similarity", "unit_norm_per_site"),
    *("unit_rows", "errors", "svd_cut", "assign", "min_cluster_size", "clusters_asked"),
    *("n_clusters", "n_contexts", "n_zero", "n_left_out", "residual", "seconds"),
)


@dataclass(frozen=True)
class ClusteringsState(PageState):
    """What runs are compared by, and which are looked at."""

    measure: Measure = "ari"
    part: str = ""  # of the contexts; "": that of `one`, else the one to report by
    one: str = ""
    two: str = NONE


def show(visit: Visit[ClusteringsState]) -> Component:
    """The page."""
    runs = _runs(visit)
    if runs.is_empty():
        return empty("clusterings", visit.study)
    part = _part(visit, runs)
    alike = runs.filter(part=part)
    one, two = _chosen(visit, runs["clustering"].to_list(), alike["clustering"][0])
    measure = visit.state.measure
    return html.Div(
        [
            layout.bar(
                options(visit, "measure", "Compare by", MEASURES, measure),
                _parts(visit, runs, part),
            ),
            layout.panel(
                term(MEASURES[measure], _capital(MEASURES[measure])),
                chart(alike, measure, (one, two)),
                aside="of each clustering, best ARI first"
                + ("" if measure == "silhouette" else "; the baselines beside it"),
            ),
            layout.panel(
                "All clusterings",
                _table(visit, runs),
                aside=layout.download("CSV", visit.file("clusterings.csv")),
            ),
            layout.bar(
                choice("one", "Look at", runs["clustering"].to_list(), one, resets="part"),
                choice("two", "beside", _others(runs, one), two),
            ),
            html.Div(_detail(visit, runs, one, two), key="two" if two != NONE else "one"),
        ]
    )


def _runs(visit: Visit[ClusteringsState]) -> pl.DataFrame:
    """Clusterings, best ARI first; of all contexts where the lake does not say of which part."""
    part = pl.when(pl.col("part").is_in(list(PARTS))).then("part").otherwise(pl.lit("all"))
    return visit.data.ask("clustering_runs", study=visit.study).with_columns(part=part)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _part(visit: Visit[ClusteringsState], runs: pl.DataFrame) -> str:
    """The part whose clusterings are compared: halves have different contexts."""
    there = [part for part in PARTS if part in runs["part"]]
    of_one = runs.filter(clustering=visit.state.one)["part"]
    return visit.choose("part", there, next(iter(of_one), None))


def _parts(visit: Visit[ClusteringsState], runs: pl.DataFrame, part: str) -> Component | None:
    """The choice of a part, where there are several; its best clustering is looked at then."""
    there = {key: said for key, said in PARTS.items() if key in runs["part"]}
    if len(there) < 2:
        return None
    return options(visit, "part", "Contexts", there, part, one="", two=NONE)


def _chosen(visit: Visit[ClusteringsState], names: Sequence[str], best: str) -> tuple[str, str]:
    """The clustering looked at, and the one beside it or NONE."""
    one = visit.choose("one", names, best)
    if visit.state.two == one:
        visit.state = replace(visit.state, two=NONE)
    return one, visit.choose("two", [NONE, *names], NONE)


def _others(runs: pl.DataFrame, one: str) -> dict[str, str]:
    others = [name for name in runs["clustering"].to_list() if name != one]
    return {NONE: "none", **{name: name for name in others}}


def _table(visit: Visit[ClusteringsState], runs: pl.DataFrame) -> Component:
    rows = [{**row, "href": visit.href(one=row["clustering"], part="")} for row in runs.to_dicts()]
    longest = max(map(len, runs["clustering"].to_list()))
    named = 30 + LETTER * min(longest, LONGEST_NAME)
    columns = [
        Column("clustering", "clustering", term="clustering", width=named),
        Column("part", "part", term="part", width=72),
        Column("representation", "made of", term="representation", width=98),
        Column("n_clusters", "k", ",d", width=48),
        Column("ari", "ARI", ".3f", term="ARI", width=58),
        Column("nmi", "NMI", ".3f", term="NMI", width=60),
        Column("purity", "purity", ".3f", term="purity", width=76),
        Column("silhouette", "silhouette", ".3f", term="silhouette", width=100),
        Column("ari_seeds", "seeds", ".3f", term="other seeds", width=64),
        Column("ari_halves", "halves", ".3f", term="halves", width=70),
        Column("previous_ari", "previous", ".3f", term="previous token", width=78),
        Column("answer_ari", "answer", ".3f", term="answer token", width=70),
        Column("last_ari", "last", ".3f", term="last position", width=56),
        Column("seconds", "time", ".1f", "s", width=60),
    ]
    return table("clusterings-table", rows, columns, visit=visit)


def _detail(
    visit: Visit[ClusteringsState], runs: pl.DataFrame, one: str, two: str
) -> list[Component]:
    chosen = [name for name in (one, two) if name != NONE]
    rows = [runs.row(by_predicate=pl.col("clustering") == name, named=True) for name in chosen]
    beside = sizes(visit, chosen)
    picture = rules(visit, one) if two == NONE else agreement(visit, one, two)
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
        for key in (*FACTS, *MEASURES, *STABILITY)
    ]
    return html.Table([html.Thead(html.Tr(heads)), html.Tbody(body)], className="plain made")


def _fact_name(key: str) -> str | Component:
    explained = {"part": "part", "representation": "representation", "ari": "ARI", "nmi": "NMI"}
    explained |= {"purity": "purity", "silhouette": "silhouette"}
    names = {"n_clusters": "clusters found", "n_contexts": "contexts", "n_zero": "zero vectors"}
    names |= {"residual": "residual of eigenvectors", "min_cluster_size": "smallest cluster"}
    names |= {"seconds": "time [s]", "svd_cut": "SVD cut", "errors": "error nodes"}
    names |= {"assign": "grouped by", "n_left_out": "left out", **STABILITY}
    shown = names.get(key, MEASURES.get(key, key.replace("_", " ")))
    return term(explained[key], shown) if key in explained else shown


def _fact(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return written(value, ".1e" if 0 < abs(value) < LEAST else ".3f")
    return f"{value:,}" if isinstance(value, int) else str(value) or "–"


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
