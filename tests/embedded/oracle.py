"""What follows from a rule and the text before, read from that text alone.

A second implementation of every rule of the generated corpus, by regular expressions. It shares
nothing with the generator but data: which names are women's, who works where, capitals, opposites.
The calendar is Python's.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping, Sequence

from dagster_project.embedded.words import ALL, ORDINALS

Rule = Callable[[str], str]

WORD = re.compile(r"\n| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]| +")
"""A word, as the tokenizer sees it: a name, a number or a mark with the space before it."""

VERBS = {
    "The|Today, the|Now, the|Often, the": (" is", " are"),
    "Since Monday, the|Lately, the|This year, the|Recently, the": (" has", " have"),
    "Yesterday, the|Last week, the|Long ago, the|Once, the": (" was", " were"),
    "Every day, the|Usually, the|At night, the|On Sundays, the": (" does", " do"),
}
"""Singular and plural by the sentence's opening."""
WOMEN = set(ALL.women)
PERSONS = {*ALL.women, *ALL.men}
PLACES = {profession.name: profession.place for profession in ALL.professions}
CAPITALS = {country.name: country.capital for country in ALL.countries}
COUNTRIES = {capital: name for name, capital in CAPITALS.items()}
OPPOSITES = dict(ALL.opposites) | {b: a for a, b in ALL.opposites}
BRACKETS = {"(": " )", "[": " ]", "{": " }"}
ELEMENTS = {
    "<": (r"<(\w+)>|</(\w+)>", ""),
    "(": (r"\( (\w+):| end: (\w+)\)", " "),
    "%": (r"% (\w+)\{| %, (\w+)\}", " "),
    "b": (r"begin (\w+);|; end of (\w+)\.", " "),
}
"""By a document's first character: how elements open or close, and a space before their names."""


def words(text: str) -> list[str]:
    return WORD.findall(text)


def expected(skill: str, slot: str, prefix: str) -> str:
    """The piece that the rule demands after the prefix. Raises KeyError for an unknown rule."""
    return RULES[skill, slot](prefix)


def _last(pattern: str, text: str) -> str:
    """The group of the pattern's last match."""
    found = re.findall(pattern, text)
    assert found, f"no {pattern} in {text!r}"
    return str(found[-1])


def _last_of(known: Mapping[str, str] | set[str], text: str) -> str:
    """The text's last word that is known."""
    return next(word for word in reversed(re.findall(r"\w+", text)) if word in known)


def _sentence(prefix: str) -> str:
    return prefix.rsplit(". ", 1)[-1]


def _heads(sentence: str) -> list[str]:
    return re.findall(r"\b[Tt]he (\w+)", sentence)


def _auxiliary(prefix: str) -> str:
    """The subject is the first noun; with `and the` there are two."""
    sentence = _sentence(prefix)
    singular, plural = next(
        forms for openings, forms in VERBS.items() if re.match(rf"(?:{openings})\b", sentence)
    )
    many = _heads(sentence)[0].endswith("s") or " and the " in sentence
    return plural if many else singular


def _inner(prefix: str) -> str:
    """`who` stands for the first noun; after `that` the relative clause has its own."""
    nouns = _heads(_sentence(prefix))
    subject = nouns[0] if prefix.endswith(" who") else nouns[-1]
    return " have" if subject.endswith("s") else " has"


def _pronoun(prefix: str) -> str:
    text = "she" if _last_of(PERSONS, prefix) in WOMEN else "he"
    return f" {text.capitalize() if prefix.endswith('.') else text}"


def _possessive(prefix: str) -> str:
    return " her" if _last_of(PERSONS, prefix) in WOMEN else " his"


def _profession(prefix: str) -> str:
    return f" {_last_of(PLACES, prefix)}"


def _workplace(prefix: str) -> str:
    return f" {PLACES[_last_of(PLACES, prefix)]}"


def _taker(prefix: str) -> str:
    """Of `A and B …, A gave the book to`, the other one."""
    a, b, giver = re.findall(r"(\w+) and (\w+) [a-z ]+, (\w+) ", prefix)[-1]
    (taker,) = {a, b} - {giver}
    return f" {taker}"


def _reflexive(prefix: str) -> str:
    return " herself" if _last(r"Then (\w+) ", prefix) in WOMEN else " himself"


def _induction(prefix: str) -> str:
    """What followed the last word where it stood first. The sequence holds no `and` or `then`."""
    sequence = [w for w in re.findall(r"\w+", prefix)[1:] if w not in ("and", "then")]
    return f" {sequence[sequence.index(sequence[-1]) + 1]}"


def _indent(prefix: str) -> str:
    above = prefix.split("\n")[-2]
    assert above.endswith(":")
    return " " * (len(above) - len(above.lstrip(" ")) + 4)


def _quote(prefix: str) -> str:
    return _last(r"""["']""", prefix.rsplit("\n", maxsplit=1)[-1])


def _assigned(prefix: str) -> str:
    """The left side of the last assignment that takes two variables and an operator."""
    return " " + _last(r"(\w+) = \w+ [-+*] \w+\n", prefix)


def _argument(prefix: str) -> str:
    a, b = re.findall(r"def \w+\((\w+), (\w+)\)", prefix)[-1]
    return a if prefix.endswith("(") else f" {b}"


def _innermost(marks: Sequence[tuple[str, str]]) -> str:
    """What was opened last and is not closed, of (opened, closed) names."""
    still: list[str] = []
    for opened, closed in marks:
        if opened:
            still.append(opened)
        else:
            assert still.pop() == closed
    return still[-1]


def _bracket(prefix: str) -> str:
    partners = {closing.strip(): opening for opening, closing in BRACKETS.items()}
    marks = [
        ("", partners[m]) if m in partners else (m, "") for m in re.findall(r"[^\w\s:,]", prefix)
    ]
    return BRACKETS[_innermost(marks)]


def _element(prefix: str) -> str:
    pattern, space = ELEMENTS[prefix[0]]
    return space + _innermost(re.findall(pattern, prefix))


def _key(prefix: str) -> str:
    """The first record's key at the place where the last record goes on."""
    records = [re.findall(r"(\w+)(?::| is| =)", line) for line in prefix.split("\n")]
    return f" {records[0][len(records[-1])]}"


def _date(prefix: str) -> tuple[int, int, int]:
    year, month, day = re.findall(r"(\d{4})-(\d\d)-(\d\d)", prefix)[-1]
    return int(year), int(month), int(day)


def _weekday(prefix: str) -> str:
    days = list(calendar.day_name)
    return f" {days[(days.index(_last_of(set(days), prefix)) + 1) % 7]}"


def _number(prefix: str) -> str:
    space = "" if prefix.endswith("\n") else " "
    return f"{space}{int(_last(r'[0-9]+', prefix)) + 1}"


def _letter(prefix: str) -> str:
    return f" {chr(ord(_last(r' (.)[)]', prefix)) + 1)}"


def _ordinal(prefix: str) -> str:
    return f" {ORDINALS[ORDINALS.index(_last('the ([a-z]+) is a', prefix)) + 1]}"


def _sum(prefix: str) -> str:
    a, b = re.findall(r"[0-9]+", prefix)[-2:]
    return f" {int(a) + int(b)}"


def _article(prefix: str) -> str:
    thing = _last(r"(?:the word|with|for the noun|what is called) (\w+)", prefix)
    return " an" if thing[0] in "aeiou" else " a"


def _plural(prefix: str) -> str:
    return f" {_last('(?:one|the plural of|from a single|more than this) ([a-z]+)', prefix)}s"


RULES: Mapping[tuple[str, str], Rule] = {
    ("agreement", "main"): _auxiliary,
    ("agreement", "past"): _auxiliary,
    ("agreement", "inner"): _inner,
    ("biography", "pronoun"): _pronoun,
    ("biography", "possessive"): _possessive,
    ("biography", "profession"): _profession,
    ("biography", "workplace"): _workplace,
    ("coreference", "indirect_object"): _taker,
    ("coreference", "reflexive"): _reflexive,
    ("induction", "repeat"): _induction,
    ("code", "indent"): _indent,
    ("code", "quote"): _quote,
    ("code", "last"): _assigned,
    ("code", "argument"): _argument,
    ("bracket", "close"): _bracket,
    ("html", "close"): _element,
    ("record", "key"): _key,
    ("date", "day"): lambda prefix: f" {_date(prefix)[2]}",
    ("date", "month"): lambda prefix: f" {calendar.month_name[_date(prefix)[1]]}",
    ("date", "year"): lambda prefix: f" {_date(prefix)[0]}",
    ("weekday", "next"): _weekday,
    ("enumeration", "number"): _number,
    ("enumeration", "letter"): _letter,
    ("enumeration", "ordinal"): _ordinal,
    ("sum", "result"): _sum,
    ("fact", "capital"): lambda prefix: f" {CAPITALS[_last_of(CAPITALS, prefix)]}",
    ("fact", "country"): lambda prefix: f" {COUNTRIES[_last_of(COUNTRIES, prefix)]}",
    ("fact", "opposite"): lambda prefix: f" {OPPOSITES[_last_of(OPPOSITES, prefix)]}",
    ("article", "indefinite"): _article,
    ("plural", "noun"): _plural,
}
"""The continuation by skill and slot."""
