"""The pages of features as a user meets them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from dagster_project.lake.label_log import current
from dagster_project.lake.store import Lake
from tests.browser import Visit, visiting
from tests.dashboards.conftest import serving
from tests.dashboards.features import FEATURES, fill_features
from tests.dashboards.lakes import HOSTILE, fill

THREE = "/feature?study=plain&site=embed&feature=3"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Studies `plain` and `hostile` with features, `bare` without."""
    made = Lake(tmp_path_factory.mktemp("features") / "lake")
    fill_features(made)
    fill(made, "bare")
    return fill_features(made, "hostile", HOSTILE)


@pytest.fixture(scope="module")
def visit(lake: Lake, browser: Browser) -> Iterator[Visit]:
    """A browser on a dashboard that takes labels."""
    with serving(lake, labels=True) as url, visiting(browser, url, 1280, 800) as made:
        yield made


def test_from_the_table_to_a_feature_and_back(visit: Visit) -> None:
    page = visit.open("/features?study=plain")
    first = page.locator(".features .listing tbody a").first
    expect(first).to_have_text("embed/3")  # in a circuit
    expect(page.locator(".features .listing .spark")).to_have_count(1)
    expect(page.locator(".panel h2").first).to_have_text(
        f"{len(FEATURES)} of {len(FEATURES)} features"
    )
    page.get_by_role("link", name="largest").click()
    expect(page.locator("th[aria-sort]")).to_contain_text("largest")
    expect(first).to_have_text("embed/3")
    expect(page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("link", name="largest").press("Enter")  # which has kept the focus
    expect(page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "ascending")
    expect(first).to_have_text("embed/7")
    page.get_by_role("link", name="feature", exact=True).click()
    expect(first).to_have_text("embed/3")
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".stepper .place")).to_have_text("51–63")
    rows = page.locator(".features .listing tbody td:first-child")
    expect(rows.last).to_have_text("resid_0/59")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".stepper .place")).to_have_text("1–50")
    field = page.get_by_label("Search")
    field.fill("girl")
    field.press("Enter")
    expect(page.locator(".features .listing tbody tr")).to_have_count(1)
    page.reload()
    expect(field).to_have_value("girl")
    first.click()
    expect(page).to_have_url(re.compile(r"/feature\?study=plain&site=embed&feature=3"))
    page.go_back()
    expect(field).to_have_value("girl")
    page.go_back()
    expect(page.locator(".features .listing tbody tr")).to_have_count(50)


def test_columns_stay_where_they_are_from_page_to_page(visit: Visit) -> None:
    page = visit.open("/features?study=plain")
    columns = page.locator(".features .listing th")
    edges = "all => all.map(e => e.getBoundingClientRect().left)"
    expect(columns).to_have_count(8)
    first = columns.evaluate_all(edges)
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".stepper .place")).to_have_text("51–63")
    assert columns.evaluate_all(edges) == first


def test_a_feature_and_all_that_is_known_of_it(visit: Visit) -> None:
    page = visit.open(THREE)
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("25.000%, 24 of 96 tokens")
    sides = page.locator(".sides .listing")
    expect(sides.nth(0).locator("tbody td").first).to_have_text("·girl")
    expect(sides.nth(1).locator("tbody tr")).to_have_text(["The−4.00"])
    expect(page.get_by_role("table", name="nearest").locator("tbody tr")).to_have_text(
        ["embed/4+0.50050.00%The"]
    )
    expect(page.get_by_role("table", name="co-active").locator("a")).to_have_text(["embed/7"])
    cluster = page.get_by_role("table", name="Clusters").locator("a")
    expect(cluster).to_have_attribute("href", re.compile("clustering=by-effect&cluster=0"))
    page.get_by_role("table", name="Circuits").locator("a").click()
    expect(page).to_have_url(re.compile(r"/circuit\?.*circuit=order&node=embed\.3\.1"))
    page.go_back()
    page.get_by_role("table", name="nearest").locator("a").click()
    expect(page.locator(".label-now")).to_have_text("The")
    expect(page.locator(".labels .by").last).to_have_text("Ada, 2026-01-02 03:04 UTC")


def test_examples_by_interval(visit: Visit) -> None:
    page = visit.open(THREE)
    sections = page.locator(".examples section")
    expect(sections.locator("h3")).to_have_text(
        ["Strongest", "1 to 2 50.0% of its tokens, drawn by chance"]
    )
    strip = sections.nth(0).locator(".strip")
    tokens = strip.locator(".token")
    expect(tokens).to_have_text(["The", " girl", " was", " happy", ".↵"])
    expect(strip.locator(".marked")).to_have_text([" girl"])
    grounds = tokens.evaluate_all("all => all.map(e => e.style.backgroundColor !== '')")
    assert grounds == [False, True, False, True, False]
    lines = tokens.evaluate_all("all => all.map(e => e.style.boxShadow)")
    assert "47, 127, 214" in lines[1]  # it makes what follows likelier
    assert "212, 87, 43" in lines[3]
    assert not lines[0]
    tip = page.locator("#tip")
    tokens.nth(1).hover()
    expect(tip).to_have_text("·girl\nactivation 3.500\nloss effect −0.500 nats")
    tokens.nth(0).hover()
    expect(tip).to_have_text("The\nnot active")
    expect(strip.locator(".breaks")).to_have_count(0)
    page.get_by_role("link", name="Line breaks").click()
    expect(strip.locator(".breaks")).to_have_count(1)
    page.get_by_role("link", name="32", exact=True).click()
    expect(page).to_have_url(re.compile("breaks=1.*|context=32"))
    page.reload()
    expect(strip.locator(".breaks")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("rank,doc_id,pos,activation")
    assert "The girl was happy" in lines[1]
    page.locator(".example .where").first.click()
    expect(page.locator(".panel h2").first).to_have_text("Document 2")
    expect(page.locator(".strip .token.marked")).to_have_text([" girl"])


def test_from_feature_to_feature_by_keys_and_number(visit: Visit) -> None:
    page = visit.open("/feature?study=plain")
    title = page.locator(".panel h2").first
    expect(title).to_have_text("embed / 3")
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("embed / 4")
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("embed / 7")
    expect(page.locator("#page")).to_contain_text("The feature is active on no token.")
    expect(page.locator(".stepper .place")).to_have_text("3 of 3")
    page.go_back()
    expect(title).to_have_text("embed / 4")
    field = page.get_by_label("Feature", exact=True)
    field.fill("99")
    field.press("Enter")
    expect(page.locator(".notes")).to_contain_text("embed has no feature 99")
    expect(title).to_have_text("embed / 3")
    page.get_by_role("link", name="All of this site").click()
    expect(page.locator(".features .listing tbody tr")).to_have_count(3)


def test_a_label_is_added_and_taken_back(visit: Visit, lake: Lake) -> None:
    page = visit.open("/feature?study=plain&site=resid_0&feature=9")
    now = page.locator(".label-now")
    expect(now).to_have_text("No label yet.")
    page.get_by_label("Label").fill("<b>verbs</b>")
    page.get_by_label("Notes").fill("=1+1")
    page.get_by_label("By", exact=True).fill("Ada")
    page.get_by_label("By", exact=True).press("Enter")
    expect(now).to_have_text("<b>verbs</b>")
    expect(page.locator(".labels .remark")).to_have_text("=1+1")
    expect(page.locator(".labels .by")).to_contain_text("Ada, 20")
    expect(page.get_by_label("Label")).to_have_value("")
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")  # to the next one, where the author is known
    expect(now).to_have_text("No label yet.")
    expect(page.get_by_label("By", exact=True)).to_have_value("Ada")
    page.go_back()
    expect(now).to_have_text("<b>verbs</b>")
    page.get_by_role("button", name="Take back").click()
    expect(now).to_have_text("No label yet.")
    expect(page.locator(".labels li")).to_have_count(2)
    assert [label.feature for label in current(lake, "plain")] == [4]


def test_without_the_option_there_is_no_form(lake: Lake, browser: Browser) -> None:
    with serving(lake) as url, visiting(browser, url, 1280, 800) as made:
        page = made.open(THREE)
        expect(page.locator(".panel code").first).to_have_text(
            "python -m dashboards --allow-labels"
        )
        expect(page.locator("form")).to_have_count(0)
        assert made.errors == []


def test_what_is_missing_is_named(visit: Visit) -> None:
    for path in ("/features?study=bare", "/feature?study=bare"):
        page = visit.open(path)
        expect(page.locator(".empty pre")).to_have_text(
            "python -m dagster_project.run bare --only features"
        )


def test_hostile_texts_are_shown_and_do_nothing(visit: Visit) -> None:
    page = visit.open("/features?study=hostile")
    expect(page.locator(".features .listing")).to_contain_text(HOSTILE[0])
    expect(page.locator(".features .listing")).to_contain_text(HOSTILE[1])
    expect(page.locator(".features .listing :is(img, script, b)")).to_have_count(0)
    for number in (3, 4):
        page = visit.open(f"/feature?study=hostile&site=embed&feature={number}&breaks=1")
        expect(page.locator(".feature-top .panel")).to_have_count(3)
        page.wait_for_load_state("networkidle")
        expect(page.locator("#page :is(img, script, iframe)")).to_have_count(0)
        expect(page).to_have_title("Feature · hostile · Circuit Lake")
    expect(page.locator(".label-now")).to_have_text(HOSTILE[0])
    page = visit.open("/feature?study=hostile&site=embed&feature=3")
    expect(page.locator(".examples")).to_contain_text(HOSTILE[1])
    expect(page.get_by_role("table", name="Circuits")).to_contain_text(HOSTILE[0])
    for token in page.locator(".examples .token").all():
        token.hover()
    expect(page.locator("#tip").locator("*")).to_have_count(0)
    bad = "/features?study=plain&site=x&search=%27%3B--&order=x&kind=y&page=99"
    page = visit.open(bad)
    expect(page.locator(".notes li")).to_have_count(4)


def test_a_token_finds_the_features_that_are_on_at_it(visit: Visit) -> None:
    page = visit.open("/features?study=plain")
    rows = page.locator(".features .listing tbody tr")
    expect(page.get_by_role("columnheader", name="found by")).to_have_count(0)
    field = page.get_by_label("Search")
    for word, found in (("happy", "on it 1 ×"), ("girl", "on it 1 ×, raises it")):
        field.fill(word)
        field.press("Enter")
        expect(rows).to_have_count(1)
        expect(rows.first.locator("td").nth(6)).to_have_text(found)
    field.fill("embed/7")
    field.press("Enter")
    expect(rows.first.locator("td").nth(6)).to_have_text("label or number")
