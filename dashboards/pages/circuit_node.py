"""What is known of the node that is picked: effect, connections, and its feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from dash import dcc, html
from dash.development.base_component import Component

from dashboards import graph
from dashboards.components import circuits, layout
from dashboards.components.empty import empty
from dashboards.components.marks import drawn, term
from dashboards.components.palette import NEGATIVE, POSITIVE
from dashboards.components.strips import strip
from dashboards.graph import METRIC, Circuit, Group
from dashboards.numbers import written
from dashboards.page import Visit
from dashboards.text import clip, token, visible

MOST_TOKENS, MOST_EXAMPLES = 8, 6


def detail(
    visit: Visit[Any], circuit: Circuit, groups: Sequence[Group], pinned: Sequence[str]
) -> Component:
    """The node or group that is picked; the strongest nodes while none is."""
    picked = visit.state.node
    boxes = {f"group.{place}": group for place, group in enumerate(groups)}
    if picked in boxes:
        group = boxes[picked]
        return layout.panel(
            clip(visible(group.name), graph.LONGEST_NAME),
            _members(circuit, group.members),
            *_connections(circuit, group.members),
            name="node-detail",
        )
    if picked == METRIC:
        return layout.panel("y, the metric", *_connections(circuit, [METRIC]), name="node-detail")
    (row, *_) = [*circuit.nodes.filter(node=picked).iter_rows(named=True), None]
    if row is None:
        return _strongest(circuit)
    kept = [n for n in pinned if n != picked]
    pin = dcc.Link(
        "Unpin" if picked in pinned else "Pin",
        href=visit.href(pinned=graph.write_names(kept if picked in pinned else [*pinned, picked])),
    )
    return layout.panel(
        circuits.texts(circuit)[picked],
        _facts(visit, circuit, row),
        *_connections(circuit, [picked]),
        *_feature(visit, row),
        aside=pin,
        name="node-detail",
    )


def _strongest(circuit: Circuit) -> Component:
    return layout.panel(
        "Strongest nodes",
        html.P("Click a node for its edges. Escape clears.", className="quiet"),
        circuits.listed(circuit, graph.shared(circuit.nodes), "effect"),
        aside=term("effect"),
        name="node-detail",
    )


def _members(circuit: Circuit, members: Sequence[str]) -> Component:
    rows = graph.shared(circuit.nodes.filter(pl.col("node").is_in(members)))
    return html.Div([html.H3("Nodes"), circuits.listed(circuit, rows, "effect")])


def _connections(circuit: Circuit, members: Sequence[str]) -> list[Component]:
    """Where the effect comes from, and where it goes."""
    shown = list[Component]()
    for side, title in (("up", "From"), ("down", "To")):
        rows = graph.connections(circuit.edges, members, side)
        if rows.height:
            heading = html.H3([title, html.Small(f" {rows.height:,}, by share of Σ|weight|")])
            shown.append(html.Div([heading, circuits.listed(circuit, rows, "weight")]))
    return shown or [html.P("No edge of it passes the threshold.", className="quiet")]


def _facts(visit: Visit[Any], circuit: Circuit, row: dict[str, Any]) -> Component:
    known = _known(visit, circuit, row)
    share = abs(row["effect"]) / float(circuit.nodes["effect"].abs().sum())
    pairs: list[tuple[Any, Any]] = [
        (term("effect"), written(row["effect"], "+.3f")),
        *_interval(known),
        ("share of Σ|effect|", written(share, ".1%")),
    ]
    for name, value, form in (
        ("share above", known["share_above"], ".0%"),
        ("patch only", row["patch_only"], ".0%"),
        ("density", known["density"], ".3%"),
    ):
        if value is not None:
            pairs.append((term(name), written(value, form)))
    if known["max_activation"] is not None:
        pairs.append(("largest activation", written(known["max_activation"], ".2f")))
    if known["label"]:
        pairs.append(("label", clip(visible(known["label"]), 200)))
    return layout.facts(pairs)


def _interval(known: dict[str, Any]) -> list[tuple[str, str]]:
    """The bootstrap's interval, where it is known."""
    if known["low"] is None:
        return []
    low, high = (written(known[end], "+.3f") for end in ("low", "high"))
    return [("5 to 95 %", f"{low} to {high}")]


def _known(visit: Visit[Any], circuit: Circuit, row: dict[str, Any]) -> dict[str, Any]:
    facts = circuit.facts
    found = visit.data.ask(
        "circuit_node",
        study=visit.study,
        task=facts["task"],
        method=facts["method"],
        aggregation=facts["aggregation"],
        site=row["site"],
        feature=row["feature"],
        pos=row["pos"],
    )
    return found.row(0, named=True)


def _feature(visit: Visit[Any], row: dict[str, Any]) -> list[Component]:
    """The feature: tokens that it raises and lowers, texts in which it is active."""
    if row["feature"] < 0:
        text = "What the dictionary leaves out of the site's vector: it has no texts of its own."
        return [html.P(text, className="quiet")]
    of = {"study": visit.study, "site": row["site"], "feature": row["feature"]}
    tokens = visit.data.ask("circuit_feature_tokens", **of, most=MOST_TOKENS)
    examples = visit.data.ask("circuit_feature_examples", **of, most=MOST_EXAMPLES)
    link = dcc.Link(
        "All of this feature", href=visit.to("feature", site=row["site"], feature=row["feature"])
    )
    if tokens.is_empty() and examples.is_empty():
        return [empty("feature_examples", visit.study)]
    return [
        *[
            html.Div([html.H3(title), _tokens(tokens.filter(sign=sign), colour)])
            for sign, title, colour in ((1, "Raises", POSITIVE), (-1, "Lowers", NEGATIVE))
            if tokens.filter(sign=sign).height
        ],
        html.Div([html.H3("Most active in"), *map(_example, examples.to_dicts())])
        if examples.height
        else empty("feature_examples", visit.study),
        html.P(link),
    ]


def _tokens(rows: pl.DataFrame, colour: str) -> Component:
    shown = [
        [token(text), written(logit, "+.2f")]
        for text, logit in rows.select("token", "logit").iter_rows()
    ]
    return drawn("tokenlist", {"tokens": shown, "colour": colour})


def _example(row: dict[str, Any]) -> Component:
    place = row["pos"] - row["first"]
    return strip(row["tokens"], marked=[place], breaks=False)
