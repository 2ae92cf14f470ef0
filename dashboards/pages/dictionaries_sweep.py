"""A sweep over dictionaries: what fewer features cost, by form."""

from __future__ import annotations

from typing import Any

import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import choice
from dashboards.components.empty import empty
from dashboards.components.figures import figure
from dashboards.components.marks import term
from dashboards.components.palette import faint, series
from dashboards.numbers import nats
from dashboards.page import Visit
from dashboards.text import plotly

WHY = (
    "A study that has a table [dictionary_sweep] in its file trains dictionaries of many forms, "
    "widths and sparsities."
)
ALL = {"all": "mean of all sites"}


def sweep(visit: Visit[Any]) -> Component:
    """The panel; of a site, or of the mean over all."""
    rows = visit.data.shared("dictionary_pareto", visit.study)
    title = html.Span(["Sweep: ", term("L0"), " against ", term("loss increase")])
    if rows.is_empty():
        return layout.panel(title, empty("dictionary_sweep", visit.study, WHY))
    sites = rows["site"].unique(maintain_order=True).to_list()
    site = visit.choose("sweep_site", sites)
    named = ALL | {name: name for name in sites if name not in ALL}
    return layout.panel(
        title,
        layout.bar(choice("sweep_site", "Site", named, site)),
        _chart(rows.filter(site=site)),
        aside="a line a form and width; filled: no other takes as few features and costs as little",
    )


def _chart(rows: pl.DataFrame) -> Component:
    """A line a form and width, from few features to many."""
    lines = rows.select("form", "expansion").unique().sort("expansion", "form").rows()
    forms = rows["form"].unique().sort().to_list()
    widths = rows["expansion"].unique().sort().to_list()
    traces = [
        _line(
            rows.filter(form=form, expansion=expansion).sort("l0"),
            form if len(widths) == 1 else f"{form} ×{expansion}",
            series(forms.index(form)),
            ("solid", "dash", "dot", "dashdot")[widths.index(expansion) % 4],
        )
        for form, expansion in lines
    ]
    return figure(
        "sweep-chart",
        traces,
        height=360,
        xaxis={"title": "L0 [features a token]", "rangemode": "tozero"},
        yaxis={"title": "loss increase [nats]", "exponentformat": "none"},
    )


def _line(rows: pl.DataFrame, name: str, colour: str, dash: str) -> dict[str, Any]:
    said = [
        f"<b>{nats(row['loss_increase'], sign='+', unit='nats')}</b>, "
        f"{row['l0']:.1f} features<br>explained {row['fve']:.1%}, dead {row['dead_fraction']:.1%}"
        for row in rows.iter_rows(named=True)
    ]
    filled = [colour if on else faint(colour, 0.25) for on in rows["on_front"]]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plotly(name),
        "x": rows["l0"].to_list(),
        "y": rows["loss_increase"].to_list(),
        "customdata": said,
        "marker": {"size": 9, "color": filled, "line": {"width": 1, "color": colour}},
        "line": {"width": 1, "color": faint(colour, 0.45), "dash": dash},
        "hovertemplate": f"%{{customdata}}<extra>{plotly(name)}</extra>",
    }
