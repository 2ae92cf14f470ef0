"""Controls that write their page's address; the page is then shown anew from it.

`choice`, `words` and `level` are fields whose value goes to the address under their key (by
navigate.js, for all pages at once); `options` and `toggle` are links to the other states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboards.components import marks
from dashboards.page import Visit
from dashboards.text import clip, visible

LONGEST_VALUE = 200  # characters that go to the address
LONGEST_LABEL = 200  # characters of a choice
MENU = 440  # px, at most, of the menu of a choice


def key_of(key: Any, resets: Any = "") -> dict[str, Any]:
    """Id of the control that writes a key of the address, and takes others out of it."""
    return {"type": "control", "key": key, "resets": resets}


def choice(
    key: str,
    label: str,
    options: Sequence[str] | Mapping[str, str],
    value: str,
    *,
    wide: bool = True,
    resets: str = "",
) -> Component:
    """One of many, found by typing. options: values, or values with their labels; resets: keys,
    apart by spaces, that go back to their defaults with another value."""
    named = options if isinstance(options, Mapping) else {o: o for o in options}
    labels = {option: clip(visible(name), LONGEST_LABEL) or "–" for option, name in named.items()}
    field = dcc.Dropdown(
        id=key_of(key, resets),
        options=[
            {
                "label": said,
                "value": option[:LONGEST_VALUE],  # whose every part the field makes findable
                "disabled": len(option) > LONGEST_VALUE,
            }
            for option, said in labels.items()
        ],
        value=value,
        clearable=False,
        searchable=len(named) > 8,
        maxHeight=MENU,
    )
    # A dropdown comes a moment after the page, and is as wide as its value: its place is kept, and
    # is wide enough for every value, so that nothing beside it moves.
    width = max(map(len, labels.values()), default=0)
    place = html.Div(field, style={"width": f"calc({width}ch + 52px)"})
    return _labelled(label, place, "choice wide" if wide else "choice")


def words(
    key: str, label: str, value: str, placeholder: str = "", *, resets: str = ""
) -> Component:
    """A line of text, taken at Enter or on leaving."""
    field = dcc.Input(
        id=key_of(key, resets),
        value=value,
        placeholder=placeholder,
        debounce=True,
        type="search",
        maxLength=LONGEST_VALUE,
    )
    return _labelled(label, field, "words")


def level(
    key: str, label: str, value: float, low: float, high: float, *, step: float | None = None
) -> Component:
    """A number on a slider, taken when it is let go."""
    field = dcc.Slider(
        id=key_of(key), min=low, max=high, step=step, value=value, updatemode="mouseup"
    )
    return _labelled(label, field, "level")


def options(
    visit: Visit[Any],
    key: str,
    label: str,
    named: Mapping[str, str],
    value: str,
    **others: object,
) -> Component:
    """One of a few, all in sight. named: values with their labels; others: what else changes."""
    links = [
        dcc.Link(
            text,
            href=visit.href(**{**others, key: option}),
            className="on" if option == value else "",
        )
        for option, text in named.items()
    ]
    return html.Div(
        [html.Span(label, className="label") if label else None, html.Div(links)],
        className="options",
        role="group",
        **marks.label(label or key),
    )


def toggle(visit: Visit[Any], key: str, label: str) -> Component:
    """On or off."""
    value = bool(getattr(visit.state, key))
    link = dcc.Link(label, href=visit.href(**{key: not value}), className="on" if value else "")
    return html.Div(html.Div([link]), className="options")


def stepper(previous: str | None, following: str | None, place: str) -> Component:
    """Previous and Next, which the arrow keys follow; an address each, None at an end."""

    def step(text: str, href: str | None, name: str) -> Component:
        if href is None:
            return html.Span(text, className="off")
        return html.Span(dcc.Link(text, href=href), **marks.step(name))

    return html.Div(
        [
            step("← Previous", previous, "previous"),
            html.Span(place, className="place"),
            step("Next →", following, "next"),
        ],
        className="stepper",
    )


def pager(visit: Visit[Any], page: int, pages: int) -> Component:
    """Pages of a list, from 0; the arrow keys are not for them."""

    def to(place: int, text: str) -> Component:
        if not 0 <= place < pages:
            return html.Span(text, className="off")
        return html.Span(dcc.Link(text, href=visit.href(page=place)))

    return html.Div(
        [
            to(0, "first"),
            to(page - 1, "previous page"),
            html.Span(f"{page + 1:,} of {pages:,}", className="place"),
            to(page + 1, "next page"),
        ],
        className="pager",
    )


def _labelled(label: str, field: Component, name: str) -> Component:
    return html.Label([html.Span(label, className="label"), field], className=f"field {name}")
