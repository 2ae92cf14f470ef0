"""What assets/circuit.js draws: a circuit's graph, its controls, and lists of its nodes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl
from dash.development.base_component import Component

from dashboards.components.marks import drawn
from dashboards.components.palette import NEGATIVE, POSITIVE, site
from dashboards.graph import LONGEST_NAME, METRIC, Circuit, Group, above, level
from dashboards.numbers import written
from dashboards.page import file_name
from dashboards.text import clip, token, visible

LEGEND = (
    "Blue supports the answer, orange opposes it; the larger, the stronger.",
    "Triangle: error node; diamond y: the metric.",
)
ALONE = "Pale and dashed: on in the patch alone, in half of the examples or more."
MOST_DRAWN = 400  # edges at once, the strongest
MOST_LISTED = 60  # nodes of a list
LONGEST_LABEL = 120  # characters
MOSTLY = 0.5  # share of examples
COLOURS = {"positive": POSITIVE, "negative": NEGATIVE}


def graph(
    circuit: Circuit,
    view: Mapping[str, Any],
    groups: Sequence[Group],
    common: Collection[tuple[str, int]],
) -> Component:
    """The graph, as high as it needs. common: (site, feature) that another circuit has too."""
    given = {"graph": _shape(circuit, common), "view": {**view, "groups": _boxes(circuit, groups)}}
    return drawn("circuit", given)


def bar(
    circuits: Sequence[Circuit], nodes: float | None, edges: float | None, *, held: bool
) -> Component:
    """Thresholds of nodes and edges, pictures of the first circuit as files. The slider of edges
    begins where edges begin to be drawn. held: of what is picked or pinned alone."""
    name = circuits[0].facts["circuit"]
    passing = [above(circuit, nodes or 0.0, 0.0).edges for circuit in circuits]
    drawn_of = [found["weight"].head(MOST_DRAWN) for found in passing]
    return drawn(
        "circuitbar",
        {
            "files": {kind: file_name(f"circuit.{kind}", name) for kind in ("svg", "png")},
            "words": {"title": clip(visible(name), 80), "legend": legend(circuits)},
            "nodes": _span([c.nodes["effect"] for c in circuits], nodes) | {"all": "all"},
            "edges": _span(drawn_of, edges) | {"all": _all(passing, held=held)},
        },
    )


def _all(edges: Sequence[pl.DataFrame], *, held: bool) -> str:
    """What is drawn where no edge is left out by its weight."""
    most = max(found.height for found in edges)
    if held or most <= MOST_DRAWN:
        return "all"
    return f"strongest {MOST_DRAWN:,} of " + (f"{most:,}" if len(edges) == 1 else "each")


def legend(circuits: Sequence[Circuit]) -> list[str]:
    """What the marks mean, of those that there are."""
    return [*LEGEND, *[ALONE] * any(c.nodes["patch_only"].ge(MOSTLY).any() for c in circuits)]


def grouping(pinned: int) -> Component:
    """The form that makes a group of the pinned nodes; hidden below two."""
    return drawn("grouping", {"pinned": pinned, "longest": LONGEST_NAME})


def listed(
    circuit: Circuit, rows: pl.DataFrame, value: str, groups: Sequence[Group] = ()
) -> Component:
    """Nodes with a signed value each, and its share of the list's. rows: node, share, `value`.

    groups: those that may stand among the nodes.
    """
    named = texts(circuit)
    named |= {box["key"]: box["name"] for box in _boxes(circuit, groups)}
    alone = dict(circuit.nodes.select("node", "patch_only").iter_rows())
    shown = rows.head(MOST_LISTED)
    return drawn(
        "nodelist",
        {
            "rows": [
                [node, named.get(node, node), size, share, _alone(alone.get(node))]
                for node, size, share in shown.select("node", value, "share").iter_rows()
            ],
            "more": rows.height - shown.height,
            "colours": COLOURS,
        },
    )


def loader() -> Component:
    """Reads groups from a file that the page has saved."""
    return drawn("grouploader", {"longest": LONGEST_NAME})


def texts(circuit: Circuit) -> dict[str, str]:
    """What a reader calls each node: site, feature, token, and label where there is one."""
    words = _words(circuit)
    named = {METRIC: "y, the metric"}
    for row in circuit.nodes.iter_rows(named=True):
        what = "error" if row["feature"] < 0 else str(row["feature"])
        at = words.get(row["pos"], "")
        label = clip(visible(row["label"] or ""), LONGEST_LABEL)
        site_name = clip(visible(row["site"]), 40)
        where = "" if row["pos"] is None else f" @ {row['pos']} {at}"
        named[row["node"]] = f"{site_name} / {what}{where}" + (f" – {label}" if label else "")
    return named


def _words(circuit: Circuit) -> dict[int, str]:
    return {
        pos: token(text)
        for pos, text in circuit.prompt.select("pos", "token").iter_rows()
        if text is not None
    }


def _shape(circuit: Circuit, common: Collection[tuple[str, int]]) -> dict[str, Any]:
    """What of the graph does not change with the view. Rows from the last site down."""
    sites = sorted(circuit.nodes["site"].unique(), key=level, reverse=True)
    columns = _columns(circuit)
    row_of = {name: place for place, name in enumerate(sites)}
    column_of = {column["pos"]: place for place, column in enumerate(columns)}
    named = texts(circuit)
    place = {METRIC: -1} | {node: i for i, node in enumerate(circuit.nodes["node"])}
    nodes = [
        {
            "name": row["node"],
            "row": row_of[row["site"]],
            "column": column_of[row["pos"]],
            "effect": row["effect"],
            "error": row["feature"] < 0,
            "common": (row["site"], row["feature"]) in common,
            "alone": (row["patch_only"] or 0) >= MOSTLY,
            "tip": _tip(named[row["node"]], row),
        }
        for row in circuit.nodes.iter_rows(named=True)
    ]
    edges = [
        [place[up], place[down], float(f"{weight:.4g}")]
        for up, down, weight in circuit.edges.select("up", "down", "weight").iter_rows()
    ]
    rows = [{"text": clip(visible(name), 24), "colour": site(name)} for name in sites]
    return {
        "rows": rows,
        "columns": columns,
        "nodes": nodes,
        "edges": edges,
        "colours": COLOURS,
        "most": MOST_DRAWN,
        "total": {"nodes": circuit.facts["n_nodes"], "edges": circuit.facts["n_edges"]},
    }


def _tip(name: str, row: Mapping[str, Any]) -> str:
    lines = [name, f"effect {written(row['effect'], '+.3g')}", _alone(row["patch_only"])]
    return "\n".join(filter(None, lines))


def _alone(patch_only: float | None) -> str:
    """Of a feature that is mostly on in the patch alone, in words: its staying away is what
    counts."""
    if patch_only is None or patch_only < MOSTLY:
        return ""
    share = "" if patch_only == 1 else f" in {written(patch_only, '.0%')} of the examples"
    return f"on in the patch alone{share}"


def _columns(circuit: Circuit) -> list[dict[str, Any]]:
    """Positions with their tokens; one column where the circuit is summed over them."""
    if circuit.nodes["pos"].is_null().all():
        return [{"pos": None, "text": "all positions", "tip": "Summed over positions."}]
    tips = {
        row["pos"]: _others(row) for row in circuit.prompt.iter_rows(named=True) if row["token"]
    }
    words = _words(circuit)
    found = circuit.nodes["pos"].drop_nulls().unique().to_list()
    nowhere = [None] if circuit.nodes["pos"].is_null().any() else []
    return [
        {
            "pos": pos,
            "text": "–" if pos is None else words.get(pos, f"@ {pos}"),
            "tip": tips.get(pos, f"position {pos}"),
        }
        for pos in [*nowhere, *sorted({*found, *circuit.prompt["pos"]})]
    ]


def _others(row: Mapping[str, Any]) -> str:
    said = f"position {row['pos']}: {token(row['token'])}"
    if row["n_tokens"] == 1:
        return f"{said}, in every prompt"
    others = ", ".join(token(text) for text in row["others"])
    return f"{said} in the first prompt; {row['n_tokens'] - 1} others: {others}…"


def _boxes(circuit: Circuit, groups: Sequence[Group]) -> list[dict[str, Any]]:
    place = {node: i for i, node in enumerate(circuit.nodes["node"])}
    return [
        {
            "key": f"group.{number}",
            "name": clip(visible(group.name), LONGEST_NAME),
            "members": [place[node] for node in group.members if node in place],
        }
        for number, group in enumerate(groups)
    ]


def _span(values: Sequence[pl.Series], chosen: float | None) -> dict[str, float | None]:
    """Range of a threshold: from the least size there is to the largest."""
    sizes = pl.concat(values).abs().drop_nulls()
    sizes = sizes.filter(sizes > 0)
    low, high = (sizes.min(), sizes.max()) if sizes.len() else (0.01, 1.0)
    return {"low": float(low), "high": float(high), "value": chosen}  # type: ignore[arg-type]
