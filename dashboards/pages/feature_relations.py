"""What a feature stands beside: features like it, and the clusters and circuits it acts in."""

from __future__ import annotations

from typing import Any

import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.empty import empty
from dashboards.components.listing import Cell, Column, Link, Share, listing
from dashboards.components.marks import term
from dashboards.components.palette import NEGATIVE, POSITIVE, faint
from dashboards.components.palette import site as colour_of
from dashboards.numbers import written
from dashboards.page import Visit

MOST = 12  # clusters, and circuits
KINDS = {"cosine": ("nearest", "cosine"), "coactive": ("co-active", "of tokens")}
BAR = 0.3  # alpha


def neighbours(visit: Visit[Any]) -> list[Component]:
    """Features like it: by direction, and by the tokens they are on for."""
    rows = visit.data.ask("feature_neighbours_of", **_of(visit))
    made = "feature_neighbours" in visit.data.holdings(visit.study)
    return [
        layout.panel(
            term(name, name.capitalize()),
            _neighbours(visit, rows.filter(kind=kind), name, unit)
            if made
            else empty("feature_neighbours", visit.study),
            aside="features of the site",
        )
        for kind, (name, unit) in KINDS.items()
    ]


def _neighbours(visit: Visit[Any], rows: pl.DataFrame, name: str, unit: str) -> Component:
    if rows.is_empty():
        return html.P("None.", className="quiet")
    colour = faint(colour_of(visit.state.site), BAR)
    columns = [
        Column("feature"),
        Column("", unit, number=True),
        Column("density", number=True),
        Column("label", wide=True),
    ]
    shown = [
        [
            Link(f"{visit.state.site}/{row['other']}", visit.href(feature=row["other"])),
            Share(_value(row), abs(row["value"]), colour),
            "–" if row["density"] is None else f"{row['density']:.2%}",
            row["label"] or "",
        ]
        for row in rows.to_dicts()
    ]
    return listing(name, columns, shown)


def _value(row: dict[str, Any]) -> str:
    return written(row["value"], ".1%" if row["kind"] == "coactive" else "+.3f")


def clusters(visit: Visit[Any]) -> Component:
    """Clusters of contexts in which it is active, where it acts most first."""
    rows = visit.data.ask("feature_clusters_of", **_of(visit), most=MOST)
    columns = [
        Column("cluster", term="cluster"),
        Column("commonest rule", wide=True),
        Column("contexts", number=True),
        Column("share", "of the cluster", number=True),
        Column("mean |effect|", number=True),
    ]
    most = float(rows["mean_effect"].max() or 1) if rows.height else 1.0  # type: ignore[arg-type]
    colour = faint(colour_of(visit.state.site), BAR)
    shown = [
        [
            Link(
                f"{row['clustering']} {row['cluster']}",
                visit.to("clusters", clustering=row["clustering"], cluster=row["cluster"]),
            ),
            row["top_skill"] or "",
            f"{row['contexts']:,} of {row['size']:,}",
            f"{row['share']:.0%}",
            Share(f"{row['mean_effect']:.3f}", row["mean_effect"] / most, colour),
        ]
        for row in rows.to_dicts()
        if row["mean_effect"] is not None
    ]
    part = listing("Clusters", columns, shown) if shown else _nowhere(visit, "clusters")
    return layout.panel("Clusters in which it acts", part, aside=_most(rows))


def circuits(visit: Visit[Any]) -> Component:
    """Circuits that it is a node of, where it counts most first."""
    rows = _nodes(visit)
    columns = [
        Column("circuit", term="circuit"),
        Column("position", number=True),
        Column("place", "by |effect|", number=True),
        Column("edges", "in, out", number=True),
        Column("effect", number=True),
        Column("share", "of Σ|effect|", number=True),
    ]
    most = float(rows["share"].max() or 1) if rows.height else 1.0  # type: ignore[arg-type]
    shown: list[list[Cell]] = [
        [
            Link(row["circuit"], _at(visit, row)),
            "all" if row["pos"] is None else str(row["pos"]),
            f"{row['place']:,}",
            f"{row['edges_in']:,}, {row['edges_out']:,}",
            written(row["effect"], "+.3f"),
            Share(
                f"{row['share']:.2%}",
                row["share"] / most,
                faint(POSITIVE if row["effect"] > 0 else NEGATIVE, BAR),
            ),
        ]
        for row in rows.to_dicts()
    ]
    part = listing("Circuits", columns, shown) if shown else _nowhere(visit, "circuits")
    return layout.panel("Circuits in which it is a node", part, aside=_most(rows))


def _nodes(visit: Visit[Any]) -> pl.DataFrame:
    """The feature's row in each circuit. That reads every circuit, so that what is kept of the
    study says first whether it is in any."""
    known = visit.data.ask("circuit_features", study=visit.study)
    here = known.filter(site=visit.state.site, feature=visit.state.feature)
    return visit.data.ask("feature_circuits_of", **_of(visit), most=MOST) if len(here) else here


def _of(visit: Visit[Any]) -> dict[str, Any]:
    return {"study": visit.study, "site": visit.state.site, "feature": visit.state.feature}


def _at(visit: Visit[Any], row: dict[str, Any]) -> str:
    """The circuit's page, with the node picked."""
    at = "" if row["pos"] is None else f".{row['pos']}"
    node = f"{visit.state.site}.{visit.state.feature}{at}"
    return visit.to("circuit", circuit=row["circuit"], node=node)


def _nowhere(visit: Visit[Any], table: str) -> Component:
    """In place of rows: it acts in none, or there is none yet."""
    if table in visit.data.holdings(visit.study):
        return html.P("None.", className="quiet")
    return empty(table, visit.study)


def _most(rows: pl.DataFrame) -> str:
    return f"the first {MOST}" if rows.height == MOST else ""
