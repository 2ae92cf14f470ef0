"""Tables: columns with aligned numbers and units, sorted and filtered in the browser.

AG Grid in the dashboard's colours, which are CSS variables, so light and dark need nothing here.
Cells are text to it; a row's `href` makes its first column a link. What a reader sorts by goes to
the page's address (assets/dashAgGridFunctions.js) and comes back from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import dash_ag_grid as dag
import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.glossary import explains
from dashboards.page import Visit
from dashboards.state import Sort
from dashboards.text import clip, visible

ROW, HEADER, UNIT = 27, 32, 12  # px of a row, of the names of columns, of units below them
MOST_ROWS = 16  # in sight
LETTER = 7  # px of a header's letter
LONGEST_CELL = 300  # characters
WRITTEN = " written"  # after the name of a field: what is shown of it
THEME = f"theme(themeQuartz, {ROW}, {HEADER})"


class Column(NamedTuple):
    """A column of a table."""

    field: str
    name: str
    format: str | Callable[[Any], str] = ""  # of numbers: d3's, or a function; empty: text
    unit: str = ""
    term: str = ""  # of the glossary
    width: int = 0  # px; 0: a share of what is left; where none has 0, all share it by their width
    shade: bool = False  # the ground says how near to 1 the value is


def table(
    name: str,
    rows: pl.DataFrame | Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    *,
    visit: Visit[Any] | None = None,
    most_rows: int = MOST_ROWS,
    **grid: Any,
) -> Component:
    """A table as high as its rows, up to most_rows, then scrolled. visit: of the page whose
    address holds the order; None: none does. grid: AG Grid's options."""
    data = rows.to_dicts() if isinstance(rows, pl.DataFrame) else list(rows)
    linked = any("href" in row for row in data)
    sized = all(c.width for c in columns)
    definitions = [_column(c, sized, link=linked and c is columns[0]) for c in columns]
    header = HEADER + UNIT * any(c.unit for c in columns)
    height = f"{header + ROW * max(1, min(len(data), most_rows)) + 4}px"
    sorts = _sorts(visit, name, columns) if visit else []
    grid_itself = dag.AgGrid(
        id=name,
        rowData=[_row(row, columns) for row in data],
        columnDefs=[d | _order(d["field"], sorts) for d in definitions],
        eventListeners={"sortChanged": [f"sorted(params, '{name}')"]} if visit else {},
        defaultColDef={"sortable": True, "resizable": True, "suppressMovable": True},
        dashGridOptions={
            "theme": {"function": THEME},
            "animateRows": False,
            "rowBuffer": 2,  # rows drawn beyond those in sight; 10 are usual, and take their time
            "enableCellTextSelection": True,
            "ensureDomOrder": True,
            "tooltipShowDelay": 200,
            "headerHeight": header,
            **grid,
        },
        className="grid",
        style={"height": height},
    )
    # As high before it is filled.
    return html.Div(grid_itself, id=f"{name}-box", className="tabled", style={"minHeight": height})


def in_order(visit: Visit[Any], name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows as a table of the name shows them, which the browser sorts by what the address says;
    as there, equals keep their order, and nothing is below all else."""
    sorts = [s for s in visit.state.sort if s.table == name and s.column in rows.columns]
    if not sorts:
        return rows
    falling = [sort.way == "desc" for sort in sorts]
    columns = [sort.column for sort in sorts]
    return rows.sort(columns, descending=falling, nulls_last=falling, maintain_order=True)


def _sorts(visit: Visit[Any], name: str, columns: Sequence[Column]) -> list[Sort]:
    """What the address sorts the table by; columns that it does not have are noted."""
    fields = {c.field for c in columns}
    own = [sort for sort in visit.state.sort if sort.table == name]
    for sort in own:
        if sort.column not in fields:
            unknown = clip(visible(sort.column), 60)
            visit.notes.append(f"The table has no column “{unknown}” to be sorted by.")
    return [sort for sort in own if sort.column in fields]


def _order(field: str, sorts: Sequence[Sort]) -> dict[str, Any]:
    """A column's part in the order of the rows as the table is made; the browser does the rest, so
    that an answer on its way cannot take back what a reader has sorted since."""
    place = next((i for i, sort in enumerate(sorts) if sort.column == field), None)
    return {} if place is None else {"initialSort": sorts[place].way, "initialSortIndex": place}


def _column(column: Column, sized: bool, *, link: bool) -> dict[str, Any]:
    """A column's definition. sized: every column of its table has a width."""
    unit = f"\n[{column.unit}]" if column.unit else ""
    made: dict[str, Any] = {"field": column.field, "headerName": column.name + unit}
    if column.term:
        made["headerTooltip"] = explains(column.term)
    least = 30 + LETTER * len(column.name)  # with the arrow of its order
    wide = max(column.width, least)  # initial below: what a reader has drawn stays
    if sized:
        made |= {"initialFlex": wide, "minWidth": wide}
    elif column.width:
        made["initialWidth"] = wide
    else:
        made |= {"initialFlex": 1, "minWidth": max(76, least)}
    if column.format:
        made |= {
            "type": "rightAligned",
            "cellClass": "number",
            "valueFormatter": {"function": _shown(column)},
            "sortingOrder": ["desc", "asc", None],
        }
    else:
        made["tooltipField"] = column.field
    if column.shade:
        made["cellStyle"] = {"function": "shade(params.value)"}
    if link:
        made |= {"cellRenderer": "LakeLink", "cellClass": "link"}
    return made


def _shown(column: Column) -> str:
    if callable(column.format):
        return f"params.data['{column.field}{WRITTEN}']"
    return f"params.value == null ? '–' : d3.format('{column.format}')(params.value)"


def _row(row: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Any]:
    """What is sent of a row: its values, and what Python writes of them."""
    kept = {c.field for c in columns} | {"href"}
    texts = {
        f"{c.field}{WRITTEN}": c.format(row.get(c.field)) for c in columns if callable(c.format)
    }
    return {k: _cell(v) for k, v in row.items() if k in kept} | texts


def _cell(value: object) -> object:
    if isinstance(value, str):
        return clip(visible(value), LONGEST_CELL)
    if isinstance(value, list):
        return "  ".join(str(_cell(v)) for v in value[:20])
    return value
