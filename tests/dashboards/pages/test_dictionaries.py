"""The page Dictionaries as a user meets it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from dagster_project.lake.store import Lake
from tests.browser import Visit, visiting
from tests.dashboards.conftest import serving
from tests.lake.frames import put
from tests.sql.rows import SWEEP


@pytest.fixture
def small(root: Lake, browser: Browser) -> Iterator[Visit]:
    """A browser on a study of dictionaries that cost little."""
    costs = {"embed": 0.0035, "attn_0": 0.0, "mlp_0": -0.0000021, "resid_0": 0.25}
    rows = [{"site": s, "loss_increase": cost, "fve": 0.5} for s, cost in costs.items()]
    put(root, "dictionaries", rows, study="small")
    with serving(root) as url, visiting(browser, url, 1280, 800) as made:
        yield made
        assert made.errors == []


def test_losses_are_said_in_the_chart_as_in_the_table(small: Visit) -> None:
    page = small.open("/dictionaries?measure=loss_increase")
    chart = page.locator("#dictionary-chart .js-plotly-plot")
    expect(chart.locator(".ytick text").first).to_be_visible()
    said = chart.evaluate("e => e.data[0].customdata")
    cells = page.locator("#dictionary-table .ag-center-cols-container [col-id=loss_increase]")
    expect(cells).to_have_text([text.removesuffix(" nats") for text in said])
    assert sorted(said) == ["+0.000 nats", "+0.0035 nats", "+0.250 nats", "−0.0000021 nats"]
    ticks = chart.locator(".ytick text").all_text_contents()
    assert max(len(tick) for tick in ticks) <= len("0.25")
    page.get_by_role("link", name="explained", exact=True).click()
    expect(chart.locator(".ytick text").first).to_contain_text("%")
    assert set(chart.evaluate("e => e.data[0].customdata")) == {"50.0%"}


@pytest.fixture
def swept(root: Lake, browser: Browser) -> Iterator[Visit]:
    """A browser on a study with a sweep of two forms, and on one without."""
    for row in SWEEP[::2]:
        point = f"{row['form']}-x8-k{row['k']}"
        rows = [r for r in SWEEP if (r["form"], r["k"]) == (row["form"], row["k"])]
        put(root, "dictionary_sweep", rows, study="swept", point=point)
    put(root, "dictionaries", [{"site": "embed"}], study="without")
    with serving(root) as url, visiting(browser, url, 1280, 900) as made:
        yield made
        assert made.errors == []


def test_a_sweep_is_drawn_by_form_and_its_front_is_filled(swept: Visit) -> None:
    """Whether or not the study has dictionaries of its own."""
    page = swept.open("/dictionaries?study=swept&across=0")
    expect(page.locator(".empty")).to_contain_text("swept/dictionary_quality")
    chart = page.locator("#sweep-chart .js-plotly-plot")
    expect(chart.locator(".scatterlayer .trace")).to_have_count(2)
    drawn = chart.evaluate("e => e.data.map(t => [t.name, t.x, t.y])")
    assert drawn == [
        ["jumprelu", [4.5, 7.5], [1.25, 0.25]],
        ["topk", [4, 8], [1, 0.5]],
    ]
    colours = chart.evaluate("e => e.data.map(t => t.marker.color)")
    assert [c.startswith("#") for line in colours for c in line] == [False, True, True, False]
    page = swept.open("/dictionaries?study=swept&sweep_site=embed")
    expect(chart.locator(".scatterlayer .trace")).to_have_count(2)
    assert chart.evaluate("e => e.data.map(t => t.y)") == [[0.75, 0.25], [0.5, 0.25]]


def test_without_a_sweep_the_page_says_how_to_have_one(swept: Visit) -> None:
    page = swept.open("/dictionaries?study=without")
    expect(page.locator(".empty")).to_contain_text("[dictionary_sweep]")
    expect(page.locator(".empty")).to_contain_text("without/dictionary_sweep")
