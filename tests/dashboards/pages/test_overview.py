"""The page Overview as a user walks it."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Browser, expect

from dagster_project.lake.store import Lake
from dashboards.data import Data
from dashboards.flow import LANES
from dashboards.pages.overview import _state, ago
from tests.browser import Visit, visiting
from tests.dashboards.conftest import serving
from tests.dashboards.lakes import fill
from tests.lake.frames import put

ASSETS = {asset.name: asset for lane in LANES.values() for asset in lane}


@pytest.mark.parametrize(
    ("passed", "said"),
    [(5, "just now"), (90, "1 min ago"), (7_300, "2 h ago"), (400_000, "4 d ago")],
)
def test_ages(passed: float, said: str) -> None:
    assert ago(time.time() - passed) == said


def test_the_state_of_an_asset_is_what_its_tables_lack(root: Lake) -> None:
    fill(root, "s")
    put(root, "documents", [{"doc_id": 1_000_000}], study="s", shard="00001")
    root.file("losses", study="s", shard="00000").write_bytes(b"")
    held = Data(root).holdings("s")
    assert _state(ASSETS["documents"], held)[:2] == ("made", "2 shards · 2 checks passed")
    assert _state(ASSETS["tokens"], held)[:2] == ("partial", "lacks 00001")
    assert _state(ASSETS["losses"], held)[:2] == ("broken", "unreadable: 00000")
    assert _state(ASSETS["features"], held)[:2] == ("missing", "not made yet")
    asked = ("missing", "where a study asks for it")
    assert _state(ASSETS["context_gradients"], held)[:2] == asked
    assert _state(ASSETS["dictionary_quality"], held)[:2] == ("made", "4 checks passed")
    assert _state(ASSETS["faithfulness"], held)[:2] == ("made", "2 tasks · 3 checks passed")


def test_from_the_picture_to_a_page(visit: Visit) -> None:
    page = visit.open("/?study=plain")
    expect(page.locator(".box.missing")).not_to_have_count(0)
    page.locator(".box", has_text="losses").locator("a").click()
    expect(page).to_have_url(re.compile(r"/losses\?study=plain"))
    page.go_back()
    box = page.locator(".box", has_text="clusterings").first
    box.hover()
    expect(page.locator("#tip")).to_contain_text("plain/clusterings, from context_features")
    page.locator(".box", has_text="losses").first.hover()
    expect(page.locator("#tip")).to_contain_text("✓ ")


def test_the_picture_keeps_the_focus_when_it_is_drawn_anew(visit: Visit) -> None:
    page = visit.open("/?study=plain")
    link = page.locator(".box", has_text="losses").locator("a")
    for focused in (link, page.locator(".box[tabindex]").first):
        focused.focus()
        page.locator(".flow").evaluate(
            "e => { const { lanes } = JSON.parse(e.dataset.with);"
            " e.dataset.with = JSON.stringify({ lanes, again: performance.now() }); }"
        )
        expect(page.locator(".flow :focus")).to_have_count(1)
        expect(focused).to_be_focused()


def test_from_study_to_study(visit: Visit) -> None:
    page = visit.open("/?study=plain")
    page.locator("#studies").get_by_role("link", name="hostile").click()
    expect(page.get_by_text("How hostile was made")).to_be_visible()


def test_an_empty_lake_says_how_to_fill_it(empty_lake: Lake, browser: Browser) -> None:
    from dashboards.pages import PAGES

    with serving(empty_lake) as url, visiting(browser, url) as visit:
        for shown in PAGES:
            page = visit.open(f"/{shown.name}")
            expect(page.get_by_text("The lake is empty.")).to_be_visible()
            expect(page.get_by_text("make demo")).to_be_visible()
            own = page.locator(".empty pre").last
            expect(own).to_contain_text("export CIRCUIT_LAKE_STUDIES=~/studies")
            expect(own).to_contain_text("python -m dagster_project.run mine --root ")
        assert visit.errors == []
        assert visit.foreign == []


def test_a_page_without_its_tables_names_asset_and_command(root: Lake, browser: Browser) -> None:
    put(root, "documents", [{"doc_id": 1}], study="young", shard="00000")
    with serving(root) as url, visiting(browser, url) as visit:
        for name, asset in (
            ("losses", "losses"),
            ("faithfulness", "faithfulness"),
            ("dictionaries", "dictionary_quality"),
        ):
            page = visit.open(f"/{name}")
            expect(page.get_by_text(f"young/{asset}", exact=True)).to_be_visible()
            command = f"python -m dagster_project.run young --only {asset}"
            expect(page.get_by_text(command)).to_be_visible()
        assert visit.errors == []


def test_of_a_page_half_filled_the_table_that_is_missing_is_named(
    root: Lake, browser: Browser
) -> None:
    of = {"study": "young", "clustering": "one"}
    put(root, "clusterings", [{"n_clusters": 1}], **of)
    circuit = {"study": "young", "task": "t"}
    put(root, "circuits", [{"circuit": "c", "aggregation": "sum", "n_edges": 3}], **circuit)
    put(root, "circuit_nodes", [{"circuit": "c", "effect": 1.0}], **circuit)
    with serving(root) as url, visiting(browser, url) as visit:
        page = visit.open("/clusters")
        expect(page.locator(".empty")).to_contain_text("The table clusters has no rows.")
        page = visit.open("/circuit")
        expect(page.locator(".notes")).to_contain_text("The table circuit_edges has no rows of c")
        expect(page.locator(".notes")).to_contain_text("young/circuits")
        assert visit.errors == []
