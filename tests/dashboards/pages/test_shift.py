"""The page SHIFT as a user meets it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from dagster_project.lake.store import Lake
from tests.browser import Visit, visiting
from tests.dashboards.conftest import serving
from tests.dashboards.lakes import HOSTILE
from tests.lake.frames import Row, put

BEFORE: Row = {"edit": "none", "accuracy": 0.625, "leakage": 0.875, "worst_group": 0.25}
AFTER: Row = {"edit": "by_hand", "n_nodes": 1, "accuracy": 1.0, "leakage": 0.5}
FEATURES: list[Row] = [
    {"site": "embed", "feature": 1, "rank": 0, "effect": -2.0, "abs_effect": 2.0},
    {"site": "resid_0", "feature": 7, "rank": 1, "effect": 0.5, "abs_effect": 0.5}
    | {"by_hand": True, "why": HOSTILE[0], "gender_correlation": 0.75},
]


@pytest.fixture
def edited(root: Lake, browser: Browser) -> Iterator[Visit]:
    """A browser on a study with two probes, and on one without."""
    rows = [row | {"probe": probe} for probe in ("p", "q") for row in (BEFORE, AFTER)]
    put(root, "shift", rows, study="s")
    put(root, "shift_features", [row | {"probe": "p"} for row in FEATURES], study="s")
    put(root, "dictionaries", [{"site": "embed"}], study="without")
    with serving(root) as url, visiting(browser, url, 1280, 800) as made:
        yield made
        assert made.errors == []


def test_before_and_after_stand_in_the_table_and_the_chart(edited: Visit) -> None:
    page = edited.open("/shift?study=s")
    cells = page.locator("#shift-edits .ag-center-cols-container")
    expect(cells.locator("[col-id=edit]")).to_have_text(
        ["the model as it is", "features chosen by hand"]
    )
    expect(cells.locator("[col-id=accuracy]")).to_have_text(["62.5%", "100.0%"])
    expect(cells.locator("[col-id=leakage]")).to_have_text(["87.5%", "50.0%"])
    expect(cells.locator("[col-id=worst_group]")).to_have_text(["25.0%", "0.0%"])
    chart = page.locator("#shift-chart .js-plotly-plot")
    expect(chart).to_be_visible()
    points = chart.evaluate("e => e.data.map(t => [t.xaxis, ...t.x])")
    assert points == [["x", 0.625, 1.0], ["x"], ["x2", 0.875, 0.5], ["x2"]]


def test_no_point_of_the_chart_lies_on_another(root: Lake, browser: Browser) -> None:
    """All edits alike, trained once and again: a row each."""
    edits = ("none", "by_hand", "by_rule", "random", "neurons", "oracle")
    alike: Row = {"probe": "p", "accuracy": 1.0, "leakage": 0.5}
    rows = [alike | {"edit": edit, "retrained": r} for edit in edits for r in (False, True)]
    put(root, "shift", rows, study="s")
    with serving(root) as url, visiting(browser, url, 1280, 800) as visit:
        chart = visit.open("/shift?study=s").locator("#shift-chart .js-plotly-plot")
        expect(chart).to_be_visible()
        places = chart.evaluate("e => e.data.map(t => t.y.map(y => `${t.xaxis} ${y}`)).flat()")
        assert len(places) == len(set(places)) == 24


def test_features_lead_to_their_pages_and_the_chosen_are_told_apart(edited: Visit) -> None:
    page = edited.open("/shift?study=s")
    cells = page.locator("#shift-features .ag-center-cols-container")
    expect(cells.locator("[col-id=name]")).to_have_text(["embed/1", "resid_0/7"])
    expect(cells.locator("[col-id=why]").nth(1)).to_have_text(HOSTILE[0])
    page.get_by_role("link", name="by hand", exact=True).click()
    expect(page).to_have_url(re.compile("chosen=by_hand"))
    expect(cells.locator("[col-id=name]")).to_have_text(["resid_0/7"])
    page.reload()
    expect(cells.locator("[col-id=chosen]")).to_have_text(["hand"])
    cells.get_by_role("link", name="resid_0/7").click()
    expect(page).to_have_url(re.compile(r"/feature\?study=s&site=resid_0&feature=7"))


def test_another_probe_is_chosen_by_the_address(edited: Visit) -> None:
    page = edited.open("/shift?study=s")
    page.get_by_role("link", name="q", exact=True).click()
    expect(page).to_have_url(re.compile("probe=q"))
    expect(page.locator("#shift-features .ag-center-cols-container [row-index]")).to_have_count(0)
    expect(page.locator(".options a.on").first).to_have_text("q")


def test_a_study_without_probes_says_which_asset_makes_them(edited: Visit) -> None:
    page = edited.open("/shift?study=without")
    expect(page.locator(".empty")).to_contain_text("without/shift")
    expect(page.locator(".empty")).to_contain_text("[shift]")
