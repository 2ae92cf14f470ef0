"""Losses by subset, rule or repetition: the distribution of each group, and its figures."""

from __future__ import annotations

from functools import partial
from typing import Any

import polars as pl
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.empty import empty
from dashboards.components.files import csv
from dashboards.components.marks import term
from dashboards.components.tables import Column, table
from dashboards.numbers import nats
from dashboards.page import Download, Visit
from dashboards.pages.losses_charts import BINS, distributions, excesses

QUESTIONS = {
    "subset": "losses_by_subset",
    "rule": "losses_by_rule",
    "repetition": "losses_by_repetition",
}
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
    """Loss beyond the surprisal of the rules, piece by piece, as the query of the name says it."""
    rows = _excesses(visit)
    if rows.is_empty():
        return [empty("losses", visit.study, "No surprisal of any token is known.")]
    columns = [
        Column("name", "rule", width=190),
        Column("pieces", "pieces", ",d"),
        Column("tokens", "tokens", ",d"),
        Column("mean_loss", "mean loss", nats, "nats a piece", term="loss"),
        Column("surprisal", "surprisal", nats, "nats a piece", term="surprisal"),
        Column("excess", "excess", partial(nats, sign="+"), "nats a piece", term="excess loss"),
    ]
    chart = excesses(rows.head(MOST))
    return [
        layout.panel(term("excess loss", "Excess loss"), chart, aside="by rule, farthest first"),
        layout.panel(
            "All rules",
            table("loss-rules", rows, columns, visit=visit, most_rows=20),
            aside=_download(visit),
        ),
    ]


def _excesses(visit: Visit[Any]) -> pl.DataFrame:
    """A row a rule of known surprisal, farthest from it first."""
    rules = visit.data.shared("excess_loss_by_skill", visit.study)
    return rules.select(
        "pieces",
        "tokens",
        "mean_loss",
        "excess",
        name=pl.concat_str("skill", "slot", separator="/", ignore_nulls=True),
        surprisal="mean_surprisal",
    ).sort("excess", "name", descending=[True, False])


def as_csv(visit: Visit[Any]) -> Download:
    """The figures of the view."""
    rows = _excesses(visit) if visit.state.by == "excess" else summary(_binned(visit))
    return csv(rows)._replace(of=f"by-{visit.state.by}")


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
    chart = distributions(binned, rows.head(MOST))
    return [
        layout.panel(
            ["Distribution of the ", term("loss")],
            chart,
            aside="shade: share of the group's tokens; diamond: mean; bar: median",
        ),
        layout.panel("Figures", _table(visit, rows, called), aside=_download(visit)),
    ]


def _download(visit: Visit[Any]) -> Component:
    return layout.download("CSV", visit.file("losses.csv"))


def _table(visit: Visit[Any], rows: pl.DataFrame, called: str) -> Component:
    known = bool(rows["known"].sum())
    columns = [
        Column("name", called, width=190),
        Column("tokens", "tokens", ",d"),
        Column("share", "share", ".1%"),
        Column("mean_loss", "mean loss", nats, "nats", term="loss"),
        Column("p50", "median", ".2r", "nats"),
        Column("p95", "95 %", ".2r", "nats"),
        Column("mean_entropy", "entropy", nats, "nats", term="entropy"),
        Column("top_share", "top choice", ".1%", term="top choice"),
    ]
    if known:
        columns += [
            Column("surprisal", "surprisal", nats, "nats a token", term="surprisal"),
            Column("excess", "excess", partial(nats, sign="+"), "nats a token", term="excess loss"),
        ]
    return table("loss-groups", rows, columns, visit=visit, most_rows=20)
