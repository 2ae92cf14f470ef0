"""Dates in two notations, days of the week, enumerations and sums."""

from __future__ import annotations

from dagster_project.embedded.pieces import Writer
from dagster_project.embedded.words import LETTERS, MONTHS, ORDINALS, WEEKDAYS, YEARS, Words

LISTS = ("Plan:", "Notes:", "Steps:", "To do:")
LARGEST_START = 12  # of an enumeration


DATES = (
    ("Date:", (" is the", "day", " of", "month", " in", "year")),
    ("ISO", (" means the", "day", " of", "month", " in", "year")),
    ("Report of", (":", "month", "day", " of", "year")),
    ("Sent on", (", on the", "day", " of", "month", " of", "year")),
)
"""An opening before the date in figures, and how the date is told after it."""


def write_dates(w: Writer, _words: Words) -> None:
    first = True
    while w.more:
        opening, rest = w.one(DATES)
        year, month, day = w.one(YEARS), w.one(range(12)), w.one(range(1, 29))
        parts = {"year": f" {year}", "month": f" {MONTHS[month]}", "day": f" {day}"}
        w.say(f"{'' if first else ' '}{opening} {year}-{month + 1:02d}-{day:02d}")
        for part in rest:
            w.bound(parts[part], "date", part) if part in parts else w.say(part)
        w.say(".")
        first = False


def write_weekdays(w: Writer, _words: Words) -> None:
    w.say("Calendar:")
    while w.more:
        before, between = w.one(
            (
                ("After", " comes"),
                ("The day after", " is"),
                ("Following", ":"),
                ("First", ","),
            )
        )
        day = w.one(range(7))
        w.say(f" {before} {WEEKDAYS[day]}")
        w.say(between)
        w.bound(f" {WEEKDAYS[(day + 1) % 7]}", "weekday", "next")
        w.say(".")


def write_lists(w: Writer, words: Words) -> None:
    w.say(w.one(LISTS))
    kind = w.one((_dots, _lines, _letters, _ordinals))
    kind(w, words)


def _items(w: Writer, words: Words, end: str) -> None:
    """One or two words."""
    w.say(f" {w.one(words.things)}")
    if w.happens(0.3):
        w.say(f" and {w.one(words.vowel_things)}")
    w.say(end)


def _dots(w: Writer, words: Words) -> None:
    number = w.one(range(1, LARGEST_START + 1))
    w.say(f" {number}")
    while w.more:
        w.say(".")
        _items(w, words, ";")
        number += 1
        w.bound(f" {number}", "enumeration", "number")


def _lines(w: Writer, words: Words) -> None:
    number = w.one(range(1, LARGEST_START + 1))
    w.say(f"\n{number}")
    while w.more:
        w.say(":")
        _items(w, words, "\n")
        number += 1
        w.bound(f"{number}", "enumeration", "number")


def _letters(w: Writer, words: Words) -> None:
    place = w.one(range(4))
    w.say(f" {LETTERS[place]}")
    while w.more and place + 1 < len(LETTERS):
        w.say(")")
        _items(w, words, ",")
        place += 1
        w.bound(f" {LETTERS[place]}", "enumeration", "letter")


def _ordinals(w: Writer, words: Words) -> None:
    place = 0
    w.say(" the first")
    while w.more and place + 1 < len(ORDINALS):
        w.say(" is a")
        _items(w, words, ", the")
        place += 1
        w.bound(f" {ORDINALS[place]}", "enumeration", "ordinal")


def write_sums(w: Writer, words: Words) -> None:
    w.say("Sums:")
    while w.more:
        before, signs = w.one(SUMS)
        a = w.one(words.addends)
        w.say(f" {before}{a}")
        between, after = w.one(signs)
        b = w.one(words.addends)
        w.say(f"{between} {b}")
        w.say(after)
        w.bound(f" {a + b}", "sum", "result")
        w.say(".")


SUMS = (
    ("", ((" +", " ="), (" plus", " is"))),
    ("Add ", ((" and", ":"),)),
    ("From ", ((" and", " we get"),)),
)
"""What stands before a sum, and the words between and after its parts."""
