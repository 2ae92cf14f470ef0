"""Text that is not to be trusted, made safe for where it goes."""

from __future__ import annotations

import html
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from dashboards import text
from dashboards.text import LONGEST_TOKEN, clip, plotly, spreadsheet, token, visible

UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def test_what_would_act_is_seen_instead() -> None:
    assert visible("a\u202eb") == "a⟨202E⟩b"
    assert visible("\u2066x\u2069\u200b\ufeff") == "⟨2066⟩x⟨2069⟩⟨200B⟩⟨FEFF⟩"
    assert visible("\x00\x1b\n\t\r\x7f\x85") == "␀␛↵⇥␍␡⟨0085⟩"
    assert visible("größer 你好 é – “x”") == "größer 你好 é – “x”"


@given(st.text())
def test_nothing_unseen_is_left(raw: str) -> None:
    assert not any(unicodedata.category(c) in UNSEEN for c in visible(raw))


@given(st.characters(exclude_categories=["Cs"]))
def test_the_quick_way_agrees_with_the_long_one(character: str) -> None:
    assert visible(character) == text._seen(character)


def test_long_texts_say_how_long_they_are() -> None:
    assert clip("a" * 100_000, 3) == "aaa… (100,000 characters)"
    assert clip("abc", 3) == "abc"
    assert len(token("a" * 100_000)) < LONGEST_TOKEN + 30


def test_spaces_at_the_ends_of_a_token_show() -> None:
    assert [token(t) for t in (" the", "a b", "  ", "", "x ")] == ["·the", "a b", "··", "∅", "x·"]


@given(st.text())
def test_plotly_finds_no_tag(raw: str) -> None:
    made = plotly(raw, 10_000)
    assert "<" not in made
    assert html.unescape(made) == visible(raw)


@given(st.text(st.sampled_from("=+-@|%\t\r\n a1")))
def test_no_cell_is_a_formula(raw: str) -> None:
    cell = spreadsheet(raw)
    assert not cell.lstrip().startswith(("=", "+", "-", "@", "|", "%"))
    assert cell.removeprefix("'") in (raw, raw.removeprefix("'"))
