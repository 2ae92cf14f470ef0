"""Text pairs: clean and patch prompts with their answers, and which of them to hold out.

From files (`pair_files.py`), from templates × fills × answers, each fill in both directions, or
from a task of the generator. A file or the generator may leave out both patch texts, as clusters
do: then there is no patch. Held-out pairs share no word (templates), no prompt (files) or no
filling word (generator) with the others: pairs linked by common words are one group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dagster_project.studies.study import TaskSpec

if TYPE_CHECKING:
    from dagster_project.embedded.words import Split

T = TypeVar("T")


class PairError(ValueError):
    """Pairs that cannot be read or split; the text names the file and line, or the reason."""


class TextPair(NamedTuple):
    """A pair before tokenization."""

    clean_prefix: str
    patch_prefix: str | None  # None: no patch
    clean_answer: str  # continues clean_prefix, leading space included
    patch_answer: str | None  # None: no patch
    case: str | None  # the file's; of templates: which word of the fill is clean, 0 or 1
    words: tuple[str, str]  # what may not occur in both splits


def filled(spec: TaskSpec) -> Iterator[TextPair]:
    """Templates × fills, each fill in both directions."""
    for template in spec.templates:
        for fill in spec.fills:
            prompts = [template.replace("{}", word) for word in fill]
            words = (fill[0], fill[1])
            for clean, patch in ((0, 1), (1, 0)):
                answers = (spec.answers[clean], spec.answers[patch])
                yield TextPair(prompts[clean], prompts[patch], *answers, str(clean), words)


def generated(task: str, split: Split, n: int, seed: int) -> list[TextPair]:
    """n examples of a task of the generator, or fewer where it has no more."""
    from dagster_project.embedded.tasks import examples

    found = examples(task, split, n, seed)
    return [TextPair(*texts, (texts.clean_prefix, texts.clean_prefix)) for texts in found]


def check_patches(pairs: Sequence[TextPair]) -> None:
    """Raises PairError unless all pairs have a patch, or none has."""
    alone = [pair.clean_prefix for pair in pairs if pair.patch_prefix is None]
    if 0 < len(alone) < len(pairs):
        raise PairError(
            "expected a patch in every example of the task or in none, found "
            f"{len(alone)} of {len(pairs)} without (the first: {alone[0]!r})"
        )


def hold_out(
    pairs: Sequence[TextPair], share: float, seed: int
) -> tuple[list[TextPair], list[TextPair]]:
    """Train and test pairs without a word in common; `share` of the groups is test.

    Raises PairError where all pairs are one group.
    """
    groups = word_groups([pair.words for pair in pairs])
    n_groups = len(set(groups))
    if share and n_groups < 2:
        raise PairError(
            f"expected at least 2 groups of pairs without a word in common, found {n_groups}: "
            "give a test file"
        )
    chosen = np.random.default_rng(seed).permutation(n_groups)[: n_held_out(n_groups, share)]
    test = set(chosen.tolist())
    marked = list(zip(pairs, groups, strict=True))
    return [p for p, g in marked if g not in test], [p for p, g in marked if g in test]


def n_held_out(n: int, share: float) -> int:
    """How many of n things are held out: the nearest number that leaves one to each side."""
    return min(max(round(share * n), 1), n - 1) if share and n > 1 else 0


def word_groups(words: Sequence[tuple[str, str]]) -> list[int]:
    """Group of each pair of words, from 0; those linked by common words are one group."""
    number = {word: i for i, word in enumerate(dict.fromkeys(chain.from_iterable(words)))}
    if not number:
        return []
    ends = np.array([[number[a], number[b]] for a, b in words])
    links = coo_array((np.ones(len(ends)), ends.T), shape=(len(number), len(number)))
    labels = connected_components(links, directed=False)[1]
    return [int(label) for label in labels[ends[:, 0]]]


def sample(items: Sequence[T], most: int, seed: int) -> list[T]:
    """At most `most` of the items, a seeded choice in their own order."""
    chosen = np.random.default_rng(seed).permutation(len(items))[:most]
    return [items[i] for i in sorted(chosen.tolist())]
