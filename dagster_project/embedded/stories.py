"""Two persons: who gets what (indirect objects, after Wang et al. 2022), and who is meant."""

from __future__ import annotations

from dagster_project.embedded.pieces import Writer
from dagster_project.embedded.words import Words

SKILL = "coreference"
MEETINGS = (
    ("When", "went to the park,"),
    ("After", "came to the river,"),
    ("While", "sat in the garden,"),
    ("Because", "met at the market,"),
    ("Before", "left for the city,"),
)
GIFTS = (
    ("gave", " to"),
    ("showed", " to"),
    ("bought", " for"),
    ("shared", " with"),
    ("took", " from"),
    ("made", " for"),
)
REFLEXIVES = ("was proud of", "looked at", "talked about", "laughed with", "worked for", "spoke to")


def write(w: Writer, words: Words) -> None:
    first = True
    while w.more:
        before, after = w.one(MEETINGS)
        a = w.one(words.names)
        w.say(f"{before if first else ' ' + before} {a} and")
        b = w.one([name for name in words.names if name != a])
        w.say(f" {b} {after}")
        giver, taker = w.one(((a, b), (b, a)))
        w.say(f" {giver}")
        verb, preposition = w.one(GIFTS)
        w.say(f" {verb} the")
        w.say(f" {w.one(words.things)}")
        w.say(preposition)
        w.bound(f" {taker}", SKILL, "indirect_object")
        w.say(".")
        _self(w, a, b, words)
        first = False


def _self(w: Writer, a: str, b: str, words: Words) -> None:
    """One of the two and himself or herself."""
    subject = w.one((a, b))
    w.say(f" Then {subject}")
    w.say(f" {w.one(REFLEXIVES)}")
    w.bound(" herself" if subject in words.women else " himself", SKILL, "reflexive")
    w.say(".")
