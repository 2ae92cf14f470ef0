"""The page SQL as a user walks it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from dagster_project.lake.queries import shipped
from dagster_project.lake.store import Lake
from tests.browser import Visit, visiting
from tests.dashboards.conftest import serving
from tests.lake.frames import put


def at(sql: str, study: str = "plain") -> str:
    return f"/sql?{urlencode({'study': study, 'sql': sql})}"


def answered(page: Page, text: str = r"rows? in \d+ ms") -> None:
    """The answer is there; the first of a server waits for the snapshot."""
    expect(page.locator(".told")).to_have_text(re.compile(text), timeout=60_000)


def cells(page: Page, column: int = 0) -> list[str]:
    """Texts of a column's cells in sight, from the top."""
    found = page.locator(f".sqlfound .ag-center-cols-container [col-id='c{column}']")
    return [text.strip() for text in found.all_inner_texts()]


def test_a_shipped_question_is_asked_as_the_page_opens(visit: Visit) -> None:
    page = visit.open("/sql?study=plain&query=loss_by_subset")
    answered(page)
    text = page.get_by_label("SQL statement")
    expect(text).to_have_value(re.compile("-- question: How well does the model predict each"))
    assert {"books", "web"} <= set(cells(page, 1))
    expect(page.locator(".sqlstatement pre .word").first).to_be_visible()
    expect(page.locator("details[data-table=losses] .rows")).to_have_text("96")
    expect(page.locator("details[data-table=features] .rows")).to_have_text("–")
    expect(page.locator(".sqltables .state")).to_have_text(
        re.compile(r"Snapshot of \d\d:\d\d:\d\d")
    )
    expect(page.locator(".sqltables")).to_contain_text("5,000,000 rows or 64 MiB")


def test_a_statement_is_written_run_shared_and_gone_back_from(visit: Visit) -> None:
    page = visit.open("/sql?study=plain")
    text = page.get_by_label("SQL statement")
    answered(page)
    text.fill("select doc_id, 0.1::float as x from documents where study = $study order by 1 desc")
    text.press("Control+Enter")
    expect(page).to_have_url(re.compile(r"sql=select\+doc_id"))
    answered(page, "^24 rows in")
    assert cells(page)[:3] == ["23", "22", "21"]
    assert cells(page, 1)[0] == "0.1"
    expect(page.locator(".field.choice.wide")).to_contain_text("A statement of your own")
    page.reload()
    answered(page, "^24 rows in")
    assert cells(page)[:3] == ["23", "22", "21"]
    text.fill("select 7 as seven")
    page.get_by_role("button", name="Run").click()
    answered(page, "^1 row in")
    expect(page.locator(".sqlfound .ag-header-cell-text")).to_have_text(["seven"])
    page.go_back()
    expect(text).to_have_value(re.compile("select doc_id"))
    answered(page, "^24 rows in")
    page.go_back()
    page.wait_for_load_state()
    page.go_forward()
    answered(page, "^24 rows in")


def test_questions_are_chosen_and_studies_too(visit: Visit) -> None:
    page = visit.open(at("select $study as s"))
    answered(page, "^1 row in")
    assert cells(page) == ["plain"]
    page.locator(".field", has_text="Question").locator(".dash-dropdown").click()
    page.get_by_role("option", name="How well does the model predict each subset").click()
    expect(page).to_have_url(re.compile("query=loss_by_subset"))
    expect(page).not_to_have_url(re.compile("sql="))
    text = page.get_by_label("SQL statement")
    expect(text).to_have_value(re.compile("document_losses"))
    expect(page.locator(".sqlfound .ag-header-cell-text").nth(1)).to_have_text("pile_set_name")
    page.go_back()
    expect(text).to_have_value("select $study as s")
    page.goto(visit.url + at("select $study as s", "hostile"))
    answered(page, "^1 row in")
    assert cells(page) == ["hostile"]


@pytest.mark.parametrize("name", sorted(shipped("queries")))
def test_every_shipped_question_is_answered(visit: Visit, name: str) -> None:
    page = visit.open(f"/sql?study=plain&query={name}")
    answered(page)
    expect(page.locator(".notes")).to_have_count(0)


def test_questions_are_shown_whole_and_ten_at_a_time(visit: Visit) -> None:
    page = visit.open("/sql?study=plain")
    page.locator("#page .dash-dropdown").click()
    options = page.locator(".dash-dropdown-option")
    expect(options).to_have_text([q.header["question"] for q in shipped("queries").values()])
    menu, option = page.locator(".dash-dropdown-content").bounding_box(), options.first
    assert menu is not None
    assert menu["height"] >= 10 * option.evaluate("e => e.offsetHeight")
    page.keyboard.press("Escape")


def test_the_answer_lies_within_its_panel_and_is_saved_under_its_questions_name(
    visit: Visit,
) -> None:
    page = visit.open("/sql?study=plain&query=faithfulness_curves")
    answered(page)
    panel, grid = (page.locator(s).bounding_box() for s in (".sqlfound", "#sql-answer"))
    assert panel is not None
    assert grid is not None
    assert panel["y"] + panel["height"] >= grid["y"] + grid["height"]
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV").click()
    assert saved.value.suggested_filename == "faithfulness_curves.csv"


def test_what_is_refused_or_wrong_is_said_in_place_of_rows(visit: Visit) -> None:
    page = visit.open(at("select 1 as one"))
    fault, grid = page.locator(".sqlanswer .why"), page.locator("#sql-answer")
    expect(grid).to_be_visible()
    text = page.get_by_label("SQL statement")
    for sql, why in (
        ("copy (select 1) to 'x'", "Only a select is answered; this is copy."),
        ("from read_text('/etc/passwd')", "The table function read_text is not available here."),
        ("select nothing from losses", 'Referenced column "nothing" not found'),
        ("select <b>x</b>", "syntax error"),
    ):
        text.fill(sql)
        text.press("Control+Enter")
        expect(fault).to_contain_text(why)
        expect(grid).to_be_hidden()
    expect(fault.locator("b")).to_have_count(0)
    text.fill("select 2 as two")
    text.press("Control+Enter")
    expect(fault).to_be_hidden()
    expect(grid).to_be_visible()


def test_nothing_found_says_which_asset_would_fill_it(visit: Visit) -> None:
    page = visit.open(at("from features"))
    answered(page, r"0 rows in \d+ ms; features is empty, the asset plain/features fills it")
    expect(page.locator("#sql-answer")).to_be_hidden()


def test_a_long_statement_is_stopped(visit: Visit) -> None:
    page = visit.open(at("select 1 as one"))
    answered(page)
    stop, text = page.get_by_role("button", name="Stop"), page.get_by_label("SQL statement")
    expect(stop).to_be_hidden()
    many = (
        "select count(*) from range(10_000_000) a, range(10_000_000) b where a.range + b.range = 1"
    )
    text.fill(many)
    text.press("Control+Enter")
    stop.click()
    expect(page.locator(".told")).to_have_text("Stopped")
    expect(stop).to_be_hidden()
    text.fill("select 3 as three")
    text.press("Control+Enter")
    answered(page, "^1 row in")
    text.fill(many)
    text.press("Control+Enter")
    expect(stop).to_be_visible()
    text.fill("select 4 as four")
    text.press("Control+Enter")  # the one before ends for it
    expect(page.locator(".sqlfound .ag-header-cell-text")).to_have_text(["four"])


def test_a_csv_is_saved_with_its_formulas_inert(visit: Visit, tmp_path: Path) -> None:
    page = visit.open(at("select '=1+1' as a, -2 as b, pile_set_name from documents order by all"))
    answered(page, "^48 rows in")
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV").click()
    assert saved.value.suggested_filename == "answer.csv"
    file = tmp_path / "answer.csv"
    saved.value.save_as(file)
    with file.open(newline="", encoding="utf-8") as read:
        csv.field_size_limit(10**7)
        names, *rows = csv.reader(read)
    assert names == ["a", "b", "pile_set_name"]
    assert len(rows) == 48
    assert {tuple(row[:2]) for row in rows} == {("'=1+1", "-2")}
    assert not any(row[2].lstrip().startswith(("=", "+", "-", "@")) for row in rows)
    expect(page.locator(".told")).to_have_text("Saved")


def test_numbers_are_shown_as_they_are_and_sorted_as_numbers(visit: Visit) -> None:
    page = visit.open(
        at(
            "select i * 170141183460469231731687303715884105 as large, i as whole, i / 3 as real "
            "from (values (20), (100), (null), (-1)) as t(i)"
        )
    )
    answered(page, "^4 rows in")
    assert cells(page, 1) == ["20", "100", "null", "-1"]
    assert cells(page, 2) == ["6.667", "33.33", "null", "-0.3333"]
    page.locator(".sqlfound .ag-header-cell-text", has_text="large").click()
    third = page.locator(".sqlfound .ag-row[row-index='2'] [col-id='c1']")
    expect(third).to_have_text("20")  # null, −1, 20, 100
    page.locator(".sqlfound .ag-header-cell-text", has_text="large").click()
    expect(third).to_have_text("-1")


def test_hostile_texts_names_and_statements_are_inert(visit: Visit) -> None:
    sql = """
    select text as "<img src=x onerror=document.title='owned'>", pile_set_name, '%{y}${1}' as "a.b"
    from documents where study = 'hostile' -- <script>document.title='owned'</script>
    """
    page = visit.open(at(sql, "hostile"))
    answered(page, "^24 rows in")
    expect(page.locator(".sqlfound .ag-header-cell-text").first).to_contain_text("<img src=x")
    assert page.locator(".sqlbench img, .sqlbench script, .sqlbench a").count() == 0
    assert "%{y}${1}" in cells(page, 2)
    assert not any("\u202e" in text for text in cells(page, 1))
    expect(page).to_have_title(re.compile("Circuit Lake$"))


def test_names_of_columns_go_into_the_statement(visit: Visit) -> None:
    page = visit.open(at("select 1 as one"))
    text = page.get_by_label("SQL statement")
    answered(page)
    text.fill("select avg() from losses")
    text.evaluate("element => element.setSelectionRange(11, 11)")
    page.locator("details[data-table=losses] summary").click()
    page.locator("details[data-table=losses]").get_by_role("button", name="entropy").click()
    expect(text).to_have_value("select avg(entropy) from losses")
    expect(text).to_be_focused()


def test_a_statement_too_long_for_the_address_is_asked_all_the_same(visit: Visit) -> None:
    page = visit.open(at("select 1 as one"))
    text = page.get_by_label("SQL statement")
    answered(page)
    text.fill(f"select 5 as five -- {'x' * 20_000}")
    text.press("Control+Enter")
    expect(page.locator(".sqlfound .ag-header-cell-text")).to_have_text(["five"])
    expect(page.locator(".sqlstatement")).to_contain_text("Too long for the address")
    expect(page).to_have_url(re.compile("select\\+1"))


@pytest.fixture
def changing(root: Lake, browser: Browser) -> Iterator[Visit]:
    put(root, "documents", [{"pile_set_name": "web"}], study="s", shard="00000")
    with serving(root) as url, visiting(browser, url, 1280, 800) as made:
        yield made
        assert made.errors == []
        assert made.foreign == []


def test_the_first_visit_waits_for_the_snapshot_and_the_page_can_be_left(changing: Visit) -> None:
    page = changing.open("/sql?sql=select+*+from+documents")
    expect(page.locator(".sqlbench")).to_have_attribute("data-state", "asking")
    page.get_by_role("link", name="Overview", exact=True).click()
    expect(page.locator("h1")).to_have_text("Overview")
    page.go_back()
    answered(page, "^1 row in")
    assert "web" in page.locator(".sqlfound .ag-center-cols-container").inner_text()


def test_a_server_that_is_gone_is_said(root: Lake, browser: Browser) -> None:
    put(root, "documents", [{"pile_set_name": "web"}], study="s", shard="00000")
    with serving(root) as url, visiting(browser, url, 1280, 800) as made:
        page = made.open("/sql?sql=select+1")
        answered(page)
        page.route("**/sql/**", lambda route: route.abort())
        page.get_by_role("button", name="Run").click()
        expect(page.locator(".sqlanswer .why")).to_contain_text("The server does not answer")


def test_an_empty_statement_is_not_asked(visit: Visit) -> None:
    page = visit.open(at("select 7 as seven"))
    answered(page, "^1 row in")
    text = page.get_by_label("SQL statement")
    text.fill("  \n")
    text.press("Control+Enter")
    expect(page.get_by_text("There is no statement to run.")).to_be_visible()
    assert "seven" in page.url
    assert cells(page) == ["7"]


def test_a_questions_parameters_have_fields(visit: Visit) -> None:
    page = visit.open("/sql?study=plain&query=smallest_faithful")
    answered(page)
    field = page.locator(".parameters").get_by_label("at_least")
    expect(field).to_have_value("0.8")
    field.fill("0.25'")  # a value can be nothing else
    field.press("Enter")
    expect(page).to_have_url(re.compile("given=at_least"))
    text = page.get_by_label("SQL statement")
    expect(text).to_have_value(re.compile(r"cast\('0\.25\'\'' as double\)"))
    expect(page.locator(".sqlanswer .why")).to_contain_text("0.25'")
    field.fill("0.25")
    field.press("Enter")
    answered(page)
    page.reload()
    expect(field).to_have_value("0.25")
    page = visit.open("/sql?study=plain&query=smallest_faithful&given=most%3D1")
    expect(page.locator(".notes")).to_have_text("The question has no parameter “most”.")
    page = visit.open("/sql?study=plain&query=circuit_difference")
    choices = page.locator("#choices-one option")
    expect(choices).to_have_count(2)
    page = visit.open(at("select 1 as one"))
    expect(page.locator(".parameters input")).to_have_count(0)


def test_numbers_have_four_digits_in_the_table_and_all_in_the_file(visit: Visit) -> None:
    page = visit.open(at("select 7.0526123456789::double as x, 0.1::float as y, 123456 as z"))
    answered(page, "^1 row in")
    assert [cells(page, place)[0] for place in range(3)] == ["7.053", "0.1", "123456"]
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV").click()
    assert saved.value.path().read_text().splitlines()[1] == "7.0526123456789,0.1,123456"
