"""Words: what the rules and the tokenizer take for granted, and the halves."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from dagster_project.embedded.agreement import AUXILIARIES, withheld
from dagster_project.embedded.words import ALL, Words, half, lemma

TRAIN, TEST = half("train"), half("test")
LISTS = Words._fields


def entries(words: Words, name: str) -> list[str]:
    """Every word of a list, parts of entries included."""
    parts = [e if isinstance(e, tuple) else (e,) for e in getattr(words, name)]
    return [str(part) for part in chain.from_iterable(parts) if not isinstance(part, bool)]


@pytest.mark.parametrize("name", LISTS)
def test_halves_are_a_partition(name: str) -> None:
    train, test = entries(TRAIN, name), entries(TEST, name)
    assert not set(train) & set(test)
    assert sorted(train + test) == sorted(entries(ALL, name))
    assert len(train) == pytest.approx(len(test), abs=8)


@pytest.mark.parametrize("name", LISTS)
def test_words_differ_and_are_single(name: str) -> None:
    found = entries(ALL, name)
    assert len(set(found)) == len(found)
    assert all(re.fullmatch("[A-Za-z]+|[0-9]+", word) for word in found)


def test_words_of_sequences_differ() -> None:
    for words in (ALL, TRAIN, TEST):
        assert len(set(words.content)) == len(words.content) > 24  # the longest sequence


@pytest.mark.parametrize("words", [ALL, TRAIN, TEST])
def test_each_half_has_all_that_a_rule_tells_apart(words: Words) -> None:
    for auxiliary in AUXILIARIES:
        assert {withheld(noun, auxiliary) for noun in words.nouns} == {True, False}
    assert {profession.mostly_women for profession in words.professions} == {True, False}
    assert min(len(getattr(words, name)) for name in LISTS) >= 4  # depth of elements, and a pair


def test_number_is_told_by_the_last_letter() -> None:
    assert not [noun for noun in ALL.nouns if noun.endswith("s")]
    assert [lemma(noun) for noun in ALL.nouns] == list(range(len(ALL.nouns)))
    assert [lemma(f"{noun}s") for noun in ALL.nouns] == list(range(len(ALL.nouns)))


def test_articles_are_told_by_the_first_letter() -> None:
    assert {thing[0] in "aeiou" for thing in ALL.vowel_things} == {True}
    assert {thing[0] in "aeiou" for thing in ALL.things} == {False}


def test_a_quarter_of_the_nouns_is_withheld_from_each_auxiliary() -> None:
    for noun in ALL.nouns:
        assert sum(withheld(noun, auxiliary) for auxiliary in AUXILIARIES) == 1
        for auxiliary in AUXILIARIES:
            assert withheld(noun, auxiliary) == withheld(f"{noun}s", auxiliary)
