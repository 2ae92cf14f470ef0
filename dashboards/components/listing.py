"""Tables that the server sorts and pages: drawn by assets/listing.js, a row being a few spans.

For what is longer than a browser should hold, or has small figures in its cells; `tables` is for
what is sorted and filtered in the browser. Cells are text; a column's `href` is the address of the
page in that column's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from dash.development.base_component import Component

from dashboards.components.marks import drawn
from dashboards.glossary import explains
from dashboards.text import clip, visible

LONGEST_CELL = 300  # characters


class Column(NamedTuple):
    """A column of a listing."""

    name: str
    unit: str = ""
    term: str = ""  # of the glossary
    number: bool = False  # its cells are aligned to the right
    wide: bool = False  # it takes what room is left, and its texts are cut off there
    width: str = ""  # CSS; where any has one, widths are the same whatever the rows are
    href: str = ""  # where it is sorted by this column, or the other way round
    sorted: Literal["", "ascending", "descending"] = ""


class Link(NamedTuple):
    """A cell that leads to another page."""

    text: str
    href: str


class Bars(NamedTuple):
    """A cell with a small histogram."""

    counts: Sequence[float]  # its heights go by their roots, so that rare ones are seen
    colour: str
    tip: str


class Share(NamedTuple):
    """A number with a bar, as long as its share of the longest."""

    text: str
    share: float  # 0 … 1
    colour: str


Cell: TypeAlias = str | Link | Bars | Share


def listing(name: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Component:
    """A table. name: what it is called by screen readers."""
    return drawn(
        "listing",
        {
            "name": name,
            "columns": [_column(c) for c in columns],
            "rows": [[_cell(cell) for cell in row] for row in rows],
        },
    )


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "unit": column.unit,
        "tip": explains(column.term) if column.term else "",
        "kind": "number" if column.number else "wide" if column.wide else "",
        "width": column.width,
        "href": column.href,
        "sorted": column.sorted,
    }


def _cell(cell: Cell) -> str | dict[str, Any]:
    if isinstance(cell, Link):
        return {"text": _text(cell.text), "href": cell.href}
    if isinstance(cell, Bars):
        most = max(cell.counts, default=0)
        heights = [round((c / most) ** 0.5, 3) if most else 0 for c in cell.counts]
        return {"bars": heights, "colour": cell.colour, "tip": cell.tip}
    if isinstance(cell, Share):
        return {"text": _text(cell.text), "share": round(cell.share, 3), "colour": cell.colour}
    return _text(cell)


def _text(text: str) -> str:
    return clip(visible(text), LONGEST_CELL)
