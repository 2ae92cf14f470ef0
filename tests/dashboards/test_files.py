"""Files that pages offer."""

from __future__ import annotations

import csv as standard
import io
import json
from pathlib import Path

import flask.testing
import polars as pl
import pytest

from dagster_project.lake.store import Lake
from dashboards.app import create_app
from dashboards.components.files import csv
from dashboards.data import Data
from dashboards.pages import PAGES
from tests.dashboards.circuits import fill_circuits
from tests.dashboards.clusters import fill_clusters
from tests.dashboards.features import FEATURES
from tests.dashboards.lakes import HOSTILE
from tests.lake.frames import put

TYPES = {".csv": "text/csv", ".json": "application/json", ".dot": "text/vnd.graphviz"}
FILES = [(page.name, name) for page in PAGES for name in page.downloads]


def test_texts_are_quoted_numbers_stay_and_lists_are_json() -> None:
    frame = pl.DataFrame(
        {"t": ["=1+1", "a,b", None], "n": [-1.5, 2.0, None], "l": [["=x"], [], None]}
    )
    rows = list(standard.reader(io.StringIO(str(csv(frame).content))))
    assert rows == [
        ["t", "n", "l"],
        ["'=1+1", "-1.5", '["=x"]'],
        ["a,b", "2.0", "[]"],
        ["", "", "null"],
    ]
    assert json.loads(rows[1][2]) == ["=x"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> flask.testing.FlaskClient:
    """A dashboard on a hostile study that has something for every page."""
    lake = Lake(tmp_path_factory.mktemp("files"))
    fill_circuits(lake, "hostile", HOSTILE)
    fill_clusters(lake, "hostile", HOSTILE)
    put(lake, "features", FEATURES, study="hostile")  # of which the first has examples
    return create_app(Data(lake)).server.test_client()


def downloaded(client: flask.testing.FlaskClient, page: str, name: str) -> str:
    path = f"/download/{page}/{name}?study=hostile"
    answer = client.get(path, headers={"Host": "127.0.0.1"})
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.mimetype == TYPES[Path(name).suffix]
    return answer.text


@pytest.mark.parametrize(("page", "name"), FILES)
def test_no_file_of_a_hostile_study_has_a_formula(
    client: flask.testing.FlaskClient, page: str, name: str
) -> None:
    text = downloaded(client, page, name)
    if name.endswith(".csv"):
        standard.field_size_limit(10**7)
        rows = list(standard.reader(io.StringIO(text)))
        assert len(rows) > 1
        for cell in (cell for row in rows for cell in row):
            assert not cell.lstrip().startswith(("=", "@", "|")), cell[:40]
            assert not any(cell.startswith(text[:9]) for text in HOSTILE if text[0] in "+-")
    elif name.endswith(".json"):
        assert json.loads(text)
    else:
        assert text.endswith("}\n")


def test_files_of_no_page_are_not_found(lake: Lake) -> None:
    client = create_app(Data(lake)).server.test_client()
    for path in ("/download/losses/other.csv", "/download/x/losses.csv"):
        assert client.get(path, headers={"Host": "127.0.0.1"}).status_code == 404
