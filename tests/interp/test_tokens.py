"""Tokens: positions, display texts, and which piece a token belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.interp.documents import DOCUMENTS
from dagster_project.interp.tokens import TOKENS, Span, TokenTexts, piece_of, tokens
from tests.conftest import make_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from dagster_project.interp.model import LanguageModel


def span(start: int, end: int) -> Span:
    return {"start": start, "end": end}


def piece(start: int, end: int) -> dict[str, object]:
    return {"start": start, "end": end, "skill": "s", "slot": None, "surprisal": 1.0}


def frame(texts: Sequence[str], pieces: Sequence[list[dict[str, object]] | None]) -> pl.DataFrame:
    data = {"doc_id": [10 * i for i in range(len(texts))], "text": texts, "pieces": pieces}
    schema = {name: DOCUMENTS[name] for name in data}
    return pl.DataFrame(data, schema=schema)


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    pieces: Sequence[list[dict[str, object]] | None] | None = None,
    max_tokens: int = 100,
) -> pl.DataFrame:
    documents = frame(texts, pieces or [None] * len(texts))
    found = pl.concat([TOKENS.to_frame(), *tokens([documents], tokenizer, max_tokens)])
    assert found.schema == TOKENS
    return found


def test_bos_where_the_tokenizer_adds_it() -> None:
    texts = ["the girl was", "", "boys"]
    with_bos = tokenize(make_tokenizer(bos=True), texts)
    without = tokenize(make_tokenizer(bos=False), texts)
    assert with_bos["doc_id"].unique().to_list() == [0, 10, 20]
    assert without["doc_id"].unique().to_list() == [0, 20]  # an empty text has no token
    assert with_bos.filter(pl.col("pos") == 0)["token"].to_list() == ["<s>"] * 3
    assert with_bos.filter(pl.col("pos") > 0)["token_id"].equals(without["token_id"])


def test_max_tokens_counts_bos_and_positions_have_no_gap() -> None:
    found = tokenize(make_tokenizer(bos=True), ["the girl was happy", "a"], max_tokens=3)
    lengths = found.group_by("doc_id", maintain_order=True).len()["len"].to_list()
    assert lengths == [3, 2]
    assert found["pos"].to_list() == [0, 1, 2, 0, 1]


def test_display_keeps_the_space() -> None:
    found = tokenize(make_tokenizer(bos=False), ["the girl was"])
    assert "".join(found["token"]) == " the girl was"  # this tokenizer starts texts with a space


def test_real_tokenizers_display(shared: Path, stories: LanguageModel) -> None:
    from transformers import PreTrainedTokenizerFast

    file = shared / "models" / "pythia-tokenizer" / "tokenizer.json"
    pythia = PreTrainedTokenizerFast(tokenizer_file=str(file))
    assert tokenize(pythia, ["The girl was\n日"])["token"].to_list() == [
        "The", " girl", " was", "\n", "日",
    ]  # fmt: skip
    found = tokenize(stories.tokenizer, ["The girl was\n日"])["token"].to_list()
    assert found == ["<s>", " The", " g", "ir", "l", " was", "\n", "�", "�", "�"]


def test_pieces_that_span_tokens_and_tokens_that_span_pieces(stories: LanguageModel) -> None:
    """`The girl was` is ▁The ▁g ir l ▁was at characters 0-3 3-5 5-7 7-8 8-12.

    Pieces `The`, ` girl`, ` w`, `a`: ▁was has its first letter in ` w`, and `a` gets no token.
    """
    pieces = [piece(0, 3), piece(3, 8), piece(8, 10), piece(10, 11)]
    found = tokenize(stories.tokenizer, ["The girl was"], [pieces])
    assert found["piece"].to_list() == [None, 0, 1, 1, 1, 2]
    # With the space in the piece before, ▁was still belongs where its letters lie.
    found = tokenize(stories.tokenizer, ["The girl was"], [[piece(3, 9), piece(9, 12)]])
    assert found["piece"].to_list() == [None, None, 0, 0, 0, 1]


def test_documents_with_and_without_pieces_in_one_batch() -> None:
    texts = ["the girl", "the girl", ""]
    found = tokenize(make_tokenizer(bos=False), texts, [None, [piece(0, 8)], []])
    assert found.filter(doc_id=0)["piece"].null_count() == found.filter(doc_id=0).height
    assert set(found.filter(doc_id=10)["piece"]) == {0}


def test_piece_of_by_hand() -> None:
    pieces = [span(0, 3), span(4, 6)]  # "abc" and "ef" of "abc efg"
    text = "abc efg"
    assert piece_of(text, 0, 3, pieces) == 0
    assert piece_of(text, 3, 5, pieces) == 1  # " e": its first letter is at 4
    assert piece_of(text, 3, 4, pieces) is None  # " " alone lies between
    assert piece_of(text, 6, 7, pieces) is None
    assert piece_of(text, 2, 7, pieces) == 0
    assert piece_of(text, 7, 7, pieces) is None
    assert piece_of(text, 0, 1, []) is None


@given(
    text=st.text(st.sampled_from("ab \n日"), max_size=20),
    cuts=st.lists(st.integers(0, 20), max_size=6),
    token=st.tuples(st.integers(0, 20), st.integers(0, 20)),
)
def test_piece_of_is_the_definition(text: str, cuts: list[int], token: tuple[int, int]) -> None:
    ends = sorted({min(cut, len(text)) for cut in cuts})
    pieces = [span(a, b) for a, b in zip(ends[::2], ends[1::2], strict=False)]
    start, end = (min(place, len(text)) for place in sorted(token))
    letters = [i for i in range(start, end) if not text[i].isspace()]
    place = letters[0] if letters else start
    expected = [i for i, p in enumerate(pieces) if p["start"] <= place < p["end"]]
    assert piece_of(text, start, end, pieces) == (expected[0] if expected else None)


HOSTILE = st.text(
    st.one_of(
        st.sampled_from(" \n\x00\x1b\u202e\u200b\ufeffé日𝒳<s>"), st.characters(codec="utf-8")
    ),
    max_size=30,
)


@settings(max_examples=60)
@given(texts=st.lists(HOSTILE, min_size=1, max_size=4), cut=st.integers(0, 30))
def test_tokens_equal_one_document_at_a_time(texts: list[str], cut: int) -> None:
    tokenizer = TOKENIZER
    pieces = [[piece(0, min(cut, len(t)))] if min(cut, len(t)) > 0 else [] for t in texts]
    found = tokenize(tokenizer, texts, pieces, max_tokens=8)
    for number, text in enumerate(texts):
        mine = found.filter(doc_id=10 * number)
        assert mine["token_id"].to_list() == tokenizer(text)["input_ids"][:8]
        assert mine["pos"].to_list() == list(range(len(mine)))
        known = [p for p in mine["piece"] if p is not None]
        assert len(known) <= len(mine) - 1  # never BOS
        if cut >= len(text):  # one piece over all of it
            assert len(known) == len(mine) - 1


TOKENIZER = make_tokenizer(bos=True)


def test_token_texts_are_decoded_once(stories: LanguageModel) -> None:
    texts = TokenTexts(stories.tokenizer)
    assert texts[1] == "<s>"
    assert texts[286] == " was"
    assert set(texts) == {1, 286}


def test_pieces_need_offsets() -> None:
    class Slow:
        is_fast = False

        def __call__(self, *_: object, **__: object) -> dict[str, list[int]]:
            return {"input_ids": [0]}

        def decode(self, *_: object, **__: object) -> str:
            return ""

    documents = frame(["a"], [[piece(0, 1)]])
    with pytest.raises(ValueError, match="no character offsets"):
        list(tokens([documents], Slow(), 4))
