"""Texts as strips of tokens: one value as background, another as underline, all on hover.

Drawn by assets/strips.js: as components, 3,000 tokens would take Dash 18 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash.development.base_component import Component

from dashboards.components.marks import drawn
from dashboards.text import LONGEST_TOKEN, clip, visible


def strip(
    tokens: Sequence[str],
    *,
    background: Sequence[str] = (),
    underline: Sequence[str] = (),
    tips: Sequence[str] = (),
    marked: Sequence[int] = (),
    breaks: bool = True,
) -> Component:
    """A text. Colours are CSS colours or empty; marked: places of tokens that are framed; breaks:
    a new line after each line break."""
    return drawn("strip", data(tokens, background, underline, tips, marked, breaks=breaks))


def data(
    tokens: Sequence[str],
    background: Sequence[str] = (),
    underline: Sequence[str] = (),
    tips: Sequence[str] = (),
    marked: Sequence[int] = (),
    *,
    breaks: bool = True,
) -> dict[str, Any]:
    """What assets/strips.js draws a strip from, where it is part of something larger."""
    return {
        "tokens": [clip(visible(text), LONGEST_TOKEN) for text in tokens],
        "background": list(background),
        "underline": list(underline),
        "tips": list(tips),
        "marked": list(marked),
        "breaks": breaks,
    }
