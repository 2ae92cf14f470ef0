"""A page's state as its address: `/losses?study=embedded&by=skill`.

A page declares its state as a frozen dataclass whose fields have defaults; `parse` reads an
address into it and `address` writes it back, leaving out what is at its default. What an address
gets wrong becomes a note for the reader, never an error: addresses are typed, shared and kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, urlencode

from dashboards.text import clip, visible

LONGEST = 8192  # characters of a query string that are read


class Sort(NamedTuple):
    """A column by which a table is sorted; in an address `table.column.asc` or `….desc`."""

    table: str
    column: str
    way: str  # asc or desc


@dataclass(frozen=True)
class PageState:
    """What every page has. Fields of subclasses: str, int, float, bool, Literal, or … | None."""

    study: str = ""  # empty: the first of the lake
    sort: tuple[Sort, ...] = ()  # of its tables, each by the first of its columns first


S = TypeVar("S", bound=PageState)


class _UnfitError(ValueError):
    """A value that does not fit its field; the text says what would."""


def parse(kind: type[S], query: str) -> tuple[S, list[str]]:
    """The state that a query string (without `?`) stands for, and notes on what was passed over."""
    if len(query) > LONGEST:
        return kind(), ["The address is too long to be read; the page is shown as it opens."]
    hints, read, notes = get_type_hints(kind), dict[str, Any](), list[str]()
    for key, text in parse_qsl(query, keep_blank_values=True, errors="replace"):
        if key not in hints:
            notes.append(f"The address names {_quoted(key)}, which this page does not have.")
            continue
        try:
            read[key] = _value(hints[key], text)
        except _UnfitError as expected:
            notes.append(f"{key} must be {expected}, not {_quoted(text)}.")
    return kind(**read), notes


def address(page: str, state: Mapping[str, object] | PageState) -> str:
    """Path and query string of a page in a state; mappings are taken as they are."""
    if isinstance(state, PageState):
        state = {
            field.name: value
            for field in fields(state)
            if (value := getattr(state, field.name)) != field.default
        }
    given = {key: _text(value) for key, value in state.items() if value is not None}
    return f"/{page}?{urlencode(given)}" if given else f"/{page}"


def _value(hint: object, text: str) -> object:
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        (hint,) = (option for option in options if option is not NoneType)
        return _value(hint, text)
    if origin is Literal:
        if text not in options:
            raise _UnfitError(f"one of {', '.join(options)}")
        return text
    if origin is tuple:
        return tuple(_sort(part) for part in text.split(",") if part)
    if hint is bool:
        return _flag(text)
    if hint is int:
        return _number(int, text, "a whole number")
    if hint is float:
        return _number(float, text, "a number")
    return text


def _sort(text: str) -> Sort:
    match text.split("."):
        case [table, column, ("asc" | "desc") as way] if table and column:
            return Sort(table, column, way)
    raise _UnfitError("table.column.asc or table.column.desc")


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise _UnfitError("0 or 1")
    return text == "1"


def _number(kind: type[int] | type[float], text: str, called: str) -> int | float:
    try:
        number = kind(text) if len(text) <= 24 else None
    except ValueError:
        number = None
    if number is None or not abs(number) < 2**63:  # nan and what no column can hold
        raise _UnfitError(called)
    return number


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(".".join(sort) for sort in value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    return f"“{clip(visible(text), 60)}”"
