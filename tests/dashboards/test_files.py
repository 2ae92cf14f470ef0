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
from dashboards.page import file_name
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
    put(lake, "shift", [{"probe": text, "edit": "none"} for text in HOSTILE], study="hostile")
    chosen = {"site": "embed", "feature": 1, "by_hand": True}
    reasons = [chosen | {"probe": text, "why": text} for text in HOSTILE]
    put(lake, "shift_features", reasons, study="hostile")
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


@pytest.mark.parametrize(
    ("of", "name"),
    [
        ("rc.ig.none", "circuit-rc.ig.none.json"),
        ("", "circuit.json"),
        ("../..\\", "circuit.json"),
        ('a b"\r\nX: y', "circuit-a_b_X_y.json"),
        ("é" * 200 + "x" * 200, "circuit-" + "x" * 79 + ".json"),
    ],
)
def test_a_saved_file_says_what_it_is_of(of: str, name: str) -> None:
    assert file_name("circuit.json", of) == name


def test_files_of_a_cluster_and_a_clustering_are_named_after_them(
    client: flask.testing.FlaskClient,
) -> None:
    query = "study=hostile&clustering=first&cluster=first-1"
    for name, more, saved in (
        ("cluster.json", "", "cluster-first-1.json"),
        ("cluster.json", "&lasso=0,0,3,0,0,3", "cluster-first-lasso.json"),
        ("clusters.csv", "", "clusters-first.csv"),
    ):
        path = f"/download/clusters/{name}?{query}{more}"
        answer = client.get(path, headers={"Host": "127.0.0.1"})
        assert answer.headers["Content-Disposition"] == f"attachment; filename={saved}"


@pytest.mark.parametrize(
    ("path", "saved"),
    [
        ("losses/losses.csv?by=rule", "losses-by-rule.csv"),
        ("losses/tokens.csv?order=easiest", "tokens-easiest.csv"),
        ("losses/document.csv?document=3", "document-3.csv"),
        ("faithfulness/faithfulness.csv?task=bracket", "faithfulness-bracket.csv"),
        ("features/features.csv", "features.csv"),
        ("features/features.csv?site=embed", "features-embed.csv"),
        ("feature/examples.csv?site=embed&feature=3", "examples-embed-3.csv"),
        ("dictionaries/dictionaries.csv?across=0", "dictionaries-hostile.csv"),
        ("clusterings/clusterings.csv", "clusterings-hostile.csv"),
    ],
)
def test_files_are_named_after_what_they_are_of(
    client: flask.testing.FlaskClient, path: str, saved: str
) -> None:
    answer = client.get(f"/download/{path}", headers={"Host": "127.0.0.1"})
    assert answer.headers["Content-Disposition"] == f"attachment; filename={saved}"


def test_files_of_no_page_are_not_found(lake: Lake) -> None:
    client = create_app(Data(lake)).server.test_client()
    for path in ("/download/losses/other.csv", "/download/x/losses.csv"):
        assert client.get(path, headers={"Host": "127.0.0.1"}).status_code == 404
