"""The frame around a page: top bar with study and navigation, title, notes; and small parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypedDict

from dash import dcc, html
from dash.development.base_component import Component

from dashboards.components.controls import choice
from dashboards.components.marks import label
from dashboards.page import AnyPage, Visit
from dashboards.state import address

Children: TypeAlias = Component | str | Sequence[Component | str | None] | None


class Tree(TypedDict):
    """What an address stands for, as show.js puts it in place."""

    name: str  # of the page
    title: str  # of the browser's window
    top: Sequence[Component | None]
    page: Sequence[Component]
    places: dict[str, int]  # of both in the shell


def shell() -> Component:
    """What stays while pages come and go."""
    return html.Div(
        [
            html.A("Skip to the page", href="#page", className="skip"),
            html.Header(id="top", className="top"),
            html.Main(id="page", className="page"),
            html.Div(id="tip", className="tip", role="tooltip", hidden=True),
            html.Div(id="ahead", hidden=True),
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="tree"),
        ]
    )


def tree(
    pages: Sequence[AnyPage],
    current: AnyPage | None,
    study: str,
    studies: list[str],
    body: Sequence[Component],
) -> Tree:
    """A page with the top bar above it."""
    name, title = (current.name, current.title) if current else ("", "No such page")
    named = " · ".join(part for part in (title, study, "Circuit Lake") if part)
    bar = _top(pages, current, study, studies)
    return Tree(name=name, title=named, top=bar, page=body, places={"top": 1, "page": 2})


def _top(
    pages: Sequence[AnyPage], current: AnyPage | None, study: str, studies: list[str]
) -> list[Component | None]:
    standing = current and (current.part_of or current.name)
    links = [
        dcc.Link(
            page.title,
            href=address(page.name, {"study": study} if study else {}),
            className="here" if page.name == standing else "",
        )
        for page in pages
        if not page.part_of
    ]
    return [
        dcc.Link("Circuit Lake", href="/", className="brand"),
        choice("study", "Study", studies, study, wide=False) if studies else None,
        html.Nav(links, **label("Pages")),
        html.Button(id="theme", **label("Colours: automatic, light or dark")),
    ]


def framed(visit: Visit[Any], body: Component) -> list[Component]:
    """A page's title, question, notes and body."""
    return [
        html.Div(
            [html.H1(visit.page.title), html.P(visit.page.question, className="question")],
            className="heading",
        ),
        *notes(visit.notes),
        body,
    ]


def notes(texts: Sequence[str]) -> list[Component]:
    """What a reader should know of the address."""
    if not texts:
        return []
    return [html.Ul([html.Li(text) for text in texts], className="notes", role="status")]


def fault(title: str, text: str) -> Component:
    """A page that cannot be shown, and why."""
    return html.Section([html.H1(title), html.Pre(text)], className="fault", role="alert")


def panel(title: Children, *body: Component, aside: Children = None, name: str = "") -> Component:
    """A titled part of a page."""
    heading = html.Div([html.H2(title), html.Div(aside, className="aside")], className="title")
    return html.Section([heading, *body], className=f"panel {name}".strip())


def columns(*parts: Component) -> Component:
    """Parts side by side where there is room."""
    return html.Div(list(parts), className="columns")


def bar(*controls: Component | None) -> Component:
    """Controls in a row."""
    return html.Div([c for c in controls if c is not None], className="bar")


def facts(pairs: Sequence[tuple[Children, Children]]) -> Component:
    """Names and values in two aligned columns."""
    rows = [html.Div([html.Dt(name), html.Dd(value)]) for name, value in pairs]
    return html.Dl(rows, className="facts")


def download(name: str, href: str) -> Component:
    """A link to a file that the page offers."""
    return html.A(name, href=href, download="", className="download")
