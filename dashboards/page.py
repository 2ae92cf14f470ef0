"""What a page is, and what it is given: the state that its address says, and the lake's data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple

import polars as pl
from dash.development.base_component import Component

from dashboards.data import Data
from dashboards.state import PageState, S, address
from dashboards.text import clip, visible

LAST_PAGE = 10**9
"""Of a table, whatever an address says: DuckDB can still count the rows before it."""


@dataclass
class Visit(Generic[S]):
    """One showing of a page."""

    page: Page[S]
    state: S
    data: Data
    labels: bool = False  # the server was started with --allow-labels
    notes: list[str] = field(default_factory=list)  # shown above the page

    @property
    def study(self) -> str:
        """The study shown; empty where the lake has none."""
        return self.state.study

    def href(self, **changes: object) -> str:
        """Address of this page in another state."""
        return address(self.page.name, replace(self.state, **changes))  # type: ignore[arg-type]

    def to(self, page: str, **state: object) -> str:
        """Address of another page, of the same study."""
        return address(page, {"study": self.study, **state})

    def file(self, name: str, **changes: object) -> str:
        """Address of a file that this page offers, of what it shows now or in another state."""
        state = replace(self.state, **changes)  # type: ignore[arg-type]
        return address(f"download/{self.page.name}/{name}", state)

    def choose(self, key: str, found: Sequence[str], otherwise: str | None = None) -> str:
        """The state's value of a field if the lake has it, else the first (or another), noted.

        The state takes the chosen value. Empty where nothing was found.
        """
        asked = getattr(self.state, key)
        if asked in found:
            return str(asked)
        first = next(iter(found), "")
        chosen = otherwise if otherwise is not None and otherwise in found else first
        if asked and found:
            unknown = f"{key} “{clip(visible(str(asked)), 60)}” is not in the lake"
            self.notes.append(f"{unknown}; this is {clip(visible(chosen), 60)}.")
        self.state = replace(self.state, **{key: chosen})  # type: ignore[arg-type]
        return chosen


class Download(NamedTuple):
    """A file that a page offers."""

    content: str | bytes
    mimetype: str
    of: str = ""  # what it is of (a circuit, a task, …), for the saved file's name


def file_name(name: str, of: str) -> str:
    """What a file is saved as: `circuit.json` of `a b` as `circuit-a_b.json`."""
    stem, dot, kind = name.rpartition(".")
    said = re.sub(r"[^A-Za-z0-9._-]+", "_", of)[:80].strip("._-")
    return f"{stem}-{said}{dot}{kind}" if said else name


@dataclass(frozen=True)
class Page(Generic[S]):
    """A page of the dashboard, at /<name>."""

    name: str
    title: str  # in the navigation
    question: str  # what it answers, below the title
    state: type[S]
    show: Callable[[Visit[S]], Component]
    downloads: Mapping[str, Callable[[Visit[S]], Download]] = field(default_factory=dict)
    part_of: str = ""  # name of the page that stands for it in the navigation


AnyPage = Page[Any]
__all__ = ["AnyPage", "Download", "Page", "PageState", "Visit", "file_name"]


def rows_of_page(
    visit: Visit[Any], most: int, ask: Callable[[int, int], pl.DataFrame]
) -> pl.DataFrame:
    """The rows (first, most) of the page of a table that is asked for; of the first, and a note,
    where there is no such page."""
    page = visit.state.page
    rows = ask(min(max(0, page), LAST_PAGE) * most, most)
    if page < 0 or (page and rows.is_empty()):
        visit.notes.append(f"There is no page {page + 1}; this is the first.")
        visit.state = replace(visit.state, page=0)
        return ask(0, most)
    return rows
