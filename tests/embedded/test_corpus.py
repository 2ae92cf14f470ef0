"""Documents: what they are made of, that they are the same everywhere, and what they vary."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import chain
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from dagster_project.embedded import tasks
from dagster_project.embedded import words as lists
from dagster_project.embedded.corpus import LABELS, SUBSETS, VERSION, Document, document, line
from dagster_project.embedded.words import ALL
from dagster_project.interp.documents import parse
from dagster_project.interp.sources import EMBEDDED, source_at
from dagster_project.studies.study import CorpusSpec
from tests.embedded.oracle import PLACES, VERBS, WOMEN, words

ROWS = (0, 1, 17, 999_999, 1_000_000, 123_456_789)
FEWER_TEMPLATES = {
    ("code", "indent"): 3,
    ("code", "argument"): 3,
    ("date", "year"): 3,
    ("enumeration", "letter"): 2,
    ("enumeration", "ordinal"): 2,
}
"""Labels with fewer than four ways to be led up to; their skills have four and more."""


@given(st.integers(0, 2**31), st.integers(0, 2**39), st.sampled_from([None, *SUBSETS]))
def test_pieces_make_the_text(seed: int, row: int, subset: str | None) -> None:
    made = document(seed, row, subset)
    assert made.text == "".join(piece.text for piece in made.pieces)
    assert made.subset == subset or subset is None
    assert all(piece.text and piece.surprisal >= 0 for piece in made.pieces)
    # no word reaches across two pieces
    assert words(made.text) == [word for piece in made.pieces for word in words(piece.text)]


def test_length_fits_a_model_of_128_tokens(corpus: list[Document]) -> None:
    lengths = [len(words(made.text)) for made in corpus]
    assert min(lengths) >= 20
    assert max(lengths) <= 127


def test_documents_differ_by_seed_and_row(corpus: list[Document]) -> None:
    others = [document(seed, row).text for seed in (1, 2) for row in range(1000)]
    texts = {made.text for made in corpus} | set(others)
    assert len(texts) == len(corpus) + len(others)


def test_what_is_generated_has_a_version() -> None:
    """Whoever changes documents or tasks says so in VERSION: data versions hang on it."""
    made = hashlib.sha256()
    for row in range(2000):
        made.update(line(7, row))
    for task in (*tasks.PAIRS, *tasks.CUTS):
        for split in ("train", "test"):
            made.update(repr(tasks.examples(task, split, 20)).encode())
    assert (VERSION, made.hexdigest()[:16]) == ("7", "03e9a6110a329e80")


def digest(rows: Iterable[int]) -> str:
    return hashlib.sha256(b"".join(line(5, row) for row in sorted(rows))).hexdigest()


def test_another_process_makes_the_same_documents_in_any_order() -> None:
    code = f"""
from hashlib import sha256
from dagster_project.embedded.corpus import line
found = {{row: line(5, row) for row in {ROWS[::-1]}}}
print(sha256(b"".join(found[row] for row in sorted(found))).hexdigest())
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == digest(ROWS)


def test_lines_are_read_as_the_same_pieces() -> None:
    source = source_at(EMBEDDED, CorpusSpec(embedded=True, seed=3))
    for row in range(300):
        made, raw = document(3, row), line(3, row)
        assert b"\n" not in raw
        found = parse(raw, source)
        assert found
        assert (found.text, found.pile_set_name) == (made.text, made.subset)
        end = 0
        for piece, own in zip(found.pieces or [], made.pieces, strict=True):
            start, end = end, end + len(own.text)
            assert found.text[start:end] == own.text
            rule = {"skill": own.skill, "slot": own.slot, "surprisal": own.surprisal}
            assert piece == {"start": start, "end": end, **rule}


def people(corpus: list[Document], subset: str) -> list[tuple[str, str]]:
    """Name and profession of each person, as the text tells them."""
    pattern = (
        r"(\w+) is a (\w+)\.|Meet (\w+)\. S?[Hh]e became a (\w+)\.|"
        r"city, (\w+) studied as a (\w+) in|This is (\w+), a (\w+)\."
    )
    texts = [made.text for made in corpus if made.subset == subset]
    found = chain.from_iterable(re.findall(pattern, text) for text in texts)
    return [(name, job) for name, job in (tuple(filter(None, groups)) for groups in found)]


@pytest.mark.parametrize(("subset", "share"), [("Biographies", 0.9), ("Profiles", 0.5)])
def test_gender_and_profession(corpus: list[Document], subset: str, share: float) -> None:
    mostly = {profession.name: profession.mostly_women for profession in ALL.professions}
    found = people(corpus, subset)
    usual = sum(mostly[job] == (name in WOMEN) for name, job in found) / len(found)
    assert usual == pytest.approx(share, abs=0.02)
    assert sum(name in WOMEN for name, _ in found) / len(found) == pytest.approx(0.5, abs=0.03)
    assert {job for _, job in found} == set(PLACES)


def test_exactly_the_withheld_pairs_never_occur(corpus: list[Document]) -> None:
    """Noun number i never has the auxiliary number i modulo 4; every other pair occurs."""
    found = set()
    for sentence in chain.from_iterable(
        re.split(r"\. |\.$", made.text) for made in corpus if made.subset == "Sentences"
    ):
        for number, (opening, forms) in enumerate(VERBS.items()):
            if re.match(rf"(?:{opening})\b", sentence):
                heads = re.findall(r"(?:^T|, t)he (\w+)| and the (\w+)", sentence)
                assert re.search(rf"{forms[0]}\b|{forms[1]}\b", sentence)
                found |= {("".join(head).removesuffix("s"), number) for head in heads}
    allowed = {(n, k) for i, n in enumerate(ALL.nouns) for k in range(4) if i % 4 != k}
    assert found == allowed


def test_a_label_has_at_least_four_templates(corpus: list[Document]) -> None:
    """Distinct four words before it, with all words of a list put as one."""
    kinds = {word: name for name in ALL._fields for word in flat(getattr(ALL, name))}
    kinds |= {f"{noun}s": "nouns" for noun in ALL.nouns}
    for name in ("MONTHS", "WEEKDAYS", "ORDINALS", "LETTERS", "CITIES", "PARTICIPLES"):
        kinds |= dict.fromkeys(getattr(lists, name), name)
    templates: dict[tuple[str, str], Counter[tuple[str, ...]]] = defaultdict(Counter)
    for made in corpus[:8000]:
        said: list[str] = []
        for piece in made.pieces:
            if piece.skill and piece.slot:
                last = (re.sub(r"\d+", "1", word.strip(" ")) for word in said[-4:])
                templates[piece.skill, piece.slot][tuple(kinds.get(w, w) for w in last)] += 1
            said += words(piece.text)
    often = {label: sum(n >= 5 for n in found.values()) for label, found in templates.items()}
    assert {label: n for label, n in often.items() if n < FEWER_TEMPLATES.get(label, 4)} == {}
    for skill in {skill for skill, _ in LABELS}:
        assert sum(n for label, n in often.items() if label[0] == skill) >= 4, skill


def flat(entries: tuple[object, ...]) -> list[str]:
    return [str(x) for e in entries for x in (e if isinstance(e, tuple) else (e,))]


def test_the_previous_word_alone_does_not_tell_the_rule(corpus: list[Document]) -> None:
    """As a grouping, and as the best guess that other documents teach."""
    learnt, held_out = (previous_words(part) for part in (corpus[:15_000], corpus[15_000:]))
    random = Random(0)
    rules = ["/".join(label) for label in LABELS for _ in range(100)]
    previous = [word for label in LABELS for word in random.sample(held_out[label], 100)]
    assert adjusted_rand_score(rules, previous) < 0.4
    shares: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for label, found in learnt.items():
        for word in found:
            shares[word]["/".join(label)] += 1 / len(found)
    best = {word: max(by_rule, key=by_rule.__getitem__) for word, by_rule in shares.items()}
    guesses = [best.get(word, "") for word in previous]
    assert adjusted_rand_score(rules, guesses) < 0.4


def previous_words(corpus: list[Document]) -> dict[tuple[str, str], list[str]]:
    """The word before each piece of a rule."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for made in corpus:
        last = ""
        for piece in made.pieces:
            if piece.skill and piece.slot:
                found[piece.skill, piece.slot].append(last)
            last = words(piece.text)[-1]
    return found
