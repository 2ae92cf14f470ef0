"""The generated corpus: a small Pile whose rules are known.

Document `row` of corpus `seed` is a function of the two alone, so that shards of any size are made
anywhere, in any order, in parallel. Each is of one subset and a list of pieces with the rule that
determines it, if any, and its exact surprisal: −ln p(piece | text before) of the generator, the
choice of the subset and of every word included. That a document ends is not part of it. Cost:
about 0.4 ms a document of 60 tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple, TypeAlias

from dagster_project.embedded import (
    agreement,
    biographies,
    code,
    facts,
    markup,
    numbers,
    repeats,
    stories,
)
from dagster_project.embedded.pieces import Piece, Writer
from dagster_project.embedded.words import ALL, Words

VERSION = "7"
"""Changes whenever documents do."""
SIZES = range(25, 60)
"""Words at which a document begins no further sentence."""

Write: TypeAlias = Callable[[Writer, Words], None]


class Subset(NamedTuple):
    """A kind of document."""

    write: Write
    weight: int  # its share of documents is this over the sum of weights


SUBSETS: Mapping[str, Subset] = {
    "Sentences": Subset(agreement.write, 20),
    "Biographies": Subset(biographies.write_correlated, 7),
    "Profiles": Subset(biographies.write_balanced, 4),
    "Stories": Subset(stories.write, 8),
    "Repeats": Subset(repeats.write, 8),
    "Drills": Subset(repeats.write_drills, 3),
    "Code": Subset(code.write, 10),
    "Brackets": Subset(markup.write_brackets, 6),
    "Markup": Subset(markup.write_html, 6),
    "Records": Subset(markup.write_records, 6),
    "Dates": Subset(numbers.write_dates, 5),
    "Calendar": Subset(numbers.write_weekdays, 2),
    "Lists": Subset(numbers.write_lists, 8),
    "Sums": Subset(numbers.write_sums, 6),
    "Geography": Subset(facts.write_capitals, 5),
    "Opposites": Subset(facts.write_opposites, 3),
    "Grammar": Subset(facts.write_grammar, 5),
}
RULES: Mapping[tuple[str, str], str] = {
    ("agreement", "main"): "the auxiliary has the number of the subject's head",
    ("agreement", "past"): "was or were: the number of the subject's head",
    ("agreement", "inner"): "has or have within a relative clause: its own subject's number",
    ("biography", "pronoun"): "he or she: the gender of the name",
    ("biography", "possessive"): "his or her: the gender of the name",
    ("biography", "profession"): "the profession that was named",
    ("biography", "workplace"): "where the profession works",
    ("coreference", "indirect_object"): "the one of the two who does not give",
    ("coreference", "reflexive"): "himself or herself: the gender of the subject",
    ("induction", "repeat"): "what followed this word before",
    ("code", "indent"): "one level deeper after a colon",
    ("code", "quote"): "the quote that opened the string",
    ("code", "last"): "the variable that was assigned last",
    ("code", "argument"): "the definition's arguments in their order",
    ("bracket", "close"): "the partner of the innermost open bracket",
    ("html", "close"): "the innermost open element",
    ("record", "key"): "the first record's keys in their order",
    ("date", "day"): "the number of the day without a leading zero",
    ("date", "month"): "the name of the month's number",
    ("date", "year"): "the year",
    ("weekday", "next"): "the day after",
    ("enumeration", "number"): "the next number",
    ("enumeration", "letter"): "the next letter",
    ("enumeration", "ordinal"): "the next ordinal",
    ("sum", "result"): "the sum",
    ("fact", "capital"): "the country's capital",
    ("fact", "country"): "the capital's country",
    ("fact", "opposite"): "the opposite",
    ("article", "indefinite"): "an before a vowel, else a",
    ("plural", "noun"): "the noun and an s",
}
"""What determines a piece, by skill and slot."""
LABELS = tuple(RULES)

_WEIGHTS = {name: subset.weight for name, subset in SUBSETS.items()}


class Document(NamedTuple):
    """A generated document."""

    text: str
    subset: str
    pieces: list[Piece]  # their texts make the text


def document(seed: int, row: int, subset: str | None = None, words: Words = ALL) -> Document:
    """Document `row` of a corpus, or of one of its subsets alone."""
    random = Random(seed << 64 | row)  # with << 40, 1 << 40 | 257 draws what 257 does
    w = Writer(random, SIZES[int(random.random() * len(SIZES))])
    name = w.weighted(_WEIGHTS) if subset is None else subset
    SUBSETS[name].write(w, words)
    return Document(w.text, name, w.pieces)


def line(seed: int, row: int) -> bytes:
    """The document as a line of the Pile's format, with meta.pieces, without a newline."""
    made = document(seed, row)
    pieces = []
    start = 0
    for text, skill, slot, surprisal in made.pieces:
        end = start + len(text)
        pieces.append(
            {"start": start, "end": end, "skill": skill, "slot": slot, "surprisal": surprisal}
        )
        start = end
    record = {"text": made.text, "meta": {"pile_set_name": made.subset, "pieces": pieces}}
    return json.dumps(record).encode()
