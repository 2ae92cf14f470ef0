"""The words of the generated corpus, and their halves for training and testing circuits.

Every list is short enough for a vocabulary of 1,536 tokens to hold each word whole. `TRAIN` and
`TEST` have no noun, name, thing, country, tag, variable or addend in common: a circuit that is
found on one half is evaluated on words that it has never read, in the same frames.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Split: TypeAlias = Literal["train", "test"]


class Country(NamedTuple):
    name: str
    capital: str


class Profession(NamedTuple):
    name: str
    place: str  # of work
    mostly_women: bool  # in the biographies with the spurious correlation


class Words(NamedTuple):
    """The lists that documents draw from; plurals of nouns add an s."""

    nouns: tuple[str, ...]  # persons
    women: tuple[str, ...]  # first names
    men: tuple[str, ...]
    countries: tuple[Country, ...]
    opposites: tuple[tuple[str, str], ...]
    professions: tuple[Profession, ...]
    things: tuple[str, ...]  # that begin with a consonant
    vowel_things: tuple[str, ...]  # that begin with a vowel
    variables: tuple[str, ...]  # of programs
    functions: tuple[str, ...]
    tags: tuple[str, ...]  # of HTML
    addends: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.women, *self.men)

    @property
    def content(self) -> tuple[str, ...]:
        """Single words that any list or sequence may hold."""
        return (
            *self.nouns,
            *(f"{noun}s" for noun in self.nouns),
            *self.names,
            *(word for country in self.countries for word in country),
            *(word for pair in self.opposites for word in pair),
            *self.things,
            *self.vowel_things,
            *self.variables,
        )


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ALL = Words(
    nouns=_split(
        "teacher lawyer baker farmer doctor driver singer painter writer actor pilot guard "
        "judge nurse chef sailor soldier banker student dancer hunter miner poet priest "
        "clerk tailor waiter author editor engineer artist king queen prince friend neighbor "
        "boy girl player captain cousin uncle visitor stranger builder butcher broker barber"
    ),
    women=_split(
        "Mary Anna Emma Julia Sarah Laura Alice Clara Helen Nora "
        "Rosa Lucy Diana Eva Grace Maria Jane Lily Ruth Susan"
    ),
    men=_split(
        "John Peter Paul David Mark Tom James Henry Simon Oscar "
        "Felix Hugo Leo Max Victor Robert Adam Frank George Louis"
    ),
    countries=tuple(
        Country(*pair.split(":"))
        for pair in _split(
            "France:Paris Italy:Rome Spain:Madrid Germany:Berlin Austria:Vienna Greece:Athens "
            "Poland:Warsaw Russia:Moscow Japan:Tokyo China:Beijing Egypt:Cairo Kenya:Nairobi "
            "Peru:Lima Cuba:Havana Norway:Oslo Finland:Helsinki Ireland:Dublin Portugal:Lisbon "
            "Turkey:Ankara Iran:Tehran Iraq:Baghdad Canada:Ottawa Chile:Santiago Hungary:Budapest"
        )
    ),
    opposites=tuple(
        (pair.split(":")[0], pair.split(":")[1])
        for pair in _split(
            "hot:cold big:small old:young fast:slow hard:soft dark:light rich:poor wet:dry "
            "strong:weak high:low long:short near:far open:shut clean:dirty early:late full:empty"
        )
    ),
    professions=(
        Profession("nurse", "hospital", mostly_women=True),
        Profession("pilot", "airport", mostly_women=False),
        Profession("dancer", "theater", mostly_women=True),
        Profession("farmer", "field", mostly_women=False),
        Profession("librarian", "library", mostly_women=False),
        Profession("teacher", "school", mostly_women=True),
        Profession("sailor", "harbor", mostly_women=False),
        Profession("lawyer", "court", mostly_women=True),
        Profession("singer", "opera", mostly_women=True),
        Profession("banker", "bank", mostly_women=False),
        Profession("priest", "church", mostly_women=False),
        Profession("florist", "garden", mostly_women=True),
        Profession("cashier", "market", mostly_women=True),
        Profession("miner", "mine", mostly_women=False),
        Profession("chef", "kitchen", mostly_women=False),
        Profession("dentist", "clinic", mostly_women=True),
    ),
    things=_split(
        "book lamp ball coat ring cup map key box hat pen drum kite boat bell flag "
        "knife plate chair table mirror basket ladder letter"
    ),
    vowel_things=_split(
        "apple egg onion orange umbrella arrow axe island engine oven anchor ear "
        "eagle owl ant elephant"
    ),
    variables=_split(
        "width height total price count index value size name row col text data item node path"
    ),
    functions=_split("area merge check load find join scale sort clean build parse split"),
    tags=_split("div p ul li span table tr td"),
    addends=tuple(range(1, 16)),
)


def half(split: Split) -> Words:
    """Every second entry of each list. Nouns go by fours, so that each half has all auxiliaries."""
    first = 0 if split == "train" else 1
    by_fours = tuple(n for i, n in enumerate(ALL.nouns) if i // 4 % 2 == first)
    others = [values[first::2] for name, values in ALL._asdict().items() if name != "nouns"]
    return Words(by_fours, *others)


def lemma(noun: str) -> int:
    """Number of a noun, singular or plural."""
    return _LEMMAS[noun.removesuffix("s")]


_LEMMAS = {noun: number for number, noun in enumerate(ALL.nouns)}

MONTHS = _split(
    "January February March April May June July August September October November December"
)
WEEKDAYS = _split("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
ORDINALS = _split("first second third fourth fifth sixth seventh eighth ninth tenth")
LETTERS = tuple("abcdefghijklmnop")
YEARS = tuple(range(1990, 2030))
CITIES = _split("London Boston Chicago Geneva Munich Venice Naples Bristol")
ADJECTIVES = _split("happy tired ready busy calm proud quiet angry hungry lucky famous alone")
PARTICIPLES = _split("seen helped met called thanked followed praised blamed warned joined")
VERBS = _split("sleep work sing walk smile travel complain wait")
