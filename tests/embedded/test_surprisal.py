"""Surprisals are exact: all that can follow a beginning is gone through, and real draws agree.

If at every beginning each combination of choices shows as a different next piece, no such piece
begins with another one, and each has the probability of its choices, then the text determines the
choices, and the surprisals are those of the text: by induction over its pieces.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest
from scipy.stats import chi2

from dagster_project.embedded.corpus import SUBSETS, Document
from tests.embedded.choices import Guided, Next, nexts, written
from tests.embedded.oracle import words

PIECES = 40  # of a document, after each of which all next pieces are gone through
MOST = 2000  # next pieces; only dates have more, and the first date's are gone through
DEPTH = 8  # pieces of a document, after each of which what follows is counted
DRAWS = 300  # of a next piece, at least, to compare frequencies


class Seen(NamedTuple):
    """A piece that followed a beginning."""

    surprisals: frozenset[float]
    n: int


class ChiSquare(NamedTuple):
    statistic: float
    degrees: int


@cache
def openings() -> list[Next]:
    return list(nexts([], 0))


def check_all(found: Sequence[Next]) -> None:
    """Raises AssertionError unless the next pieces show every choice, at the right price."""
    texts = Counter(following.piece.text for following in found)
    assert max(texts.values()) == 1, (found[0].start, texts.most_common(3))
    assert not beginnings(texts), found[0].start
    for following in found:
        assert math.exp(-following.piece.surprisal) == pytest.approx(following.p, rel=1e-9)
        assert following.piece.skill is None or len(found) == 1
    assert sum(following.p for following in found) == pytest.approx(1, abs=1e-9)


def beginnings(pieces: Iterable[str]) -> list[tuple[str, ...]]:
    """Pieces that another one begins with, word for word. Sorted, they stand before it."""
    split = sorted({tuple(words(piece)) for piece in pieces})
    return [a for a, b in pairwise(split) if b[: len(a)] == a]


def chi_square(counts: Mapping[str, int], p: Mapping[str, float]) -> ChiSquare:
    """Of the pieces that are expected 5 times or more, and of all others together."""
    n = sum(counts.values())
    pairs = [(counts.get(text, 0), n * p[text]) for text in p if n * p[text] >= 5]
    rest, rest_expected = n - sum(o for o, _ in pairs), n - sum(e for _, e in pairs)
    if rest_expected >= 5:
        pairs.append((rest, rest_expected))
    return ChiSquare(sum((o - e) ** 2 / e for o, e in pairs), max(len(pairs) - 1, 0))


def check_frequencies(tests: Sequence[ChiSquare]) -> None:
    """Each beginning's, and all of them together."""
    assert min(chi2.sf(*test) for test in tests if test.degrees) > 1e-5
    statistic, degrees = (sum(column) for column in zip(*tests, strict=True))
    assert chi2.sf(statistic, degrees) > 1e-3


def places(made: Guided) -> list[int]:
    """Pieces of a document that choices were made for, not too many to go through."""
    options = {
        place: math.prod(choice.options for choice in made.choices if choice.piece == place)
        for place in range(1, len(made.pieces))
    }
    return [place for place, n in options.items() if 1 < n <= MOST]


def choices_before(made: Guided, place: int) -> list[int]:
    return [choice.taken for choice in made.choices if choice.piece < place]


def test_the_first_piece_shows_every_choice() -> None:
    check_all(openings())


def test_documents_begin_with_these_pieces(corpus: list[Document]) -> None:
    known = {following.piece.text: following.piece.surprisal for following in openings()}
    for document in corpus:
        assert document.pieces[0].surprisal == known[document.pieces[0].text]


def test_a_subset_has_its_share() -> None:
    """The first choice is the subset, and the first piece shows it."""
    shares: dict[int, float] = defaultdict(float)
    for following in openings():
        shares[following.taken[0]] += math.exp(-following.piece.surprisal)
    weights = [subset.weight for subset in SUBSETS.values()]
    expected = [weight / sum(weights) for weight in weights]
    assert [shares[number] for number in range(len(SUBSETS))] == pytest.approx(expected)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("subset", SUBSETS)
def test_every_piece_shows_every_choice(subset: str, seed: int) -> None:
    made = written([], PIECES, subset, Random(seed))
    for place in places(made):
        found = list(nexts(choices_before(made, place), place, subset))
        check_all(found)
        assert made.pieces[place] in [following.piece for following in found]


def test_what_no_choice_was_made_for_is_certain() -> None:
    for subset in SUBSETS:
        made = written([], 200, subset, Random(2))
        chosen = {choice.piece for choice in made.choices if choice.options > 1}
        for place, piece in enumerate(made.pieces):
            assert (piece.surprisal == 0) == (place not in chosen)


def test_what_follows_a_beginning_is_as_frequent_as_its_surprisal_says() -> None:
    """Real draws, after a beginning that is given."""
    tests = []
    for number, subset in enumerate(SUBSETS):
        made, random = written([], PIECES, subset, Random(number)), Random(number)
        for place in places(made)[:12:2]:
            script = choices_before(made, place)
            p = {after.piece.text: after.p for after in nexts(script, place, subset)}
            drawn = (written(script, place + 1, subset, random) for _ in range(DRAWS))
            tests.append(chi_square(Counter(w.pieces[place].text for w in drawn), p))
    assert len(tests) > 80
    check_frequencies(tests)


@pytest.fixture(scope="module")
def followed(corpus: list[Document]) -> Mapping[str, Mapping[str, Seen]]:
    """What followed each beginning of documents."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    surprisals: dict[tuple[str, str], set[float]] = defaultdict(set)
    for document in corpus:
        start = ""
        for piece in document.pieces[:DEPTH]:
            counts[start][piece.text] += 1
            surprisals[start, piece.text].add(round(piece.surprisal, 12))
            start += piece.text
    return {
        start: {text: Seen(frozenset(surprisals[start, text]), n) for text, n in found.items()}
        for start, found in counts.items()
    }


def test_equal_texts_have_equal_surprisals(followed: Mapping[str, Mapping[str, Seen]]) -> None:
    for start, found in followed.items():
        assert all(len(seen.surprisals) == 1 for seen in found.values()), (start, found)
        assert sum(math.exp(-min(seen.surprisals)) for seen in found.values()) <= 1 + 1e-9, start
        assert not beginnings(found), start


def test_documents_are_as_frequent_as_their_surprisals_say(
    followed: Mapping[str, Mapping[str, Seen]],
) -> None:
    tests = []
    for found in followed.values():
        if sum(seen.n for seen in found.values()) >= DRAWS:
            p = {text: math.exp(-min(seen.surprisals)) for text, seen in found.items()}
            tests.append(chi_square({text: seen.n for text, seen in found.items()}, p))
    assert sum(test.degrees for test in tests) > 250
    check_frequencies(tests)


def test_sequences_have_log_uniform_lengths(corpus: list[Document]) -> None:
    """P(n) = ln((n + 1) / n) / ln(25 / 3), n from 3 to 24."""
    lengths: Counter[int] = Counter()
    for document in corpus:
        if document.subset == "Repeats":
            said = [word.strip() for word in words(document.text)[2:]]
            sequence = [word for word in said if word.isalpha() and word not in ("and", "then")]
            lengths[sequence.index(sequence[0], 1)] += 1
    n = sum(lengths.values())
    expected = {k: n * math.log((k + 1) / k) / math.log(25 / 3) for k in range(3, 25)}
    assert not set(lengths) - set(expected)
    statistic = sum((lengths[k] - e) ** 2 / e for k, e in expected.items())
    assert chi2.sf(statistic, len(expected) - 1) > 1e-4
