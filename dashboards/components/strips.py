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
    in_sight: str = "",
) -> Component:
    """A text. Colours are CSS colours or empty; marked: places of tokens that are framed; breaks:
    a new line after each line break; in_sight: what is marked, by a name: when that changes, the
    page is scrolled to it."""
    strip = data(tokens, background, underline, tips, marked, breaks=breaks)
    return drawn("strip", strip | {"inSight": in_sight})


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
