"""The door: who is let in, and what goes out."""

from __future__ import annotations

import csv as standard
import io
import time
from typing import Any

import flask.testing
import pytest
from werkzeug.test import TestResponse

from dagster_project.lake.store import Lake
from dashboards.app import create_app
from dashboards.data import Data
from dashboards.sandbox import routes
from dashboards.sandbox.keeper import Standing
from dashboards.sandbox.routes import as_csv, shown, told
from dashboards.sandbox.runner import FILED

HERE = {"Host": "127.0.0.1:8050"}


@pytest.fixture(scope="module")
def client(lake: Lake) -> flask.testing.FlaskClient:
    """A server whose snapshot is there."""
    client: flask.testing.FlaskClient = create_app(Data(lake)).server.test_client()
    until = time.monotonic() + 120
    while "made" not in client.get("/sql/snapshot", headers=HERE).get_json():
        assert time.monotonic() < until
        time.sleep(0.05)
    return client


def ask(
    client: flask.testing.FlaskClient, path: str, sql: str, study: str = "plain"
) -> TestResponse:
    body = {"sql": sql, "study": study, "run": "r"}
    return client.post(f"/sql/{path}", json=body, headers=HERE)


def test_a_statement_is_answered(client: flask.testing.FlaskClient) -> None:
    sql = "select study, count(*) as n from losses where study = $study group by study"
    found = ask(client, "answer", sql).get_json()
    assert [column["name"] for column in found["columns"]] == ["study", "n"]
    assert found["rows"] == [["plain", 96]]
    assert not found["more"]
    assert "Only a select" in ask(client, "answer", "drop table losses").get_json()["error"]


def test_the_snapshot_tells_what_it_holds_and_no_path(client: flask.testing.FlaskClient) -> None:
    answer = client.get("/sql/snapshot", headers=HERE)
    parts = {(p["study"], p["table"]): p for p in answer.get_json()["parts"]}
    assert parts["plain", "losses"]["rows"] == parts["plain", "losses"]["of"] == 96
    assert "duckdb" not in answer.text


@pytest.mark.parametrize("path", ["answer", "answer.csv", "stop"])
def test_only_this_machines_pages_ask(client: flask.testing.FlaskClient, path: str) -> None:
    body = {"sql": "select 1", "study": "plain", "run": ""}
    for foreign in (
        {"Host": "example.com"},
        {**HERE, "Origin": "http://example.com"},
        {**HERE, "Sec-Fetch-Site": "cross-site"},
        {**HERE, "Origin": "null"},
    ):
        assert client.post(f"/sql/{path}", json=body, headers=foreign).status_code == 403
    plain = client.post(f"/sql/{path}", data="{}", content_type="text/plain", headers=HERE)
    assert plain.status_code == 415  # what a form of another site could send
    assert client.get(f"/sql/{path}?sql=select+1", headers=HERE).mimetype == "text/html"


@pytest.mark.parametrize("body", [[], "x", 1, {"sql": 1}, {"sql": ["select 1"]}, {"run": {}}])
def test_what_is_no_statement_is_refused(client: flask.testing.FlaskClient, body: object) -> None:
    assert client.post("/sql/answer", json=body, headers=HERE).status_code == 400


def test_until_there_is_a_snapshot_its_progress_is_the_answer(lake: Lake) -> None:
    client = create_app(Data(lake)).server.test_client()
    assert ask(client, "answer", "select 1").get_json() == {"building": [0, 0]}
    assert told(Standing(None, (3, 7), "")) == {"building": (3, 7), "fault": ""}


def test_a_csv_has_all_and_no_formula(
    client: flask.testing.FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = """
    select doc_id, -1.5 as low, '=1+1' as "=SUM(1)", null as none, pile_set_name, text
    from documents where study = $study
    """
    answer = ask(client, "answer.csv", sql, "hostile")
    assert answer.mimetype == "text/csv"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "X-More" not in answer.headers
    standard.field_size_limit(10**7)
    names, *rows = standard.reader(io.StringIO(answer.text, newline=""))
    assert names == ["doc_id", "low", "'=SUM(1)", "none", "pile_set_name", "text"]
    assert len(rows) == 24
    for row in rows:
        assert row[1:4] == ["-1.5", "'=1+1", ""]
        assert not row[4].lstrip().startswith(("=", "+", "-", "@", "|", "%"))
    monkeypatch.setattr(routes, "FILED", FILED._replace(rows=10))
    long = ask(client, "answer.csv", "from range(11)")
    assert long.headers["X-More"] == "1"
    assert len(long.text.splitlines()) == 11  # the names among them
    assert "error" in ask(client, "answer.csv", "selekt").get_json()


def test_texts_are_safe_and_numbers_stay() -> None:
    columns = [
        {"name": "=a\u202e", "type": "VARCHAR", "kind": "text"},
        {"name": "b", "type": "HUGEINT", "kind": "large"},
        {"name": "c", "type": "DOUBLE", "kind": "real"},
    ]
    low = "-170141183460469231731687303715884105728"
    rows = [["+1\u202e\n", low, -0.5], [None, None, "-Infinity"]]
    found: dict[str, Any] = {"columns": columns, "rows": rows, "more": False}
    made = shown(found)
    assert made["columns"][0]["name"] == "=a⟨202E⟩"
    assert made["rows"][0] == ["+1⟨202E⟩↵", low, -0.5]
    names, first, second = standard.reader(io.StringIO(as_csv(found), newline=""))
    assert names == ["'=a\u202e", "b", "c"]
    assert first == ["'+1\u202e\n", low, "-0.5"]
    assert second == ["", "", "'-Infinity"]
    assert shown({"error": "x"}) == {"error": "x"}
