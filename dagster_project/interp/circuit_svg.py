"""A prompt's circuit as a picture: SVG, made of its rows alone.

Columns are tokens, rows are sites from the embedding up to the metric `y`. A circle is a feature, a
triangle an error node, their area by |effect|; a curve is an edge, its width by |weight|. Blue
supports the answer, orange opposes it; what the patch alone has is pale and dashed. Above stand the
prompt and how many nodes and edges are shown of how many, below what the marks mean. Every node and
edge says its name and number on hovering.
Cost: linear in what is drawn; about 200 bytes a node or edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from textwrap import wrap
from typing import NamedTuple, TypeAlias

import polars as pl

from dagster_project.interp.circuit_marks import (
    INK,
    LETTER,
    LINE,
    QUIET,
    colour,
    diamond,
    legend,
    mark,
)
from dagster_project.interp.edges import METRIC
from dagster_project.interp.prompt import PromptCircuit
from dagster_project.interp.site_names import KINDS, site_names

Node: TypeAlias = tuple[str, int | None, int]  # site, pos, feature

STEP, ROW, GUTTER, TOP, BOTTOM = 16, 26, 64, 46, 24  # px
LEAST_WIDTH = 480  # px, for title and legend
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
    metric = places[METRIC, None, 0] = Place(lefts[-1] + widths[-1] / 2, 20)
    ends = _ends(circuit.edges, places, edges)
    width, foot = max(LEAST_WIDTH, lefts[-1] + widths[-1] + 8), tops[-1] + BOTTOM
    errors, alone = bool((shown["feature"] < 0).any()), bool(_alone(shown).any())
    meanings, lines = legend(foot, width, errors=errors, alone=alone)
    said = [
        *wrap(_title(circuit), int((width - 12) / LETTER)),
        f"{_of(len(shown), circuit.nodes)} nodes · {_of(len(ends), circuit.edges)} edges",
    ]
    head, height = LINE * len(said) + 8, foot + LINE * lines + 8
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" '
        f'height="{head + height:.0f}" viewBox="0 {-head} {width:.0f} {head + height:.0f}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f'<rect y="{-head}" width="100%" height="100%" fill="#ffffff"/>',
        *_head(said, -head),
        *_frame(circuit, rows, tops, lefts, widths),
        *_edges(ends, places),
        *_nodes(shown, places),
        diamond(*metric, f"{METRIC}, the metric"),
        *meanings,
        "</svg>",
    ]
    return "\n".join(drawn) + "\n"


def _title(circuit: PromptCircuit) -> str:
    """What was asked, in words."""
    prompt = circuit.prompt
    title = f"Why the model says “{prompt.answer.strip()}” after “{prompt.clean}”"
    if prompt.patch is not None and prompt.patch_answer is not None:
        title += f", and “{prompt.patch_answer.strip()}” after “{prompt.patch}”"
    return _printable(title)


def _of(shown: int, rows: pl.DataFrame) -> str:
    return f"{shown:,}" if shown == len(rows) else f"the strongest {shown:,} of {len(rows):,}"


def _head(said: list[str], top: float) -> list[str]:
    """Lines of text, the last one quiet."""
    looks = ['font-weight="bold"'] * (len(said) - 1) + [f'fill="{QUIET}"']
    lines = [
        f'<text x="6" y="{top + LINE * (place + 1):.0f}" {look}>{escape(text)}</text>'
        for place, (text, look) in enumerate(zip(said, looks, strict=True))
    ]
    return ['<g class="title">', *lines, "</g>"]


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
    return _printable(token.strip() or repr(token))


def _printable(text: str) -> str:
    """Text in a form that XML can hold: what is not printed, by its number."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _ends(
    edges: pl.DataFrame, places: dict[Node, Place], most: int
) -> list[tuple[Node, Node, float]]:
    """The strongest edges between what is shown, and their weights."""
    found = [(row[:3], row[3:6], row[6]) for row in edges.iter_rows()]
    return [edge for edge in found if edge[0] in places and edge[1] in places][:most]


def _edges(ends: list[tuple[Node, Node, float]], places: dict[Node, Place]) -> Iterator[str]:
    """Curves, the strongest on top."""
    widest = max((abs(weight) for _, _, weight in ends), default=1.0)
    for up, down, weight in reversed(ends):
        yield _edge(up, down, weight, places, widest)


def _edge(up: Node, down: Node, weight: float, places: dict[Node, Place], widest: float) -> str:
    a, b, size = places[up], places[down], (abs(weight) / widest) ** 0.5
    middle = (a.y + b.y) / 2
    return (
        f'<path d="M{a.x:.0f} {a.y:.0f}C{a.x:.0f} {middle:.0f} {b.x:.0f} {middle:.0f} {b.x:.0f} '
        f'{b.y:.0f}" fill="none" stroke="{colour(weight)}" stroke-width="{0.4 + 3.6 * size:.1f}" '
        f'stroke-opacity="{0.1 + 0.7 * size:.2f}"><title>{name(*up)} → {name(*down)} '
        f"{weight:+.3f}</title></path>"
    )


def _nodes(nodes: pl.DataFrame, places: dict[Node, Place]) -> Iterator[str]:
    strongest = float(nodes["effect"].abs().max() or 1.0)  # type: ignore[arg-type]
    columns = nodes.select("site", "pos", "feature", "effect").iter_rows()
    for (site, pos, feature, effect), alone in zip(columns, _alone(nodes), strict=True):
        r = 2 + 5 * (abs(effect) / strongest) ** 0.5
        said = f"{name(site, pos, feature)} {effect:+.3f}" + ", in the patch alone" * alone
        place = places[site, pos, feature]
        yield mark(*place, r, effect, error=feature < 0, alone=alone, title=said)


def _alone(nodes: pl.DataFrame) -> pl.Series:
    """Which features the prompt itself does not have."""
    return (nodes["patch_only"] > 0).fill_null(value=False)


def name(site: str, pos: int | None, feature: int) -> str:
    """As Marks et al. name nodes, `resid_5/3036`, with `@3` at position 3; `y`."""
    if site == METRIC:
        return METRIC
    return f"{site}/{'error' if feature < 0 else feature}" + ("" if pos is None else f"@{pos}")
