"""The Dagster UI as a user meets it: `make ui`, a real browser, and the lake that comes of it.

One server for the module, on a folder with three studies: `tiny` is materialized by clicks,
`clustered` by a run and then a backfill over its clusters, `faulty` has a mistake in its file.
Cost: about a minute and a half, most of it Dagster's daemon and new processes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from dagster_project.lake.store import Lake
from tests.browser import Visit, visiting
from tests.conftest import write_tiny_study

REPOSITORY = Path(__file__).parents[1]
PATIENCE = 180  # seconds for anything that Dagster's daemon or a new process has a part in
SHARDS = ["00000", "00001", "00002", "00003"]
ROWS_PER_SHARD = 128


class Server(NamedTuple):
    """`make ui` under way."""

    url: str
    lake: Lake
    environment: dict[str, str]
    log: Path

    def query(self, graphql: str) -> dict[str, object]:
        """Data that the UI's GraphQL interface answers."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": graphql}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            data: dict[str, object] = json.load(answer)["data"]
        return data

    def python(self, *arguments: str) -> str:
        """What a Python program prints in the server's environment."""
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"{what} within {PATIENCE} s"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("ui")
    environment = _environment(folder, _studies(folder))
    port = _free_port()
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _make("ui", f"PORT={port}"),
            cwd=REPOSITORY,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    made = Server(f"http://127.0.0.1:{port}", Lake(folder / "lake"), environment, log)
    try:
        eventually(lambda: _answers(made, process), "the server answers")
        yield made
    finally:
        _end(process)


def _studies(folder: Path) -> Path:
    """tiny, its twin clustered, and one with a mistake."""
    studies = folder / "studies"
    studies.mkdir()
    text = write_tiny_study(studies, dictionaries="identity").read_text()
    (studies / "clustered.toml").write_text(text.replace("n_clusters = 3", "n_clusters = 2"))
    (studies / "faulty.toml").write_text(text.replace("n_ctx = 6", 'n_ctx = "<six>"'))
    return studies


def _environment(folder: Path, studies: Path) -> dict[str, str]:
    home = folder / "home"
    home.mkdir()
    shutil.copy(REPOSITORY / ".dagster" / "dagster.yaml", home)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return inherited | {
        "DAGSTER_HOME": str(home),
        "CIRCUIT_LAKE_ROOT": str(folder / "lake"),
        "CIRCUIT_LAKE_STUDIES": str(studies),
        "OMP_NUM_THREADS": "1",
    }


def _make(*arguments: str) -> list[str]:
    """make with this virtual environment, taken as installed."""
    prefix = sys.prefix
    return ["make", "-o", f"{prefix}/installed", *arguments, f"VENV={prefix}"]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def _answers(server: Server, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, f"the server ended:\n{server.log.read_text()}"
    try:
        urllib.request.urlopen(f"{server.url}/server_info", timeout=10).close()
    except OSError:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and all that it has started; some of its children lead groups themselves."""
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=20)
    for member in alive:
        member.kill()
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def visit(server: Server, browser: Browser) -> Iterator[Visit]:
    with visiting(browser, server.url) as made:
        expect.set_options(timeout=PATIENCE * 1000)
        yield made
        expect.set_options(timeout=None)


@pytest.fixture(autouse=True)
def undisturbed(visit: Visit) -> Iterator[None]:
    """No page of any test reports an error or asks anything of another machine."""
    yield
    assert visit.errors == []
    assert visit.foreign == []


def materialize(page: Page) -> None:
    page.get_by_role("button", name=re.compile("Materialize")).first.click()


def launch(page: Page) -> None:
    page.get_by_role("button", name=re.compile("Launch")).last.click()


def green(page: Page) -> None:
    """The asset's page shows that the latest materialization succeeded."""
    expect(page.get_by_role("img", name="run_success").first).to_be_visible()


def counted(page: Page, state: str, n: int) -> None:
    """The partitions tab shows n partitions in a state."""
    expect(page.get_by_text(f"{state} ({n})")).to_be_visible()


def test_a_shard_and_then_a_backfill_of_the_others_by_clicks(visit: Visit, server: Server) -> None:
    page = visit.open("/assets/tiny/corpus")
    expect(page.get_by_text("Never materialized")).to_be_visible()
    materialize(page)
    eventually(lambda: server.lake.rows("shards", study="tiny") == 4, "the corpus is in the lake")
    green(page)

    page = visit.open("/assets/tiny/documents?view=partitions")
    counted(page, "Missing", 4)
    materialize(page)
    page.get_by_text("Select a partition or create one").click()
    page.get_by_role("menuitem").filter(has_text=SHARDS[0]).click()
    page.keyboard.press("Escape")
    expect(page.get_by_text("1 partition", exact=True)).to_be_visible()
    launch(page)
    counted(page, "Materialized", 1)
    page.get_by_text(SHARDS[0], exact=True).first.click()
    expect(page.get_by_text("Materialized", exact=True)).to_be_visible()
    assert server.lake.partitions("documents", "tiny") == SHARDS[:1]

    materialize(page)
    page.get_by_role("button", name="Missing", exact=True).click()
    expect(page.get_by_text("3 partitions", exact=True)).to_be_visible()
    launch(page)
    counted(page, "Materialized", 4)
    rows = {s: server.lake.rows("documents", study="tiny", shard=s) for s in SHARDS}
    assert rows == dict.fromkeys(SHARDS, ROWS_PER_SHARD)

    page = visit.open("/runs?view=backfills")
    expect(page.get_by_text("3 partitions")).to_be_visible()
    expect(page.get_by_text("Success", exact=True)).to_be_visible()

    page = visit.open("/assets/tiny/documents?view=checks")
    for check in ("ids_in_order", "malformed"):
        expect(page.get_by_text(check, exact=True).first).to_be_visible()
    expect(page.get_by_text("Succeeded")).to_have_count(2)


def test_the_model_turns_green(visit: Visit) -> None:
    page = visit.open("/assets/tiny/model")
    expect(page.get_by_text("Never materialized")).to_be_visible()
    materialize(page)
    green(page)
    page.reload()
    expect(page.get_by_text("max_position_embeddings")).to_be_visible()


def test_a_first_look_by_one_click(visit: Visit, server: Server) -> None:
    page = visit.open("/locations/circuit-lake/jobs/tiny__first_look_job/playground")
    page.get_by_role("button", name="Launch Run").click()
    expect(page.get_by_text(re.compile("1 of 5 +corpus, model: ")).first).to_be_visible()
    expect(page.get_by_text(re.compile("5 of 5 +catalog: ")).first).to_be_visible()
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    assert server.lake.partitions("losses", "tiny") == SHARDS[:1]
    assert server.lake.partitions("faithfulness", "tiny") == ["number"]


def test_the_timeline_shows_what_was_made(visit: Visit) -> None:
    page = visit.open("/overview/activity/timeline")
    for name in ("circuit-lake", "tiny__first_look_job", "Jobless asset materializations"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()


def test_the_asset_graph_shows_each_study_and_its_groups(visit: Visit) -> None:
    page = visit.open("/asset-groups")
    for name in ("tiny", "clustered", "embedded", "pythia_70m", "faulty_studies", "catalog"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    page = visit.open("/assets/tiny/circuit_edges?view=lineage")
    for name in ("circuit_edges", "mean_gradients", "site_effects", "4_circuits"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()


def test_jobs_and_the_running_sensor_are_listed(visit: Visit) -> None:
    page = visit.open("/locations/circuit-lake/jobs/tiny__one_task_job")
    expect(page.get_by_text("pairs, node_effects, circuits, faithfulness")).to_be_visible()
    page = visit.open("/automation")
    sensors = page.get_by_role("link").filter(has_text="corpus_files")
    shipped = list((REPOSITORY / "dagster_project" / "studies").glob("*.toml"))
    studies = 2 + len(shipped)  # tiny and clustered besides
    expect(sensors).to_have_count(studies)
    expect(sensors.filter(has_text="tiny__corpus_files")).to_be_visible()
    expect(page.locator("input[type=checkbox]:checked")).to_have_count(studies + 1)  # the catalog's


def test_no_tick_of_a_sensor_fails(server: Server) -> None:
    eventually(lambda: "SKIPPED" in _ticks(server, "tiny__corpus_files"), "the sensor ticks")
    for sensor in ("tiny__corpus_files", "embedded__corpus_files", "pythia_70m__corpus_files"):
        assert "FAILURE" not in _ticks(server, sensor)


def _ticks(server: Server, sensor: str) -> str:
    selector = (
        f'{{sensorName: "{sensor}", repositoryName: "__repository__", '
        'repositoryLocationName: "circuit-lake"}'
    )
    ticks = "sensorState { status ticks(limit: 9) { status error { message } } }"
    query = f"{{ sensorOrError(sensorSelector: {selector}) {{ ... on Sensor {{ {ticks} }} }} }}"
    return json.dumps(server.query(query))


def test_a_faulty_study_says_why_and_the_others_load(visit: Visit, server: Server) -> None:
    fault = 'faulty.toml: contexts.n_ctx must be an integer, found "<six>"'
    page = visit.open("/assets/faulty/faulty")
    expect(page.get_by_text("This study could not be loaded.")).to_be_visible()
    expect(page.get_by_text(fault)).to_be_visible()
    assert fault in server.log.read_text()


def test_a_backfill_of_circuits_over_all_clusters_of_a_clustering(
    server: Server, visit: Visit
) -> None:
    before = "corpus model documents tokens losses dictionaries contexts context_features"
    stages = [*before.split(), "context_gradients", "clusterings"]
    server.python("dagster_project.run", "clustered", "--only", *stages)
    clusters = server.lake.scan("clusters", study="clustered", clustering="effects-3").collect()
    tasks = [f"effects-3-{c}" for c in sorted(clusters["cluster"]) if c >= 0]
    assert len(tasks) == 2
    job = "clustered__one_task_job"
    page = visit.open(f"/locations/circuit-lake/jobs/{job}/partitions")
    expect(page.get_by_text("Total partitions")).to_be_visible()
    server.python(
        "dagster", "job", "backfill", "-j", job, "--partitions", ",".join(tasks), "--noprompt"
    )
    for table in ("pairs", "node_effects", "circuits", "circuit_nodes", "faithfulness"):
        eventually(
            lambda table=table: server.lake.partitions(table, "clustered") == tasks,  # type: ignore[misc]
            f"{table} of all clusters are in the lake",
        )
    eventually(lambda: _backfilled(server, job), "the backfill has finished")


def _backfilled(server: Server, job: str) -> bool:
    query = "{ partitionBackfillsOrError { ... on PartitionBackfills { results { %s } } } }"
    found = json.dumps(server.query(query % "status partitionSetName assetSelection { path }"))
    assert "FAILED" not in found
    return "COMPLETED_SUCCESS" in found and job in found
