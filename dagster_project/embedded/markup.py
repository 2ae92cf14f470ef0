"""Brackets, HTML and records: what was opened is closed, and keys come in the same order again."""

from __future__ import annotations

from dagster_project.embedded.pieces import Writer
from dagster_project.embedded.words import CITIES, Words

BRACKETS = {" (": " )", " [": " ]", " {": " }"}
DEEPEST = 4  # brackets
GROUPS = ("Groups:", "Nested:", "Tree:", "Sets:")
DEEPEST_TAG = 3
FIELDS = ("name", "city", "item", "color", "size", "job")
SIZES = ("big", "small", "tall", "wide")
COLORS = ("red", "blue", "green", "black", "white", "brown")


def write_brackets(w: Writer, words: Words) -> None:
    """Chains of brackets with a word in each; once one has closed, all others do."""
    w.say(w.one(GROUPS))
    first = True
    while w.more:
        if not first:
            w.say(",")
        stack: list[str] = []
        while not stack or (len(stack) < DEEPEST and w.happens(0.6)):
            stack.append(w.one(tuple(BRACKETS)))
            w.say(stack[-1])
            w.say(f" {w.one(words.things)}")
        while stack:
            w.bound(BRACKETS[stack.pop()], "bracket", "close")
        first = False


def write_html(w: Writer, words: Words) -> None:
    """Elements within elements in one of four notations; the innermost open one is closed."""
    opening, space, opened, closing, closed = w.one(ELEMENTS)
    first = True
    while w.more:
        stack: list[str] = []
        while not stack or (len(stack) < DEEPEST_TAG and w.happens(0.5)):
            w.say(opening if stack or first else f"\n{opening}")
            stack.append(w.other(words.tags, stack))
            w.say(f"{space}{stack[-1]}{opened}")
        w.say(f" {w.one(words.things)}")
        if w.happens(0.5):
            w.say(f" {w.one(words.nouns)}")
        while stack:
            w.say(closing)
            w.bound(f"{space}{stack.pop()}", "html", "close")
            w.say(closed)
        first = False


ELEMENTS = (
    ("<", "", ">", "</", ">"),
    ("(", " ", ":", " end:", ")"),
    ("%", " ", "{", " %,", "}"),
    ("begin", " ", ";", "; end of", "."),
)
"""How elements read: what stands before the name, a space, and what follows it where the element
opens; what stands before and after it where the element closes."""


def write_records(w: Writer, words: Words) -> None:
    """Records in one of four notations; all have the first one's keys in its order."""
    opening, is_, between, end = w.one(NOTATIONS)
    values = {
        "name": words.names,
        "city": CITIES,
        "item": words.things,
        "color": COLORS,
        "size": SIZES,
        "job": tuple(profession.name for profession in words.professions),
    }
    keys: list[str] = []
    w.say(opening)
    while len(keys) < 2 or (len(keys) < 4 and w.happens(0.5)):
        if keys:
            w.say(between)
        keys.append(w.other(FIELDS, keys))
        w.say(f" {keys[-1]}{is_}")
        w.say(f" {w.one(values[keys[-1]])}")
    w.say(end)
    while w.more:
        w.say(f"\n{opening}")
        for key in keys:
            if key != keys[0]:
                w.say(between)
            w.bound(f" {key}", "record", "key")
            w.say(is_)
            w.say(f" {w.one(values[key])}")
        w.say(end)


NOTATIONS = (
    ("{", ":", ",", "}"),
    ("-", " is", ";", "."),
    ("[", " =", " |", "]"),
    ("*", ":", " and", ";"),
)
"""How records read: before, between key and value, between fields, end."""
