"""Losses by subset, rule or repetition: the distribution of each group, and its figures."""

from __future__ import annotations

from typing import Any

import polars as pl
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.empty import empty
from dashboards.components.figures import Trace, figure
from dashboards.components.files import csv
from dashboards.components.marks import term
from dashboards.components.palette import NEGATIVE, POSITIVE, faint
from dashboards.components.tables import Column, table
from dashboards.page import Download, Visit
from dashboards.text import plotly

QUESTIONS = {
    "subset": "losses_by_subset",
    "rule": "losses_by_rule",
    "excess": "losses_by_rule",
    "repetition": "losses_by_repetition",
}
BINS = 100  # of the fourth root of a loss
TICKS = (0, 1e-4, 1e-3, 0.01, 0.1, 0.5, 1, 2, 5, 10, 20)  # nats
ROW, MARGIN = 24, 66  # px of a group, and around all
LEAST_EXCESS = 1e-4  # nats a token, drawn
LOG_AXIS = {"type": "log", "exponentformat": "none", "dtick": 1}
MOST = 60  # groups drawn; the table has all
NO_RULES = "No rule behind any token of this corpus is known (meta.pieces of its documents)."


def by_subset(visit: Visit[Any]) -> list[Component]:
    """The subsets of the corpus."""
    return _groups(visit, "subset", "no document has a subset")


def by_rule(visit: Visit[Any]) -> list[Component]:
    """The known rules."""
    return _groups(visit, "rule", NO_RULES)


def by_repetition(visit: Visit[Any]) -> list[Component]:
    """What occurred before in its document, and what did not."""
    return _groups(visit, "n-gram", "")


def excess(visit: Visit[Any]) -> list[Component]:
    """Loss beyond the surprisal of the rules."""
    rows = summary(_binned(visit)).filter(pl.col("known") > 0).sort("excess", descending=True)
    if rows.is_empty():
        return [empty("losses", visit.study, "No surprisal of any token is known.")]
    chart = _excesses(rows.head(MOST))
    return [
        layout.panel(term("excess loss", "Excess loss"), chart, aside="by rule, farthest first"),
        layout.panel("All rules", _table(rows, "rule"), aside=_download(visit)),
    ]


def as_csv(visit: Visit[Any]) -> Download:
    """The figures of the view."""
    return csv(summary(_binned(visit)))


def summary(binned: pl.DataFrame) -> pl.DataFrame:
    """Figures of each group from its bins, hardest first. Quantiles are those of the bins: to
    within 2 % from 1 nat on, 4 % from 0.1, 20 % at 0.0001."""
    binned = binned.sort("name", "bin").with_columns(
        pl.col("tokens").cum_sum().over("name").alias("below"),
        pl.col("tokens").sum().over("name").alias("all"),
    )
    sums = ["tokens", "loss", "entropy", "surprisal", "known", "excess", "top"]

    def quantile(share: float) -> pl.Expr:
        reached = pl.col("bin").filter(pl.col("below") >= share * pl.col("all")).min()
        return (reached / BINS) ** 4

    grouped = binned.group_by("name").agg(
        *(pl.col(c).sum() for c in sums), p50=quantile(0.5), p95=quantile(0.95)
    )
    each, known = pl.col("tokens"), pl.when(pl.col("known") > 0).then(pl.col("known"))
    return grouped.select(
        "name",
        "tokens",
        "known",
        "p50",
        "p95",
        share=each / each.sum(),
        mean_loss=pl.col("loss") / each,
        mean_entropy=pl.col("entropy") / each,
        top_share=pl.col("top") / each,
        surprisal=pl.col("surprisal") / known,
        excess=pl.col("excess") / known,
    ).sort("mean_loss", "name", descending=[True, False])


def _binned(visit: Visit[Any]) -> pl.DataFrame:
    question = QUESTIONS.get(visit.state.by, "losses_by_subset")
    return visit.data.ask(question, study=visit.study)


def _groups(visit: Visit[Any], called: str, none: str) -> list[Component]:
    binned = _binned(visit)
    if binned.is_empty():
        return [empty("losses", visit.study, none)]
    rows = summary(binned)
    chart = _distributions(binned, rows.head(MOST))
    return [
        layout.panel(
            ["Distribution of the ", term("loss")],
            chart,
            aside="shade: share of the group's tokens; diamond: mean; bar: median",
        ),
        layout.panel("Figures", _table(rows, called), aside=_download(visit)),
    ]


def _download(visit: Visit[Any]) -> Component:
    return layout.download("CSV", visit.file("losses.csv"))


def _distributions(binned: pl.DataFrame, rows: pl.DataFrame) -> Component:
    """A row of shade a group, over the loss on a log scale."""
    names = rows["name"].to_list()
    last = max(binned["bin"])
    shares = dict(zip(names, ([0.0] * (last + 1) for _ in names), strict=True))
    sizes = dict(rows.select("name", "tokens").iter_rows())
    for name, place, tokens in binned.select("name", "bin", "tokens").iter_rows():
        if name in shares:
            shares[name][place] = tokens / sizes[name]
    told = [plotly(name, 28) or "–" for name in names]
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
        "customdata": rows[field].to_list(),
        "marker": marker,
        "hovertemplate": f"%{{text}}<br>{name} %{{customdata:.4f}} nats<extra></extra>",
    }


def _excesses(rows: pl.DataFrame) -> Component:
    """The excess loss of each rule on a log scale; what is below its left end stands there."""
    told = [plotly(name, 28) for name in rows["name"]]
    y = list(range(rows.height))
    shown = [max(value, LEAST_EXCESS) for value in rows["excess"]]
    bars: Trace = {
        "type": "scatter",
        "mode": "lines",
        "x": [x for value in shown for x in (LEAST_EXCESS, value, None)],
        "y": [x for place in y for x in (place, place, None)],
        "line": {"color": faint(NEGATIVE, 0.35), "width": 4},
        "hoverinfo": "skip",
    }
    points: Trace = {
        "type": "scatter",
        "mode": "markers",
        "x": shown,
        "y": y,
        "customdata": rows.select("excess", "surprisal").rows(),
        "text": told,
        "marker": {"size": 8, "color": NEGATIVE},
        "hovertemplate": "%{text}<br>excess <b>%{customdata[0]:.4f}</b> nats a token<br>"
        "over a surprisal of %{customdata[1]:.4f}<extra></extra>",
    }
    return figure(
        "excess-losses",
        [bars, points],
        height=ROW * len(y) + MARGIN,
        showlegend=False,
        margin={"t": 4, "b": 44},
        xaxis={**LOG_AXIS, "title": "excess loss [nats a token]"},
        yaxis={"tickvals": y, "ticktext": told, "autorange": "reversed", "showgrid": False},
    )


def _table(rows: pl.DataFrame, called: str) -> Component:
    known = bool(rows["known"].sum())
    columns = [
        Column("name", called, width=190),
        Column("tokens", "tokens", ",d"),
        Column("share", "share", ".1%"),
        Column("mean_loss", "mean loss", ".3f", "nats", term="loss"),
        Column("p50", "median", ".2~g"),
        Column("p95", "95 %", ".2~g"),
        Column("mean_entropy", "entropy", ".3f", "nats", term="entropy"),
        Column("top_share", "top choice", ".1%", term="top choice"),
    ]
    if known:
        columns += [
            Column("surprisal", "surprisal", ".3f", "nats", term="surprisal"),
            Column("excess", "excess", "+.3f", "nats", term="excess loss"),
        ]
    return table("loss-groups", rows, columns, most_rows=20)
