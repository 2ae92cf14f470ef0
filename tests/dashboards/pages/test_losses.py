"""The page Losses as a user walks it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from dash.development.base_component import Component
from playwright.sync_api import Browser, expect

from dagster_project.lake.store import Lake
from dashboards.pages.losses_by_group import summary
from dashboards.pages.losses_charts import excesses
from tests.browser import Visit, visiting
from tests.dashboards.conftest import serving
from tests.dashboards.lakes import DOCUMENTS, PLAIN
from tests.lake.frames import put


def test_figures_of_a_group_from_its_bins() -> None:
    """4 tokens of loss 0, 0.0001 (twice) and 1: mean 1.0002 / 4; half of them reach bin 10."""
    binned = pl.DataFrame(
        {
            "name": ["a", "a", "a"],
            "bin": [0, 10, 100],
            "tokens": [1, 2, 1],
            "loss": [0.0, 0.0002, 1.0],
            "entropy": [1.0, 2.0, 1.0],
            "surprisal": [None, 0.25, 0.25],
            "known": [0, 1, 1],
            "excess": [None, 0.25, 0.75],
            "top": [1, 2, 0],
        }
    )
    (row,) = summary(binned).to_dicts()
    assert row == pytest.approx(
        {"name": "a", "tokens": 4, "known": 2, "share": 1.0, "mean_loss": 1.0002 / 4}
        | {"mean_entropy": 1.0, "top_share": 0.75, "surprisal": 0.25, "excess": 0.5}
        | {"p50": 0.0001, "p95": 1.0}
    )


@pytest.mark.parametrize("by", ["subset", "rule", "excess", "repetition"])
def test_each_kind_of_group_has_a_figure_and_a_table(visit: Visit, by: str) -> None:
    for study in ("plain", "hostile"):
        page = visit.open(f"/losses?study={study}&by={by}")
        expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        expect(page.locator(".ag-center-cols-container .ag-row").first).to_be_visible()
        expect(page.locator(".figure a, .figure img")).to_have_count(0)


def test_from_view_to_view_and_back(visit: Visit) -> None:
    page = visit.open("/losses?study=plain")
    for name, key in (("Position", "position"), ("Token", "token"), ("Document", "document")):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page).to_have_url(re.compile(f"by={key}"))
    expect(page.locator(".strip .token")).to_have_count(len(PLAIN))
    page.go_back()
    expect(page.get_by_text("Tokens of the vocabulary")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("by position")).to_be_visible()


def test_tokens_of_the_vocabulary_by_order_and_number(visit: Visit) -> None:
    page = visit.open("/losses?study=plain&by=token")
    first = page.locator(".ag-center-cols-container .ag-row[row-index='0'] [col-id='token']")
    expect(first).to_have_text(".↵")
    page.get_by_role("link", name="easiest").click()
    expect(first).to_have_text("·girl")
    field = page.get_by_label("Predicted at least")
    field.fill("1000")
    field.press("Enter")
    expect(page).to_have_url(re.compile("least=1000"))
    expect(page.locator(".panel .aside", has_text="none · ")).to_be_visible()
    page.go_back()
    expect(field).to_have_value("20")
    expect(first).to_have_text("·girl")


def test_documents_by_arrow_keys_and_by_number(visit: Visit) -> None:
    page = visit.open("/losses?study=plain&by=document&order=first")
    title = page.locator(".panel h2").first
    place = page.locator(".stepper .place")
    expect(title).to_have_text("Document 0")
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("Document 1")
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("Document 2")
    page.keyboard.press("ArrowLeft")
    expect(title).to_have_text("Document 1")
    expect(place).to_have_text(f"2 of {DOCUMENTS}")
    field = page.get_by_label("Document", exact=True)
    field.fill("7")
    field.press("ArrowLeft")  # moves in the field, not to another document
    expect(title).to_have_text("Document 1")
    field.press("Enter")
    expect(title).to_have_text("Document 7")
    page.reload()
    expect(title).to_have_text("Document 7")
    field.fill("9999")
    field.press("Enter")
    expect(page.locator(".notes")).to_have_text("There is no document 9999 in plain.")
    expect(page.locator(".panel .aside").last).to_have_text(f"all {DOCUMENTS}")


def test_documents_are_stepped_through_as_their_table_shows_them(visit: Visit) -> None:
    page = visit.open("/losses?study=plain&by=document&order=first&document=5")
    title = page.locator(".panel h2").first
    place = page.locator(".stepper .place")
    expect(place).to_have_text(f"6 of {DOCUMENTS}")
    page.locator("#documents [role=columnheader][col-id=mean_loss]").click()  # the highest first
    expect(page).to_have_url(re.compile("sort=documents.mean_loss.desc"))
    expect(place).to_have_text(f"{DOCUMENTS - 5} of {DOCUMENTS}")
    expect(title).to_have_text("Document 5")
    page.get_by_role("link", name="Next →").click()
    expect(title).to_have_text("Document 4")
    page.keyboard.press("ArrowLeft")
    expect(title).to_have_text("Document 5")
    page = visit.open(
        "/losses?study=plain&by=document&order=easiest&document=4"
        "&sort=documents.subset.asc,documents.doc_id.desc,losses.x.asc,documents.x.asc"
    )
    expect(page.locator(".notes")).to_have_text("The table has no column “x” to be sorted by.")
    for row, document in ((10, "3"), (11, "1"), (12, "22")):  # of books, then of web
        cell = page.locator(f"#documents [row-index='{row}'] [col-id=doc_id]")
        expect(cell).to_have_text(document)
    expect(place).to_have_text(f"22 of {DOCUMENTS}")
    page.get_by_role("link", name="Next →").click()
    expect(title).to_have_text("Document 2")


def test_a_column_of_shares_has_as_many_decimals_in_all_rows(visit: Visit) -> None:
    page = visit.open("/losses?study=plain&by=token")
    cells = page.locator("#loss-tokens .ag-center-cols-container [col-id=cost]")
    expect(cells.first).to_be_visible()
    assert all(re.fullmatch(r"\d+\.\d{3}%", text) for text in cells.all_inner_texts())


@pytest.fixture
def long(root: Lake, browser: Browser) -> Iterator[Visit]:
    """A browser on a document of 2,500 tokens, each on a line of its own."""
    shard = {"study": "long", "shard": "00000"}
    tokens = [{"pos": p, "token": f"{p}\n"} for p in range(2_500)]
    put(root, "documents", [{}], **shard)
    put(root, "tokens", tokens, **shard)
    put(root, "losses", [{"pos": p} for p in range(1, 2_500)], **shard)
    with serving(root) as url, visiting(browser, url, 1280, 800) as made:
        yield made
        assert made.errors == []


def test_a_token_of_a_document_can_be_linked_to(long: Visit) -> None:
    page = long.open("/losses?by=document&document=0&pos=2300")
    marked = page.locator(".strip .token.marked")
    expect(marked).to_have_text("2300↵")
    expect(marked).to_be_in_viewport()
    expect(page.locator(".about .options a.on")).to_have_text("2,000–2,499")
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("link", name="rank", exact=True).click()  # the same token: no more scrolling
    expect(page).to_have_url(re.compile("pos=2300.*colour=rank|colour=rank.*pos=2300"))
    expect(page.get_by_role("link", name="rank", exact=True)).to_have_class("on")
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") == 0
    page.get_by_role("link", name="0–1,999").click()
    expect(marked).to_have_count(0)
    expect(page).not_to_have_url(re.compile("pos="))
    page = long.open("/losses?by=document&document=0&pos=2500")
    expect(page.locator(".notes")).to_contain_text("The document has no position 2500")


def test_documents_need_no_subset(long: Visit) -> None:
    page = long.open("/losses")
    expect(page.locator("#loss-distributions .ytick")).to_have_text(["–"])


def test_excesses_are_bars_from_nothing_on_in_nats_a_piece() -> None:
    rows = pl.DataFrame({"name": ["a", "b"], "excess": [0.01, 0.0001], "surprisal": [1.0, 0.0]})
    assert titled(excesses(rows)) == "excess loss [nats a piece]"
    graph: Any = excesses(rows).to_plotly_json()["props"]["children"]
    (bars,) = graph.figure["data"]
    assert bars["x"] == [0.01, 0.0001]
    assert bars["text"] == ["+0.010", "+0.00010"]
    axis = graph.figure["layout"]["xaxis"]
    assert axis["rangemode"] == "tozero"
    assert "type" not in axis  # linear: lengths of bars mean something


def titled(figure: Component) -> str:
    """Title of a figure's horizontal axis."""
    graph: Any = figure.to_plotly_json()["props"]["children"]
    title: str = graph.figure["layout"]["xaxis"]["title"]["text"]
    return title


def test_a_token_says_what_it_cost(visit: Visit) -> None:
    page = visit.open("/losses?study=plain&by=document&document=2")
    tokens = page.locator(".strip .token")
    expect(tokens.nth(0)).to_have_text("The")
    tokens.nth(2).hover()
    tip = page.locator("#tip")
    expect(tip).to_contain_text("loss 2.500 nats, rank 1")
    expect(tip).to_contain_text("rule count")
    grounds = [tokens.nth(i).evaluate("e => e.style.backgroundColor") for i in range(3)]
    assert grounds[0] == ""  # not predicted
    assert grounds[1] != grounds[2]
    page.get_by_role("link", name="rank", exact=True).click()
    expect(tokens.nth(1)).to_have_css("background-color", "rgba(212, 87, 43, 0)")


def test_hostile_tokens_are_shown_and_do_nothing(visit: Visit) -> None:
    page = visit.open("/losses?study=hostile&by=document&document=0")
    strip = page.locator(".strip")
    expect(strip).to_contain_text("<script>document.title='owned'</script>")
    expect(strip).to_contain_text("⟨202E⟩gnirts⟨202C⟩")
    expect(strip).to_contain_text("(100,000 characters)")
    assert strip.locator("img, script, a").count() == 0
    for token in strip.locator(".token").all():
        token.hover()
    expect(page.locator("#tip").locator("*")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    text = download.value.path().read_text()
    assert "'=HYPERLINK" in text
