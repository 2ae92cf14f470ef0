"""The page Dictionaries as a user meets it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from dagster_project.lake.store import Lake
from tests.browser import Visit, visiting
from tests.dashboards.conftest import serving
from tests.lake.frames import put


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
