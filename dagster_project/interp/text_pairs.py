"""Text pairs: clean and patch prompts with their answers, and which of them to hold out.

From JSONL of the original form {clean_prefix, patch_prefix, clean_answer, patch_answer, case}, or
from templates × fills × answers, each fill in both directions. Held-out pairs share no word
(templates) and no prompt (files) with the others: pairs linked by common words are one group.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dagster_project.studies.study import TaskSpec

T = TypeVar("T")

_TEXTS = ("clean_prefix", "patch_prefix", "clean_answer", "patch_answer")


class PairError(ValueError):
    """Pairs that cannot be read or split; the text names the file and line, or the reason."""


class TextPair(NamedTuple):
    """A pair before tokenization."""

    clean_prefix: str
    patch_prefix: str
    clean_answer: str  # continues clean_prefix, leading space included
    patch_answer: str
    case: str | None  # the file's; of templates: which word of the fill is clean, 0 or 1
    words: tuple[str, str]  # what may not occur in both splits


def read_pairs(file: Path) -> Iterator[TextPair]:
    """Pairs of a JSONL file, repeated ones once. Raises PairError naming file and line."""
    seen = set()
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip() and (pair := _parse(line, f"{file}:{number}")) not in seen:
                    seen.add(pair)
                    yield pair
    except (OSError, UnicodeDecodeError) as error:
        raise PairError(f"{file}: expected pairs as JSONL in UTF-8, found {error}") from error


def _parse(line: str, where: str) -> TextPair:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise PairError(f"{where}: expected a JSON object, found {error}") from error
    if not isinstance(record, dict):
        raise PairError(f"{where}: expected a JSON object, found {type(record).__name__}")
    for key in _TEXTS:
        if not isinstance(record.get(key), str):
            raise PairError(f"{where}: {key} must be a string, found {record.get(key)!r}")
    clean, patch, clean_answer, patch_answer = (record[key] for key in _TEXTS)
    case = record.get("case")
    label = None if case is None else str(case)
    return TextPair(clean, patch, clean_answer, patch_answer, label, (clean, patch))


def filled(spec: TaskSpec) -> Iterator[TextPair]:
    """Templates × fills, each fill in both directions."""
    for template in spec.templates:
        for fill in spec.fills:
            prompts = [template.replace("{}", word) for word in fill]
            words = (fill[0], fill[1])
            for clean, patch in ((0, 1), (1, 0)):
                answers = (spec.answers[clean], spec.answers[patch])
                yield TextPair(prompts[clean], prompts[patch], *answers, str(clean), words)


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
