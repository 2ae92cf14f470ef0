"""Clusterings and clusters as a user walks them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dagster_project.interp.pair_files import read_pairs
from dagster_project.lake.store import Lake
from tests.browser import Visit, visiting
from tests.dashboards.clusters import C0, C1, C2, FAR, MANY, fill_clusters
from tests.dashboards.conftest import serving
from tests.dashboards.lakes import HOSTILE
from tests.lake.frames import Row, put

FIRST = "/clusters?study=plain&clustering=first"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Studies `plain` and `hostile`, with clusterings."""
    made = fill_clusters(Lake(tmp_path_factory.mktemp("clusters") / "lake"))
    return fill_clusters(made, "hostile", HOSTILE)


@pytest.fixture(autouse=True)
def forgetful(visit: Visit) -> None:
    """No place is remembered from another test."""
    visit.open("/overview?study=plain").evaluate("localStorage.clear()")


def texts(page: Page) -> list[str]:
    expect(page.locator(".context .strip .token").first).to_be_visible()
    return page.locator(".context .strip").all_inner_texts()


def test_clusters_are_walked_with_the_arrow_keys_and_the_place_is_remembered(visit: Visit) -> None:
    page = visit.open(FIRST)
    title = page.locator(".portrait h2")
    expect(title).to_have_text("Cluster #0")
    expect(page.locator(".stepper .place")).to_have_text("1 of 3")
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("Cluster #1")
    expect(page).to_have_url(re.compile("cluster=first-1"))
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("Cluster of zero vectors")
    page.keyboard.press("ArrowRight")  # the last
    page.keyboard.press("ArrowLeft")
    expect(title).to_have_text("Cluster #1")
    page.reload()
    expect(title).to_have_text("Cluster #1")
    page.go_back()
    expect(title).to_have_text("Cluster of zero vectors")
    page.go_forward()
    expect(title).to_have_text("Cluster #1")  # what is shown is what is remembered
    page.locator(".top").get_by_role("link", name="Clusterings").click()
    expect(page.locator("h1")).to_have_text("Clusterings")
    page.locator(".top").get_by_role("link", name="Clusters").click()
    expect(title).to_have_text("Cluster #1")
    expect(page).to_have_url(re.compile("cluster=first-1"))
    page.go_back()
    expect(page.locator("h1")).to_have_text("Clusterings")


def test_a_remembered_place_is_asked_for_once(visit: Visit) -> None:
    """From a link and from a bare address, and no other cluster is shown before it."""
    asked = list[str]()
    page = visit.open(FIRST + "&cluster=first-1")
    title = page.locator(".portrait h2")
    expect(title).to_have_text("Cluster #1")
    page.on("request", lambda r: asked.append(r.post_data or "") if r.method == "POST" else None)
    page.locator(".top").get_by_role("link", name="Clusterings").click()
    expect(page.locator("h1")).to_have_text("Clusterings")
    asked.clear()
    page.locator(".top").get_by_role("link", name="Clusters").click()
    expect(title).to_have_text("Cluster #1")
    page.wait_for_load_state("networkidle")
    assert len(asked) == 1
    assert "cluster=first-1" in asked[0]
    page.locator(".top").get_by_role("link", name="Clusters").click()  # where the reader is
    expect(page.locator("body")).not_to_have_attribute("data-busy", "")
    for address in ("/clusters?study=plain", "/clusters?study=plain&clustering=first"):
        asked.clear()
        page = visit.open(address)
        expect(title).to_have_text("Cluster #1")
        page.wait_for_load_state("networkidle")
        assert len(asked) == 1
        expect(page).to_have_url(re.compile("cluster=first-1"))


def test_an_open_address_says_which_cluster_it_has_shown(visit: Visit) -> None:
    """So that Back and a reload show it again, though another is remembered since."""
    page = visit.open(FIRST)
    expect(page).to_have_url(re.compile("cluster=first-0"))
    page.keyboard.press("ArrowRight")
    title = page.locator(".portrait h2")
    expect(title).to_have_text("Cluster #1")
    page.go_back()
    expect(title).to_have_text("Cluster #0")
    page.reload()
    expect(title).to_have_text("Cluster #0")
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("Cluster #1")
    visit.open(FIRST + "&cluster=99")  # which is not there, and not remembered
    expect(title).to_have_text("Cluster #0")
    page.locator(".top").get_by_role("link", name="Clusters").click()
    expect(title).to_have_text("Cluster #1")


def test_run_k_and_rank_are_chosen(visit: Visit) -> None:
    page = visit.open(FIRST + "&cluster=first-1&lasso=0,0,3,0,0,3")
    page.get_by_role("group", name="k", exact=True).get_by_role("link", name="4").click()
    expect(page.locator(".portrait h2")).to_have_text("Cluster #0")  # not one of another run
    expect(page.locator(".listed h2")).to_have_text(f"{MANY} contexts of cluster #0")
    page.get_by_role("group", name="k", exact=True).get_by_role("link", name="2").click()
    expect(page.locator(".portrait h2")).to_have_text("Cluster #1")  # where the reader was there
    page.locator(".cluster-controls .dash-dropdown").nth(1).click()
    page.get_by_role("option", name="mean loss").click()
    expect(page).to_have_url(re.compile("rank=loss"))
    expect(page.locator(".stepper .place")).to_have_text("1 of 3")  # 2.5 nats before 1.0
    page.locator(".cluster-controls .dash-dropdown").nth(2).click()
    page.get_by_role("option", name=re.compile("^#0")).click()
    expect(page.locator(".portrait h2")).to_have_text("Cluster #0")
    expect(page.locator(".stepper .place")).to_have_text("2 of 3")


@pytest.mark.parametrize("by", ["choice", "step"])
def test_another_cluster_starts_anew(visit: Visit, by: str) -> None:
    page = visit.open(FIRST + "&cluster=first-0&lasso=0,0,3,0,0,3&page=1&order=loss")
    expect(page.locator(".listed h2")).to_contain_text("within the lasso")
    if by == "choice":
        page.locator(".cluster-controls .dash-dropdown").nth(2).click()
        page.get_by_role("option", name=re.compile("^#1")).click()
    else:
        page.get_by_role("link", name="Next →").click()
    expect(page.locator(".listed h2")).to_contain_text("of cluster #1")
    expect(page).not_to_have_url(re.compile("lasso=|page="))
    expect(page).to_have_url(re.compile("order=loss"))


def test_contexts_come_in_the_orders_asked_for_with_the_answer_marked(visit: Visit) -> None:
    page = visit.open(FIRST)
    assert texts(page) == ["The girl was", "The girl was", "The girl was happy"]
    marked = page.locator(".context .marked")
    expect(marked).to_have_text([" was", " was", " happy"], use_inner_text=False)
    expect(page.locator(".context .said").first).to_contain_text("document 0")
    page.get_by_role("link", name="Highest loss").click()
    losses = page.locator(".context .said > :nth-child(3)")
    expect(losses).to_have_text(["1.5000 nats", "1.0000 nats", "0.5000 nats"])
    page.get_by_role("link", name="Document and position").click()
    expect(losses).to_have_text(["0.5000 nats", "1.5000 nats", "1.0000 nats"])
    page.reload()
    expect(losses).to_have_text(["0.5000 nats", "1.5000 nats", "1.0000 nats"])
    page.locator(".context").first.get_by_role("link", name="document 0").click()
    expect(page.locator("h1")).to_have_text("Losses")
    expect(page.locator(".strip .marked")).to_have_text(" was", use_inner_text=False)


def test_contexts_come_in_pages(visit: Visit) -> None:
    page = visit.open("/clusters?study=plain&clustering=second&order=position&width=16")
    expect(page.locator(".context")).to_have_count(20)
    page.get_by_role("link", name="next page").click()
    expect(page.locator(".context")).to_have_count(5)
    expect(page.locator(".context .said").last).to_contain_text(f"document {FAR + MANY - 1}")
    assert texts(page)[-1] == "The girl was"
    page.get_by_role("link", name="previous page").click()
    expect(page.locator(".context")).to_have_count(20)
    page = visit.open("/clusters?study=plain&clustering=second&page=99")
    expect(page.locator(".pager .place")).to_have_text("2 of 2")
    expect(page.locator(".notes")).to_have_text("There is no page 100; this is page 2.")


def pixel(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where the first clustering's map has a place: x from 0 to 12, y to 10, and 4 % around."""
    box = page.locator(".cluster-points canvas").bounding_box()
    assert box
    across, down = (x + 0.48) / 12.96, (10.4 - y) / 10.8
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def test_what_is_lassoed_is_listed(visit: Visit) -> None:
    page = visit.open(FIRST)
    expect(page.get_by_role("img", name="Map of 5 contexts")).to_be_visible()
    tip = page.locator("#tip")
    page.mouse.move(*pixel(page, -0.12, -0.15))  # beside a point
    expect(tip).to_be_visible()
    page.mouse.down()
    for x, y in ((5, -0.25), (5, 2), (-0.25, 2), (-0.25, 0)):  # around (0, 0) and (2, 0)
        page.mouse.move(*pixel(page, x, y), steps=4)
        expect(tip).to_be_hidden()
    page.mouse.up()
    expect(page.locator(".listed h2")).to_have_text("2 contexts within the lasso")
    expect(page).to_have_url(re.compile("lasso="))
    expect(page.locator(".context .said").first).to_contain_text("cluster #0")
    page.reload()
    expect(page.locator(".listed h2")).to_have_text("2 contexts within the lasso")
    page.get_by_role("link", name="clear the lasso").click()
    expect(page.locator(".listed h2")).to_have_text("3 contexts of cluster #0")
    page.go_back()
    expect(page.locator(".listed h2")).to_have_text("2 contexts within the lasso")
    page.mouse.click(*pixel(page, 6, 5))  # where no point is
    expect(page.locator(".listed h2")).to_have_text("3 contexts of cluster #0")


def test_a_point_of_the_map_says_what_it_is_and_leads_to_its_cluster(visit: Visit) -> None:
    page = visit.open(FIRST)
    expect(page.get_by_role("img", name="Map of 5 contexts")).to_be_visible()
    page.mouse.move(*pixel(page, 10, 10))
    expect(page.locator("#tip")).to_have_text("·happy · 2 nats\ncopy\ncluster 1")
    page.mouse.move(*pixel(page, 6, 5))
    expect(page.locator("#tip")).to_be_hidden()
    page.mouse.click(*pixel(page, 10, 10))
    expect(page.locator(".portrait h2")).to_have_text("Cluster #1")
    page.go_back()
    expect(page.locator(".portrait h2")).to_have_text("Cluster #0")


def test_a_clustering_without_its_features_says_so(visit: Visit) -> None:
    page = visit.open("/clusters?study=plain&clustering=second&view=features")
    expect(page.locator(".empty")).to_contain_text("The table distinct_features has no rows.")


@pytest.mark.parametrize("colour", ["Skill", "Subset", "Loss"])
def test_the_map_takes_colours(visit: Visit, colour: str) -> None:
    page = visit.open(FIRST)
    page.get_by_role("link", name=colour, exact=True).click()
    expect(page.locator(".map-legend .swatch").first).to_be_visible()
    expect(page.get_by_role("img", name="Map of 5 contexts")).to_be_visible()


def test_features_similarity_and_circuit(visit: Visit) -> None:
    page = visit.open(FIRST)
    link = page.locator(".portrait").get_by_role("link", name="first-0.ig.sum")
    expect(link).to_have_attribute("href", re.compile("/circuit.*circuit=first-0.ig.sum"))
    page.keyboard.press("ArrowRight")
    expect(page.locator(".portrait")).to_contain_text("none yet: the partition first-1")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".portrait h2")).to_have_text("Cluster #0")
    page.get_by_role("link", name="Features", exact=True).last.click()
    expect(page.locator("#cluster-features .ag-row")).to_have_count(1)
    expect(page.locator("#cluster-features")).to_contain_text("plural")
    page.get_by_role("link", name="Similarity", exact=True).click()
    expect(page.locator("#cluster-similarity .heatmaplayer image")).to_be_visible()


def test_a_clusters_file_is_a_task_and_can_be_browsed(visit: Visit, tmp_path: Path) -> None:
    page = visit.open(FIRST)
    with page.expect_download() as found:
        page.get_by_role("link", name="JSON").click()
    assert found.value.suggested_filename == "cluster-first-0.json"
    file = tmp_path / "cluster.json"
    found.value.save_as(file)
    assert json.loads(file.read_text())[str(C2)] == {
        "context": ["The", " girl", " was"],
        "answer": " happy",
        "y": " happy",
        "document_idx": 2,
    }
    pairs = [(pair.clean_prefix, pair.clean_answer) for pair in read_pairs(file)]
    assert sorted(pairs) == [("The girl", " was"), ("The girl was", " happy")]

    page.get_by_role("link", name="Open a cluster file").click()
    page.set_input_files("#cluster-file-input", file)
    assert sorted(texts(page)) == ["The girl was", "The girl was", "The girl was happy"]
    expect(page.locator(".opened .answer b")).to_have_text(["·was", "·happy"])
    expect(page.locator(".opened .count")).to_have_text(["2", "1"])
    # Clusterings of these contexts: k 2 has {0 1} and {2}, in the file's order.
    clusters = tmp_path / "clusters.json"
    clusters.write_text(json.dumps({"1": [[0, 0, 0], None], "2": [[5, 5, 3], None]}))
    page.set_input_files("#cluster-file-input", [file, clusters])
    expect(page.locator(".opened .context")).to_have_count(2)
    page.keyboard.press("ArrowRight")
    page.locator(".opened").get_by_role("button", name="Next →").or_(
        page.locator(".opened .place").first
    ).first.wait_for()
    page.locator("body").press("ArrowRight")
    expect(page.locator(".opened .context")).to_have_count(1)
    page.locator(".opened select").select_option("1")
    expect(page.locator(".opened .context")).to_have_count(3)


@pytest.mark.parametrize(
    "content", ["", "[1]", "{}", '{"a": {"context": "x", "answer": "y"}}', "{"]
)
def test_what_is_no_cluster_file_is_said(visit: Visit, tmp_path: Path, content: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(content)
    page = visit.open("/cluster-file?study=plain")
    page.set_input_files("#cluster-file-input", file)
    expect(page.get_by_role("status")).to_have_text("No cluster file: other.json")


def test_hostile_files_are_inert(visit: Visit, tmp_path: Path) -> None:
    file = tmp_path / "hostile.json"
    contexts = {text: {"context": list(HOSTILE), "answer": text} for text in HOSTILE}
    file.write_text(json.dumps(contexts))
    page = visit.open("/cluster-file?study=plain")
    page.set_input_files("#cluster-file-input", file)
    expect(page.locator(".opened .context")).to_have_count(len(HOSTILE))
    expect(page).to_have_title("Cluster file · plain · Circuit Lake")
    assert page.locator(".opened :is(script, img, a)").count() == 0


@pytest.mark.parametrize("view", ["contexts", "features", "similarity"])
@pytest.mark.parametrize("colour", ["cluster", "skill", "subset", "loss"])
def test_hostile_clusters_are_inert(visit: Visit, view: str, colour: str) -> None:
    page = visit.open(f"/clusters?study=hostile&clustering=first&view={view}&colour={colour}")
    expect(page.locator(".portrait")).to_be_visible()
    page.wait_for_load_state("networkidle")
    expect(page.locator(".fault")).to_have_count(0)
    expect(page).to_have_title("Clusters · hostile · Circuit Lake")
    assert page.locator("#page :is(script, img[src=x], a[href*='example.com'])").count() == 0


def test_addresses_that_are_wrong_are_said(visit: Visit) -> None:
    page = visit.open(FIRST + "&cluster=99&lasso=1,2&rank=best")
    expect(page.locator(".notes li")).to_have_count(3)
    page = visit.open("/clusters?study=plain&clustering=gone&cluster=gone-1")
    expect(page.locator(".notes li")).to_have_count(1)
    expect(page.locator(".portrait h2")).to_have_text("Cluster #0")


def test_clusterings_are_compared_alone_and_in_twos(visit: Visit) -> None:
    page = visit.open("/clusterings?study=plain")
    expect(page.locator("#clusterings-table .ag-row")).to_have_count(2)
    expect(page.get_by_role("heading", name="Clusters and known rules")).to_be_visible()
    page.get_by_role("link", name="purity", exact=True).click()
    expect(page).to_have_url(re.compile("measure=purity"))
    page.locator("#page .dash-dropdown").nth(1).click()
    page.get_by_role("option", name="second").click()
    expect(page).to_have_url(re.compile("two=second"))
    panel = page.locator(".panel", has_text="Clusters of first and second")
    expect(panel).to_contain_text("ARI of the two 0.545 on 5 contexts in common")
    expect(page.locator(".made .differs").first).to_contain_text("clusters found24")
    page.reload()
    expect(panel).to_be_visible()
    page.locator("#clusterings-table").get_by_role("link", name="second").click()  # alone
    expect(page.get_by_role("heading", name="Clusters and known rules")).to_be_visible()
    page.go_back()
    expect(panel).to_be_visible()


def test_one_part_is_compared_at_a_time_and_the_reported_opens(
    tmp_path: Path, browser: Browser
) -> None:
    """The best of all is of the half to choose by; of the other half `b-report` is best."""
    lake = Lake(tmp_path)
    for name, ari in (("a-choose", 1.0), ("a-report", 0.25), ("b-choose", 0.5), ("b-report", 0.75)):
        row: Row = {"part": name[2:], "representation": "effects", "n_clusters": 2, "ari": ari}
        put(lake, "clusterings", [row], study="s", clustering=name)
    with serving(lake) as url, visiting(browser, url, 1280, 800) as visit:
        page = visit.open("/clusterings?study=s")
        bars = page.locator("#clusterings-chart .js-plotly-plot")
        expect(bars).to_be_visible()
        names = "e => e.data[0].customdata"
        assert bars.evaluate(names) == ["b-report", "a-report"]
        expect(page.locator(".made th").nth(1)).to_have_text("b-report")
        expect(page.locator("#clusterings-table .ag-row")).to_have_count(4)
        page.get_by_role("link", name="to choose by").click()
        expect(page).to_have_url(re.compile("part=choose"))
        expect(page.locator(".made th").nth(1)).to_have_text("a-choose")
        assert bars.evaluate(names) == ["a-choose", "b-choose"]
        page.locator("#clusterings-table").get_by_role("link", name="a-report").click()
        expect(page.locator(".made th").nth(1)).to_have_text("a-report")
        assert bars.evaluate(names) == ["b-report", "a-report"]


@pytest.mark.parametrize("width", [1280, 1920])
def test_all_clusterings_columns_are_in_sight_and_share_the_width(visit: Visit, width: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": 800})
    page = visit.open("/clusterings?study=plain")
    headers = page.locator("#clusterings-table [role=columnheader]")
    expect(headers).to_have_count(14)
    page.wait_for_function(  # the grid shares the width after it is drawn
        """() => {
            const [room] = document.querySelectorAll("#clusterings-table .ag-header-viewport");
            const all = document.querySelectorAll("#clusterings-table [role=columnheader]");
            const widths = [...all].map((e) => e.offsetWidth);
            const sum = widths.reduce((a, b) => a + b, 0);
            return Math.abs(sum - room.clientWidth) <= 2 && Math.max(...widths) < sum / 6;
        }"""
    )
    page.set_viewport_size({"width": 1280, "height": 800})


def test_hostile_clusterings_are_inert(visit: Visit) -> None:
    page = visit.open("/clusterings?study=hostile")
    expect(page.get_by_role("heading", name="Clusters and known rules")).to_be_visible()
    page.wait_for_load_state("networkidle")
    expect(page).to_have_title("Clusterings · hostile · Circuit Lake")


@pytest.mark.parametrize("context", [C0, C1])
def test_the_widest_window_starts_with_the_document(visit: Visit, context: int) -> None:
    page = visit.open(FIRST)
    file = FIRST.replace("/clusters", "/download/clusters/cluster.json") + "&width=100"
    found = page.request.get(visit.url + file).json()
    assert found[str(context)]["context"] == ["The", " girl"]
