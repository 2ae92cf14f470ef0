"""Rows as a table for the terminal. Corpus text is neither markup nor does it steer the terminal:
what is not seen but acts is shown escaped, and long text is cut.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

LONGEST = 400  # characters shown of a text
_SEPARATORS = ("Zl", "Zp")  # of lines and paragraphs


def rendered(names: list[str], rows: Sequence[tuple[object, ...]]) -> Table:
    """Rows as a table; numbers to the right, floats in four significant digits."""
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for i, name in enumerate(names):
        number = any(isinstance(row[i], int | float) for row in rows)
        table.add_column(cell(name), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    return table


def cell(value: object) -> str:
    """A value as markup of a cell."""
    return "[dim]null[/dim]" if value is None else escape(visible(_short(_text(value))))


def visible(text: str) -> str:
    """Text on one line, with escapes for what is not seen but acts: control characters, marks that
    turn the direction of writing, all else of Unicode's category C, and separators of lines."""
    return "".join(
        c.encode("unicode_escape").decode() if _acts(unicodedata.category(c)) else c for c in text
    )


def told(error: Exception) -> str:
    """An error as markup; it may quote corpus text."""
    return "[red]" + escape("\n".join(map(visible, str(error).split("\n")))) + "[/red]"


def _text(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_text(v) for v in value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(k)}: {_text(v)}" for k, v in value.items()) + "}"
    return str(value)


def _short(text: str) -> str:
    """Text cut to what is shown."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"


def _acts(category: str) -> bool:
    return category.startswith("C") or category in _SEPARATORS
