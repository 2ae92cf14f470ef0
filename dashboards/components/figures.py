"""Plotly figures in the dashboard's look.

Figures are plain dictionaries. Text, grid and grounds take their colours from the style sheet
(so light and dark need neither the server nor a redraw); traces take theirs from `palette`.
Strings that come from the lake go through `text.plotly`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from dash import dcc, html
from dash.development.base_component import Component

Trace: TypeAlias = Mapping[str, Any]

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
CONFIG: dict[str, Any] = {
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "displaylogo": False,
    "displayModeBar": "hover",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "responsive": True,
}
AXIS: dict[str, Any] = {
    "automargin": True,
    "zeroline": False,
    "showline": False,
    "ticks": "",
    "title": {"standoff": 8, "font": {"size": 12}},
    "tickfont": {"size": 11},
}
LAYOUT: dict[str, Any] = {
    "font": {"family": FONT, "size": 12, "color": "#5b6470"},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "margin": {"l": 48, "r": 12, "t": 8, "b": 40},
    "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
    "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left"},
    "hovermode": "closest",
    "dragmode": "zoom",
    "modebar": {"orientation": "v", "bgcolor": "rgba(0,0,0,0)"},  # beside the legend, not over it
}


def figure(
    name: str,
    traces: Sequence[Trace],
    *,
    height: int,
    config: Mapping[str, Any] | None = None,
    **layout: Any,
) -> Component:
    """A figure of a fixed height, in px. layout: Plotly's, over the usual one; axes and margins
    are merged key by key."""
    graph = dcc.Graph(
        id=name,
        figure={"data": list(traces), "layout": arranged(layout)},
        config={**CONFIG, **(config or {})},  # type: ignore[arg-type]
        responsive=True,
        style={"height": "100%"},
    )
    high = {"height": f"{height}px"}  # before it is filled, too
    return html.Div(graph, id=f"{name}-box", className="figure", style=high)


def arranged(layout: Mapping[str, Any]) -> dict[str, Any]:
    """The usual layout with a page's own over it."""
    merged = {**LAYOUT, "xaxis": AXIS, "yaxis": AXIS}
    for key, value in layout.items():
        usual = merged.get(key, AXIS if key[1:].startswith("axis") else {})
        merged[key] = _over(usual, value) if isinstance(value, Mapping) else value
    return merged


def _over(usual: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the layout over the usual one; a title may be its text alone."""
    title = own.get("title")
    named = {"title": {**AXIS["title"], "text": title}} if isinstance(title, str) else {}
    return {**usual, **own, **named}
