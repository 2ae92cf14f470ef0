"""The curves of the page Faithfulness: a measure over the nodes kept, by what the nodes are."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
from dash.development.base_component import Component

from dashboards.components.figures import Trace, figure
from dashboards.components.palette import NEUTRAL, UNITS, faint
from dashboards.numbers import written

UNIT_NAMES = {"feature": "features", "neuron": "neurons", "random": "random features"}
HEIGHT = 340  # px
NOTHING = 1e-4  # of F(M) − F(∅): float32, and no more
APART = 1.7  # a tick is so many times the one before


def curves(measure: str, rows: pl.DataFrame) -> Component:
    """A measure (faithfulness or completeness) of one evaluation, by unit; the node threshold is
    marked. Nodes are on a log scale, 0 at its left end."""
    top = rows.filter(selection="top_n").drop_nulls(measure)
    sizes = sorted(set(top["n_nodes"]) - {0})
    zero = (sizes[0] if sizes else 1) / 2.5
    ticks = _ticks(sorted(set(top.filter(unit="feature")["n_nodes"]) - {0}))
    traces = [
        trace
        for unit in reversed(UNIT_NAMES)
        for trace in _curve(measure, unit, top.filter(unit=unit).sort("n_nodes"), zero)
    ]
    full = 1.0 if measure == "faithfulness" else 0.0
    lines, notes = _threshold(rows)
    return figure(
        f"{measure}-curves",
        [*traces, *_circuit(measure, rows)],
        height=HEIGHT,
        xaxis={
            "type": "log",
            "title": "nodes kept",
            "tickvals": [n or zero for n in ticks],
            "ticktext": [f"{n:,}" for n in ticks],
            "showgrid": False,
            "tickangle": 0,
        },
        yaxis={"tickformat": ".2f"},
        legend={"traceorder": "reversed", "y": 1.08},
        shapes=[_line(yref="y", y0=full, y1=full, xref="paper", x0=0, x1=1), *lines],
        annotations=notes,
    )


def unchanged(rows: pl.DataFrame) -> list[str]:
    """What is to be said of units whose smaller circuits do nothing: F(C) is F(∅) for two sizes or
    more, from the smallest on, to within NOTHING of F(M) − F(∅)."""
    said = []
    for unit in ("feature", "neuron"):
        top = rows.filter(selection="top_n", unit=unit).filter(pl.col("n_nodes") > 0)
        change = (pl.col("f_circuit") - pl.col("f_empty")).abs()
        full = (pl.col("f_model") - pl.col("f_empty")).abs()
        nothing = top.sort("n_nodes").select("n_nodes", still=change <= NOTHING * full)
        first = nothing.filter(pl.col("still").cum_min())["n_nodes"]
        if first.len() >= 2:
            said.append(
                f"Up to {first[-1]:,} {UNIT_NAMES[unit]} change nothing: with them kept, the model "
                "does what it does with none (F circuit = F ∅)."
            )
    return said


def _ticks(sizes: list[int]) -> list[int]:
    """0 and the sizes that have room for their number."""
    kept = [0]
    for size in sizes:
        if size >= APART * kept[-1]:
            kept.append(size)
    return kept


def _curve(measure: str, unit: str, rows: pl.DataFrame, zero: float) -> list[Trace]:
    """A unit's band and its line."""
    if rows.is_empty():
        return []
    x = [n or zero for n in rows["n_nodes"]]
    low, high = rows[f"{measure}_low"], rows[f"{measure}_high"]
    measures = rows.select(measure, f"{measure}_low", f"{measure}_high").rows()
    told = [[written(value, ".2f") for value in row] for row in measures]
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": UNIT_NAMES[unit],
        "x": x,
        "y": rows[measure].to_list(),
        "customdata": told,
        "line": {"color": UNITS[unit], "width": 2},
        "marker": {"color": UNITS[unit], "size": 6},
        "text": [f"{nodes:,} nodes" for nodes in rows["n_nodes"]],
        "hovertemplate": f"<b>%{{customdata[0]}}</b> {measure}<br>%{{customdata[1]}} to "
        f"%{{customdata[2]}}<br>%{{text}}<extra>{UNIT_NAMES[unit]}</extra>",
    }
    if low.equals(high, null_equal=True) or low.has_nulls():
        return [line]
    band = {
        "type": "scatter",
        "mode": "lines",
        "x": [*x, *reversed(x)],
        "y": [*high, *reversed(low.to_list())],
        "fill": "toself",
        "fillcolor": faint(UNITS[unit], 0.16),
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return [band, line]


def _circuit(measure: str, rows: pl.DataFrame) -> list[Trace]:
    """The circuit at the node threshold, as a point."""
    own = rows.filter(selection="threshold", unit="feature").drop_nulls(measure)
    own = own.filter(pl.col("n_nodes") > 0)
    if own.is_empty():
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "circuit",
            "x": own["n_nodes"].to_list(),
            "y": own[measure].to_list(),
            "customdata": own["value"].to_list(),
            "text": [written(value, ".2f") for value in own[measure]],
            "marker": {
                "symbol": "diamond-open",
                "size": 11,
                "color": UNITS["feature"],
                "line": {"width": 2},
            },
            "hovertemplate": f"<b>%{{text}}</b> {measure}<br>%{{x:,d}} nodes above "
            "%{customdata}<extra>circuit</extra>",
        }
    ]


def _threshold(rows: pl.DataFrame) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A line where the circuit's threshold cuts, and what it says."""
    own = rows.filter(selection="threshold", unit="feature").filter(pl.col("n_nodes") > 0)
    lines, notes = [], []
    for value, nodes in own.select("value", "n_nodes").rows():
        lines.append(_line(xref="x", x0=nodes, x1=nodes, yref="paper", y0=0, y1=1))
        notes.append(
            {
                "xref": "x",
                "x": math.log10(nodes),  # annotations take a log axis's exponent
                "yref": "paper",
                "y": 1,
                "xanchor": "center",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 11},
                "text": f"threshold {value:g}: {nodes:,} nodes",
            }
        )
    return lines, notes


def _line(**place: Any) -> dict[str, Any]:
    return {"type": "line", "line": {"color": NEUTRAL, "width": 1, "dash": "dot"}, **place}
