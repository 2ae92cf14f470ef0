"""Figures: the usual layout under a page's own; hostile labels at rest and under the pointer."""

from __future__ import annotations

from playwright.sync_api import expect

from dashboards.components.figures import AXIS, CONFIG, LAYOUT, arranged
from tests.browser import Visit


def test_a_layout_is_merged_key_by_key() -> None:
    made = arranged({"xaxis": {"title": "nats", "type": "log"}, "margin": {"t": 1}, "yaxis2": {}})
    assert made["xaxis"] == {**AXIS, "type": "log", "title": {**AXIS["title"], "text": "nats"}}
    assert made["yaxis"] == made["yaxis2"] == AXIS
    assert made["margin"] == {**LAYOUT["margin"], "t": 1}
    assert "title" in AXIS  # the usual one is untouched
    assert "text" not in AXIS["title"]


def test_nothing_is_sent_to_plotly() -> None:
    assert CONFIG["showSendToCloud"] is False
    assert CONFIG["plotlyServerURL"] == ""
    assert CONFIG["displaylogo"] is False


def test_labels_of_figures_are_text(visit: Visit) -> None:
    page = visit.open("/losses?study=hostile&by=subset")
    figure = page.locator("#loss-distributions")
    expect(figure.locator(".ytick").first).to_be_visible()
    assert "<img src=x onerror" in "".join(figure.locator(".ytick").all_text_contents())
    box = figure.locator(".nsewdrag").first.bounding_box()
    assert box
    labels = set()
    for row in range(11):
        y = box["y"] + box["height"] * (row + 0.5) / 11
        for share in (0.2, 0.5, 0.8):
            page.mouse.move(box["x"] + box["width"] * share, y)
            page.wait_for_timeout(60)
            labels |= set(figure.locator(".hovertext").all_text_contents())
    assert any("<" in label for label in labels), labels
    expect(figure.locator("a")).to_have_count(0)
