"""The pages of circuits as a user meets them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from playwright.sync_api import Download, Page, expect

from dagster_project.lake.store import Lake
from tests.browser import Visit
from tests.dashboards.circuits import ORDER, fill_circuits, node, opened
from tests.dashboards.lakes import HOSTILE


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Studies `plain` and `hostile`, with circuits."""
    made = Lake(tmp_path_factory.mktemp("circuits") / "lake")
    fill_circuits(made)
    return fill_circuits(made, "hostile", HOSTILE)


def saved(page: Page, name: str) -> Download:
    with page.expect_download() as download:
        page.locator(".tools, .side").get_by_text(name, exact=True).first.click()
    return download.value


def test_from_the_table_to_a_graph(visit: Visit) -> None:
    page = visit.open("/circuits?study=plain")
    page.get_by_role("link", name="summed", exact=True).click()
    expect(page.get_by_role("link", name="order.ig.none")).to_have_count(0)
    page.get_by_role("link", name="all", exact=True).click()
    page.get_by_role("link", name="order.ig.none").click()
    expect(page).to_have_url(re.compile(r"/circuit\?.*circuit=order\.ig\.none"))
    expect(page.locator(".circuit .node")).to_have_count(5)  # four nodes and y
    expect(page.locator(".circuit .edges path")).to_have_count(5)
    expect(page.locator(".circuit .word")).to_have_text(["The", "·girl", "·was", "·happy"])
    expect(page.locator(".circuit .site")).to_have_text(["resid_0", "embed", "y"])
    page.go_back()
    expect(page.locator("h1")).to_have_text("Circuits")


def test_a_total_circuit_says_so_and_draws_edges_past_a_site(visit: Visit) -> None:
    page = opened(visit, "/circuit?study=plain&circuit=paths.ig.sum.total")
    expect(page.get_by_text("|effect| > 0.1 or |weight| > 0.25")).to_be_visible()
    expect(page.locator(".circuit-page .term").filter(has_text="total edges")).to_be_visible()
    expect(page.locator(".circuit .edges path")).to_have_count(3)
    node(page, "embed.3").click()
    expect(page.locator(".circuit .edges path")).to_have_count(2)  # to mlp_0, and past it to y


def test_a_click_picks_a_node_and_its_edges(visit: Visit) -> None:
    page = opened(visit)
    edges = page.locator(".circuit .edges path")
    node(page, "embed.3.1").click()
    expect(page).to_have_url(re.compile(r"node=embed\.3\.1"))
    expect(edges).to_have_count(2)
    detail = page.locator(".node-detail")
    expect(detail.locator("h2")).to_have_text("embed / 3 @ 1 ·girl – plural")
    expect(detail.locator(".facts")).to_contain_text("+2.000")
    expect(detail.locator(".facts")).to_contain_text("+1.500 to +2.500")
    expect(detail.locator(".facts")).to_contain_text("12.500%")
    expect(detail.locator(".raised")).to_have_text(["The", "·girl", "·was"])
    expect(detail.locator(".strip").first.locator(".marked")).to_have_text(" was")
    page.reload()
    expect(edges).to_have_count(2)
    expect(node(page, "embed.3.1")).to_have_class(re.compile("picked"))
    page.go_back()
    expect(edges).to_have_count(5)
    node(page, "resid_0.5.3").click()
    expect(page.locator(".node-detail .node-row .text")).to_have_text(
        ["embed / 3 @ 1 ·girl – plural", "embed / 4 @ 1 ·girl", "y, the metric"]
    )
    page.locator(".node-detail .node-row").nth(1).click()  # along an edge
    expect(page).to_have_url(re.compile(r"node=embed\.4\.1"))
    expect(page.locator(".empty")).to_contain_text("feature_examples")
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("node="))
    expect(edges).to_have_count(5)


def test_thresholds_are_in_the_address(visit: Visit) -> None:
    page = opened(visit)
    slider = page.locator(".threshold input").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".circuit .node")).to_have_count(4)  # 0.5 goes
    expect(page).to_have_url(re.compile(r"nodes=0\.509"))
    page.keyboard.press("End")
    expect(page.locator(".circuit .node")).to_have_count(2)
    expect(page.locator(".circuit .edges path")).to_have_count(1)
    page.reload()
    expect(page.locator(".circuit .node")).to_have_count(2)
    expect(page.locator(".threshold output").first).to_have_text("≥ 3")
    slider.focus()
    page.keyboard.press("Home")
    expect(page).not_to_have_url(re.compile("nodes="))
    edges = page.locator(".threshold input").last
    expect(edges).to_be_enabled()  # where a single edge is drawn it has nothing to choose
    edges.focus()
    page.keyboard.press("End")
    expect(page).to_have_url(re.compile("edges=3"))
    expect(page.locator(".circuit .edges path")).to_have_count(1)


def test_a_slider_is_undone_at_one_step_back(visit: Visit) -> None:
    page = opened(visit)
    nodes, edges = (page.locator(".threshold input").nth(place) for place in (0, 1))
    nodes.focus()
    for address in (r"nodes=0\.509", r"nodes=0\.518", r"nodes=0\.528"):  # 0.5 · 6^(1/100), …
        page.keyboard.press("ArrowRight")
        expect(page).to_have_url(re.compile(address))
    edges.focus()
    page.keyboard.press("End")
    expect(page).to_have_url(re.compile(r"nodes=0\.528&edges=3"))
    page.go_back()
    expect(page).to_have_url(re.compile(r"nodes=0\.528$"))
    expect(edges).to_have_value("0")
    page.keyboard.press("End")  # again, and not in place of what it was gone back to
    expect(page).to_have_url(re.compile("edges=3"))
    page.go_back()
    expect(page).to_have_url(re.compile(r"nodes=0\.528$"))
    page.go_back()
    expect(page).to_have_url(re.compile(r"order\.ig\.none$"))
    expect(page.locator(".circuit .node")).to_have_count(5)
    expect(nodes).to_have_value("0")
    box = nodes.bounding_box() or {}
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"], box["y"] + 5, steps=5)
    page.mouse.up()
    expect(page).to_have_url(re.compile("nodes=3"))
    page.go_back()
    expect(page).to_have_url(re.compile(r"order\.ig\.none$"))


def test_going_back_undoes_what_the_server_has_not_answered_to(visit: Visit) -> None:
    page = opened(visit)
    asked = "**/_dash-update-component*"
    page.route(asked, lambda route: route.fulfill(status=204))  # nothing to be shown
    edges = page.locator(".threshold input").last
    edges.focus()
    page.keyboard.press("End")
    expect(page.locator(".circuit .edges path")).to_have_count(1)
    page.go_back()
    expect(edges).to_have_value("0")
    expect(page.locator(".circuit .edges path")).to_have_count(5)
    page.unroute(asked)


def test_pinned_nodes_become_a_group_that_is_saved_and_loaded(visit: Visit, tmp_path: Path) -> None:
    page = opened(visit)
    node(page, "embed.3.1").click(modifiers=["Shift"])
    expect(page).to_have_url(re.compile("pinned=embed"))
    expect(page.locator(".grouping")).to_be_hidden()
    node(page, "embed.4.1").click(modifiers=["Shift"])
    expect(page.locator(".circuit .edges path")).to_have_count(3)
    page.get_by_label("Name of the group").fill("the ~subjects*")
    page.keyboard.press("Enter")
    box = node(page, "group.0")
    expect(box).to_have_text("the  subjects")
    expect(page.locator(".circuit .node")).to_have_count(4)
    expect(page).not_to_have_url(re.compile("pinned="))
    box.click()
    expect(page.locator(".node-detail h2")).to_have_text("the  subjects")
    down = page.locator(".node-detail .node-row").nth(2)
    expect(down.locator(".value")).to_have_text("+1.00")  # 1.5 − 0.5 into resid_0.5.3
    page.reload()
    expect(box).to_have_class(re.compile("picked"))
    file = saved(page, "JSON")
    page.get_by_role("link", name="Open", exact=True).click()
    expect(page.locator(".circuit .node")).to_have_count(5)
    expect(page.locator(".circuit .outline")).to_have_count(1)
    groups = page.locator(".side").get_by_text("JSON", exact=True)
    with page.expect_download() as download:
        groups.click()
    kept = tmp_path / "groups.json"
    download.value.save_as(kept)
    members = ["embed.3.1", "embed.4.1"]
    assert json.loads(kept.read_text())["groups"] == [{"name": "the  subjects", "nodes": members}]
    supernodes = json.loads(Path(file.path()).read_text())["qParams"]["supernodes"]
    assert supernodes == [["the  subjects", "0_3_1", "0_4_1"]]
    page.get_by_role("link", name="ungroup", exact=True).click()
    expect(page.locator(".groups")).to_have_count(0)
    page.locator(".grouploader input").set_input_files(kept)
    expect(page.locator(".groups li")).to_contain_text("2 nodes · +1.50")
    (tmp_path / "other.json").write_text('{"groups": 3}')
    page.locator(".grouploader input").set_input_files(tmp_path / "other.json")
    expect(page.locator(".grouploader p")).to_contain_text("These are no groups")


def test_pictures_and_files(visit: Visit) -> None:
    page = opened(visit, f"{ORDER}&nodes=1")
    assert {saved(page, kind).suggested_filename for kind in ("SVG", "PNG", "JSON", "DOT")} == {
        f"circuit-order.ig.none.{kind}" for kind in ("svg", "png", "json", "dot")
    }
    svg = ET.parse(saved(page, "SVG").path()).getroot()
    texts = [text.text or "" for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "order.ig.none" in texts
    assert texts[-3].startswith("Blue supports the answer")
    assert texts[-1].startswith("Pale and dashed")
    assert len(svg.findall(".//{*}path")) == 4 + 3  # edges; y and the triangle, with a halo
    assert not svg.findall(".//{*}*[@class]")
    png = Path(saved(page, "PNG").path()).read_bytes()
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20]) > 1000  # px wide
    made = json.loads(Path(saved(page, "JSON").path()).read_text())
    names = ["resid_0/5@3", "embed/3@1", "resid_0/error@3", "y"]
    assert [row["name"] for row in made["nodes"]] == names
    dot = Path(saved(page, "DOT").path()).read_text()
    assert dot.count("->") == 4


@pytest.mark.parametrize("by", ["choice", "step"])
def test_another_circuit_starts_anew(visit: Visit, by: str) -> None:
    page = opened(visit, f"{ORDER}&nodes=1&edges=1&node=y&pinned=y&groups=a~embed.3.1&open=1")
    if by == "choice":
        page.locator(".field.choice", has_text="Circuit").locator(".dash-dropdown").click()
        page.get_by_role("option", name="copy.ig.sum").click()
    else:
        page.get_by_role("link", name="← Previous").click()
    expect(page).to_have_url(re.compile(r"circuit=copy\.ig\.sum"))
    expect(page).not_to_have_url(re.compile("(nodes|edges|node|pinned|groups)="))
    expect(page).to_have_url(re.compile("open=1"))
    expect(page.locator(".circuit .node")).to_have_count(3)
    expect(page.locator(".notes")).to_have_count(0)


def test_two_circuits_stand_side_by_side(visit: Visit) -> None:
    page = opened(visit)
    page.locator(".field.choice", has_text="Beside").locator(".dash-dropdown").click()
    page.get_by_role("option", name="copy.ig.sum").click()
    expect(page).to_have_url(re.compile(r"other=copy\.ig\.sum"))
    graphs = page.locator(".circuit")
    expect(graphs).to_have_count(2)
    expect(graphs.nth(1).locator(".node")).to_have_count(3)
    one, two = (graphs.nth(place).bounding_box() or {} for place in (0, 1))
    assert one["x"] + one["width"] <= two["x"]
    assert one["y"] == two["y"]
    expect(page.get_by_text("1 features and error nodes in both, of 5 in either")).to_be_visible()
    aside = page.locator(".pair .aside")
    expect(aside).to_have_text("rank correlation of the features in both –")  # a rank needs two
    node(page, "mlp_0.9").click()
    expect(page.locator(".node-detail h2")).to_have_text("mlp_0 / 9")
    page.locator(".field.choice", has_text="Beside").locator(".dash-dropdown").click()
    page.get_by_role("option", name="–").click()
    expect(graphs).to_have_count(1)


def test_no_circuit_stands_beside_itself(visit: Visit) -> None:
    page = opened(visit, f"{ORDER}&other=copy.ig.sum")
    place = page.locator(".stepper .place")
    expect(place).to_have_text("3 of 4")
    page.get_by_role("link", name="← Previous").click()  # over the one beside it
    expect(page).to_have_url(re.compile(r"circuit=bracket\.ig\.sum&other=copy\.ig\.sum"))
    page.go_back()
    expect(place).to_have_text("3 of 4")  # drawn again: a menu opened before would be closed
    page.locator(".field.choice", has_text="Circuit").locator(".dash-dropdown").click()
    page.get_by_role("option", name="copy.ig.sum").click()
    expect(page.locator(".graphs h2")).to_have_text(["copy.ig.sum"])
    expect(place).to_have_text("3 of 5")
    expect(page.locator(".notes")).to_have_count(0)


def test_two_circuits_are_compared_in_a_table(visit: Visit) -> None:
    page = opened(visit, f"{ORDER}&other=copy.ig.sum")
    rows = page.locator("#circuit-pair .ag-center-cols-container .ag-row")
    cells = ["mlp_0", "–", "+4.000", "–", "+80.00%", "−80.00%"]  # of 5 in all; first less second
    expect(rows).to_have_count(5)
    assert rows.first.locator(".ag-cell").all_inner_texts()[1:7] == cells
    find = page.get_by_label("Find")
    find.fill("embed / PLURAL")
    find.press("Enter")
    expect(page).to_have_url(re.compile("find=embed"))
    expect(rows).to_have_count(1)
    expect(page.get_by_text("of 5 in either")).to_be_visible()
    rows.get_by_role("link", name="3", exact=True).click()
    expect(page).to_have_url(re.compile(r"/feature\?study=plain&site=embed&feature=3"))
    page.go_back()
    expect(rows).to_have_count(1)  # as it was left
    find.fill("error")
    find.press("Enter")
    expect(rows).to_contain_text(["resid_0"])
    expect(rows.get_by_role("link")).to_have_count(0)


def test_what_an_address_gets_wrong_is_said(visit: Visit) -> None:
    wrong = "other=lost&node=embed.9&pinned=a~b~embed.3.1&groups=*~*x~&nodes=-1"
    page = opened(visit, f"{ORDER}&{wrong}")
    notes = page.locator(".notes li")
    expect(notes).to_have_count(2)
    expect(notes.nth(0)).to_contain_text("“lost” is not in the lake")
    expect(notes.nth(1)).to_contain_text("does not have: 3.")
    expect(node(page, "embed.3.1")).to_have_class(re.compile("pinned"))


def test_a_circuit_without_nodes_says_so_and_can_be_left(visit: Visit) -> None:
    page = visit.open("/circuit?study=plain&circuit=agreement.ig.sum")
    expect(page.locator(".empty")).to_contain_text("agreement.ig.sum has no nodes.")
    page.locator(".field.choice", has_text="Circuit").locator(".dash-dropdown").click()
    page.get_by_role("option", name="order.ig.none").click()
    expect(page.locator(".circuit .node")).to_have_count(5)


def test_hostile_text_is_only_text(visit: Visit) -> None:
    page = visit.open("/circuits?study=hostile")
    page.get_by_role("link", name="order ").click()
    expect(page.locator(".circuit .node")).to_have_count(5)
    node(page, "embed.3.1").click()
    detail = page.locator(".node-detail")
    expect(detail.locator("h2")).to_contain_text(HOSTILE[0])
    expect(detail.locator(".raised").first).to_have_text(HOSTILE[0])
    node(page, "embed.3.1").hover()
    expect(page.locator("#tip")).to_contain_text(HOSTILE[0])
    page.goto(f"{page.url}&groups={'%3Cimg%20src=x%20onerror=alert(1)%3E'}~embed.3.1")
    expect(node(page, "group.0")).to_contain_text("<img src=x")
    svg = ET.parse(saved(page, "SVG").path()).getroot()
    assert {element.tag.rpartition("}")[2] for element in svg.iter()} <= {
        *("svg", "g", "path", "rect", "line", "circle", "text")
    }
    expect(page).to_have_title(re.compile("^Circuit ·"))
    assert page.locator("img").count() == 0
