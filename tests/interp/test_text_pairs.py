"""Text pairs: reading, filling, grouping and holding out."""

from __future__ import annotations

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
    sample,
    word_groups,
)
from dagster_project.studies.study import TaskSpec


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


def test_a_task_has_patches_or_none() -> None:
    with_patch = TextPair("a", "b", "x", "y", None, ("a", "b"))
    alone = TextPair("c", None, "x", None, None, ("c", "c"))
    for pairs in ([], [with_patch], [alone, alone]):
        check_patches(pairs)
    with pytest.raises(PairError, match=r"found 1 of 2 without \(the first: 'c'\)"):
        check_patches([with_patch, alone])


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
