"""A prompt's circuit as a picture: SVG, made of its rows alone.

Columns are tokens, rows are sites from the embedding up to the metric `y`. A circle is a feature, a
triangle an error node, their area by |effect|; a curve is an edge, its width by |weight|. Blue
supports the answer, orange opposes it. Every node and edge says its name and number on hovering.
Cost: linear in what is drawn; about 200 bytes a node or edge.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple, TypeAlias

import polars as pl

from dagster_project.interp.edges import METRIC
from dagster_project.interp.prompt import PromptCircuit
from dagster_project.interp.site_names import KINDS, site_names

Node: TypeAlias = tuple[str, int | None, int]  # site, pos, feature

STEP, ROW, GUTTER, TOP, BOTTOM = 16, 26, 64, 46, 24  # px
LETTER = 7.5  # px, of a token's letters
SUPPORTS, OPPOSES, INK, QUIET = "#2f7fd6", "#d4572b", "#1a1e23", "#6b7480"
MOST_NODES, MOST_EDGES = 200, 250
"""Drawn, the strongest; beyond that a picture says no more."""


class Place(NamedTuple):
    """Where a node stands."""

    x: float
    y: float


def svg(circuit: PromptCircuit, *, nodes: int = MOST_NODES, edges: int = MOST_EDGES) -> str:
    """The picture, of the strongest so many nodes and edges between them."""
    shown = circuit.nodes.head(nodes)
    rows = _rows(shown)
    lefts, widths = _columns(circuit, shown)
    places, tops = _places(shown, rows, lefts, widths)
    height = tops[-1] + BOTTOM
    width = lefts[-1] + widths[-1] + 8
    metric = places[METRIC, None, 0] = Place(lefts[-1] + widths[-1] / 2, 20)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="Helvetica, Arial, sans-serif" '
        'font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *_frame(circuit, rows, tops, lefts, widths),
        *_edges(circuit.edges, places, edges),
        *_nodes(shown, places),
        f'<rect x="{metric.x - 7:.1f}" y="13" width="14" height="14" fill="{INK}" '
        f'transform="rotate(45 {metric.x:.1f} 20)"><title>{METRIC}, the metric</title></rect>',
        "</svg>",
    ]
    return "\n".join(drawn) + "\n"


def _rows(nodes: pl.DataFrame) -> list[str]:
    """Sites with nodes, the last first: the pass goes up."""
    there = set(nodes["site"])
    layers = 1 + max((int(s.rpartition("_")[2]) for s in there if s != "embed"), default=0)
    return [site for site in reversed(site_names(layers, KINDS)) if site in there] or ["embed"]


def _columns(circuit: PromptCircuit, nodes: pl.DataFrame) -> tuple[list[float], list[float]]:
    """Left end and width of each token's column, as wide as its token and its fullest cell need."""
    cells = nodes.group_by("site", "pos").len()
    fullest = dict(cells.group_by("pos").agg(pl.col("len").max()).iter_rows())
    widths = [
        max(LETTER * len(token) + 14, STEP * min(fullest.get(pos, 0), 8) + 14)
        for pos, token in enumerate(_tokens(circuit))
    ]
    return [GUTTER + sum(widths[:pos]) for pos in range(len(widths))], widths


def _tokens(circuit: PromptCircuit) -> list[str]:
    """The clean tokens, with the patch's where they differ."""
    patched = circuit.patch_tokens or circuit.tokens
    both = zip(circuit.tokens, patched, strict=True)
    return [a if a == b else f"{a} /{b}" for a, b in both]


def _places(
    nodes: pl.DataFrame, rows: list[str], lefts: list[float], widths: list[float]
) -> tuple[dict[Node, Place], list[float]]:
    """Places of nodes, in a cell from the strongest on; the top of each row, and the foot."""
    cells: dict[tuple[str, int], list[Node]] = {}
    for site, pos, feature in nodes.select("site", "pos", "feature").iter_rows():
        cells.setdefault((site, pos), []).append((site, pos, feature))
    places, tops = dict[Node, Place](), [float(TOP)]
    for site in rows:
        lines = 1
        for (at, pos), found in cells.items():
            if at != site:
                continue
            across = max(1, int((widths[pos] - 14) // STEP))
            for number, node in enumerate(found):
                line, place = divmod(number, across)
                lines = max(lines, line + 1)
                x = lefts[pos] + 7 + STEP * (place + 0.5)
                places[node] = Place(x, tops[-1] + ROW / 2 + STEP * line)
        tops.append(tops[-1] + ROW + STEP * (lines - 1))
    return places, tops


def _frame(
    circuit: PromptCircuit,
    rows: list[str],
    tops: list[float],
    lefts: list[float],
    widths: list[float],
) -> list[str]:
    right = lefts[-1] + widths[-1]
    lines = [
        f'<text x="6" y="{top + ROW / 2 + 4:.0f}" fill="{QUIET}">{site}</text>'
        f'<line x1="{GUTTER}" x2="{right:.0f}" y1="{top:.0f}" y2="{top:.0f}" stroke="#e6e9ed"/>'
        for site, top in zip(rows, tops, strict=False)
    ]
    lines += [
        f'<text x="{left + width / 2:.0f}" y="{tops[-1] + 15:.0f}" text-anchor="middle" '
        f'fill="{INK}">{escape(_shown(token))}</text>'
        for token, left, width in zip(_tokens(circuit), lefts, widths, strict=True)
    ]
    return lines


def _shown(token: str) -> str:
    """A token in a form that XML can hold: what is not printed, by its number."""
    text = token.strip() or repr(token)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _edges(edges: pl.DataFrame, places: dict[Node, Place], most: int) -> list[str]:
    found = [
        (up, down, row[6])
        for row in edges.iter_rows()
        if (up := row[:3]) in places and (down := row[3:6]) in places
    ][:most]
    widest = max((abs(weight) for _, _, weight in found), default=1.0)
    return [_edge(up, down, weight, places, widest) for up, down, weight in reversed(found)]


def _edge(up: Node, down: Node, weight: float, places: dict[Node, Place], widest: float) -> str:
    a, b, size = places[up], places[down], (abs(weight) / widest) ** 0.5
    middle = (a.y + b.y) / 2
    return (
        f'<path d="M{a.x:.0f} {a.y:.0f}C{a.x:.0f} {middle:.0f} {b.x:.0f} {middle:.0f} {b.x:.0f} '
        f'{b.y:.0f}" fill="none" stroke="{_colour(weight)}" stroke-width="{0.4 + 3.6 * size:.1f}" '
        f'stroke-opacity="{0.1 + 0.7 * size:.2f}"><title>{name(*up)} → {name(*down)} '
        f"{weight:+.3f}</title></path>"
    )


def _nodes(nodes: pl.DataFrame, places: dict[Node, Place]) -> list[str]:
    strongest = float(nodes["effect"].abs().max() or 1.0)  # type: ignore[arg-type]
    drawn = []
    for site, pos, feature, effect in nodes.select("site", "pos", "feature", "effect").iter_rows():
        x, y = places[site, pos, feature]
        r = 2 + 5 * (abs(effect) / strongest) ** 0.5
        kind, shape = "circle", f'cx="{x:.0f}" cy="{y:.0f}" r="{r:.1f}"'
        if feature < 0:
            corners = f"{x - r:.1f},{y + r:.1f} {x + r:.1f},{y + r:.1f} {x:.1f},{y - r:.1f}"
            kind, shape = "polygon", f'points="{corners}"'
        title = f"<title>{name(site, pos, feature)} {effect:+.3f}</title>"
        drawn.append(f'<{kind} {shape} fill="{_colour(effect)}">{title}</{kind}>')
    return drawn


def name(site: str, pos: int | None, feature: int) -> str:
    """As Marks et al. name nodes, `resid_5/3036`, with `@3` at position 3; `y`."""
    if site == METRIC:
        return METRIC
    return f"{site}/{'error' if feature < 0 else feature}" + ("" if pos is None else f"@{pos}")


def _colour(value: float) -> str:
    return SUPPORTS if value > 0 else OPPOSES
