"""Tasks: answers follow from the rules, halves share no word, pairs differ where the rule reads."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import pytest

from dagster_project.embedded.agreement import AUXILIARIES, withheld
from dagster_project.embedded.tasks import CUTS, PAIRS, TASKS, Example, examples, withheld_pairs
from dagster_project.embedded.words import ALL, Split, half
from tests.embedded.oracle import VERBS, expected, words

LABELS = {
    "simple": ("agreement", "main"),
    "nounpp": ("agreement", "main"),
    "rc": ("agreement", "main"),
    "stacked": ("agreement", "main"),
    "past": ("agreement", "past"),
    "within_rc": ("agreement", "inner"),
    "indirect_object": ("coreference", "indirect_object"),
    "gender": ("biography", "pronoun"),
    "bracket": ("bracket", "close"),
    "html": ("html", "close"),
    "enumeration": ("enumeration", "number"),
    "induction": ("induction", "repeat"),
    "capital": ("fact", "capital"),
    "sum": ("sum", "result"),
}
FORMS = {
    "simple": r"(Today|Now|Often), the \w+",
    "nounpp": r"The \w+ (near|behind|beside|with) the \w+",
    "rc": r"The \w+ that the \w+ (has|have) \w+",
    "stacked": r"The \w+( (near|behind|beside|with) the \w+){2}",
    "past": r"(Yesterday|Once), the \w+ (near|behind|beside|with) the \w+",
    "within_rc": r"The \w+ that the \w+",
    "indirect_object": r"\w+ \w+ and \w+ [a-z ]+, \w+ \w+ the \w+ (to|for|from|with)",
    "gender": r"Profile: \w+ is a \w+\. Every morning",
}
"""How the prompts of pairs read; those of the corpus do too, since `oracle` understands them."""
STRUCTURES = ("simple", "nounpp", "rc", "stacked", "past")
SPLITS: tuple[Split, ...] = ("train", "test")


def content(task: str, found: list[Example]) -> set[str]:
    """Words in the prompts and answers that a half of the words has; its frames are for both."""
    nouns = {*ALL.nouns, *(f"{noun}s" for noun in ALL.nouns)}
    names, things = set(ALL.names), {*ALL.things, *ALL.vowel_things}
    of_task = {
        "indirect_object": names | things,
        "gender": names | {profession.name for profession in ALL.professions},
        "bracket": things,
        "html": {*ALL.tags, *things, *nouns},
        "enumeration": things,
        "induction": set(ALL.content),
        "capital": {word for country in ALL.countries for word in country},
    }
    texts = [text or "" for example in found for text in example[:4]]
    return set(re.findall("[A-Za-z]+", " ".join(texts))) & of_task.get(task, nouns)


def test_all_tasks_are_here() -> None:
    assert set(TASKS) == set(LABELS) == {*PAIRS, *CUTS}
    assert set(PAIRS) == set(FORMS)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("task", TASKS)
def test_answers_are_what_the_rule_demands(task: str, split: Split) -> None:
    found = examples(task, split, 100)
    assert len(set(found)) == len(found) == 100
    for example in found:
        assert expected(*LABELS[task], example.clean_prefix) == example.clean_answer
        assert len(words(example.clean_answer)) == 1
        assert len(words(example.clean_prefix + example.clean_answer)) <= 127
        assert (example.patch_prefix is None) == (example.patch_answer is None) == (task in CUTS)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("task", PAIRS)
def test_patches_differ_in_what_the_rule_reads(task: str, split: Split) -> None:
    for example in examples(task, split, 100):
        clean, patch = example.clean_prefix, example.patch_prefix
        assert patch
        assert expected(*LABELS[task], patch) == example.patch_answer != example.clean_answer
        assert re.fullmatch(FORMS[task], clean)
        assert re.fullmatch(FORMS[task], patch)
        pairs = list(zip(words(clean), words(patch), strict=True))
        assert sum(a != b for a, b in pairs) == 1


@pytest.mark.parametrize("task", PAIRS)
def test_cases_are_even_and_tell_the_answer(task: str) -> None:
    found = examples(task, "train", 100)
    cases = Counter(example.case for example in found)
    assert min(cases.values()) >= 35
    assert len(cases) == 2
    answers = {(example.case, example.clean_answer) for example in found}
    assert task == "indirect_object" or len(answers) == 2


@pytest.mark.parametrize("task", CUTS)
def test_cut_documents_begin_like_their_subset(task: str) -> None:
    found = examples(task, "test", 100)
    assert {example.case for example in found} == {CUTS[task].subset}
    assert len({example.clean_prefix for example in found}) == 100
    assert len({example.clean_answer for example in found}) >= 3


@pytest.mark.parametrize("task", sorted({*TASKS} - {"sum"}))
def test_splits_share_no_content_word(task: str) -> None:
    train, test = (content(task, examples(task, split, 150, seed=3)) for split in SPLITS)
    assert not train & test
    assert min(len(train), len(test)) >= 12


def test_splits_of_sums_share_no_addend() -> None:
    addends = []
    for split in SPLITS:
        prefixes = [example.clean_prefix for example in examples("sum", split, 150)]
        # the last two numbers of a prompt are what is added
        addends.append({n for prefix in prefixes for n in re.findall("[0-9]+", prefix)[-2:]})
    assert not addends[0] & addends[1]
    assert sorted(map(int, addends[0] | addends[1])) == list(ALL.addends)


@pytest.mark.parametrize("task", ["simple", "nounpp", "rc", "stacked", "past"])
def test_pairs_are_those_that_the_corpus_has(task: str) -> None:
    verb = 2 if task == "past" else 0
    for split in SPLITS:
        for example in examples(task, split, 100):
            assert number_of_head(example) % 4 != verb


@pytest.mark.parametrize("structure", STRUCTURES)
def test_withheld_pairs_are_those_that_it_has_not(structure: str) -> None:
    """Noun number i never has the auxiliary number i modulo 4."""
    verb = 2 if structure == "past" else 0
    found = withheld_pairs(structure, 60)
    assert len(set(found)) == len(found) == 60
    for example in found:
        assert number_of_head(example) % 4 == verb
        assert example.clean_answer in list(VERBS.values())[verb]
        assert expected(*LABELS[structure], example.clean_prefix) == example.clean_answer
        assert example.patch_prefix
        assert expected(*LABELS[structure], example.patch_prefix) == example.patch_answer
    assert withheld_pairs(structure, 60) == found != withheld_pairs(structure, 60, seed=1)


def number_of_head(example: Example) -> int:
    """Of the first noun, among all nouns."""
    head = re.findall(r"[Tt]he (\w+)", example.clean_prefix)[0]
    return ALL.nouns.index(head.removesuffix("s"))


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_is_a_choice_of_examples(task: str) -> None:
    found = examples(task, "test", 40, seed=2)
    assert examples(task, "test", 40, seed=2) == found != examples(task, "test", 40)
    assert examples(task, "test", 10, seed=2) == found[:10]


def test_another_process_makes_the_same_examples() -> None:
    code = "from dagster_project.embedded.tasks import *\n" + "".join(
        f"print(ascii(examples({task!r}, 'train', 3)))\n" for task in TASKS
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines() == [ascii(examples(task, "train", 3)) for task in TASKS]


def test_no_more_examples_than_the_words_allow() -> None:
    found = examples("simple", "train", 200)
    # 3 openings, and singular or plural of the half's nouns that `is` may have
    nouns = [noun for noun in half("train").nouns if not withheld(noun, AUXILIARIES[0])]
    assert len(found) == 3 * 2 * len(nouns)


def test_an_unknown_task_is_an_error() -> None:
    with pytest.raises(KeyError, match="weather"):
        examples("weather", "train", 1)
