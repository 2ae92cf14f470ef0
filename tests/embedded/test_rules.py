"""Rules: each one and the text before determine every piece that has its name.

`oracle` reads that text alone. It is compared with answers by hand first, then with documents.
"""

from __future__ import annotations

from collections import Counter

import pytest

from dagster_project.embedded.corpus import LABELS, RULES, SUBSETS, Document, document
from tests.embedded import oracle
from tests.embedded.oracle import expected

BY_HAND = [
    ("agreement", "main", "Today, the kings that the judge has seen", " are"),
    ("agreement", "main", "The king near the queens beside the boys", " is"),
    ("agreement", "main", "The kings are calm. Lately, the boy and the girl", " have"),
    ("agreement", "main", "At night, the girl who has met the boys", " does"),
    ("agreement", "past", "The kings are calm. Once, the poet also", " was"),
    ("agreement", "past", "Long ago, the poets behind the guard also", " were"),
    ("agreement", "inner", "The king that the judges", " have"),
    ("agreement", "inner", "The kings are calm. Now, the king who", " has"),
    ("biography", "pronoun", "Biography: Meet Mary.", " She"),
    ("biography", "pronoun", "Profile: Mary is a nurse. Today,", " she"),
    ("biography", "pronoun", "Profile: Mary is a nurse. This is Tom, a pilot. Today,", " he"),
    ("biography", "possessive", "Profile: Tom is a pilot. At the airport,", " his"),
    (
        "biography",
        "profession",
        "Profile: Tom is a pilot. Today, he works in a airport. As a",
        " pilot",
    ),
    (
        "biography",
        "workplace",
        "Profile: Tom is a pilot. Like any pilot, he loves his work. At the",
        " airport",
    ),
    (
        "coreference",
        "indirect_object",
        "When Tom and Mary went to the park, Mary gave the cup to",
        " Tom",
    ),
    (
        "coreference",
        "indirect_object",
        "When Tom and Mary went to the park, Tom took the cup from",
        " Mary",
    ),
    (
        "coreference",
        "reflexive",
        "When Tom and Mary met at the market, Tom made the map for Mary. Then Mary looked at",
        " herself",
    ),
    ("induction", "repeat", "Echo: cup map king cup map king cup", " map"),
    ("induction", "repeat", "Echo: cup and map and king and cup and map and king and", " cup"),
    ("code", "indent", "def load(row, col):\n", "    "),
    ("code", "indent", "def load(row, col):\n    if row:\n", "        "),
    ("code", "quote", 'def load(row, col):\n    print(" cup")\n    log(\' cup', "'"),
    (
        "code",
        "last",
        "def load(row, col):\n    size = row + col\n    path = col * col\n    send(",
        " path",
    ),
    (
        "code",
        "argument",
        "def load(row, col):\n    size = row + col\n    return size;\nload(",
        "row",
    ),
    (
        "code",
        "argument",
        "def load(row, col):\n    size = row + col\n    return size;\nload(row,",
        " col",
    ),
    ("bracket", "close", "Sets: ( cup { map [ key ]", " }"),
    ("bracket", "close", "Sets: ( cup { map [ key ] }", " )"),
    ("html", "close", "<div><p> cup</p>", "div"),
    ("html", "close", "( ul:( li: cup king end:", " li"),
    ("html", "close", "% ul{% li{ cup %, li} %,", " ul"),
    ("html", "close", "begin ul; cup; end of ul.\nbegin td;begin tr; map; end of", " tr"),
    ("record", "key", "- city is Venice; name is Tom.\n-", " city"),
    ("record", "key", "- city is Venice; name is Tom.\n- city is Bristol;", " name"),
    ("date", "day", "Date: 2004-06-09 is the", " 9"),
    ("date", "month", "Report of 2004-06-09:", " June"),
    ("date", "year", "Date: 2004-06-09 is the 9 of June in", " 2004"),
    ("weekday", "next", "Calendar: First Monday, Tuesday. After Sunday comes", " Monday"),
    ("enumeration", "number", "Plan: 9. cup;", " 10"),
    ("enumeration", "number", "Plan:\n9: cup and egg\n", "10"),
    ("enumeration", "letter", "Plan: c) cup,", " d"),
    ("enumeration", "ordinal", "Plan: the first is a cup, the second is a map, the", " third"),
    ("sum", "result", "Sums: 1 + 2 = 3. From 13 and 9 we get", " 22"),
    (
        "fact",
        "capital",
        "Geography: The city of Paris is in France. People of Peru go, now and then, to",
        " Lima",
    ),
    ("fact", "country", "Geography: Not far from Oslo but still within", " Norway"),
    ("fact", "opposite", "Opposites: From hot to cold. Not poor,", " rich"),
    ("fact", "opposite", "Opposites: From hot to", " cold"),
    ("article", "indefinite", "Grammar: with axe goes an axe; the word hat:", " a"),
    ("article", "indefinite", "Grammar: what is called egg is", " an"),
    ("plural", "noun", "Grammar: from a single king to", " kings"),
]


@pytest.mark.parametrize(("skill", "slot", "prefix", "answer"), BY_HAND)
def test_oracle_by_hand(skill: str, slot: str, prefix: str, answer: str) -> None:
    assert expected(skill, slot, prefix) == answer


def test_every_rule_is_told_by_hand() -> None:
    assert {(skill, slot) for skill, slot, *_ in BY_HAND} == set(oracle.RULES) == set(RULES)
    assert tuple(RULES) == LABELS


def check(made: Document) -> Counter[tuple[str, str]]:
    """How many pieces each rule determines. Raises AssertionError where it does not."""
    found: Counter[tuple[str, str]] = Counter()
    prefix = ""
    for piece in made.pieces:
        assert (piece.skill is None) == (piece.slot is None)
        if piece.skill and piece.slot:
            assert expected(piece.skill, piece.slot, prefix) == piece.text, prefix
            assert piece.surprisal == 0, prefix
            found[piece.skill, piece.slot] += 1
        prefix += piece.text
    return found


def test_rules_and_prefixes_determine_pieces(corpus: list[Document]) -> None:
    found = sum((check(made) for made in corpus[:5000]), Counter[tuple[str, str]]())
    assert set(found) == set(LABELS)
    assert min(found.values()) > 300


@pytest.mark.parametrize("subset", SUBSETS)
def test_rules_of_a_subset(subset: str) -> None:
    found = sum((check(document(11, row, subset)) for row in range(200)), Counter())
    assert found
