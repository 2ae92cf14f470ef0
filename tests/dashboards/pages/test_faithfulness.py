"""The page Faithfulness as a user walks it."""

from __future__ import annotations

import re

import polars as pl
from playwright.sync_api import expect

from dashboards.pages.faithfulness_curves import unchanged
from tests.browser import Visit


def test_tasks_by_arrow_keys_and_by_choice(visit: Visit) -> None:
    page = visit.open("/faithfulness?study=plain")
    expect(page.get_by_text("Figures of agreement")).to_be_visible()
    row = page.locator("#faithfulness-tasks .ag-row").first
    expect(row.locator("[col-id=completeness]")).to_have_text("0.50")
    expect(row.locator("[col-id=n64]")).to_have_text("1.00")
    expect(page.locator("#faithfulness-curves .legendtext")).to_have_text(
        ["circuit", "features", "neurons", "random features"]
    )
    expect(page.get_by_text("threshold 0.1: 7 nodes").first).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("Figures of bracket")).to_be_visible()
    expect(page).to_have_url(re.compile("task=bracket"))
    page.go_back()
    expect(page.get_by_text("Figures of agreement")).to_be_visible()
    page.locator(".field", has_text="Task").locator(".dash-dropdown").click()
    page.get_by_role("option", name="bracket").click()
    expect(page.get_by_text("Figures of bracket")).to_be_visible()
    page.locator("#faithfulness-tasks").get_by_role("link", name="agreement").click()
    expect(page.get_by_text("Figures of agreement")).to_be_visible()


def test_tasks_are_stepped_through_as_their_table_shows_them(visit: Visit) -> None:
    page = visit.open("/faithfulness?study=plain&task=agreement&sort=faithfulness-tasks.task.desc")
    place = page.locator(".stepper .place")
    expect(place).to_have_text("2 of 2")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("Figures of bracket")).to_be_visible()
    expect(place).to_have_text("1 of 2")
    header = page.locator("#faithfulness-tasks [role=columnheader][col-id=task]")
    header.click()  # descending was the last: cleared
    expect(place).to_have_text("2 of 2")


def test_error_nodes_are_a_choice_that_stays_from_task_to_task(visit: Visit) -> None:
    page = visit.open("/faithfulness?study=plain&task=agreement")
    page.get_by_role("link", name="remove", exact=True).click()
    expect(page).to_have_url(re.compile("errors=remove"))
    expect(page.locator("#faithfulness-curves .legendtext")).to_have_text(
        ["features", "neurons", "random features"]
    )
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("task=bracket.*errors=remove"))
    page.reload()
    expect(page.get_by_role("link", name="remove", exact=True)).to_have_class("on")


def test_what_the_task_lacks_is_said(visit: Visit) -> None:
    page = visit.open("/faithfulness?study=plain&task=gone&ablation=zero")
    expect(page.locator(".notes li")).to_have_text(
        [
            "task “gone” is not in the lake; this is agreement.",
            "ablation “zero” is not in the lake; this is mean.",
        ]
    )


def test_circuits_that_change_nothing_are_named() -> None:
    """Up to 50 neurons do nothing. A single size is no curve; what does nothing later is not it."""
    sizes = [0, 20, 50, 100, 200]
    common = {"selection": "top_n", "f_model": 10.0, "f_empty": 0.0}
    neurons = [0.0, 0.0, 0.0005, 4.0, 0.0]
    features = [0.0, 0.0, 2.0, 4.0, 9.0]
    rows = pl.DataFrame(
        [
            common | {"unit": unit, "n_nodes": size, "f_circuit": value}
            for unit, values in (("neuron", neurons), ("feature", features))
            for size, value in zip(sizes, values, strict=True)
        ]
    )
    (said,) = unchanged(rows)
    assert said.startswith("Up to 50 neurons change nothing")
