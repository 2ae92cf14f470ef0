"""The writer: what a choice costs, on which piece it shows, and what a rule may claim."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.embedded.pieces import LOG, Piece, Writer


def writer(seed: int = 0, size: int = 100) -> Writer:
    return Writer(Random(seed), size)


def test_a_piece_carries_the_choices_made_for_it() -> None:
    w = writer()
    w.say("start")
    a, b = w.one("abcd"), w.one("xy")
    w.say(a + b)
    w.say("!")
    assert [piece.text for piece in w.pieces] == ["start", a + b, "!"]
    # 4 options, then 2: −ln(1/8)
    assert [piece.surprisal for piece in w.pieces] == [0, pytest.approx(math.log(8)), 0]
    assert {(piece.skill, piece.slot) for piece in w.pieces} == {(None, None)}
    assert w.text == f"start{a}{b}!"


def test_a_rule_names_a_piece_unless_a_choice_was_made_for_it() -> None:
    w = writer()
    w.bound(" is", "agreement", "main")
    w.one("ab")
    w.bound(" is", "agreement", "main")
    w.bound(" are", "agreement", "main")
    assert w.pieces == [
        Piece(" is", "agreement", "main", 0.0),
        Piece(" is", None, None, math.log(2)),
        Piece(" are", "agreement", "main", 0.0),
    ]


def test_one_option_is_no_choice() -> None:
    w = writer()
    assert w.one("a") == w.other("ab", {"b"}) == "a"
    w.bound("a", "skill", "slot")
    assert w.pieces == [Piece("a", "skill", "slot", 0.0)]


def test_weights_and_chances() -> None:
    w = writer()
    w.say(w.weighted({"a": 3, "b": 1}))
    w.say("yes" if w.happens(0.9) else "no")
    cost = {"a": math.log(4 / 3), "b": math.log(4), "yes": -math.log(0.9), "no": -math.log(0.1)}
    for piece in w.pieces:
        assert piece.surprisal == pytest.approx(cost[piece.text])


def test_draws_have_the_stated_probabilities() -> None:
    w, n = writer(), 40_000
    drawn = {
        "weighted": Counter(w.weighted({"a": 5, "b": 3, "c": 2}) for _ in range(n)),
        "one": Counter(w.one("wxyz") for _ in range(n)),
        "other": Counter(w.other("0123", {"0"}) for _ in range(n)),
        "happens": Counter("yes" if w.happens(0.3) else "no" for _ in range(n)),
    }
    expected = {
        "weighted": {"a": 0.5, "b": 0.3, "c": 0.2},
        "one": dict.fromkeys("wxyz", 1 / 4),
        "other": dict.fromkeys("123", 1 / 3),
        "happens": {"yes": 0.3, "no": 0.7},
    }
    for name, shares in expected.items():
        assert set(drawn[name]) == set(shares)
        for option, p in shares.items():  # within five standard deviations
            spread = math.sqrt(p * (1 - p) / n)
            assert drawn[name][option] / n == pytest.approx(p, abs=5 * spread)


@given(st.integers(0, 2**64), st.integers(2, 30), st.data())
def test_other_is_never_a_seen_one(seed: int, n: int, data: st.DataObject) -> None:
    options = range(n)
    seen = data.draw(st.sets(st.sampled_from(options), max_size=n - 1))
    w = writer(seed)
    found = w.other(options, seen)
    assert found not in seen
    w.say(str(found))
    assert w.pieces[0].surprisal == pytest.approx(math.log(n - len(seen)))


def test_a_text_may_go_on_until_it_has_its_size() -> None:
    w = writer(size=3)
    w.say("one")
    w.say(" two")
    assert w.more
    w.bound(" three", "skill", "slot")
    assert not w.more


def test_logarithms() -> None:
    assert LOG[1] == 0.0
    assert LOG[720] == math.log(720)
