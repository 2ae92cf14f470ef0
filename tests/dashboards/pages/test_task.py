"""What a circuit is a circuit of, as a user meets it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from dagster_project.lake.store import Lake
from tests.browser import Visit, visiting
from tests.dashboards.circuits import ORDER, fill_circuits, opened
from tests.dashboards.conftest import serving
from tests.dashboards.lakes import HOSTILE
from tests.lake.frames import Row, put

MANY = 25


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Studies `plain` and `hostile`, with circuits, and a task without a patch."""
    made = Lake(tmp_path_factory.mktemp("tasks") / "lake")
    fill_circuits(made)
    alone: list[Row] = [
        {"example": i, "split": "train", "clean_prefix": f"{i} and", "clean_answer": f" {i + 1}"}
        for i in range(MANY)
    ]
    put(made, "pairs", alone, study="plain", task="copy")
    return fill_circuits(made, "hostile", HOSTILE)


def test_a_circuit_says_what_it_is_a_circuit_of(visit: Visit) -> None:
    page = opened(visit)
    task = page.locator(".panel.task")
    expect(task.locator("h2")).to_have_text("Task order")
    expect(task).to_contain_text("y = logit(patch answer) − logit(clean answer)")
    expect(task).to_contain_text("found on 3 examples, judged by 1")
    expect(task.locator("tbody tr")).to_have_count(3)
    first = task.locator("tbody tr").first.locator("td")
    expect(first.nth(1)).to_have_text("The girl was happy → ·was")
    expect(first.nth(2)).to_have_text("The happy was happy → ·girl")
    expect(first.nth(1).locator(".marked")).to_have_text(" girl")
    expect(first.nth(2).locator(".marked")).to_have_text(" happy")
    task.get_by_role("link", name="All 4 examples").click()
    expect(page).to_have_url(re.compile(r"/task\?study=plain&task=order"))
    expect(page.locator("h1")).to_have_text("Task")
    expect(page.locator(".prompts tbody tr")).to_have_count(4)
    page.get_by_role("link", name="evaluation", exact=True).click()
    expect(page.locator(".prompts tbody tr")).to_have_count(1)
    page.get_by_role("link", name="order.ig.none").click()
    expect(page.locator(".circuit .node").first).to_be_visible()


def test_two_circuits_say_both_of_their_tasks(visit: Visit) -> None:
    page = opened(visit, ORDER + "&other=copy.ig.sum")
    expect(page.locator(".panel.task h2")).to_have_text(["Task order", "Task copy"])
    expect(page.locator(".panel.task").last).to_contain_text("y = −log p(answer)")
    expect(page.locator(".panel.task").last.locator("th")).to_have_text(
        ["no.", "prompt → answer", "case"]
    )


def test_examples_come_in_pages(visit: Visit) -> None:
    page = visit.open("/task?study=plain&task=copy")
    rows = page.locator(".prompts tbody tr")
    expect(rows).to_have_count(20)
    page.get_by_role("link", name="next page").click()
    expect(rows).to_have_count(MANY - 20)
    expect(rows.last.locator("td").nth(1)).to_have_text(f"{MANY - 1} and → ·{MANY}")
    page = visit.open("/task?study=plain&task=copy&page=9")
    expect(page.locator(".notes")).to_contain_text("There is no page 10; this is the first.")
    expect(rows).to_have_count(20)
    page.keyboard.press("ArrowRight")  # the next task
    expect(page).to_have_url(re.compile("task=order"))


def test_the_box_of_pairs_leads_to_the_examples(visit: Visit) -> None:
    page = visit.open("/overview?study=plain")
    page.locator(".box", has_text="pairs").first.locator("a").click()
    expect(page.locator("h1")).to_have_text("Task")


def test_hostile_prompts_are_inert(visit: Visit) -> None:
    page = visit.open("/task?study=hostile&task=order")
    expect(page.locator(".prompts tbody tr").first).to_contain_text("onerror")
    expect(page.locator(".prompts").locator("img, script, a")).to_have_count(0)
    expect(page).to_have_title(re.compile("^Task"))


def test_without_examples_their_asset_is_named(root: Lake, browser: Browser) -> None:
    put(root, "circuits", [{"circuit": "c", "aggregation": "sum"}], study="s", task="t")
    put(root, "circuit_nodes", [{"circuit": "c", "effect": 1.0}], study="s", task="t")
    with serving(root) as url, visiting(browser, url) as visit:
        page = opened(visit, "/circuit")
        expect(page.locator(".panel.task")).to_contain_text("s/pairs")
        assert visit.errors == []
