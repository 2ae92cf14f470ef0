"""The pages as a user meets them, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from dashboards.pages import PAGES
from tests.browser import Visit


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
