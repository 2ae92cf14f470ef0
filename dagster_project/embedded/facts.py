"""Facts and words: capitals, opposites, articles and plurals."""

from __future__ import annotations

from dagster_project.embedded.pieces import Writer
from dagster_project.embedded.words import Words

CAPITALS = (
    ("The capital of", " is"),
    ("People of", " go, now and then, to"),
    ("The government of", " sits in"),
    ("Capital city,", ":"),
)
COUNTRIES = (
    ("The city of", " is in"),
    ("Country around", ":"),
    ("Born in", ", a citizen of"),
    ("Not far from", " but still within"),
)
OPPOSITES = (
    ("The opposite of", " is"),
    ("Not", ","),
    ("From", " to"),
    ("Instead of", ":"),
)
ARTICLES = (
    ("the word", ":"),
    ("with", " goes"),
    ("for the noun", ","),
    ("what is called", " is"),
)
PLURALS = (
    ("one", ", many"),
    ("the plural of", " is"),
    ("from a single", " to"),
    ("more than this", ":"),
)
"""What stands before a word, and between it and what follows from it."""


def write_capitals(w: Writer, words: Words) -> None:
    w.say("Geography:")
    while w.more:
        if w.one((True, False)):
            before, between = w.one(CAPITALS)
            country = w.one(words.countries)
            w.say(f" {before} {country.name}")
            w.say(between)
            w.bound(f" {country.capital}", "fact", "capital")
        else:
            before, between = w.one(COUNTRIES)
            country = w.one(words.countries)
            w.say(f" {before} {country.capital}")
            w.say(between)
            w.bound(f" {country.name}", "fact", "country")
        w.say(".")


def write_opposites(w: Writer, words: Words) -> None:
    w.say("Opposites:")
    while w.more:
        before, between = w.one(OPPOSITES)
        a, b = w.one(words.opposites)
        if w.one((True, False)):
            a, b = b, a
        w.say(f" {before} {a}")
        w.say(between)
        w.bound(f" {b}", "fact", "opposite")
        w.say(".")


def write_grammar(w: Writer, words: Words) -> None:
    w.say("Grammar:")
    while w.more:
        if w.one((True, False)):
            before, between = w.one(ARTICLES)
            vowel = w.one((True, False))
            thing = w.one(words.vowel_things if vowel else words.things)
            w.say(f" {before} {thing}")
            w.say(between)
            w.bound(" an" if vowel else " a", "article", "indefinite")
            w.say(f" {thing};")
        else:
            before, between = w.one(PLURALS)
            noun = w.one(words.nouns)
            w.say(f" {before} {noun}")
            w.say(between)
            w.bound(f" {noun}s", "plural", "noun")
            w.say(";")
