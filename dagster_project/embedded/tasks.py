"""Tasks of the generated corpus: prompts with one answer, in halves that differ in their words.

Pairs differ in what the rule reads: the number of a noun, the gender of a name, who gives. Tasks
without a patch are documents cut where the rule determines the next piece. `withheld_pairs` are
those of nouns and auxiliaries that the corpus never puts together as subject and main verb.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice
from random import Random
from typing import NamedTuple, TypeAlias, TypeVar

from dagster_project.embedded.agreement import AUXILIARIES, PREPOSITIONS, Auxiliary, withheld
from dagster_project.embedded.corpus import document
from dagster_project.embedded.stories import GIFTS, MEETINGS
from dagster_project.embedded.words import ALL, PARTICIPLES, Split, Words, half

T = TypeVar("T")

TRIES = 1000  # documents in which a rule must occur

IS, WAS = AUXILIARIES[0], AUXILIARIES[2]


class Example(NamedTuple):
    """A prompt with its answer, and with a patch and its own answer, or without."""

    clean_prefix: str
    patch_prefix: str | None
    clean_answer: str  # leading space included
    patch_answer: str | None
    case: str


class Cut(NamedTuple):
    """Where documents of a subset are cut: before a piece of this rule."""

    subset: str
    skill: str
    slot: str


Make: TypeAlias = Callable[[Random, Words], Example]


def examples(task: str, split: Split, n: int, seed: int = 0) -> list[Example]:
    """n distinct examples of a task (fewer where its words allow no more). Raises KeyError."""
    random, words = Random(f"{task} {split} {seed}"), half(split)
    make = PAIRS[task] if task in PAIRS else _cutter(CUTS[task])
    return _distinct((make(random, words) for _ in count()), n)


def withheld_pairs(structure: str, n: int, seed: int = 0) -> list[Example]:
    """Agreement on nouns with auxiliaries that the corpus never puts together."""
    random = Random(f"withheld {structure} {seed}")
    auxiliary = WAS if structure == "past" else IS
    heads = tuple(noun for noun in ALL.nouns if withheld(noun, auxiliary))
    make = _STRUCTURES[structure]
    return _distinct((make(random, ALL, heads) for _ in count()), n)


def _distinct(stream: Iterator[Example], n: int) -> list[Example]:
    found: dict[Example, None] = {}
    for example in islice(stream, 20 * n):
        found[example] = None
        if len(found) == n:
            break
    return list(found)


def _cutter(cut: Cut) -> Make:
    def make(random: Random, words: Words) -> Example:
        for _ in range(TRIES):
            made = document(random.getrandbits(32), 0, cut.subset, words)
            here = [
                i for i, p in enumerate(made.pieces) if (p.skill, p.slot) == (cut.skill, cut.slot)
            ]
            if here:
                chosen = random.choice(here)
                prefix = "".join(piece.text for piece in made.pieces[:chosen])
                return Example(prefix, None, made.pieces[chosen].text, None, cut.subset)
        raise ValueError(f"{TRIES} documents of {cut.subset} without {cut.skill}/{cut.slot}")

    return make


def _number(noun: str, plural: bool) -> str:
    return f"{noun}s" if plural else noun


def _agreement(random: Random, auxiliary: Auxiliary, opening: str, noun: str, rest: str) -> Example:
    """Singular or plural clean, the other one the patch."""
    plural = random.random() < 0.5
    prefixes = [f"{opening} {_number(noun, p)}{rest}" for p in (plural, not plural)]
    answers = [auxiliary.plural if p else auxiliary.singular for p in (plural, not plural)]
    return Example(
        prefixes[0], prefixes[1], answers[0], answers[1], "plural" if plural else "singular"
    )


def _any(random: Random, nouns: tuple[str, ...]) -> str:
    return _number(random.choice(nouns), random.random() < 0.5)


def _simple(random: Random, _words: Words, heads: tuple[str, ...]) -> Example:
    return _agreement(random, IS, random.choice(IS.openings[1:]), random.choice(heads), "")


def _past(random: Random, words: Words, heads: tuple[str, ...]) -> Example:
    rest = f"{random.choice(PREPOSITIONS)} the {_any(random, words.nouns)}"
    return _agreement(
        random, WAS, random.choice((WAS.openings[0], WAS.openings[-1])), random.choice(heads), rest
    )


def _nounpp(random: Random, words: Words, heads: tuple[str, ...]) -> Example:
    rest = f"{random.choice(PREPOSITIONS)} the {_any(random, words.nouns)}"
    return _agreement(random, IS, "The", random.choice(heads), rest)


def _stacked(random: Random, words: Words, heads: tuple[str, ...]) -> Example:
    rests = [f"{random.choice(PREPOSITIONS)} the {_any(random, words.nouns)}" for _ in range(2)]
    return _agreement(random, IS, "The", random.choice(heads), "".join(rests))


def _rc(random: Random, words: Words, heads: tuple[str, ...]) -> Example:
    noun, plural = random.choice(words.nouns), random.random() < 0.5
    verb = f"{'have' if plural else 'has'} {random.choice(PARTICIPLES)}"
    rest = f" that the {_number(noun, plural)} {verb}"
    return _agreement(random, IS, "The", random.choice(heads), rest)


_STRUCTURES: Mapping[str, Callable[[Random, Words, tuple[str, ...]], Example]] = {
    "simple": _simple,
    "nounpp": _nounpp,
    "rc": _rc,
    "stacked": _stacked,
    "past": _past,
}


def _read_pairs(structure: str, auxiliary: Auxiliary) -> Make:
    """Pairs of noun and auxiliary that the corpus does put together."""

    def make(random: Random, words: Words) -> Example:
        heads = tuple(noun for noun in words.nouns if not withheld(noun, auxiliary))
        return _STRUCTURES[structure](random, words, heads)

    return make


def _within_rc(random: Random, words: Words) -> Example:
    opening = f"The {_any(random, words.nouns)} that the"
    has = Auxiliary(" has", " have", "inner", (), ())
    return _agreement(random, has, opening, random.choice(words.nouns), "")


def _gender(random: Random, words: Words) -> Example:
    woman = random.random() < 0.5
    names = [random.choice(words.women if w else words.men) for w in (woman, not woman)]
    profession = random.choice(words.professions).name
    prefixes = [f"Profile: {name} is a {profession}. Every morning" for name in names]
    answers = [" she" if w else " he" for w in (woman, not woman)]
    return Example(prefixes[0], prefixes[1], answers[0], answers[1], "woman" if woman else "man")


def _indirect_object(random: Random, words: Words) -> Example:
    a, b = random.sample(words.names, 2)
    before, after = random.choice(MEETINGS)
    verb, preposition = random.choice(GIFTS)
    thing = random.choice(words.things)
    givers = [a, b] if random.random() < 0.5 else [b, a]
    prefixes = [
        f"{before} {a} and {b} {after} {giver} {verb} the {thing}{preposition}" for giver in givers
    ]
    answers = [f" {b if giver == a else a}" for giver in givers]
    return Example(
        prefixes[0],
        prefixes[1],
        answers[0],
        answers[1],
        "first gives" if givers[0] == a else "second gives",
    )


PAIRS: Mapping[str, Make] = {
    "simple": _read_pairs("simple", IS),
    "nounpp": _read_pairs("nounpp", IS),
    "rc": _read_pairs("rc", IS),
    "within_rc": _within_rc,
    "past": _read_pairs("past", WAS),
    "stacked": _read_pairs("stacked", IS),
    "indirect_object": _indirect_object,
    "gender": _gender,
}
"""Tasks with a patch."""
CUTS: Mapping[str, Cut] = {
    "bracket": Cut("Brackets", "bracket", "close"),
    "html": Cut("Markup", "html", "close"),
    "enumeration": Cut("Lists", "enumeration", "number"),
    "induction": Cut("Repeats", "induction", "repeat"),
    "capital": Cut("Geography", "fact", "capital"),
    "sum": Cut("Sums", "sum", "result"),
}
"""Tasks without a patch."""
TASKS = (*PAIRS, *CUTS)
