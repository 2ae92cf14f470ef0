"""What stands where there is nothing yet: which asset fills it, and the command."""

from __future__ import annotations

import re
import shlex

from dash import html
from dash.development.base_component import Component

from dashboards.flow import FILLED_BY


def empty(table: str, study: str, why: str = "") -> Component:
    """In place of a part of a page for which the lake lacks a table's rows."""
    stage = FILLED_BY[table]
    name = study or "embedded"
    made = f"{name}/{stage}"
    command = f"python -m dagster_project.run {name} --only {stage}"
    return html.Div(
        [
            html.P([html.B("Nothing here yet. "), why or f"The table {table} has no rows."]),
            html.P(["The asset ", html.Code(made), " fills it: in the Dagster UI, or by"]),
            _command(command),
        ],
        className="empty",
    )


def empty_lake(root: str) -> Component:
    """In place of every page of a lake that holds no study."""
    return html.Div(
        [
            html.P([html.B("The lake is empty. "), "There is no study in ", html.Code(root), "."]),
            html.P("The study that the package brings is made, from end to end, by"),
            _command("make demo"),
            html.P(["One of your own, of a file ", html.Code("~/studies/mine.toml"), ", by"]),
            _command(
                "export CIRCUIT_LAKE_STUDIES=~/studies DAGSTER_HOME=$PWD/.dagster\n"
                f"python -m dagster_project.run mine --root {shlex.quote(root)}"
            ),
            html.P("What such a file says is in the README, under “A study”.", className="quiet"),
        ],
        className="empty",
    )


def _command(text: str) -> Component:
    """Lines for a shell, which break between words where there is little room."""
    words = re.split(r"(\s+)", text)
    return html.Pre([w if w.isspace() else html.Span(w) for w in words])
