"""Addresses: read and written back, and never an error whatever they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.state import PageState, Sort, address, parse

Shape = Literal["round", "square"]


@dataclass(frozen=True)
class Some(PageState):
    shape: Shape = "round"
    sides: int = 4
    size: float = 0.5
    shown: bool = True
    note: str = ""
    feature: int | None = None


def states() -> st.SearchStrategy[Some]:
    text = st.text(max_size=20)
    name = st.text("abc_-09", min_size=1, max_size=9)
    sort = st.builds(Sort, name, name, st.sampled_from(["asc", "desc"]))
    return st.builds(
        Some,
        study=text,
        sort=st.lists(sort, max_size=3).map(tuple),
        shape=st.sampled_from(["round", "square"]),
        sides=st.integers(-(2**62), 2**62),
        size=st.floats(-1e15, 1e15),
        shown=st.booleans(),
        note=text,
        feature=st.none() | st.integers(0, 9),
    )


@given(states())
def test_what_is_written_is_read_back(state: Some) -> None:
    path, _, query = address("page", state).partition("?")
    assert path == "/page"
    assert parse(Some, query) == (state, [])


def test_defaults_are_left_out() -> None:
    assert address("page", Some()) == "/page"
    assert address("page", Some(sides=3, shown=False)) == "/page?sides=3&shown=0"


def test_tables_and_the_columns_that_they_are_sorted_by_are_one_key() -> None:
    state, notes = parse(Some, "sort=runs.ari.desc,runs.k.asc,tasks.n100.asc")
    assert notes == []
    runs, task = Sort("runs", "ari", "desc"), Sort("tasks", "n100", "asc")
    assert state.sort == (runs, Sort("runs", "k", "asc"), task)
    assert address("page", Some(sort=(runs, task))) == ("/page?sort=runs.ari.desc%2Ctasks.n100.asc")


@pytest.mark.parametrize(
    ("query", "note"),
    [
        ("shape=oval", "shape must be one of round, square, not “oval”."),
        ("sides=four", "sides must be a whole number, not “four”."),
        ("sides=" + "9" * 5000, "sides must be a whole number"),
        ("size=nan", "size must be a number, not “nan”."),
        ("size=inf", "size must be a number"),
        ("shown=yes", "shown must be 0 or 1, not “yes”."),
        ("colour=red", "The address names “colour”, which this page does not have."),
        ("sides=%E2%80%AE1", "sides must be a whole number, not “⟨202E⟩1”."),
        ("sort=runs.ari", "sort must be table.column.asc or table.column.desc, not “runs.ari”."),
        ("sort=runs.ari.up", "sort must be table.column.asc"),
        ("sort=.ari.asc", "sort must be table.column.asc"),
        ("note=" + "x" * 9000, "The address is too long"),
    ],
)
def test_what_does_not_fit_is_noted_and_the_default_taken(query: str, note: str) -> None:
    state, notes = parse(Some, query)
    assert state == Some()
    assert len(notes) == 1
    assert notes[0].startswith(note)
    assert len(notes[0]) < 200


@given(
    st.dictionaries(st.text(max_size=9), st.text(max_size=30), max_size=5), st.binary(max_size=40)
)
def test_nothing_that_an_address_says_is_an_error(pairs: dict[str, str], raw: bytes) -> None:
    parse(Some, urlencode(pairs, errors="replace"))
    parse(Some, raw.decode("latin-1"))
