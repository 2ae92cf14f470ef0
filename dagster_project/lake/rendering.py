"""Rows as a table for the terminal. Corpus text is neither markup nor does it steer the terminal:
what is not seen but acts is shown escaped, and long text is cut.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

LONGEST = 400  # characters shown of a text
_SEPARATORS = ("Zl", "Zp")  # of lines and paragraphs


def rendered(names: list[str], rows: Sequence[tuple[object, ...]], broken: bool = False) -> Table:
    """Rows as a table; numbers to the right, floats in four significant digits; the names of
    columns on a line each, or broken after underscores."""
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for i, name in enumerate(names):
        number = any(isinstance(row[i], int | float) for row in rows)
        header = cell(name).replace("_", "_\n") if broken else cell(name)
        table.add_column(header, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    return table


def fitted(
    console: Console, names: list[str], rows: Sequence[tuple[object, ...]]
) -> RenderableType:
    """Rows as a table, if no word of it breaks at the console's width. Else what all rows have in
    common is said once, above, and names of columns break at their underscores; where that does not
    do either, a row is a list of its columns."""
    table = rendered(names, rows)
    if not rows or _fits(console, table):
        return table
    columns = range(len(names))
    common = [i for i in columns if len(rows) > 1 and all(row[i] == rows[0][i] for row in rows)]
    kept = [i for i in columns if i not in common] or [*columns]
    said = [_pair(names[i], rows[0][i]) for i in common if i not in kept]
    above = ["   ".join(said)] if said else []
    apart = [tuple(row[i] for i in kept) for row in rows]
    narrow = rendered([names[i] for i in kept], apart, broken=True)
    if _fits(console, narrow):
        return Group(*above, narrow)
    return Group(*above, *(_listed([names[i] for i in kept], row) for row in apart))


def _fits(console: Console, table: Table) -> bool:
    roomy = console.options.update(max_width=sys.maxsize)
    return console.measure(table, options=roomy).minimum <= console.width


def _pair(name: str, value: object) -> str:
    return f"[dim]{cell(name)}[/dim] {cell(value)}"


def _listed(names: list[str], row: Sequence[object]) -> RenderableType:
    """One row, a column a line."""
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="bold", no_wrap=True)
    lines.add_column(overflow="fold")
    for name, value in zip(names, row, strict=True):
        lines.add_row(cell(name), cell(value))
    return Padding(lines, (1, 0, 0, 2))


def cell(value: object) -> str:
    """A value as markup of a cell."""
    return "[dim]null[/dim]" if value is None else escape(visible(_short(_text(value))))


def visible(text: str) -> str:
    """Text on one line, with escapes for what is not seen but acts: control characters, marks that
    turn the direction of writing, all else of Unicode's category C, and separators of lines."""
    return "".join(
        c.encode("unicode_escape").decode() if _acts(unicodedata.category(c)) else c for c in text
    )


def told(error: Exception, hint: str = "") -> str:
    """An error as markup; it may quote corpus text."""
    lines = f"{error}{hint}".split("\n")
    return "[red]" + escape("\n".join(map(visible, lines))) + "[/red]"


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
