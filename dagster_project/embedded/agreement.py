"""Sentences whose auxiliary agrees with its subject, across what stands between them.

The opening fixes the auxiliary (`is`, `has`, `was`, `does`), the subject's number its form. A
quarter of the pairs of noun and auxiliary never occur (`withheld`), so that agreement can be tested
on pairs that were never read.
"""

from __future__ import annotations

from typing import NamedTuple

from dagster_project.embedded.pieces import Writer
from dagster_project.embedded.words import ADJECTIVES, PARTICIPLES, VERBS, Words, lemma

SKILL = "agreement"
PREPOSITIONS = (" near", " behind", " beside", " with")


class Auxiliary(NamedTuple):
    """A verb that an opening asks for."""

    singular: str
    plural: str
    slot: str
    openings: tuple[str, ...]
    rests: tuple[str, ...]  # what follows it


AUXILIARIES = (
    Auxiliary(" is", " are", "main", ("The", "Today, the", "Now, the", "Often, the"), ADJECTIVES),
    Auxiliary(
        " has",
        " have",
        "main",
        ("Since Monday, the", "Lately, the", "This year, the", "Recently, the"),
        tuple(f"been {a}" for a in ADJECTIVES),
    ),
    Auxiliary(
        " was",
        " were",
        "past",
        ("Yesterday, the", "Last week, the", "Long ago, the", "Once, the"),
        ADJECTIVES,
    ),
    Auxiliary(
        " does",
        " do",
        "main",
        ("Every day, the", "Usually, the", "At night, the", "On Sundays, the"),
        tuple(f"not {verb}" for verb in VERBS),
    ),
)
OPENINGS = tuple((opening, aux) for aux in AUXILIARIES for opening in aux.openings)
STRUCTURES = ("simple", "adverb", "nounpp", "rc", "subject_rc", "coordinated")
ADVERBS = (" really", " still", " also")


def withheld(noun: str, auxiliary: Auxiliary) -> bool:
    """Whether noun and auxiliary never occur together as subject and main verb of a sentence."""
    return lemma(noun) % len(AUXILIARIES) == AUXILIARIES.index(auxiliary)


def write(w: Writer, words: Words) -> None:
    heads = {a: [n for n in words.nouns if not withheld(n, a)] for a in AUXILIARIES}
    first = True
    while w.more:
        opening, auxiliary = w.one(OPENINGS)
        w.say(opening if first else f" {opening}")
        _sentence(w, auxiliary, heads[auxiliary], words.nouns)
        first = False


def _sentence(w: Writer, auxiliary: Auxiliary, heads: list[str], nouns: tuple[str, ...]) -> None:
    plural = _noun(w, heads)
    structure = w.one(STRUCTURES)
    if structure == "adverb":
        w.say(w.one(ADVERBS))
    elif structure == "nounpp":
        _phrase(w, nouns)
        after = w.one(("verb", "adverb", "stacked"))
        if after == "adverb":
            w.say(w.one(ADVERBS))
        elif after == "stacked":
            _phrase(w, nouns)
    elif structure == "rc":
        w.say(" that the")
        inner = _noun(w, nouns)
        w.bound(" have" if inner else " has", SKILL, "inner")
        w.say(f" {w.one(PARTICIPLES)}")
    elif structure == "subject_rc":
        w.say(" who")
        w.bound(" have" if plural else " has", SKILL, "inner")
        w.say(f" {w.one(PARTICIPLES)} the")
        _noun(w, nouns)
    elif structure == "coordinated":
        w.say(" and the")
        _noun(w, heads)
        plural = True
    w.bound(auxiliary.plural if plural else auxiliary.singular, SKILL, auxiliary.slot)
    w.say(f" {w.one(auxiliary.rests)}.")


def _phrase(w: Writer, nouns: tuple[str, ...]) -> None:
    w.say(f"{w.one(PREPOSITIONS)} the")
    _noun(w, nouns)


def _noun(w: Writer, nouns: list[str] | tuple[str, ...]) -> bool:
    """A noun in either number; -> whether it is plural."""
    noun, plural = w.one(nouns), w.one((False, True))
    w.say(f" {noun}s" if plural else f" {noun}")
    return plural
