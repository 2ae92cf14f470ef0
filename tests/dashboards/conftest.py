"""The dashboard's server on small lakes, and a browser in front of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from dagster_project.lake.store import Lake
from dashboards.__main__ import serve
from dashboards.data import Data
from dashboards.sandbox import routes
from tests.browser import Visit, visiting
from tests.dashboards.lakes import HOSTILE, fill


@contextmanager
def serving(lake: Lake | Data, *, labels: bool = False) -> Iterator[str]:
    """Address of a dashboard on a lake, on a free port."""
    server = serve(lake if isinstance(lake, Data) else Data(lake), 0, labels=labels)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session", autouse=True)
def patient() -> Iterator[None]:
    """Readers' statements have time on a machine that is busy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routes, "SECONDS", 120)
        yield


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Studies `plain` and `hostile`."""
    made = Lake(tmp_path_factory.mktemp("dashboard") / "lake")
    fill(made)
    return fill(made, "hostile", HOSTILE)


@pytest.fixture(scope="session")
def empty_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return Lake(tmp_path_factory.mktemp("dashboard") / "empty")


@pytest.fixture(scope="module")
def visit(lake: Lake, browser: Browser) -> Iterator[Visit]:
    """A browser on both studies."""
    with serving(lake) as url, visiting(browser, url, 1280, 800) as made:
        yield made


@pytest.fixture(autouse=True)
def undisturbed(request: pytest.FixtureRequest) -> Iterator[None]:
    """No page of any test reports an error or asks anything of another machine."""
    yield
    if "visit" in request.fixturenames:
        visit: Visit = request.getfixturevalue("visit")
        assert visit.errors == []
        assert visit.foreign == []


@pytest.fixture
def root(tmp_path: Path) -> Lake:
    """A lake of one's own."""
    return Lake(tmp_path / "lake")
