"""Two circuits in a table: each feature and error node of either, with its effect in both.

Circuits have effects of different sizes, so they are compared by shares, as the query
`circuit_difference` does: of each circuit's Σ|effect|, effects summed over positions. The rank
correlation is that of `circuit_overlap`: of the features in both, error nodes left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import words
from dashboards.components.tables import Column, table
from dashboards.graph import Circuit
from dashboards.numbers import written
from dashboards.page import Visit
from dashboards.text import clip, visible


def pair(visit: Visit[Any], drawn: Sequence[Circuit]) -> Component | None:
    """The table, or the part of it that is looked for; None beside a single circuit."""
    if len(drawn) < 2:
        return None
    one, two = (circuit.facts for circuit in drawn)
    asked = visit.data.ask(
        "circuit_pair",
        study=visit.study,
        task=one["task"],
        circuit=one["circuit"],
        other_task=two["task"],
        other=two["circuit"],
    )
    rows = compared(asked)
    both = rows.drop_nulls(["one", "two"])
    alike = rank_correlation(rows)
    names = [clip(visible(facts["circuit"]), 40) for facts in (one, two)]
    columns = [
        Column("feature", "feature", term="feature", width=92),
        Column("site", "site", term="site", width=110),
        Column("one", names[0], "+.3f", "effect"),
        Column("two", names[1], "+.3f", "effect"),
        Column("one_share", "first", "+.2%", "share", width=84),
        Column("two_share", "second", "+.2%", "share", width=84),
        Column("difference", "first − second", "+.2%", "of shares", width=128),
        Column("label", "label"),
    ]
    shown = [_row(visit, row) for row in found(rows, visit.state.find).to_dicts()]
    return layout.panel(
        f"{both.height:,} features and error nodes in both, of {rows.height:,} in either",
        layout.bar(words("find", "Find", visit.state.find, "site, feature, label")),
        table("circuit-pair", shown, columns, visit=visit, most_rows=12),
        html.P(
            "Effects are summed over positions; –: not in that circuit. Shares are of each "
            "circuit's own Σ|effect|, so that circuits of different total effect can be compared: "
            "first is "
            f"{names[0]}, second {names[1]}.",
            className="quiet",
        ),
        aside=f"rank correlation of the features in both {written(alike, '+.2f')}",
        name="pair",
    )


def compared(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `circuit_pair` with one_share and two_share, of each circuit's Σ|effect|, and the
    difference, one's less two's, 0 where it is no node; largest share first."""
    shares = [_share("one"), _share("two")]
    of_both = pl.col("one_share").fill_null(0.0) - pl.col("two_share").fill_null(0.0)
    larger = pl.max_horizontal(pl.col("one_share", "two_share").abs())
    return (
        rows.with_columns(shares)
        .with_columns(difference=of_both)
        .sort(larger, descending=True, maintain_order=True)
    )


def _share(name: str) -> pl.Expr:
    effect = pl.col(name)
    return (effect / effect.abs().sum()).fill_nan(None).alias(f"{name}_share")


def rank_correlation(rows: pl.DataFrame) -> float | None:
    """Spearman's, of the effects of the features in both; None where it has no meaning."""
    both = rows.filter(pl.col("feature") >= 0).drop_nulls(["one", "two"])
    found: float | None = both.select(
        pl.corr("one", "two", method="spearman").fill_nan(None)
    ).item()
    return found


def found(rows: pl.DataFrame, asked: str) -> pl.DataFrame:
    """The rows whose site, feature and label have every word that is asked for."""
    number = pl.col("feature").cast(pl.String)
    feature = pl.when(pl.col("feature") < 0).then(pl.lit("error")).otherwise(number)
    text = pl.concat_str("site", feature, "label", separator=" ", ignore_nulls=True)
    said = asked.lower().replace("/", " ").split()  # a node is called site / feature
    return rows.filter(*(text.str.to_lowercase().str.contains(w, literal=True) for w in said))


def _row(visit: Visit[Any], row: dict[str, Any]) -> dict[str, Any]:
    """A row of the table; what the dictionary leaves out has no page of its own."""
    feature = row["feature"]
    of = {"site": row["site"], "feature": feature}
    return {
        **row,
        "feature": "error" if feature < 0 else str(feature),
        "href": visit.to("feature", **of) if feature >= 0 else None,
    }
