"""Attributes that the scripts of assets/ and screen readers go by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboards.glossary import explains


def tip(text: str) -> dict[str, Any]:
    """What is said where the pointer or the focus rests on a component. Plain text."""
    return {"data-tip": text}


def label(text: str) -> dict[str, Any]:
    """The name of a component without words of its own."""
    return {"aria-label": text}


def step(name: str) -> dict[str, Any]:
    """A link inside is what an arrow key follows: `previous` or `next`."""
    return {"data-step": name}


def drawn(kind: str, data: Mapping[str, Any], name: str = "") -> Component:
    """A place where assets/<kind>.js draws data, again whenever they change. name: CSS class."""
    given: dict[str, Any] = {"data-draw": kind, "data-with": json.dumps(data, ensure_ascii=False)}
    return html.Div(className=name or kind, **given)


def term(name: str, shown: str = "") -> Component:
    """A word of the glossary, explained where the pointer or the focus rests on it."""
    return html.Span(shown or name, className="term", tabIndex=0, **tip(explains(name)))
