"""Labels that are posted: taken where the dashboard allows it, of features that there are."""

from __future__ import annotations

import flask.testing
import pytest

from dagster_project.lake.label_log import current, history
from dagster_project.lake.store import Lake
from dashboards.app import create_app
from dashboards.data import Data
from tests.dashboards.features import fill_features
from tests.dashboards.lakes import HOSTILE

HOST = {"Host": "127.0.0.1:8050"}
SAID: dict[str, object] = {"study": "plain", "site": "embed", "feature": 3, "label": " verbs "}
SAID |= {"author": "Ada", "notes": ""}


@pytest.fixture
def labelled(root: Lake) -> Lake:
    return fill_features(root)


def client(lake: Lake, *, labels: bool) -> flask.testing.FlaskClient:
    made: flask.testing.FlaskClient = create_app(Data(lake), labels=labels).server.test_client()
    return made


def test_a_label_goes_to_the_log_and_one_of_null_takes_it_back(labelled: Lake) -> None:
    server = client(labelled, labels=True)
    assert server.post("/labels", json=SAID, headers=HOST).status_code == 204
    kept = next(label for label in current(labelled, "plain") if label.feature == 3)
    assert (kept.label, kept.author, kept.notes) == ("verbs", "Ada", None)
    assert kept.time.endswith("Z")
    assert server.post("/labels", json=SAID | {"label": None}, headers=HOST).status_code == 204
    assert [label.feature for label in current(labelled, "plain")] == [4]
    assert len(history(labelled, "plain")) == 4  # nothing is lost


def test_nothing_is_written_unless_it_is_allowed(labelled: Lake) -> None:
    answer = client(labelled, labels=False).post("/labels", json=SAID, headers=HOST)
    assert answer.status_code == 403
    assert "--allow-labels" in answer.text
    assert len(history(labelled, "plain")) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://example.com"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "example.com"},
    ],
)
def test_another_site_cannot_label(labelled: Lake, headers: dict[str, str]) -> None:
    server = client(labelled, labels=True)
    assert server.post("/labels", json=SAID, headers=HOST | headers).status_code == 403
    assert len(history(labelled, "plain")) == 2


def test_a_form_of_any_page_cannot_label(labelled: Lake) -> None:
    """Only JSON is taken, which a page of another site may not send unasked."""
    server = client(labelled, labels=True)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        text = '{"study": "plain", "site": "embed", "feature": 3, "label": "x", "author": "y"}'
        answer = server.post("/labels", data=text, content_type=kind, headers=HOST)
        assert answer.status_code == 415
    assert server.get("/labels", headers=HOST).status_code != 204
    assert len(history(labelled, "plain")) == 2


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"feature": 5}, 404),
        ({"site": "resid_9"}, 404),
        ({"study": "../plain"}, 404),
        ({"study": "../../etc"}, 404),
        ({"study": ["plain"]}, 404),
        ({"site": "../embed"}, 400),
        ({"site": None}, 400),
        ({"feature": "3"}, 400),
        ({"feature": True}, 400),
        ({"feature": -1}, 400),
        ({"feature": 2**40}, 400),
        ({"label": "  "}, 400),
        ({"label": 7}, 400),
        ({"label": "x" * 2001}, 400),
        ({"author": ""}, 400),
        ({"notes": ["x"]}, 400),
    ],
)
def test_what_is_no_label_of_a_feature_is_refused(
    labelled: Lake, changed: dict[str, object], status: int
) -> None:
    before = sorted(path for path in labelled.root.rglob("*"))
    answer = client(labelled, labels=True).post("/labels", json=SAID | changed, headers=HOST)
    assert answer.status_code == status
    assert answer.mimetype == "text/plain"
    assert answer.text
    assert sorted(path for path in labelled.root.rglob("*")) == before
    assert len(history(labelled, "plain")) == 2


@pytest.mark.parametrize("body", ["[]", "1", "null", "{", '{"study": "plain"}'])
def test_what_is_no_object_is_refused(labelled: Lake, body: str) -> None:
    server = client(labelled, labels=True)
    answer = server.post("/labels", data=body, content_type="application/json", headers=HOST)
    assert answer.status_code == 400
    assert len(history(labelled, "plain")) == 2


@pytest.mark.parametrize("text", [t for t in HOSTILE if len(t) < 2000 and "\x00" not in t])
def test_a_hostile_label_is_kept_as_it_is(labelled: Lake, text: str) -> None:
    server = client(labelled, labels=True)
    answer = server.post("/labels", json=SAID | {"label": text}, headers=HOST)
    assert answer.status_code == 204
    kept = next(label for label in current(labelled, "plain") if label.feature == 3)
    assert kept.label == text.strip()
