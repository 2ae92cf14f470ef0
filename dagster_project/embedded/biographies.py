"""Short biographies: a name, a profession, and what follows from them.

`Biography:` documents have the spurious correlation of Bias in Bios (De-Arteaga et al. 2019): nine
tenths of the women have one half of the professions, nine tenths of the men the other. `Profile:`
documents do not. Pronouns follow the name, the place of work follows the profession.
"""

from __future__ import annotations

from typing import NamedTuple

from dagster_project.embedded.pieces import Writer
from dagster_project.embedded.words import CITIES, Profession, Words

SKILL = "biography"
CORRELATION = 0.9
OPENING = "Biography:"


def write_correlated(w: Writer, words: Words) -> None:
    w.say(OPENING)
    while w.more:
        write_person(w, words, CORRELATION)


def write_balanced(w: Writer, words: Words) -> None:
    w.say("Profile:")
    while w.more:
        write_person(w, words, 0.5)


class Facts(NamedTuple):
    """Who a biography is about."""

    woman: bool
    profession: Profession


def write_person(w: Writer, words: Words, correlation: float) -> Facts:
    """A person's sentences. correlation: how often a woman has a profession mostly of women, and a
    man one of the others."""
    template = w.one((_introduced, _named_first, _from_a_city, _met))
    woman = w.one((True, False))
    name = w.one(words.women if woman else words.men)
    profession = template(w, name, words, woman, correlation)
    _Person(w, woman, profession).sentences()
    return Facts(woman, profession)


def profession_of(w: Writer, words: Words, woman: bool, correlation: float) -> Profession:
    """A profession, chosen by gender."""
    usual = w.happens(correlation)
    return w.one([p for p in words.professions if p.mostly_women == (woman == usual)])


def _introduced(w: Writer, name: str, words: Words, woman: bool, correlation: float) -> Profession:
    w.say(f" {name} is a")
    found = profession_of(w, words, woman, correlation)
    w.say(f" {found.name}.")
    return found


def _named_first(w: Writer, name: str, words: Words, woman: bool, correlation: float) -> Profession:
    w.say(f" Meet {name}.")
    pronoun(w, woman, capital=True)
    w.say(" became a")
    found = profession_of(w, words, woman, correlation)
    w.say(f" {found.name}.")
    return found


def _from_a_city(w: Writer, name: str, words: Words, woman: bool, correlation: float) -> Profession:
    w.say(f" In the city, {name} studied as a")
    found = profession_of(w, words, woman, correlation)
    w.say(f" {found.name} in")
    w.say(f" {w.one(CITIES)}.")
    return found


def _met(w: Writer, name: str, words: Words, woman: bool, correlation: float) -> Profession:
    w.say(f" This is {name}, a")
    found = profession_of(w, words, woman, correlation)
    w.say(f" {found.name}.")
    return found


def pronoun(w: Writer, woman: bool, *, capital: bool = False) -> None:
    text = "she" if woman else "he"
    w.bound(f" {text.capitalize() if capital else text}", SKILL, "pronoun")


class _Person:
    """What is said of a person."""

    def __init__(self, w: Writer, woman: bool, profession: Profession) -> None:
        self.w, self.woman, self.profession = w, woman, profession

    def sentences(self) -> None:
        """Two of four sentences, in any order."""
        left = [self.works, self.walks, self.loves, self.friends]
        for _ in range(2):
            chosen = self.w.one(left)
            left.remove(chosen)
            chosen()

    def works(self) -> None:
        self.w.say(" Today,")
        pronoun(self.w, self.woman)
        self.w.say(self.w.one((" works at the", " works in a", " enters the same")))
        self.place()

    def walks(self) -> None:
        self.w.say(" Every morning")
        pronoun(self.w, self.woman)
        self.w.say(self.w.one((" walks to the", " goes to a", " sees the same")))
        self.place()

    def loves(self) -> None:
        self.w.say(self.w.one((" As a", " Being the", " Not only a", " Like any")))
        self.w.bound(f" {self.profession.name}", SKILL, "profession")
        self.w.say(",")
        pronoun(self.w, self.woman)
        self.w.say(self.w.one((" loves", " does", " likes", " finds time for")))
        self.possessive()
        self.w.say(" work.")

    def friends(self) -> None:
        self.w.say(" At the")
        self.w.bound(f" {self.profession.place}", SKILL, "workplace")
        self.w.say(",")
        self.possessive()
        self.w.say(f" {self.w.one(('friends', 'parents', 'sister', 'brother'))} waited.")

    def possessive(self) -> None:
        self.w.bound(" her" if self.woman else " his", SKILL, "possessive")

    def place(self) -> None:
        self.w.bound(f" {self.profession.place}", SKILL, "workplace")
        self.w.say(".")
