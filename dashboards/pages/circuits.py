"""Circuits: all of a study, their size and how faithful they are."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import options
from dashboards.components.empty import empty
from dashboards.components.figures import figure
from dashboards.components.files import csv
from dashboards.components.marks import term
from dashboards.components.palette import series
from dashboards.components.tables import Column, table
from dashboards.page import Download, Page, PageState, Visit
from dashboards.text import clip, plotly

AGGREGATIONS = {"": "all", "none": "per position", "sum": "summed"}
LONGEST_NAME, LETTER = 32, 7  # of a circuit, in letters; px of one
COLUMNS = (  # the method is in the name
    Column("task", "task", width=118),
    Column("positions", "positions", term="aggregation", width=108),
    Column("edge_kind", "kind", term="edge", width=64),
    Column("n_nodes", "nodes", ",d", term="node", width=68),
    Column("n_edges", "edges", ",d", term="edge", width=68),
    Column("n_error_nodes", "errors", ",d", term="error node", width=68),
    Column("total_effect", "total effect", "+.2f", term="total effect", width=95),
    Column("feature_share", "by features", ".1%", term="feature share", width=92),
    Column("faithfulness", "faithfulness", ".2f", term="faithfulness"),
    Column("completeness", "completeness", ".2f", term="completeness"),
)


@dataclass(frozen=True)
class CircuitsState(PageState):
    """What is listed."""

    aggregation: str = ""


def show(visit: Visit[CircuitsState]) -> Component:
    """The page."""
    rows = _rows(visit)
    if rows.is_empty():
        return empty("circuits", visit.study)
    return html.Div(
        [
            layout.bar(
                options(visit, "aggregation", "Positions", AGGREGATIONS, visit.state.aggregation),
            ),
            layout.panel(
                [f"{rows.height:,} circuits"],
                table("circuit-table", _linked(visit, rows), _columns(rows), visit=visit),
                aside=layout.download("CSV", visit.file("circuits.csv")),
            ),
            layout.panel(
                [term("faithfulness", "Faithfulness"), " and size"],
                _chart(rows),
                aside="of the features beyond each circuit's threshold",
            ),
        ]
    )


def _columns(rows: pl.DataFrame) -> list[Column]:
    """The circuit's name as wide as the longest, within bounds, and the rest."""
    longest = min(max(map(len, rows["circuit"])), LONGEST_NAME)
    return [
        Column("circuit", "circuit", term="circuit", width=30 + LETTER * longest),
        *COLUMNS,
    ]


def _rows(visit: Visit[CircuitsState]) -> pl.DataFrame:
    rows = visit.data.ask("circuit_list", study=visit.study)
    asked = visit.state.aggregation
    if asked not in AGGREGATIONS:
        visit.notes.append(f"No circuit is “{clip(asked, 60)}” over positions; these are all.")
        asked = ""
    return rows.filter(aggregation=asked) if asked else rows


def _linked(visit: Visit[CircuitsState], rows: pl.DataFrame) -> list[dict[str, object]]:
    return [
        row
        | {
            "positions": AGGREGATIONS.get(row["aggregation"], row["aggregation"]),
            "href": visit.to("circuit", circuit=row["circuit"]),
        }
        for row in rows.to_dicts()
    ]


def _chart(rows: pl.DataFrame) -> Component:
    """A dot a circuit: nodes and faithfulness, with the bootstrap's interval."""
    traces = []
    for place, (aggregation, name) in enumerate(list(AGGREGATIONS.items())[1:]):
        found = rows.filter(aggregation=aggregation).drop_nulls("faithfulness")
        spread = found.select(
            over=pl.col("high") - pl.col("faithfulness"),
            under=pl.col("faithfulness") - pl.col("low"),
        )
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": found["n_nodes"].to_list(),
                "y": found["faithfulness"].to_list(),
                "text": [plotly(circuit) for circuit in found["circuit"]],
                "error_y": {
                    "array": spread["over"].to_list(),
                    "arrayminus": spread["under"].to_list(),
                    "symmetric": False,
                    "thickness": 1,
                    "width": 0,
                },
                "marker": {"size": 9, "color": series(place)},
                "hovertemplate": "%{text}<br>%{x} nodes · <b>%{y:.2f}</b><extra></extra>",
            }
        )
    return figure(
        "circuit-chart",
        traces,
        height=260,
        showlegend=True,
        xaxis={"title": "nodes"},
        yaxis={"tickformat": ".2f"},
    )


def _csv(visit: Visit[CircuitsState]) -> Download:
    return csv(_rows(visit))


PAGE = Page(
    "circuits",
    "Circuits",
    "Which features carry a task, and how much of it do they explain?",
    CircuitsState,
    show,
    {"circuits.csv": _csv},
)
