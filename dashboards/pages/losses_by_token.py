"""Losses by position in the document and by token of the vocabulary."""

from __future__ import annotations

from typing import Any

import polars as pl
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import options, words
from dashboards.components.figures import figure
from dashboards.components.files import csv
from dashboards.components.marks import term
from dashboards.components.palette import NEUTRAL, POSITIVE, faint
from dashboards.components.tables import Column, table
from dashboards.numbers import first_of, nats
from dashboards.page import Download, Visit
from dashboards.text import token

ORDERS = {"hardest": "hardest", "easiest": "easiest", "costliest": "costliest in all"}


def by_position(visit: Visit[Any]) -> list[Component]:
    """Mean, median and quartiles over the position."""
    rows = visit.data.ask("losses_by_position", study=visit.study)
    x = rows["first_pos"].to_list()
    band = {
        "type": "scatter",
        "mode": "lines",
        "name": "middle half of the tokens",
        "x": [*x, *reversed(x)],
        "y": [*rows["high"], *reversed(rows["low"].to_list())],
        "fill": "toself",
        "fillcolor": faint(POSITIVE, 0.15),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    lines = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": x,
            "y": rows[field].to_list(),
            "customdata": [
                (nats(value, unit="nats"), last, tokens)
                for value, last, tokens in rows.select(field, "last_pos", "tokens").rows()
            ],
            "line": {"color": colour, "width": 2, "dash": dash},
            "hovertemplate": f"{name} <b>%{{customdata[0]}}</b><br>positions %{{x}} to "
            "%{customdata[1]}, %{customdata[2]:,d} tokens<extra></extra>",
        }
        for field, name, colour, dash in (
            ("mean_loss", "mean", POSITIVE, "solid"),
            ("median_loss", "median", POSITIVE, "dot"),
            ("mean_entropy", "mean entropy of the prediction", NEUTRAL, "dash"),
        )
    ]
    chart = figure(
        "loss-positions",
        [band, *lines],
        height=420,
        xaxis={"title": "position in the document [tokens]", "showgrid": False},
        yaxis={"title": "loss [nats]", "rangemode": "tozero"},
    )
    return [layout.panel([term("loss", "Loss"), " by position"], chart)]


def by_token(visit: Visit[Any]) -> list[Component]:
    """The vocabulary, in one of three orders."""
    rows = _tokens(visit)
    found = rows["found"][0] if rows.height else 0
    rows = rows.with_columns(pl.Series("token", _texts(rows), dtype=pl.String))
    columns = [
        Column("token", "token", width=220),
        Column("token_id", "id", "d"),
        Column("predictions", "predicted", ",d", "times"),
        Column("mean_loss", "mean loss", nats, "nats", term="loss"),
        Column("mean_entropy", "entropy", nats, "nats", term="entropy"),
        Column("top_share", "top choice", ".1%", term="top choice"),
        Column("cost", "share of all loss", ".3%"),
    ]
    return [
        layout.bar(
            options(visit, "order", "Order", ORDERS, _order(visit)),
            words("least", "Predicted at least", str(visit.state.least), "times"),
        ),
        layout.panel(
            "Tokens of the vocabulary",
            table("loss-tokens", rows, columns, visit=visit, most_rows=20),
            aside=[
                f"{first_of(rows.height, found)} · ",
                layout.download("CSV", visit.file("tokens.csv")),
            ],
        ),
    ]


def as_csv(visit: Visit[Any]) -> Download:
    """The tokens shown."""
    return csv(_tokens(visit).drop("found"))._replace(of=_order(visit))


def _order(visit: Visit[Any]) -> str:
    return visit.state.order if visit.state.order in ORDERS else "hardest"


def _tokens(visit: Visit[Any]) -> pl.DataFrame:
    least = max(1, visit.state.least)
    return visit.data.ask("losses_by_token", study=visit.study, least=least, order=_order(visit))


def _texts(rows: pl.DataFrame) -> list[str | None]:
    return [None if text is None else token(text) for text in rows["token"]]
