"""SHIFT: what ablating chosen features does to a probe that reads gender for profession."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import options
from dashboards.components.empty import empty
from dashboards.components.figures import figure
from dashboards.components.files import csv
from dashboards.components.marks import term
from dashboards.components.palette import NEUTRAL, SERIES
from dashboards.components.tables import Column, table
from dashboards.page import Download, Page, PageState, Visit

EDITS = {
    "none": "the model as it is",
    "by_hand": "features chosen by hand",
    "by_rule": "features chosen by rule",
    "random": "random features",
    "neurons": "neurons chosen by rule",
    "oracle": "nothing, balanced training",
}
COLOURS = dict(zip(EDITS, (*SERIES[:3], NEUTRAL, SERIES[3], SERIES[5]), strict=True))
Chosen = Literal["all", "by_hand", "by_rule"]
CHOSEN: dict[str, str] = {"all": "largest effect", "by_hand": "by hand", "by_rule": "by rule"}
assert set(CHOSEN) == set(get_args(Chosen))
SHARES = (
    Column("accuracy", "accuracy", ".1%", term="profession accuracy", width=90, shade=True),
    Column("leakage", "leakage", ".1%", term="leakage", width=90),
    Column("worst_group", "worst group", ".1%", term="worst group", width=105, shade=True),
    Column("women_usual", "women, usual", ".1%", shade=True),
    Column("women_unusual", "women, unusual", ".1%", shade=True),
    Column("men_usual", "men, usual", ".1%", shade=True),
    Column("men_unusual", "men, unusual", ".1%", shade=True),
)
FEATURES = (
    Column("name", "feature", term="feature", width=120),
    Column("place", "place", ",d", width=70),
    Column("effect", "effect", "+.3f", "logits", term="effect on a probe", width=90),
    Column("abs_effect", "|effect|", ".3f", "logits", width=90),
    Column("gender_correlation", "with gender", "+.2f", term="gender correlation", width=105),
    Column("chosen", "chosen by", width=115),
    Column("why", "what a person saw it fire on"),
    Column("label", "label", width=150),
)


@dataclass(frozen=True)
class ShiftState(PageState):
    """Which probe, and which of its features."""

    probe: str = ""
    chosen: Chosen = "all"


def show(visit: Visit[ShiftState]) -> Component:
    """The page."""
    every = visit.data.shared("shift_compared", visit.study)
    probes = every["probe"].unique().sort().to_list()
    if not probes:
        why = "The table shift has no rows; a study has it where its file has a table [shift]."
        return empty("shift", visit.study, why)
    rows = every.filter(probe=visit.choose("probe", probes))
    return html.Div(
        [
            layout.bar(
                options(visit, "probe", "Probe", {p: p for p in probes}, visit.state.probe),
                options(visit, "chosen", "Features", CHOSEN, visit.state.chosen),
            ),
            layout.panel(
                [term("profession accuracy", "Accuracy"), " and ", term("leakage")],
                _chart(rows),
                aside="open: trained again; bars: 90 % intervals; the line: chance",
            ),
            layout.panel(
                "What was ablated",
                _table(visit, rows),
                aside=layout.download("CSV", visit.file("edits.csv")),
            ),
            layout.panel(
                "Features that the probe reads",
                _features(visit),
                aside=layout.download("CSV", visit.file("features.csv")),
            ),
        ]
    )


def _chart(rows: pl.DataFrame) -> Component:
    """A row an edit: how often the probe is right, and beside it how often it says what gender
    would; trained once and again."""
    edits = [edit for edit in EDITS if edit in rows["edit"]]
    traces = [
        _dots(rows.filter(retrained=again), edits, share, axis, again=again)
        for share, axis in (("accuracy", "x"), ("leakage", "x2"))
        for again in (False, True)
    ]
    of_gender = {"xref": "x2", "yref": "paper", "x0": 0.5, "x1": 0.5, "y0": 0, "y1": 1}
    of_rightness = {**of_gender, "xref": "x"}
    line = {"type": "line", "line": {"color": NEUTRAL, "width": 1, "dash": "dot"}}
    shares = {"tickformat": ".0%", "range": [-0.02, 1.02]}
    return figure(
        "shift-chart",
        traces,
        height=90 + 34 * len(edits),
        showlegend=False,
        shapes=[line | of_rightness, line | of_gender],
        xaxis={**shares, "title": "accuracy: best is 100 %", "domain": [0, 0.48]},
        xaxis2={**shares, "title": "leakage: best is 50 %", "domain": [0.52, 1]},
        yaxis={
            "tickvals": list(range(len(edits))),
            "ticktext": [EDITS[edit] for edit in edits],
            "range": [len(edits) - 0.5, -0.5],
        },
    )


def _dots(
    rows: pl.DataFrame, edits: list[str], share: str, axis: str, *, again: bool
) -> dict[str, Any]:
    """A share of each edit, on its row; of probes trained again a little below."""
    found = pl.DataFrame({"edit": edits}).with_row_index("place").join(rows, on="edit")
    found = found.sort("place")
    said = [EDITS[edit] + ", trained again" * again for edit in found["edit"]]
    return {
        "type": "scatter",
        "mode": "markers",
        "xaxis": axis,
        "x": found[share].to_list(),
        "y": [place + (0.17 if again else -0.17) for place in found["place"]],
        "customdata": said,
        "error_x": _spread(found, share),
        "marker": {
            "size": 10,
            "color": [COLOURS[edit] for edit in found["edit"]],
            "symbol": "circle-open" if again else "circle",
            "line": {"width": 2 if again else 0},
        },
        "hovertemplate": f"%{{customdata}}<br>{share} <b>%{{x:.1%}}</b><extra></extra>",
    }


def _spread(found: pl.DataFrame, share: str) -> dict[str, Any]:
    """The interval about a share."""
    over = (found[f"{share}_high"] - found[share]).clip(0)
    under = (found[share] - found[f"{share}_low"]).clip(0)
    ends = {"array": over.to_list(), "arrayminus": under.to_list()}
    return {**ends, "symmetric": False, "thickness": 1, "width": 0, "color": NEUTRAL}


def _table(visit: Visit[ShiftState], rows: pl.DataFrame) -> Component:
    said = pl.col("edit").replace(EDITS) + pl.when(pl.col("draws") > 1).then(
        pl.format(", mean of {}", "draws")
    ).otherwise(pl.lit(""))
    again = pl.when("retrained").then(pl.lit("again")).otherwise(pl.lit("once"))
    columns = [
        Column("edit", "ablated", width=215),
        Column("trained", "trained", width=80),
        Column("n_nodes", "nodes", ",d", term="node", width=70),
        *SHARES,
    ]
    return table("shift-edits", rows.with_columns(said, trained=again), columns, visit=visit)


def _features(visit: Visit[ShiftState]) -> Component:
    rows = [
        row
        | {
            "name": f"{row['site']}/{row['feature']}",
            "chosen": ", ".join(
                name for key, name in (("by_hand", "hand"), ("by_rule", "rule")) if row[key]
            ),
            "href": visit.to("feature", site=row["site"], feature=row["feature"]),
        }
        for row in _chosen(visit).iter_rows(named=True)
    ]
    return table("shift-features", rows, FEATURES, visit=visit, most_rows=24)


def _chosen(visit: Visit[ShiftState]) -> pl.DataFrame:
    rows = visit.data.ask("shift_features_read", study=visit.study, probe=visit.state.probe)
    return rows if visit.state.chosen == "all" else rows.filter(pl.col(visit.state.chosen))


def _edits_csv(visit: Visit[ShiftState]) -> Download:
    return csv(visit.data.shared("shift_compared", visit.study))._replace(of=visit.study)


def _features_csv(visit: Visit[ShiftState]) -> Download:
    found = visit.data.shared("shift_compared", visit.study)["probe"].unique().sort().to_list()
    visit.choose("probe", found)
    return csv(_chosen(visit))._replace(of=visit.state.probe)


PAGE = Page(
    "shift",
    "SHIFT",
    "Does a probe of professions read gender, and what is left when those features go?",
    ShiftState,
    show,
    {"edits.csv": _edits_csv, "features.csv": _features_csv},
)
