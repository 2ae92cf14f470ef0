"""The graph of a circuit and the lists of its nodes, as the browser draws them."""

from __future__ import annotations

import json
import re
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import expect

from dagster_project.lake.store import Lake
from dashboards import graph
from dashboards.components.circuits import MOST_DRAWN, bar
from tests.browser import Visit
from tests.dashboards.circuits import ORDER, fill_circuits, node, opened


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A study with circuits."""
    return fill_circuits(Lake(tmp_path_factory.mktemp("circuits") / "lake"))


def test_rows_columns_signs_and_shapes(visit: Visit) -> None:
    page = opened(visit)
    three, five, metric = (
        node(page, name).bounding_box() or {} for name in ("embed.3.1", "resid_0.5.3", "y")
    )
    assert metric["y"] < five["y"] < three["y"]  # upwards, as the pass goes
    assert three["x"] < five["x"]  # position 1, position 3
    shape = node(page, "resid_0.error.3").locator("path")
    assert shape.get_attribute("fill") == "#d4572b"  # negative, a triangle
    assert (node(page, "resid_0.5.3").locator("circle").last.get_attribute("fill")) == "#2f7fd6"


def test_what_the_patch_alone_has_is_told_apart(visit: Visit) -> None:
    """Of one node in half of the examples, of another in a quarter."""
    page = opened(visit)
    assert page.locator(".node:has(.alone)").count() == 1
    mark = node(page, "embed.3.1").locator(".alone")
    assert mark.evaluate("e => getComputedStyle(e).strokeDasharray") not in ("none", "")
    said = "on in the patch alone in 50% of the examples"
    assert said in (node(page, "embed.3.1").get_attribute("data-tip") or "")
    assert "patch" not in (node(page, "resid_0.5.3").get_attribute("data-tip") or "")
    expect(page.locator(".node-row:has(.alone)")).to_have_count(1)
    row = page.locator(".node-row[data-node='embed.3.1']")
    expect(row.get_by_role("img", name="in the patch alone")).to_be_visible()
    assert said in (row.get_attribute("data-tip") or "")
    legend = page.locator(".circuit-page .main > p.quiet")
    expect(legend).to_contain_text("Pale and dashed: on in the patch alone")
    opened(visit, "/circuit?study=plain&circuit=copy.ig.sum")
    expect(legend).to_contain_text("Triangle")
    expect(legend).not_to_contain_text("dashed")


def test_arrow_keys_go_from_node_to_node(visit: Visit) -> None:
    page = opened(visit)
    node(page, "embed.3.1").focus()
    page.keyboard.press("ArrowRight")
    expect(node(page, "embed.4.1")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(node(page, "resid_0.5.3")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(node(page, "y")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(node(page, "y")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("node=y"))
    expect(node(page, "y")).to_be_focused()
    expect(page.locator(".circuit .edges path")).to_have_count(2)
    page.locator("h1").click()
    page.keyboard.press("ArrowLeft")  # outside the graph: to the circuit before
    expect(page).to_have_url(re.compile(r"circuit=copy\.ig\.sum"))


def test_hovering_rings_a_node_wherever_it_is(visit: Visit) -> None:
    page = opened(visit)
    row = page.locator(".node-row[data-node='embed.3.1']")
    row.hover()
    expect(node(page, "embed.3.1")).to_have_class(re.compile("ring"))
    expect(node(page, "resid_0.5.3")).to_have_class(re.compile("near"))
    expect(node(page, "embed.4.1")).not_to_have_class(re.compile("near|ring"))
    page.locator("h1").hover()
    expect(page.locator(".ring")).to_have_count(0)
    node(page, "embed.3.1").hover()
    expect(row).to_have_class(re.compile("ring"))
    expect(page.locator("#tip")).to_contain_text("effect +2")


def test_columns_are_as_wide_as_their_most_crowded_cell(visit: Visit) -> None:
    """400 px for a token of 3 letters, 30 nodes in a cell, and one in another.

    On one line 30 nodes take 12 + 30 · 18, on two 12 + 15 · 18 = 282; the token 6 + 3 · 6.8, the
    one node 12 + 18. What is left goes to all three alike.
    """
    page = opened(visit)
    node = {"effect": 1, "row": 0, "name": ""}
    graph: dict[str, Any] = {
        "rows": [{}],
        "columns": [{"text": text} for text in ("the", "bb", "a")],
        "nodes": [{**node, "column": 1}] * 30 + [{**node, "column": 2}],
        "edges": [],
    }
    view = {"nodes": 0, "edges": 0, "groups": [], "open": False}
    made = page.evaluate("([g, v]) => lake.layout(g, v, 466)", [graph, view])
    scale = 400 / (26.4 + 282 + 30)
    widths = [26.4 * scale, 282 * scale, 30 * scale]
    assert [column["width"] for column in made["columns"]] == pytest.approx(widths)
    assert [column["text"] for column in made["columns"]] == ["the", "bb", "a"]
    assert len({item["y"] for item in made["items"]}) == 2


def test_tokens_without_room_are_slanted(visit: Visit) -> None:
    """400 px for 20 tokens of 13 letters, and as above 30 nodes in a cell, and one in another.

    Slanted the tokens take 15 each, and leave 100: for the one node 12 + 18, for the others
    12 + 3 · 18, on 10 lines.
    """
    page = opened(visit)
    node = {"effect": 1, "row": 0, "name": "", "tip": ""}
    graph = {
        "rows": [{"text": "embed", "colour": "#555555"}],
        "columns": [{"text": "<|endoftext|>", "tip": "in every prompt"}] * 20
        + [{"text": text, "tip": ""} for text in ("bb", "internationally")],
        "nodes": [{**node, "column": 20}] * 30 + [{**node, "column": 21}],
        "edges": [],
        "colours": {},
        "total": {"nodes": 31, "edges": 0},
    }
    view = {"nodes": 0, "edges": 0, "groups": [], "pinned": [], "node": "", "open": False}
    columns = page.evaluate("([g, v]) => lake.layout(g, v, 466).columns", [graph, view])
    scale = 400 / (20 * 15 + 66 + 30)
    widths = [size * scale for size in [15] * 20 + [66, 30]]
    assert [column["width"] for column in columns] == pytest.approx(widths)
    page.evaluate(
        """([graph, view]) => {
            const element = document.createElement("div");
            Object.assign(element, { className: "circuit", id: "slanted" });
            element.style.width = "466px";
            document.querySelector(".circuit").before(element);
            lake.kinds.circuit(element, { graph, view });
        }""",
        [graph, view],
    )
    words = page.locator("#slanted .word")
    expect(words).to_have_text([*["<|endoftext|>"] * 20, "bb", "international…"])
    frame = page.locator("#slanted svg").bounding_box() or {}
    for word in words.all():
        box = word.bounding_box() or {}
        assert box["height"] > box["width"] * 0.8
        assert box["x"] >= frame["x"]
        assert box["y"] + box["height"] <= frame["y"] + frame["height"]
    words.first.hover()
    expect(page.locator("#tip")).to_have_text("in every prompt")


def test_a_list_of_nodes_ends_with_a_whole_row(visit: Visit) -> None:
    page = opened(visit)
    row = page.locator(".node-row").first.evaluate("e => e.getBoundingClientRect().height")
    most = page.locator(".nodelist").first.evaluate(
        "e => parseFloat(getComputedStyle(e).maxHeight)"
    )
    assert most % row == 0


def test_a_feature_is_ringed_at_whatever_position_the_other_circuit_has_it(visit: Visit) -> None:
    page = opened(visit, f"{ORDER}&other=copy.ig.sum")
    node(page, "embed.3.1").hover()
    expect(node(page, "embed.3.1")).to_have_class(re.compile("ring"))
    expect(node(page, "embed.3")).to_have_class(re.compile("kin"))
    expect(node(page, "mlp_0.9")).to_have_class(re.compile("near"))
    expect(node(page, "embed.4.1")).not_to_have_class(re.compile("near|ring|kin"))
    assert page.locator(".node:has(.common)").count() == 2  # hollow: the same two
    node(page, "mlp_0.9").hover()
    expect(page.locator(".circuit .kin")).to_have_count(0)


def test_the_slider_of_edges_begins_where_edges_are_drawn() -> None:
    """Edges of weights 1, 2, …, all from a node of effect 1 but the strongest two."""
    strongest = MOST_DRAWN + 100
    weights = [float(w) for w in range(strongest, 0, -1)]
    edges = pl.DataFrame({"weight": weights, "down": "y"})
    edges = edges.with_columns(up=pl.when(pl.col("weight") > strongest - 2).then(pl.lit("b")))
    edges = edges.with_columns(pl.col("up").fill_null("a"))
    nodes = pl.DataFrame({"node": ["b", "a"], "effect": [2.0, -1.0], "patch_only": 0.0})
    circuit = graph.Circuit({"circuit": "c"}, nodes, edges, pl.DataFrame())

    def told(least: float | None, *, held: bool = False) -> dict[str, Any]:
        made = bar([circuit], least, None, held=held).to_plotly_json()["props"]
        found: dict[str, Any] = json.loads(made["data-with"])["edges"]
        return found

    drawn = told(None)
    assert drawn["all"] == f"strongest {MOST_DRAWN:,} of {strongest:,}"
    assert (drawn["low"], drawn["high"]) == (101.0, strongest)
    assert told(None, held=True)["all"] == "all"
    few = told(1.5)  # the node a is left out, and its edges
    assert few["all"] == "all"
    assert (few["low"], few["high"]) == (strongest - 1, strongest)
