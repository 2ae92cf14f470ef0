"""Two circuits in a table: each feature and error node of either, with its effect in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import words
from dashboards.components.tables import Column, table
from dashboards.graph import Circuit
from dashboards.numbers import written
from dashboards.page import Visit
from dashboards.text import clip


def pair(visit: Visit[Any], drawn: Sequence[Circuit]) -> Component | None:
    """The table, or the part of it that is looked for; None beside a single circuit."""
    if len(drawn) < 2:
        return None
    one, two = (circuit.facts for circuit in drawn)
    rows = visit.data.ask(
        "circuit_pair",
        study=visit.study,
        task=one["task"],
        circuit=one["circuit"],
        other_task=two["task"],
        other=two["circuit"],
    )
    both = rows.drop_nulls(["one", "two"])
    alike = both.select(pl.corr("one", "two", method="spearman").fill_nan(None)).item()
    columns = [
        Column("feature", "feature", term="feature", width=92),
        Column("site", "site", term="site", width=110),
        Column("one", clip(one["circuit"], 40), "+.3f"),
        Column("two", clip(two["circuit"], 40), "+.3f"),
        Column("difference", "difference", "+.3f"),
        Column("label", "label"),
    ]
    shown = [_row(visit, row) for row in found(rows, visit.state.find).to_dicts()]
    return layout.panel(
        f"{both.height:,} features and error nodes in both, of {rows.height:,} in either",
        layout.bar(words("find", "Find", visit.state.find, "site, feature, label")),
        table("circuit-pair", shown, columns, visit=visit, most_rows=12),
        aside=f"rank correlation of the effects of those in both {written(alike, '+.2f')}; effects "
        "summed over positions; –: not in that circuit",
        name="pair",
    )


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
        "difference": (row["two"] or 0.0) - (row["one"] or 0.0),
        "href": visit.to("feature", **of) if feature >= 0 else None,
    }
