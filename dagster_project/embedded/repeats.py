"""Sequences of random words that repeat: only induction tells what comes (Olsson et al. 2022).

`Repeats`: 3 to 24 distinct words, about log-uniform, are gone through two to six times, with one of
several separators or, in half of the documents, none, since heads that copy bind to a format.
`Drills`: the same of 12 to 24 words, from which induction is learnt first: in short sequences a
guess among the words seen does nearly as well. In each step of the first pass the
sequence may start again, so its length shows only then.
"""

from __future__ import annotations

import math

from dagster_project.embedded.pieces import Writer
from dagster_project.embedded.words import Words

SKILL = "induction"
HEADERS = ("Repeat:", "Again:", "Echo:", "Sequence:", "Pattern:", "Round:")
SEPARATORS = ("", ",", ";", " |", " -", " /", " and", " then")
SHORTEST, LONGEST = 3, 24
SHORTEST_DRILL = 12
PASSES = 6
ROOM = 115  # words and separators


def hazard(length: int) -> float:
    """P(the sequence has this length | it has at least this length), log-uniform lengths."""
    if length >= LONGEST:
        return 1.0
    tail = math.log((LONGEST + 1) / length)
    return math.log((length + 1) / length) / tail


def write(w: Writer, words: Words) -> None:
    _sequence(w, words, w.one(HEADERS), SHORTEST)


def write_drills(w: Writer, words: Words) -> None:
    _sequence(w, words, "Drill:", SHORTEST_DRILL)


def _sequence(w: Writer, words: Words, header: str, shortest: int) -> None:
    w.say(header)
    first = w.one(words.content)
    w.say(f" {first}")
    separator = "" if w.happens(0.5) else w.one(SEPARATORS[1:])
    _passes(w, _first_pass(w, words, first, separator, shortest), separator)


def _first_pass(w: Writer, words: Words, first: str, separator: str, shortest: int) -> list[str]:
    """The sequence, written once; it is known then that it starts again."""
    pool, chosen, seen = words.content, [first], {first}
    while True:
        if separator:
            w.say(separator)
        p = hazard(len(chosen)) if len(chosen) >= shortest else 0.0
        if p and (p >= 1.0 or w.happens(p)):
            return chosen
        chosen.append(w.other(pool, seen))
        seen.add(chosen[-1])
        w.say(f" {chosen[-1]}")


def _passes(w: Writer, chosen: list[str], separator: str) -> None:
    """The second pass, after a separator, and those that fit."""
    size = len(chosen) * (2 if separator else 1)
    for number in range(1, PASSES):
        if number > 1 and w.words + size > ROOM:
            break
        for place, word in enumerate(chosen):
            if separator and (place or number > 1):
                w.say(separator)
            if place or number > 1:
                w.bound(f" {word}", SKILL, "repeat")
            else:
                w.say(f" {word}")  # nothing stood after the first pass's last word yet
