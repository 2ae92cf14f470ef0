"""Dictionaries: the quality of each site's, across studies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import options, toggle
from dashboards.components.empty import empty
from dashboards.components.figures import figure
from dashboards.components.files import csv
from dashboards.components.marks import term
from dashboards.components.palette import faint, series
from dashboards.components.tables import Column, table
from dashboards.numbers import nats, written
from dashboards.page import Download, Page, PageState, Visit
from dashboards.pages.dictionaries_sweep import sweep
from dashboards.text import plotly

Measure = Literal["fve", "loss_increase", "loss_recovered", "l0", "dead_fraction"]
MEASURES: dict[str, tuple[str, str]] = {  # label, format; empty: a loss
    "fve": ("explained", ".1%"),
    "loss_increase": ("loss increase", ""),
    "loss_recovered": ("loss recovered", ".1%"),
    "l0": ("L0", ".1f"),
    "dead_fraction": ("dead", ".1%"),
}
assert set(MEASURES) == set(get_args(Measure))


@dataclass(frozen=True)
class DictionariesState(PageState):
    """What is compared, and with whom."""

    measure: Measure = "fve"
    across: bool = True  # all studies, or the one alone
    sweep_site: str = ""  # whose dictionaries of a sweep are compared


def show(visit: Visit[DictionariesState]) -> Component:
    """The page."""
    rows = _rows(visit)
    if rows.is_empty():
        own = [layout.panel("All figures", empty("dictionaries", visit.study))]
    else:
        own = _quality(visit, rows)
    return html.Div([*own, sweep(visit)])


def _quality(visit: Visit[DictionariesState], rows: pl.DataFrame) -> list[Component]:
    """The dictionaries that studies use, by site."""
    named = {key: label for key, (label, _) in MEASURES.items()}
    label, number = MEASURES[visit.state.measure]
    return [
        layout.bar(
            options(visit, "measure", "Compare by", named, visit.state.measure),
            toggle(visit, "across", "All studies"),
        ),
        layout.panel(
            term(label, label.capitalize()),
            _chart(rows, visit.state.measure, number),
            aside="by site, in forward order",
        ),
        layout.panel(
            "All figures",
            _table(visit, rows),
            aside=layout.download("CSV", visit.file("dictionaries.csv")),
        ),
    ]


def _rows(visit: Visit[DictionariesState]) -> pl.DataFrame:
    rows = visit.data.ask("dictionary_sites")
    return rows if visit.state.across else rows.filter(study=visit.study)


def _chart(rows: pl.DataFrame, measure: str, number: str) -> Component:
    """A dot a site and study; sites from the embedding on."""
    sites = rows.sort("layer", "site")["site"].unique(maintain_order=True).to_list()
    studies = rows["study"].unique(maintain_order=True).to_list()
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": plotly(study),
            "x": found["site"].to_list(),
            "y": found[measure].to_list(),
            "customdata": [_said(value, number) for value in found[measure]],
            "marker": {"size": 9, "color": series(place)},
            "line": {"width": 1, "color": faint(series(place), 0.45)},
            "hovertemplate": f"%{{x}}<br><b>%{{customdata}}</b><extra>{plotly(study)}</extra>",
        }
        for place, study in enumerate(studies)
        if (found := rows.filter(study=study)) is not None
    ]
    return figure(
        "dictionary-chart",
        traces,
        height=300,
        showlegend=len(studies) > 1,
        xaxis={"type": "category", "categoryarray": sites, "showgrid": False},
        yaxis={"tickformat": number, "exponentformat": "none"},
    )


def _said(value: float | None, number: str) -> str:
    return written(value, number) if number else nats(value, sign="+", unit="nats")


def _table(visit: Visit[DictionariesState], rows: pl.DataFrame) -> Component:
    columns = [
        Column("site", "site", term="site", width=96),
        Column("study", "study"),
        Column("kind", "kind"),
        Column("d_model", "width", ",d"),
        Column("n_features", "features", ",d", term="feature"),
        Column("l0", "L0", ".1f", term="L0"),
        Column("fve", "explained", ".2%", term="explained"),
        Column(
            "loss_increase",
            "loss increase",
            partial(nats, sign="+"),
            "nats",
            term="loss increase",
        ),
        Column("loss_recovered", "loss recovered", ".2%", term="loss recovered"),
        Column("dead_fraction", "dead", ".2%", term="dead"),
        Column("n_tokens", "measured on", ",d", "tokens"),
        Column("source", "source"),
    ]
    return table("dictionary-table", rows, columns, visit=visit, most_rows=24)


def _csv(visit: Visit[DictionariesState]) -> Download:
    return csv(_rows(visit))._replace(of="" if visit.state.across else visit.study)


PAGE = Page(
    "dictionaries",
    "Dictionaries",
    "How well do each site's features stand for what is there?",
    DictionariesState,
    show,
    {"dictionaries.csv": _csv},
)
