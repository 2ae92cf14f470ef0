"""One circuit, or two beside each other: graph, connections, and what is known of a node."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import polars as pl
from dash import dcc, html
from dash.development.base_component import Component

from dashboards import circuit_files, graph
from dashboards.components import circuits, layout
from dashboards.components.controls import choice, stepper, toggle
from dashboards.components.empty import empty
from dashboards.components.marks import term
from dashboards.flow import FILLED_BY
from dashboards.graph import METRIC, Circuit, Group
from dashboards.numbers import written
from dashboards.page import Download, Page, PageState, Visit
from dashboards.pages import circuit_node
from dashboards.pages.circuit_pair import pair
from dashboards.pages.circuit_task import tasks
from dashboards.text import clip, visible

ALONE = "–"  # beside: no other circuit
BOTH = " Hollow: in both circuits, at whatever position."
FRESH: dict[str, Any] = {  # with another circuit
    "nodes": None, "edges": None, "node": "", "pinned": "", "groups": "",
}  # fmt: skip


@dataclass(frozen=True)
class CircuitState(PageState):
    """What is drawn, from which thresholds on, and what is picked."""

    circuit: str = ""
    other: str = ALONE
    nodes: float | None = None  # least |effect|; None: all
    edges: float | None = None  # least |weight|
    node: str = ""  # clicked
    pinned: str = ""  # of graph.write_names
    groups: str = ""  # of graph.write_groups
    open: bool = False  # groups as outlines around their nodes, not as boxes
    find: str = ""  # words of the rows that are shown of two circuits' table


def show(visit: Visit[CircuitState]) -> Component:
    """The page."""
    listed = visit.data.ask("circuit_list", study=visit.study)
    if listed.is_empty():
        return empty("circuits", visit.study)
    names = listed["circuit"].to_list()
    drawn = _drawn(visit)
    if any(circuit.nodes.is_empty() for circuit in drawn):
        lacking = next(c.facts["circuit"] for c in drawn if c.nodes.is_empty())
        why = f"{clip(visible(lacking), 80)} has no nodes."
        return html.Div([_bar(visit, names), empty("circuit_nodes", visit.study, why)])
    _note_edges(visit, drawn)
    groups = graph.read_groups(visit.state.groups)
    pinned = _pinned(visit, drawn, groups)
    here = next((c for c in drawn if visit.state.node in c.nodes["node"]), drawn[0])
    side = [
        circuit_node.detail(visit, here, groups, pinned),
        _pins(visit, here, groups, pinned),
        _groups(visit, here, groups),
    ]
    return html.Div(
        [
            _bar(visit, names),
            html.Div(
                [
                    html.Div(
                        [
                            html.Div(
                                [
                                    _tools(visit, drawn),
                                    html.Div(
                                        [_graph(visit, drawn, p, groups, pinned) for p in (0, 1)],
                                        className="graphs",
                                    ),
                                    html.P(
                                        " ".join(circuits.legend(drawn))
                                        + (BOTH if len(drawn) == 2 else ""),
                                        className="quiet",
                                    ),
                                ],
                                className="panel main",
                            ),
                            tasks(visit, drawn),
                        ],
                        className="left",
                    ),
                    html.Div(side, className="side"),
                ],
                className="circuit-page two" if len(drawn) == 2 else "circuit-page",
            ),
            html.Div(pair(visit, drawn)),
        ]
    )


def _drawn(visit: Visit[CircuitState]) -> list[Circuit]:
    """The circuit, and the other beside it where one is asked for."""
    listed = visit.data.ask("circuit_list", study=visit.study)
    names = listed["circuit"].to_list()
    if visit.choose("circuit", names) == visit.state.other:
        visit.state = replace(visit.state, other=ALONE)
    visit.choose("other", [ALONE, *(n for n in names if n != visit.state.circuit)])
    wanted = [n for n in (visit.state.circuit, visit.state.other) if n != ALONE]
    rows = {row["circuit"]: row for row in listed.to_dicts()}
    return [graph.read(visit.data, visit.study, rows[name]) for name in wanted]


def _note_edges(visit: Visit[CircuitState], drawn: list[Circuit]) -> None:
    """Say of a circuit that should have edges and has none what fills them."""
    for circuit in drawn:
        if circuit.facts["n_edges"] and circuit.edges.is_empty():
            name = clip(visible(circuit.facts["circuit"]), 60)
            visit.notes.append(
                f"The table circuit_edges has no rows of {name}, so no edges are drawn; the asset "
                f"{visit.study}/{FILLED_BY['circuit_edges']} fills it."
            )


def _pinned(visit: Visit[CircuitState], drawn: list[Circuit], groups: list[Group]) -> list[str]:
    """Pinned nodes that are there; what is not is left out of the state, and said."""
    there = {METRIC, *(f"group.{place}" for place in range(len(groups)))}
    there.update(*(circuit.nodes["node"] for circuit in drawn))
    named = graph.read_names(visit.state.pinned)
    pinned = [name for name in named if name in there]
    lost = len(named) - len(pinned)
    if visit.state.node and visit.state.node not in there:
        lost += 1
        visit.state = replace(visit.state, node="")
    if lost:
        visit.notes.append(f"Nodes of the address that this circuit does not have: {lost}.")
    visit.state = replace(visit.state, pinned=graph.write_names(pinned))
    return pinned


def _bar(visit: Visit[CircuitState], names: list[str]) -> Component:
    stepped = [n for n in names if n != visit.state.other]  # which stays beside
    place = stepped.index(visit.state.circuit)

    def step(to: int) -> str | None:
        return visit.href(circuit=stepped[to], **FRESH) if 0 <= to < len(stepped) else None

    others = [ALONE, *(n for n in names if n != visit.state.circuit)]
    return layout.bar(
        choice("circuit", "Circuit", names, visit.state.circuit, resets=" ".join(FRESH)),
        choice("other", "Beside", others, visit.state.other),
        stepper(step(place - 1), step(place + 1), f"{place + 1} of {len(stepped)}"),
    )


def _tools(visit: Visit[CircuitState], drawn: list[Circuit]) -> Component:
    """Thresholds and files, above the graph."""
    held = bool(visit.state.node or visit.state.pinned)
    files = [layout.download(n.upper(), visit.file(f"circuit.{n}")) for n in ("json", "dot")]
    return html.Div(
        [
            circuits.bar(drawn, visit.state.nodes, visit.state.edges, held=held),
            html.Div(files, className="files"),
        ],
        className="tools",
    )


def _graph(
    visit: Visit[CircuitState],
    drawn: list[Circuit],
    place: int,
    groups: list[Group],
    pinned: list[str],
) -> Component:
    """The graph at a place, below the circuit's facts; empty where there is none."""
    if place >= len(drawn):
        return html.Div()
    other = drawn[1 - place].nodes if len(drawn) == 2 else drawn[0].nodes.clear()
    state = visit.state
    view = {
        "nodes": state.nodes or 0,
        "edges": state.edges or 0,
        "node": state.node,
        "pinned": pinned,
        "open": state.open,
    }
    facts = html.P(_facts(drawn[place]), className="quiet")
    title = html.H2(clip(visible(drawn[place].facts["circuit"]), 80))
    common = frozenset(other.select("site", "feature").iter_rows())
    return html.Div([title, facts, circuits.graph(drawn[place], view, groups, common)])


def _facts(circuit: Circuit) -> list[Component | str]:
    """A line on a circuit: how it was found, how much it carries."""
    facts = circuit.facts
    over = "summed over positions" if facts["aggregation"] == "sum" else "per position"
    parts: list[Component | str] = [
        f"{facts['method']}, {over} · |effect| > {written(facts['node_threshold'], 'g')}"
    ]
    if facts["edge_kind"] == "total":
        least = written(facts["edge_threshold"], "g")
        parts += [f" or |weight| > {least} · ", term("edge", "total edges")]
    for name, key, form in (
        ("faithfulness", "faithfulness", ".2f"),
        ("completeness", "completeness", ".2f"),
        ("total effect", "total_effect", "+.2f"),
    ):
        if facts[key] is not None:
            parts += [" · ", term(name), f" {written(facts[key], form)}"]
    return parts


def _pins(
    visit: Visit[CircuitState], circuit: Circuit, groups: list[Group], pinned: list[str]
) -> Component:
    """The pinned nodes and groups, and how nodes are pinned."""
    effects = dict(circuit.nodes.select("node", "effect").iter_rows())
    for place, group in enumerate(groups):
        effects[f"group.{place}"] = sum(effects.get(node, 0.0) for node in group.members)
    found = {"node": pinned, "effect": [effects.get(node, 0.0) for node in pinned]}
    rows = graph.shared(pl.DataFrame(found, schema={"node": pl.String, "effect": pl.Float64}))
    hint = "Shift-click pins a node: its edges stay. Two or more can be grouped."
    return layout.panel(
        f"Pinned ({len(pinned)})" if pinned else "Pinned",
        circuits.listed(circuit, rows, "effect", groups)
        if pinned
        else html.P(hint, className="quiet"),
        circuits.grouping(len(pinned)),
        aside=dcc.Link("Clear", href=visit.href(pinned="")) if pinned else None,
    )


def _groups(visit: Visit[CircuitState], circuit: Circuit, groups: list[Group]) -> Component:
    """Groups: pick, part, save, load."""
    effects = dict(circuit.nodes.select("node", "effect").iter_rows())
    rows = []
    for place, group in enumerate(groups):
        summed = sum(effects.get(node, 0.0) for node in group.members)
        left = graph.write_groups(g for i, g in enumerate(groups) if i != place)
        rows.append(
            html.Li(
                [
                    dcc.Link(
                        clip(visible(group.name), graph.LONGEST_NAME),
                        href=visit.href(node=f"group.{place}"),
                    ),
                    html.Span(
                        f"{len(group.members)} nodes · {written(summed, '+.2f')}",
                        className="quiet",
                    ),
                    dcc.Link("ungroup", href=visit.href(groups=left, node="", pinned="")),
                ]
            )
        )
    tools = html.Div(
        [
            toggle(visit, "open", "Open"),
            layout.download("JSON", visit.file("groups.json")),
        ],
        className="files",
    )
    return layout.panel(
        "Groups",
        html.Ul(rows, className="groups") if rows else html.P("None yet.", className="quiet"),
        circuits.loader(),
        aside=tools if groups else None,
    )


def _file(visit: Visit[CircuitState]) -> tuple[Circuit, list[Group]]:
    """What a file has: the circuit from the thresholds on."""
    circuit = _drawn(visit)[0]
    shown = graph.above(circuit, visit.state.nodes or 0, visit.state.edges or 0)
    return shown, graph.read_groups(visit.state.groups)


def _json(visit: Visit[CircuitState]) -> Download:
    return circuit_files.as_json(*_file(visit))


def _dot(visit: Visit[CircuitState]) -> Download:
    return circuit_files.as_dot(*_file(visit))


def _saved(visit: Visit[CircuitState]) -> Download:
    return circuit_files.as_groups(*_file(visit))


PAGE = Page(
    "circuit",
    "Circuit",
    "Through which features does a prediction come about?",
    CircuitState,
    show,
    {"circuit.json": _json, "circuit.dot": _dot, "groups.json": _saved},
    part_of="circuits",
)
