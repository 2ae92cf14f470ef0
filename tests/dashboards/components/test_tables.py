"""Tables: what is sent of a row, and how its columns are shown."""

from __future__ import annotations

from typing import Any

import polars as pl
from dash.development.base_component import Component

from dashboards.components.tables import HEADER, ROW, UNIT, Column, table


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
    assert box.to_plotly_json()["props"]["style"]["height"] == height


def test_only_the_first_column_is_a_link_and_only_where_rows_have_one() -> None:
    columns = [Column("a", "A"), Column("b", "B")]
    linked = shown(table("t", [{"a": 1, "b": 2, "href": "/z"}], columns))["columnDefs"]
    assert [c.get("cellRenderer") for c in linked] == ["LakeLink", None]
    plain = shown(table("t", [{"a": 1, "b": 2}], columns))["columnDefs"]
    assert not any("cellRenderer" in c for c in plain)
