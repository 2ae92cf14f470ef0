"""Tables: columns with aligned numbers and units, sorted and filtered in the browser.

AG Grid in the dashboard's colours, which are CSS variables, so light and dark need nothing here.
Cells are text to it; a row's `href` makes its first column a link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import dash_ag_grid as dag
import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.glossary import explains
from dashboards.text import clip, visible

ROW, HEADER, UNIT = 27, 32, 12  # px of a row, of the names of columns, of units below them
MOST_ROWS = 16  # in sight
LETTER = 7  # px of a header's letter
LONGEST_CELL = 300  # characters
THEME = (
    "themeQuartz.withParams({fontFamily: 'inherit', fontSize: '13px', headerFontSize: '12px', "
    "headerFontWeight: 500, spacing: '4px', wrapperBorder: false, wrapperBorderRadius: '0px', "
    f"rowHeight: '{ROW}px', headerHeight: '{HEADER}px', cellHorizontalPadding: '10px', "
    "backgroundColor: 'var(--surface)', foregroundColor: 'var(--text)', "
    "headerBackgroundColor: 'var(--surface)', headerTextColor: 'var(--text-2)', "
    "borderColor: 'var(--rule)', accentColor: 'var(--accent)', "
    "rowHoverColor: 'var(--hover)', selectedRowBackgroundColor: 'var(--picked)', "
    "chromeBackgroundColor: 'var(--surface)', browserColorScheme: 'inherit'})"
)


class Column(NamedTuple):
    """A column of a table."""

    field: str
    name: str
    format: str = ""  # d3-format, for numbers: ",d", ".3f", ".1%"; empty: text
    unit: str = ""
    term: str = ""  # of the glossary
    width: int = 0  # px; 0: a share of what is left
    shade: bool = False  # the ground says how near to 1 the value is


def table(
    name: str,
    rows: pl.DataFrame | Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    *,
    most_rows: int = MOST_ROWS,
    **grid: Any,
) -> Component:
    """A table as high as its rows, up to most_rows, then scrolled. grid: AG Grid's options."""
    data = rows.to_dicts() if isinstance(rows, pl.DataFrame) else list(rows)
    linked = any("href" in row for row in data)
    definitions = [_column(c, link=linked and c is columns[0]) for c in columns]
    header = HEADER + UNIT * any(c.unit for c in columns)
    kept = {c.field for c in columns} | {"href"}
    grid_itself = dag.AgGrid(
        id=name,
        rowData=[{k: _cell(v) for k, v in row.items() if k in kept} for row in data],
        columnDefs=definitions,
        defaultColDef={"sortable": True, "resizable": True, "suppressMovable": True},
        dashGridOptions={
            "theme": {"function": THEME},
            "animateRows": False,
            "enableCellTextSelection": True,
            "ensureDomOrder": True,
            "tooltipShowDelay": 200,
            "headerHeight": header,
            **grid,
        },
        className="grid",
        style={"height": "100%"},
    )
    height = header + ROW * max(1, min(len(data), most_rows)) + 4
    return html.Div(grid_itself, style={"height": f"{height}px"})  # before the grid has loaded too


def _column(column: Column, *, link: bool) -> dict[str, Any]:
    unit = f"\n[{column.unit}]" if column.unit else ""
    made: dict[str, Any] = {"field": column.field, "headerName": column.name + unit}
    if column.term:
        made["headerTooltip"] = explains(column.term)
    if column.width:
        made["width"] = column.width
    else:
        made |= {"flex": 1, "minWidth": max(76, 30 + LETTER * len(column.name))}
    if column.format:
        shown = f"params.value == null ? '–' : d3.format('{column.format}')(params.value)"
        made |= {
            "type": "rightAligned",
            "cellClass": "number",
            "valueFormatter": {"function": shown},
            "sortingOrder": ["desc", "asc", None],
        }
    else:
        made["tooltipField"] = column.field
    if column.shade:
        made["cellStyle"] = {"function": "shade(params.value)"}
    if link:
        made |= {"cellRenderer": "LakeLink", "cellClass": "link"}
    return made


def _cell(value: object) -> object:
    if isinstance(value, str):
        return clip(visible(value), LONGEST_CELL)
    if isinstance(value, list):
        return "  ".join(str(_cell(v)) for v in value[:20])
    return value
