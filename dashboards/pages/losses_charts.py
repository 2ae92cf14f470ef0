"""The figures of losses by group: the distribution of each, and how far each is from its rule."""

from __future__ import annotations

from typing import Any

import polars as pl
from dash.development.base_component import Component

from dashboards.components.figures import Trace, figure
from dashboards.components.palette import NEGATIVE, POSITIVE, faint
from dashboards.numbers import nats
from dashboards.text import plotly

BINS = 100  # of the fourth root of a loss
TICKS = (0, 1e-4, 1e-3, 0.01, 0.1, 0.5, 1, 2, 5, 10, 20)  # nats
ROW, MARGIN = 24, 66  # px of a group, and around all


def distributions(binned: pl.DataFrame, rows: pl.DataFrame) -> Component:
    """A row of shade a group, over the loss on a log scale."""
    names = rows["name"].to_list()
    last = max(binned["bin"])
    shares = dict(zip(names, ([0.0] * (last + 1) for _ in names), strict=True))
    sizes = dict(rows.select("name", "tokens").iter_rows())
    for name, place, tokens in binned.select("name", "bin", "tokens").iter_rows():
        if name in shares:
            shares[name][place] = tokens / sizes[name]
    told = [plotly(name or "–", 28) for name in names]
    y = list(range(len(names)))
    heat: Trace = {
        "type": "heatmap",
        "x": [place / BINS for place in range(last + 1)],
        "y": y,
        "z": [[share or None for share in shares[name]] for name in names],
        "text": [[label] * (last + 1) for label in told],
        "customdata": [[(place / BINS) ** 4 for place in range(last + 1)] for _ in names],
        "colorscale": [[0, faint(POSITIVE, 0.05)], [0.5, faint(POSITIVE, 0.6)], [1, POSITIVE]],
        "zmin": 0,
        "zmax": _high([share for row in shares.values() for share in row if share]),
        "showscale": False,
        "ygap": 3,
        "hovertemplate": "%{text}<br>%{z:.1%} of its tokens cost about %{customdata:.2~g} nats"
        "<extra></extra>",
    }
    bar = {"symbol": "line-ns", "size": 12, "line": {"width": 2, "color": NEGATIVE}}
    diamond = {"symbol": "diamond", "size": 9, "color": NEGATIVE}
    marks = [
        _mark(rows, told, "mean_loss", "mean", diamond),
        _mark(rows, told, "p50", "median", bar),
    ]
    return figure(
        "loss-distributions",
        [heat, *marks],
        height=ROW * len(names) + MARGIN,
        showlegend=False,
        margin={"t": 4, "b": 44},
        xaxis={
            "title": "loss [nats], by its fourth root",
            "tickvals": [tick**0.25 for tick in TICKS],
            "ticktext": [f"{tick:g}" for tick in TICKS],
            "range": [-1 / BINS, (last + 1) / BINS],
        },
        yaxis={"tickvals": y, "ticktext": told, "autorange": "reversed", "showgrid": False},
    )


def _high(shares: list[float]) -> float:
    """A share that few exceed."""
    return sorted(shares)[len(shares) * 95 // 100]


def _mark(
    rows: pl.DataFrame, told: list[str], field: str, name: str, marker: dict[str, Any]
) -> dict[str, Any]:
    """A point a group."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [value**0.25 for value in rows[field]],
        "y": list(range(rows.height)),
        "text": told,
        "customdata": [nats(value, unit="nats") for value in rows[field]],
        "marker": marker,
        "hovertemplate": f"%{{text}}<br>{name} %{{customdata}}<extra></extra>",
    }


def excesses(rows: pl.DataFrame) -> Component:
    """The excess loss of each rule, a bar from 0 on; the axis is above, where it is seen first."""
    told = [plotly(name, 28) for name in rows["name"]]
    bars: Trace = {
        "type": "bar",
        "orientation": "h",
        "x": rows["excess"].to_list(),
        "y": list(range(rows.height)),
        "customdata": [
            [nats(excess, sign="+", unit="nats"), nats(surprisal, unit="nats")]
            for excess, surprisal in rows.select("excess", "surprisal").rows()
        ],
        "hovertext": told,
        "text": [nats(excess, sign="+") for excess in rows["excess"]],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": NEGATIVE},
        "hovertemplate": "%{hovertext}<br>excess <b>%{customdata[0]}</b> a piece<br>"
        "over a surprisal of %{customdata[1]}<extra></extra>",
    }
    return figure(
        "excess-losses",
        [bars],
        height=ROW * rows.height + MARGIN,
        showlegend=False,
        bargap=0.45,
        margin={"t": 44, "b": 4, "r": 56},
        xaxis={
            "title": "excess loss [nats a piece]",
            "side": "top",
            "rangemode": "tozero",
            "zeroline": True,
        },
        yaxis={
            "tickvals": list(range(rows.height)),
            "ticktext": told,
            "range": [rows.height - 0.4, -0.6],
            "showgrid": False,
        },
    )
