"""Biographies of one person each, with what a probe of them is to tell and what it should not.

As in Bias in Bios (De-Arteaga et al. 2019): the label is whether the profession is one mostly of
women, and gender comes with it. In the `ambiguous` set every woman has a profession mostly of
women and no man has; in a `balanced` one the four subgroups are equally large. First names of
`test` are none of `train`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Literal, NamedTuple

from dagster_project.embedded.biographies import OPENING, write_person
from dagster_project.embedded.pieces import Writer
from dagster_project.embedded.words import ALL, Split, half

PROFESSIONS = {profession.name: profession for profession in ALL.professions}


class Labelled(NamedTuple):
    """A biography and what is known of it."""

    text: str
    profession: str
    label: bool  # the profession is one mostly of women
    woman: bool


def biographies(
    kind: Literal["ambiguous", "balanced"],
    split: Split,
    n: int,
    seed: int,
    professions: Sequence[str] = (),
) -> list[Labelled]:
    """n biographies (a multiple of four) of people with these professions; none named: all.

    Raises ValueError where the professions are not of both halves.
    """
    names = half(split)
    chosen = tuple(PROFESSIONS[name] for name in professions or PROFESSIONS)
    if len({p.mostly_women for p in chosen}) < 2:
        raise ValueError(f"professions {[*professions]}: expected some of each half")
    words = ALL._replace(women=names.women, men=names.men, professions=chosen)
    most, correlation = (n // 2, 1.0) if kind == "ambiguous" else (n // 4, 0.5)
    random = Random(f"{kind} {split} {seed}")
    found: list[Labelled] = []
    groups = Counter[tuple[bool, bool]]()
    while len(found) < n // 4 * 4:
        w = Writer(random, 0)
        w.say(OPENING)
        woman, profession = write_person(w, words, correlation)
        group = (profession.mostly_women, woman)
        if groups[group] < most:
            groups[group] += 1
            found.append(Labelled(w.text, profession.name, *group))
    return found
