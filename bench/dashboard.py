"""Time of every page of the dashboard: `python -m bench.dashboard LAKE [--large FOLDER]`.

A browser goes from page to page of a finished study, as by clicks; a time is from the click until
what is in sight is painted, and until all of the page is: the first time a page is asked for, and
the best of those after, once the server has gone through its pages as it does when it starts.
With --large, of a lake of 10 million losses, 50,000 features and 300 circuits, which is made of
LAKE in FOLDER if it is not there. Reports milliseconds, and the server's memory at the end.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import polars as pl
import psutil
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from bench.large_lake import enlarge
from dagster_project.lake.store import Lake
from dashboards.data import Data
from dashboards.pages import PAGES
from dashboards.warm import Warming
from tests.browser import BROWSER_OPTIONS, find_chromium
from tests.dashboards.conftest import serving

STUDY, REPEATS = "embedded", 3
PAINTED = """url => new Promise(done => {
  const began = performance.now();
  const lacks = {
    sight: () => "busy" in document.body.dataset,
    all: () => document.querySelector("#page :is(.figure, .tabled):empty"),
  };
  const painted = (what) => new Promise(then => {
    const look = () => {
      if (lacks[what]()) return requestAnimationFrame(look);
      requestAnimationFrame(() => setTimeout(() => then(performance.now() - began)));
    };
    requestAnimationFrame(look);
  });
  lake.go(url);
  painted("sight").then(async (sight) => done([sight, await painted("all")]));
})"""


class Timing(NamedTuple):
    """What a page took, in milliseconds."""

    url: str
    first: float  # until what is in sight is painted
    after: float
    whole: float  # until all is, after the first time


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.dashboard", description=__doc__)
    parser.add_argument("lake", type=Path)
    parser.add_argument("--large", type=Path)
    options = parser.parse_args()
    lake = Lake(options.lake)
    if options.large:
        there = options.large.is_dir()
        lake = Lake(options.large) if there else enlarge(lake, STUDY, options.large)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    data = Data(lake)
    with serving(data) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=BROWSER_OPTIONS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        began = time.perf_counter()
        going = Warming(data, PAGES)  # as the server does when it starts
        page.goto(f"{url}/overview?study={STUDY}")
        page.wait_for_selector(".flow")
        opened = time.perf_counter() - began
        going.join()
        ready = time.perf_counter() - began
        timings = [timed(page, address) for address in addresses(lake)]
        browser.close()
    table = Table("page", "first, ms", "again, ms", "all of it, ms")
    for url, *times in sorted(timings, key=lambda t: -t.first):
        table.add_row(url, *(f"{time:,.0f}" for time in times))
    console = Console(soft_wrap=True)
    console.print(table)
    rows = {name: lake.rows(name, study=STUDY) for name in ("losses", "features", "circuits")}
    memory = psutil.Process().memory_info().rss / 2**20
    counted = ", ".join(f"{n:,} {name}" for name, n in rows.items())
    console.print(f"first page of a server just started {opened:.2f} s, all asked {ready:.1f} s")
    console.print(f"server {memory:,.0f} MiB; {counted}")


def addresses(lake: Lake) -> list[str]:
    """Every page, in its main states."""
    task = lake.partitions("circuits", STUDY)[0]
    circuit = lake.scan("circuits", study=STUDY, task=task).collect()["circuit"][0]
    nodes = lake.scan("circuit_nodes", study=STUDY, task=task).filter(pl.col("feature") >= 0)
    node = nodes.select("site", "feature").collect().row(0, named=True)
    clustering = lake.partitions("clusterings", STUDY)[-1]
    states: list[tuple[str, Mapping[str, object]]] = [
        ("overview", {}),
        *(("losses", {"by": view}) for view in VIEWS),
        ("clusterings", {}),
        *(("clusters", {"clustering": clustering, "view": view}) for view in CLUSTER_VIEWS),
        ("clusters", {"cluster": f"{clustering}-3"}),
        ("features", {}),
        ("feature", node),
        ("circuits", {}),
        ("circuit", {"circuit": circuit}),
        ("faithfulness", {}),
        ("faithfulness", {"task": task}),
        ("dictionaries", {}),
    ]
    return [f"/{page}?{urlencode({'study': STUDY, **state})}" for page, state in states]


VIEWS = ("subset", "rule", "excess", "repetition", "position", "token", "document")
CLUSTER_VIEWS = ("contexts", "features", "similarity")


def timed(page: Page, address: str) -> Timing:
    """The first visit, and the best of some more with another page between."""
    first, _ = page.evaluate(PAINTED, address)
    again: list[tuple[float, float]] = []
    for _ in range(REPEATS):
        page.evaluate(PAINTED, f"/dictionaries?study={STUDY}&again={len(again)}")
        sight, whole = page.evaluate(PAINTED, address)
        again.append((sight, whole))
    return Timing(address, first, *map(min, zip(*again, strict=True)))


if __name__ == "__main__":
    main()
