"""Tables: what is sent of a row, and how its columns are shown."""

from __future__ import annotations

from typing import Any

import polars as pl
from dash import html
from dash.development.base_component import Component

from dagster_project.lake.store import Lake
from dashboards.components.tables import HEADER, ROW, UNIT, Column, table
from dashboards.data import Data
from dashboards.numbers import nats
from dashboards.page import Page, PageState, Visit
from dashboards.state import parse


def shown(component: Component) -> dict[str, Any]:
    """What is sent of a component."""
    inside: Component = component.to_plotly_json()["props"]["children"]  # of a box as high
    properties: dict[str, Any] = inside.to_plotly_json()["props"]
    return properties


def test_rows_are_clipped_made_visible_and_sent_without_what_is_not_shown() -> None:
    rows = [{"a": "x\u202e" + "y" * 9_000, "b": 1.5, "secret": 1, "l": ["p\n", "q"], "href": "/z"}]
    columns = [Column("a", "A"), Column("b", "B", ".1f", "nats"), Column("l", "L")]
    (row,) = shown(table("t", rows, columns))["rowData"]
    assert row["a"].startswith("x⟨202E⟩y")
    assert len(row["a"]) < 400
    assert row["l"] == "p↵  q"
    assert set(row) == {"a", "b", "l", "href"}


def test_numbers_stand_right_with_their_unit_below_the_name() -> None:
    rows = pl.DataFrame({"a": ["x"] * 40, "b": [1.0] * 40})
    columns = [Column("a", "A"), Column("b", "B", ".1f", "nats", term="loss")]
    box = table("t", rows, columns)
    text, number = shown(box)["columnDefs"]
    assert "type" not in text
    assert number["type"] == "rightAligned"
    assert number["headerName"] == "B\n[nats]"
    assert number["headerTooltip"].startswith("−log p")
    height = f"{HEADER + UNIT + 16 * ROW + 4}px"
    assert box.to_plotly_json()["props"]["style"]["minHeight"] == height


def visit_of(root: Lake, query: str) -> Visit[PageState]:
    state, _ = parse(PageState, query)
    return Visit(Page("p", "P", "?", PageState, lambda _: html.Div()), state, Data(root))


def test_a_table_is_sorted_as_the_address_says(root: Lake) -> None:
    columns = [Column("a", "A"), Column("b", "B", ".1f"), Column("c", "C", ".1f")]
    visit = visit_of(root, "sort=t.c.desc,other.a.asc,t.a.asc")
    made = shown(table("t", [], columns, visit=visit))
    orders = [(d.get("initialSort"), d.get("initialSortIndex")) for d in made["columnDefs"]]
    assert orders == [("asc", 1), (None, None), ("desc", 0)]
    assert made["eventListeners"] == {"sortChanged": ["sorted(params, 't')"]}
    assert visit.notes == []


def test_a_column_that_the_table_lacks_is_noted(root: Lake) -> None:
    visit = visit_of(root, "sort=t.%E2%80%AEz.desc")
    (column,) = shown(table("t", [], [Column("a", "A")], visit=visit))["columnDefs"]
    assert "initialSort" not in column
    assert visit.notes == ["The table has no column “⟨202E⟩z” to be sorted by."]


def test_numbers_that_python_writes_are_sent_with_their_values() -> None:
    columns = [Column("a", "A", nats, "nats")]
    made = shown(table("t", [{"a": 0.00123}, {"a": None}], columns))
    assert made["rowData"] == [
        {"a": 0.00123, "a written": "0.0012"},
        {"a": None, "a written": "–"},
    ]
    assert made["columnDefs"][0]["valueFormatter"] == {"function": "params.data['a written']"}


def test_only_the_first_column_is_a_link_and_only_where_rows_have_one() -> None:
    columns = [Column("a", "A"), Column("b", "B")]
    linked = shown(table("t", [{"a": 1, "b": 2, "href": "/z"}], columns))["columnDefs"]
    assert [c.get("cellRenderer") for c in linked] == ["LakeLink", None]
    plain = shown(table("t", [{"a": 1, "b": 2}], columns))["columnDefs"]
    assert not any("cellRenderer" in c for c in plain)
