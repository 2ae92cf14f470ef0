"""Who is answered, and what an answer allows."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import flask.testing
import pytest

from dagster_project.lake.store import Lake
from dashboards.app import create_app
from dashboards.data import Data

PORT = "127.0.0.1:8050"


@pytest.fixture(scope="module")
def client(lake: Lake) -> flask.testing.FlaskClient:
    client: flask.testing.FlaskClient = create_app(Data(lake)).server.test_client()
    return client


@pytest.mark.parametrize("host", [PORT, "localhost:8050", "127.0.0.1", "LOCALHOST"])
def test_this_machine_is_answered(client: flask.testing.FlaskClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["example.com", "127.0.0.1.example.com", "localhost.example.com:8050", "[::1]", "a@b", ""],
)
def test_another_name_is_refused_wherever_it_points(
    client: flask.testing.FlaskClient, host: str
) -> None:
    for path in (
        "/",
        "/_dash-layout",
        "/assets/style.css",
        "/download/dictionaries/dictionaries.csv",
    ):
        assert client.get(path, headers={"Host": host}).status_code in (400, 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://example.com"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_post_of_another_site_is_refused(
    client: flask.testing.FlaskClient, headers: dict[str, str]
) -> None:
    answer = client.post("/_dash-update-component", json={}, headers={"Host": PORT, **headers})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "path",
    ["/", "/assets/style.css", "/nowhere", "/download/x/y", "/_dash-dependencies", "/_dash-layout"],
)
def test_every_answer_states_the_policy(client: flask.testing.FlaskClient, path: str) -> None:
    answer = client.get(path, headers={"Host": PORT})
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"script-src[^;]*unsafe", policy)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_the_policy_has_the_hash_of_every_inline_script(client: flask.testing.FlaskClient) -> None:
    answer = client.get("/", headers={"Host": PORT})
    scripts = re.findall(r"<script(?![^>]*src=)([^>]*)>(.*?)</script>", answer.text, re.DOTALL)
    acting = [body for kind, body in scripts if "json" not in kind]
    assert acting
    for body in acting:
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in answer.headers["Content-Security-Policy"]


def test_everything_that_is_loaded_is_here(client: flask.testing.FlaskClient) -> None:
    page = client.get("/", headers={"Host": PORT}).text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) > 10
    for address in loaded:
        assert address.startswith("/")
        assert not address.startswith("//")
        assert client.get(address, headers={"Host": PORT}).status_code == 200, address


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../app.py",
        "/assets/%2e%2e/app.py",
        "/assets//etc/passwd",
        "/download/dictionaries/..%2f..%2fetc%2fpasswd",
        "/download/..%2fdictionaries/dictionaries.csv",
        "/_dash-component-suites/dash/../../../etc/passwd",
        "/_mcp",
    ],
)
def test_no_path_reaches_a_file(client: flask.testing.FlaskClient, path: str) -> None:
    answer = client.get(path, headers={"Host": PORT})
    assert "root:" not in answer.text
    assert "create_app" not in answer.text
    assert answer.status_code != 200 or "_dash-renderer" in answer.text  # the page, of no path


def test_a_study_that_names_a_path_is_only_a_word(
    client: flask.testing.FlaskClient, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path = f"/download/dictionaries/dictionaries.csv?study=../../../{secret}"
    answer = client.get(path, headers={"Host": PORT})
    assert answer.status_code == 200
    assert "secret" not in answer.text


def test_too_large_a_request_is_refused(client: flask.testing.FlaskClient) -> None:
    body = {"inputs": "x" * (5 * 2**20)}
    answer = client.post("/_dash-update-component", json=body, headers={"Host": PORT})
    assert answer.status_code == 413
