"""Labels that readers add: the one thing that the dashboard writes, and only if it was started so.

A label is posted as JSON to `/labels` by a page of this server (see `security`) and goes to the
study's append-only log. Study, site and feature must be in the lake; they never make a path that
was not there before.
"""

from __future__ import annotations

from typing import Any

import flask

from dagster_project.lake.errors import LakeError
from dagster_project.lake.label_log import Label, LabelError, append, check
from dashboards.data import Data

FORBIDDEN = "This dashboard was started without --allow-labels."


def accept_labels(server: flask.Flask, data: Data, *, allowed: bool) -> None:
    """Take labels at /labels. Answers: 204; 400, 403, 404 or 500 with what is wrong."""

    @server.post("/labels")
    def take() -> flask.Response:
        if not allowed:
            return _answer(403, FORBIDDEN)
        said = flask.request.get_json()  # 415 where it is not said to be JSON: no form can post it
        if not isinstance(said, dict):
            return _answer(400, "expected an object")
        label = _label(said)
        study = said.get("study")
        try:
            check(label)
            if not _known(data, study, label):
                return _answer(404, "The lake has no such feature.")
            append(data.lake, str(study), [label])
        except LabelError as error:
            return _answer(400, str(error))
        except LakeError as error:
            return _answer(500, str(error))
        data.look_again()
        return _answer(204, "")


def _label(said: dict[str, Any]) -> Label:
    """As it was said, not checked yet; texts without the spaces around them."""
    texts = {
        name: text.strip() if isinstance(text := said.get(name), str) else text
        for name in ("label", "author", "notes")
    }
    return Label(
        site=said.get("site"),  # type: ignore[arg-type]
        feature=said.get("feature"),  # type: ignore[arg-type]
        label=texts["label"],
        author=texts["author"],  # type: ignore[arg-type]
        notes=texts["notes"] or None,
    )


def _known(data: Data, study: object, label: Label) -> bool:
    if not isinstance(study, str) or study not in data.studies():
        return False
    found = data.ask("feature", study=study, site=label.site, feature=label.feature)
    return found.height == 1


def _answer(status: int, text: str) -> flask.Response:
    return flask.Response(text, status, mimetype="text/plain")
