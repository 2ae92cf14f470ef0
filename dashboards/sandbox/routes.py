"""The door to the sandbox: statements come in as JSON, answers go out as JSON or as CSV.

Posts of other sites are refused before they come here (security.py). The words of an answer are
made legible for a table, or safe for a spreadsheet; the page shows them with `textContent` alone.
"""

from __future__ import annotations

import csv
import io
from typing import Any, NamedTuple

import flask

from dashboards.data import Data
from dashboards.sandbox.keeper import Keeper, Standing
from dashboards.sandbox.runner import FILED, SECONDS, SHOWN, Bounds, Runner
from dashboards.text import clip, spreadsheet, visible

LONGEST_NAME = 80  # characters of a column's name


class Asked(NamedTuple):
    """A statement, the study it is for, and a name to stop it by."""

    sql: str
    study: str
    run: str


def offer(server: flask.Flask, data: Data) -> None:
    """Answer statements below /sql."""
    keeper, runner = Keeper(data), Runner(SECONDS)

    @server.get("/sql/snapshot")
    def snapshot() -> dict[str, Any]:
        return told(keeper.look())

    @server.post("/sql/answer")
    def answer() -> dict[str, Any]:
        return shown(_answer(keeper, runner, SHOWN))

    @server.post("/sql/answer.csv")
    def file() -> flask.Response | dict[str, Any]:
        found = _answer(keeper, runner, FILED)
        if "rows" not in found:
            return found
        more = {"X-More": "1"} if found["more"] else {}
        return flask.Response(as_csv(found), mimetype="text/csv", headers=more)

    @server.post("/sql/stop")
    def stop() -> dict[str, Any]:
        runner.stop(_asked().run)
        return {}


def told(standing: Standing) -> dict[str, Any]:
    """A snapshot's standing, for the page."""
    snapshot, building, fault = standing
    found = {"building": building, "fault": fault}
    if snapshot is None:
        return found
    return {**found, "made": snapshot.made, "bytes": snapshot.bytes, "parts": snapshot.parts}


def shown(found: dict[str, Any]) -> dict[str, Any]:
    """An answer, its texts legible whatever they hold."""
    if "rows" not in found:
        return found
    columns = [{**c, "name": clip(visible(c["name"]), LONGEST_NAME)} for c in found["columns"]]
    texts = [column["kind"] == "text" for column in columns]
    rows = [
        [visible(c) if text and c is not None else c for c, text in zip(row, texts, strict=True)]
        for row in found["rows"]
    ]
    return {**found, "columns": columns, "rows": rows}


def as_csv(found: dict[str, Any]) -> str:
    """An answer as CSV that no spreadsheet takes for formulas; null is an empty cell."""
    columns = found["columns"]
    numbers = [column["kind"] in ("whole", "large") for column in columns]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([spreadsheet(column["name"]) for column in columns])
    for row in found["rows"]:
        cells = zip(row, numbers, strict=True)
        writer.writerow([c if n or not isinstance(c, str) else spreadsheet(c) for c, n in cells])
    return file.getvalue()


def _answer(keeper: Keeper, runner: Runner, bounds: Bounds) -> dict[str, Any]:
    asked, (snapshot, building, fault) = _asked(), keeper.look()
    if snapshot is None:
        return {"building": building} if building else {"error": fault}
    return runner.ask(snapshot.file, asked.sql, asked.study, bounds, asked.run)


def _asked() -> Asked:
    body = flask.request.get_json()
    if isinstance(body, dict):
        given = Asked(*(body.get(name, "") for name in Asked._fields))
        if all(isinstance(text, str) for text in given):
            return given
    flask.abort(400, "A statement is JSON: sql, study and run, all of them texts.")
