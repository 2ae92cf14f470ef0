"""What people call a feature: labels that it has had, and a form for one where that is allowed."""

from __future__ import annotations

from typing import Any

from dash import html
from dash.development.base_component import Component

from dagster_project.lake.label_log import LONGEST
from dashboards.components.marks import drawn
from dashboards.page import Visit
from dashboards.text import clip, visible

MOST = 20  # labels shown


def parts(visit: Visit[Any], about: dict[str, Any]) -> list[Component]:
    """The form, and what has been said so far. about: the feature's row."""
    of = {"study": visit.study, "site": visit.state.site, "feature": visit.state.feature}
    rows = visit.data.ask("feature_labels_of", **of)
    given = {**of, "longest": LONGEST, "labelled": bool(about["label"]) and rows.height > 0}
    form = drawn("labelform", given) if visit.labels else _closed()
    said = [_said(row) for row in rows.head(MOST).to_dicts()]
    return [form, html.Ol(said, className="labels")]


def _closed() -> Component:
    command = html.Code("python -m dashboards --allow-labels")
    return html.P(["Labels are added where ", command, " was started."], className="quiet")


def _said(row: dict[str, Any]) -> Component:
    when = row["time"][:16].replace("T", " ")
    what = "taken back" if row["label"] is None else clip(visible(row["label"]))
    return html.Li(
        [
            html.Span(what, className="said" if row["label"] else "said quiet"),
            html.Span(f"{clip(visible(row['author']), 60)}, {when} UTC", className="by"),
            html.P(clip(visible(row["notes"])), className="remark") if row["notes"] else None,
        ]
    )
