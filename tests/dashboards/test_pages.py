"""The pages as a user meets them, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Locator, Route, expect

from dashboards.pages import PAGES
from tests.browser import Visit, visiting


@pytest.mark.parametrize("name", [page.name for page in PAGES])
@pytest.mark.parametrize("study", ["plain", "hostile"])
def test_every_page_shows_a_study(visit: Visit, name: str, study: str) -> None:
    page = visit.open(f"/{name}?study={study}")
    title = next(p.title for p in PAGES if p.name == name)
    expect(page.locator("h1")).to_have_text(title)
    expect(page.locator(".fault")).to_have_count(0)
    page.wait_for_load_state("networkidle")
    expect(page).to_have_title(f"{title} · {study} · Circuit Lake")  # no script of it has run


def test_a_choice_goes_to_the_address_and_comes_back_from_it(visit: Visit) -> None:
    page = visit.open("/dictionaries?study=plain")
    on = page.locator(".options a.on").first
    expect(on).to_have_text("explained")
    page.get_by_role("link", name="L0", exact=True).click()
    expect(page).to_have_url(re.compile("measure=l0"))
    expect(on).to_have_text("L0")
    page.reload()
    expect(on).to_have_text("L0")
    page.go_back()
    expect(on).to_have_text("explained")
    page.go_forward()
    expect(on).to_have_text("L0")


def test_an_address_that_is_shown_already_is_not_waited_for(visit: Visit) -> None:
    page = visit.open("/dictionaries?study=plain")
    busy = page.locator("body[data-busy]")
    page.get_by_role("link", name="explained", exact=True).click()
    expect(page).to_have_url(re.compile("study=plain$"))
    for shown in (".options a.on", ".top a.here"):
        page.locator(shown).first.click()
        expect(busy).to_have_count(0)
    for _ in range(2):  # a hash, which the server is not asked about twice
        page.locator(".skip").focus()
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("study=plain#page$"))
        expect(busy).to_have_count(0)
    page.go_back()
    expect(page).to_have_url(re.compile("study=plain$"))
    expect(busy).to_have_count(0)


@pytest.mark.parametrize("by", ["links", "arrow keys"])
def test_what_is_asked_for_twice_is_waited_for_until_it_is_shown(visit: Visit, by: str) -> None:
    page = visit.open("/losses?study=plain&by=document&order=first")
    title, busy = page.locator(".panel h2").first, page.locator("body[data-busy]")
    expect(title).to_have_text("Document 0")
    expect(busy).to_have_count(0)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/_dash-update-component*", hold)
    for _ in range(2):  # Next leads to the same document until another is shown
        if by == "links":
            page.get_by_role("link", name="Next →").click()
        else:
            page.keyboard.press("ArrowRight")
        expect(page).to_have_url(re.compile("document=1"))
        assert busy.count() == 1
    for route in held:
        route.continue_()
    page.unroute("**/_dash-update-component*")
    expect(title).to_have_text("Document 1")
    expect(busy).to_have_count(0)


def test_a_study_is_chosen_and_kept_from_page_to_page(visit: Visit) -> None:
    page = visit.open("/")
    chosen = page.locator(".top .dash-dropdown")
    expect(chosen).to_contain_text("hostile")
    chosen.click()
    page.get_by_role("option", name="plain").click()
    expect(page).to_have_url(re.compile(r"study=plain"))
    expect(chosen).to_contain_text("plain")
    page.get_by_role("link", name="Dictionaries", exact=True).click()
    expect(page).to_have_url(re.compile(r"/dictionaries\?study=plain"))
    expect(chosen).to_contain_text("plain")
    page.go_back()
    expect(page).to_have_url(re.compile(r"/\?study=plain$"))
    page.go_back()
    expect(chosen).to_contain_text("hostile")


def test_the_theme_follows_the_system_until_chosen_and_is_kept(visit: Visit) -> None:
    page = visit.open("/")
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    assert dark != light
    button = page.locator("#theme")
    button.click()
    button.click()  # light, then dark
    assert page.evaluate(ground) == dark
    page.reload()
    assert page.evaluate(ground) == dark
    button.click()
    assert page.evaluate(ground) == light


def test_an_unknown_page_and_unknown_values_are_said(visit: Visit) -> None:
    page = visit.open("/nowhere")
    expect(page.get_by_text("No such page")).to_be_visible()
    page = visit.open("/dictionaries?study=gone&measure=size&x=1")
    notes = page.locator(".notes li")
    expect(notes).to_have_count(3)
    expect(notes.nth(0)).to_contain_text("measure must be one of fve")
    expect(notes.nth(2)).to_contain_text("study “gone” is not in the lake")


def test_terms_are_explained_to_pointer_and_keyboard(visit: Visit) -> None:
    page = visit.open("/dictionaries?study=plain")
    tip = page.locator("#tip")
    page.locator(".panel .term").first.hover()
    expect(tip).to_contain_text("share of the site's variance")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.locator(".panel .term").first.focus()
    expect(tip).to_be_visible()


def test_arrow_keys_leave_a_term_that_is_read_alone(visit: Visit) -> None:
    page = visit.open("/faithfulness?study=plain")
    expect(page.get_by_text("Figures of agreement")).to_be_visible()
    page.locator(".panel .term").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tip")).to_be_visible()
    expect(page).to_have_url(re.compile("study=plain$"))
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("Figures of bracket")).to_be_visible()


@pytest.mark.parametrize("width", [360, 600])
@pytest.mark.parametrize("name", [page.name for page in PAGES])
def test_pages_fit_a_narrow_window(visit: Visit, width: int, name: str) -> None:
    page = visit.open(f"/{name}?study=plain")
    page.set_viewport_size({"width": width, "height": 800})
    expect(page.locator("h1")).to_be_visible()
    page.wait_for_load_state("networkidle")
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
    for link in page.locator(".top nav a").all():
        assert link.evaluate("e => e.getBoundingClientRect().right <= innerWidth")
    page.set_viewport_size({"width": 1280, "height": 800})


def test_the_order_of_a_table_goes_to_the_address_and_comes_back_from_it(visit: Visit) -> None:
    page = visit.open("/faithfulness?study=plain&task=bracket")
    tasks, figures = (page.locator(f"#faithfulness-{name}") for name in ("tasks", "figures"))
    column = "[role=columnheader][col-id={}]".format
    sorted_by = "[aria-sort$=ending]"

    def sort(table: Locator, field: str) -> None:
        table.locator(column(field)).click()

    sort(tasks, "task")
    sort(tasks, "task")
    expect(tasks.locator(sorted_by)).to_have_attribute("aria-sort", "descending")
    expect(tasks.locator("[row-index='0'] [col-id=task]")).to_have_text("bracket")
    sort(figures, "n_nodes")
    expect(page).to_have_url(
        re.compile(r"faithfulness-tasks\.task\.desc%2Cfaithfulness-figures\.n_nodes\.desc$")
    )
    figures.locator(column("value")).click(modifiers=["Shift"])  # a second column
    expect(page).to_have_url(re.compile(r"n_nodes\.desc%2Cfaithfulness-figures\.value\.desc$"))
    page.reload()
    expect(figures.locator(sorted_by)).to_have_count(2)
    expect(tasks.locator(sorted_by)).to_have_attribute("col-id", "task")
    expect(page.locator(".notes")).to_have_count(0)
    page.go_back()
    expect(figures.locator(sorted_by)).to_have_count(1)
    expect(figures.locator(sorted_by)).to_have_attribute("col-id", "n_nodes")
    page.go_back()
    expect(figures.locator(sorted_by)).to_have_count(0)
    expect(tasks.locator(sorted_by)).to_have_count(1)
    sort(tasks, "task")  # descending was the last: cleared
    expect(page).not_to_have_url(re.compile("sort="))
    expect(tasks.locator(sorted_by)).to_have_count(0)


def test_a_page_is_whole_where_the_browser_tells_nothing_of_being_idle(
    visit: Visit, browser: Browser
) -> None:
    """As Safari does not."""
    with visiting(browser, visit.url, 1280, 500) as other:
        other.page.add_init_script("window.requestIdleCallback = undefined")
        page = other.open("/faithfulness?study=plain&task=bracket")
        expect(page.locator("#faithfulness-figures [role=columnheader]")).not_to_have_count(0)
        expect(page.locator("#page :is(.figure, .tabled):empty")).to_have_count(0)
        assert other.errors == []


def test_a_page_that_is_left_before_it_is_drawn_is_forgotten(visit: Visit) -> None:
    """Two addresses at once: of the first nothing is filled in below the second."""
    page = visit.open("/dictionaries?study=plain")
    expect(page.locator("#dictionary-table")).to_be_visible()
    page.evaluate(
        """() => {
          lake.go("/faithfulness?study=plain&task=bracket");
          new MutationObserver((_, observer) => {
            if (!document.querySelector("#faithfulness-figures-box")) return;
            observer.disconnect();
            lake.go("/faithfulness?study=plain&task=agreement");
          }).observe(document.body, { childList: true, subtree: true });
        }"""
    )
    expect(page.locator("#page .stepper")).to_contain_text("1 of 2")
    expect(page.locator("#faithfulness-figures [role=columnheader]")).not_to_have_count(0)
    expect(page.locator("#page :is(.figure, .tabled):empty")).to_have_count(0)


def test_the_brand_leads_to_the_first_page_in_its_own_order(visit: Visit) -> None:
    page = visit.open("/?study=plain")
    column = page.locator("#studies [role=columnheader][col-id=study]")
    column.click()
    expect(page).to_have_url(re.compile("sort=studies"))
    page.get_by_role("link", name="Overview", exact=True).click()
    expect(page).not_to_have_url(re.compile("sort="))
    expect(page.locator("#studies [aria-sort$=ending]")).to_have_count(0)


def test_an_answer_on_its_way_does_not_take_back_what_was_sorted_since(visit: Visit) -> None:
    page = visit.open("/faithfulness?study=plain&task=bracket")
    figures = page.locator("#faithfulness-figures")
    column = "[role=columnheader][col-id={}]".format
    expect(figures.locator(column("n_nodes"))).to_be_visible()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/_dash-update-component*", hold)
    figures.locator(column("n_nodes")).click()
    expect(page).to_have_url(re.compile(r"figures\.n_nodes\.desc$"))
    figures.locator(column("value")).click(modifiers=["Shift"])
    both = re.compile(r"n_nodes\.desc%2Cfaithfulness-figures\.value\.desc$")
    expect(page).to_have_url(both)
    for route in held:
        route.continue_()
    page.unroute("**/_dash-update-component*")
    expect(page.locator("body[data-busy]")).to_have_count(0)
    expect(figures.locator("[aria-sort$=ending]")).to_have_count(2)
    expect(page).to_have_url(both)


def test_back_before_a_table_is_drawn_is_followed_by_it(visit: Visit, browser: Browser) -> None:
    """Nothing is filled in but what is in sight until the browser says that it is idle, here when
    it has gone back to an address whose page the server keeps to itself."""
    with visiting(browser, visit.url, 1280, 500) as other:
        other.page.add_init_script("window.requestIdleCallback = (then) => { window.idle = then; }")
        page = other.open("/dictionaries?study=plain")
        expect(page.locator("body[data-busy]")).to_have_count(0)
        here = "/faithfulness?study=plain&task=bracket"
        page.evaluate("url => history.pushState({}, '', url)", here)
        page.evaluate("url => lake.go(url)", f"{here}&sort=faithfulness-figures.n_nodes.desc")
        figures = page.locator("#faithfulness-figures")
        expect(page.locator("#faithfulness-figures-box")).to_be_attached()
        expect(page.locator("body[data-busy]")).to_have_count(0)
        expect(figures).to_have_count(0)
        page.route("**/_dash-update-component*", lambda _: None)
        page.go_back()
        for _ in range(4):
            page.evaluate("window.idle()")
        expect(figures.locator("[row-index='0']").first).to_be_visible()
        expect(figures.locator("[aria-sort$=ending]")).to_have_count(0)
        page.unroute_all()


def test_headers_are_whole_also_when_their_columns_are_sorted(visit: Visit) -> None:
    for table, address in (
        ("documents", "/losses?study=plain&by=document"),
        ("faithfulness-figures", "/faithfulness?study=plain&task=bracket"),
    ):
        page = visit.open(address)
        headers = page.locator(f"#{table} [role=columnheader]")
        expect(headers.first).to_be_visible()
        for header in headers.all():
            header.click()
            expect(header).to_have_attribute("aria-sort", re.compile("ending"))
            text = header.locator(".ag-header-cell-text")
            shown, whole = text.evaluate("e => [e.clientWidth, e.scrollWidth]")
            assert shown >= whole, (table, text.inner_text())


def test_a_column_that_was_widened_stays_so_when_the_table_is_sorted(visit: Visit) -> None:
    page = visit.open("/dictionaries?study=plain")
    header = page.locator("#dictionary-table [role=columnheader][col-id=site]")
    edge = header.locator(".ag-header-cell-resize")
    edge.hover()
    page.mouse.down()
    box = edge.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 60, box["y"] + 5, steps=3)
    page.mouse.up()
    width = header.evaluate("e => e.offsetWidth")
    assert width > 130
    header.click()
    expect(page).to_have_url(re.compile("sort="))
    expect(page.locator("[data-busy]")).to_have_count(0)
    assert header.evaluate("e => e.offsetWidth") == width


def test_nothing_moves_when_dropdowns_come(visit: Visit) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    visit.page.route("**/*async-dropdown*", hold)
    places = "all => all.map(e => JSON.stringify(e.getBoundingClientRect()))"
    page = visit.open("/faithfulness?study=plain")
    parts = page.locator(".top > *, .field, .bar, .panel")
    expect(page.locator(".panel")).not_to_have_count(0)
    assert page.locator(".dash-dropdown").count() == 0
    before = parts.evaluate_all(places)
    for route in held:
        route.continue_()
    expect(page.locator(".dash-dropdown")).not_to_have_count(0)
    page.unroute("**/*async-dropdown*")
    assert parts.evaluate_all(places) == before
    box, text = (page.locator(f".top .dash-dropdown{s}").bounding_box() for s in ("", "-value"))
    assert box is not None
    assert text is not None
    middles = [part["y"] + part["height"] / 2 for part in (box, text)]
    assert abs(middles[0] - middles[1]) < 1


def test_what_does_not_change_stays_where_it_is(visit: Visit) -> None:
    """The focus, the figure and the table of a page outlive a choice."""
    page = visit.open("/dictionaries?study=plain")
    kept = (".js-plotly-plot", ".ag-root", ".top .dash-dropdown", ".options a")
    for selector in kept:
        page.locator(selector).first.evaluate("element => { element.kept = true; }")
    link = page.get_by_role("link", name="L0", exact=True)
    link.focus()
    page.keyboard.press("Enter")
    expect(link).to_have_class("on")
    expect(link).to_be_focused()
    for selector in kept:
        assert page.locator(selector).first.evaluate("element => element.kept"), selector
