"""The application: one callback shows the page that the address names, in the state it says.

Pages hold no state of their own: a control changes the address (assets/navigate.js), the address
changes the page, and of the page what differs is put in place (assets/show.js). So reloading,
going back and sharing a link need nothing more.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dash
import flask
from dash import ClientsideFunction, Input, Output
from dash.development.base_component import Component

from dagster_project.lake.errors import LakeError
from dashboards.components import layout
from dashboards.components.controls import key_of
from dashboards.components.empty import empty_lake
from dashboards.data import Data
from dashboards.labelling import accept_labels
from dashboards.page import AnyPage, Visit, file_name
from dashboards.pages import PAGES
from dashboards.sandbox import routes
from dashboards.security import protect
from dashboards.state import parse

INDEX = """<!doctype html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title>
<script src="/assets/theme.js"></script><script src="/assets/draw.js"></script>
<link rel="icon" href="/assets/favicon.svg" type="image/svg+xml">{%css%}</head>
<body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer></body>
</html>"""

LOG = logging.getLogger(__name__)


def create_app(data: Data, *, labels: bool = False, pages: Sequence[AnyPage] = PAGES) -> dash.Dash:
    """The dashboard on a lake's data. labels: readers may label features."""
    app = dash.Dash(
        "dashboards",
        assets_folder=str(Path(__file__).parent / "assets"),
        assets_ignore=r"(theme|draw)\.js",  # in the head, before all else
        serve_locally=True,
        suppress_callback_exceptions=True,
        title="Circuit Lake",
        update_title="",
        index_string=INDEX,
        use_pages=False,
        enable_mcp=False,
    )
    app.layout = layout.shell
    by_name = {page.name: page for page in pages}
    _show(app, data, by_name, labels)
    _offer(app.server, data, by_name, labels)
    routes.offer(app.server, data)
    accept_labels(app.server, data, allowed=labels)
    protect(app)
    return app


def _show(app: dash.Dash, data: Data, pages: dict[str, AnyPage], labels: bool) -> None:
    @app.callback(Output("tree", "data"), Input("url", "href"))
    def show(href: str) -> layout.Tree:
        asked = urlsplit(href or "/")
        page = pages.get(asked.path.strip("/") or next(iter(pages)))
        if page is None:
            lost = layout.fault("No such page", "The navigation above has all there are.")
            return layout.tree([*pages.values()], None, "", [], [lost])
        visit = visited(page, asked.query, data, labels)
        body = _shown(visit)
        return layout.tree([*pages.values()], page, visit.study, data.studies(), body)

    lake = partial(ClientsideFunction, "lake")
    app.clientside_callback(lake("show"), Input("tree", "data"))
    app.clientside_callback(lake("steer"), Input(key_of(dash.ALL, dash.ALL), "value"))


def _shown(visit: Visit[Any]) -> list[Component]:
    """A page, or why it cannot be shown."""
    try:
        if not visit.study:
            return layout.framed(visit, empty_lake(str(visit.data.lake.root)))
        return layout.framed(visit, visit.page.show(visit))
    except LakeError as error:
        return [layout.fault("The lake cannot be read", str(error))]
    except Exception:
        LOG.exception("page %s in state %s", visit.page.name, visit.state)
        text = "A fault of the dashboard's own; the server's log has it."
        return [layout.fault("This page cannot be shown", text)]


def visited(page: AnyPage, query: str, data: Data, labels: bool = False) -> Visit[Any]:
    """A page with the state that a query string says, its study one that the lake has."""
    state, notes = parse(page.state, query)
    visit = Visit(page, state, data, labels, notes)
    visit.choose("study", data.studies())
    return visit


def _offer(server: flask.Flask, data: Data, pages: dict[str, AnyPage], labels: bool) -> None:
    @server.get("/download/<page>/<name>")
    def offer(page: str, name: str) -> flask.Response:
        found = pages.get(page)
        if found is None or name not in found.downloads:
            flask.abort(404)
        visit = visited(found, flask.request.query_string.decode("ascii", "replace"), data, labels)
        file = found.downloads[name](visit)
        answer = flask.Response(file.content, mimetype=file.mimetype)
        answer.headers.set("Content-Disposition", "attachment", filename=file_name(name, file.of))
        return answer
