"""Labelled biographies: what the two kinds of sets and the two halves of names promise."""

from __future__ import annotations

from collections import Counter

import pytest

from dagster_project.embedded.labelled import PROFESSIONS, Labelled, biographies
from dagster_project.embedded.words import ALL, half


def names_in(found: list[Labelled]) -> set[str]:
    words = {word.strip(".,") for made in found for word in made.text.split()}
    return words & set(ALL.names)


def test_in_the_ambiguous_set_gender_is_the_label() -> None:
    found = biographies("ambiguous", "train", 80, 0)
    assert Counter((b.label, b.woman) for b in found) == {(True, True): 40, (False, False): 40}


def test_in_a_balanced_set_the_subgroups_are_equally_large() -> None:
    found = biographies("balanced", "test", 82, 0)
    assert set(Counter((b.label, b.woman) for b in found).values()) == {20}


def test_texts_say_what_their_labels_do() -> None:
    for made in biographies("balanced", "train", 200, 1):
        profession = PROFESSIONS[made.profession]
        assert made.label == profession.mostly_women
        assert f" {profession.name}" in made.text
        theirs, others = (ALL.women, ALL.men) if made.woman else (ALL.men, ALL.women)
        assert names_in([made]) <= set(theirs)
        assert not names_in([made]) & set(others)
        words = made.text.lower().split()
        assert not {"he", "his"} & set(words) if made.woman else not {"she", "her"} & set(words)


def test_names_of_test_are_not_those_of_train() -> None:
    for split in ("train", "test"):
        found = names_in(biographies("balanced", split, 400, 0))
        assert found == set(half(split).names)


def test_professions_are_those_asked_for() -> None:
    found = biographies("ambiguous", "train", 40, 0, ("nurse", "pilot"))
    assert {b.profession for b in found} == {"nurse", "pilot"}
    assert {b.profession for b in biographies("balanced", "train", 800, 0)} == set(PROFESSIONS)


def test_the_same_arguments_give_the_same_texts_and_others_do_not() -> None:
    one = biographies("balanced", "train", 40, 0)
    assert one == biographies("balanced", "train", 40, 0)
    assert one != biographies("balanced", "train", 40, 1)


def test_professions_of_one_half_are_refused() -> None:
    with pytest.raises(ValueError, match="expected some of each half"):
        biographies("balanced", "train", 40, 0, ("nurse", "dancer"))
