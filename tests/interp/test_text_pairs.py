"""Text pairs: reading, filling, grouping and holding out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.interp.text_pairs import (
    PairError,
    TextPair,
    check_patches,
    filled,
    hold_out,
    n_held_out,
    read_pairs,
    sample,
    word_groups,
)
from dagster_project.studies.study import TaskSpec

LINE = (
    '{"clean_prefix": "The girl", "patch_prefix": "The girls", "clean_answer": " was", '
    '"patch_answer": " were", "case": "singular"}'
)


def test_templates_fill_in_both_directions() -> None:
    spec = TaskSpec(
        templates=("The {}", "A {}"), fills=(("dog", "dogs"),), answers=(" was", " were")
    )
    assert list(filled(spec)) == [
        TextPair("The dog", "The dogs", " was", " were", "0", ("dog", "dogs")),
        TextPair("The dogs", "The dog", " were", " was", "1", ("dog", "dogs")),
        TextPair("A dog", "A dogs", " was", " were", "0", ("dog", "dogs")),
        TextPair("A dogs", "A dog", " were", " was", "1", ("dog", "dogs")),
    ]


def test_read_skips_blank_lines_and_repeats(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(f"{LINE}\n\n{LINE}\n")
    assert list(read_pairs(file)) == [
        TextPair("The girl", "The girls", " was", " were", "singular", ("The girl", "The girls"))
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("not json", "expected a JSON object"),
        ("[1]", "expected a JSON object, found list"),
        ('{"clean_prefix": "a"}', "clean_answer must be a string, found None"),
        (LINE.replace('"patch_prefix"', '"patch"'), "patch_prefix must be a string, found None"),
        (LINE.replace('" were"', "null"), "patch_answer must be a string, found None"),
        (LINE.replace('"The girls"', "[]"), "patch_prefix must be a string, found []"),
        (LINE.replace('" were"', "3"), "patch_answer must be a string, found 3"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(f"{LINE}\n{line}\n")
    with pytest.raises(PairError) as error:
        list(read_pairs(file))
    assert f"{file}:2: " in str(error.value)
    assert problem in str(error.value)


def test_both_patch_texts_may_be_left_out(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    absent = '{"clean_prefix": "1 + 1 =", "clean_answer": " 2"}'
    null = absent[:-1] + ', "patch_prefix": null, "patch_answer": null, "case": 2}'
    file.write_text(f"{absent}\n{null}\n")
    words = ("1 + 1 =", "1 + 1 =")
    assert list(read_pairs(file)) == [
        TextPair("1 + 1 =", None, " 2", None, case, words) for case in (None, "2")
    ]


def test_a_task_has_patches_or_none() -> None:
    with_patch = TextPair("a", "b", "x", "y", None, ("a", "b"))
    alone = TextPair("c", None, "x", None, None, ("c", "c"))
    for pairs in ([], [with_patch], [alone, alone]):
        check_patches(pairs)
    with pytest.raises(PairError, match=r"found 1 of 2 without \(the first: 'c'\)"):
        check_patches([with_patch, alone])


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PairError, match=r"none\.jsonl: expected pairs as JSONL"):
        list(read_pairs(tmp_path / "none.jsonl"))


def test_word_groups_follow_chains() -> None:
    # a–b and b–c are linked by b, c–d by c; x–y stands alone
    assert word_groups([("a", "b"), ("x", "y"), ("c", "b"), ("c", "d")]) == [0, 1, 0, 0]
    assert word_groups([]) == []


def _pairs(words: list[tuple[str, str]]) -> list[TextPair]:
    return [TextPair(a, b, " x", " y", None, (a, b)) for a, b in words]


words = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), min_size=1)


@given(words=words, share=st.floats(0.05, 0.95), seed=st.integers(0, 5))
def test_held_out_words_are_unseen(words: list[tuple[str, str]], share: float, seed: int) -> None:
    pairs = _pairs(words)
    n_groups = len(set(word_groups(words)))
    if n_groups < 2:
        with pytest.raises(PairError, match="found 1"):
            hold_out(pairs, share, seed)
        return
    train, test = hold_out(pairs, share, seed)
    assert sorted(train + test) == sorted(pairs)
    assert train
    assert test
    assert not {w for p in train for w in p.words} & {w for p in test for w in p.words}
    assert hold_out(pairs, share, seed) == (train, test)


def test_nothing_is_held_out_without_a_share() -> None:
    pairs = _pairs([("a", "b")])
    assert hold_out(pairs, 0.0, 0) == (pairs, [])


def test_n_held_out() -> None:
    assert [n_held_out(n, 0.3) for n in (0, 1, 2, 3, 10)] == [0, 0, 1, 1, 3]
    assert n_held_out(10, 1.0) == 9
    assert n_held_out(10, 0.0) == 0


def test_sample_keeps_the_order() -> None:
    items = list(range(20))
    chosen = sample(items, 8, 0)
    assert len(chosen) == 8
    assert chosen == sorted(chosen)
    assert chosen != sample(items, 8, 1)
    assert sample(items, 100, 0) == items


CONTEXT = {"context": ["The", " girl", "s"], "answer": " were", "document_idx": 3}
READ = TextPair("The girls", None, " were", None, None, ("The girls", "The girls"))


@pytest.mark.parametrize(
    "written",
    [
        {"7": CONTEXT, "9": CONTEXT},
        {"7": {"context": ["The girls"], "y": " were"}},
        {"contexts": {"7": CONTEXT}, "clusters": {"2": [[0], None]}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_clusters_json_is_a_task_without_a_patch(
    tmp_path: Path, written: object, indent: int | None
) -> None:
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps(written, indent=indent))
    assert list(read_pairs(file)) == [READ]


@pytest.mark.parametrize(
    ("context", "problem"),
    [
        ({"context": "The girls", "answer": "x"}, "context must be a list of strings"),
        ({"context": ["The", 1], "answer": "x"}, "context must be a list of strings"),
        ({"context": ["The"]}, "answer must be a string, found None"),
        ({"context": ["The"], "y": 3}, "answer must be a string, found 3"),
    ],
)
def test_malformed_contexts_are_named(tmp_path: Path, context: object, problem: str) -> None:
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps({"7": CONTEXT, "9": context}))
    with pytest.raises(PairError) as error:
        list(read_pairs(file))
    assert str(error.value).startswith(f"{file}: context '9': {problem}")
