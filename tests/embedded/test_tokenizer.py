"""The tokenizer: words whole, pieces begin tokens, any text comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from dagster_project.embedded import tokenizer as module
from dagster_project.embedded.corpus import Document, document


def tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    """What each token covers of the text, BOS as what it is called."""
    encoding = tokenizer.encode(text)
    assert encoding.ids[0] == module.BOS_ID
    return [text[start:end] for start, end in encoding.offsets[1:]]


def test_words_numbers_marks_and_indentation_are_single_tokens(tokenizer: Tokenizer) -> None:
    assert tokens(tokenizer, "The bakers near the lawyer are happy.") == [
        *("The", " bakers", " near", " the", " lawyer", " are", " happy", "."),
    ]
    assert tokens(tokenizer, "def area(width, row):\n        show(' lamp')") == [
        *("def", " area", "(", "width", ",", " row", ")", ":", "\n", "        "),
        *("show", "(", "'", " lamp", "'", ")"),
    ]
    assert tokens(tokenizer, "ISO 2006-04-01 ") == ["ISO", " 2006", "-", "04", "-", "01", " "]


def test_every_word_of_other_documents_is_whole_and_every_piece_begins_a_token(
    tokenizer: Tokenizer, corpus: list[Document]
) -> None:
    for made in corpus[:3000]:
        encoding = tokenizer.encode(made.text)
        starts = {start for start, _ in encoding.offsets[1:]}
        at = 0
        for piece in made.pieces:
            assert at in starts, (made.text, piece)
            at += len(piece.text)
        split = tokenizer.pre_tokenizer.pre_tokenize_str(made.text)
        assert len(encoding.ids) == 1 + len(split)
        assert len(encoding.ids) <= 128


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
@settings(max_examples=200)
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    found = tokenizer.encode(text)
    assert tokenizer.decode(found.ids) == text.replace(module.BOS, "")
    assert found.offsets[-1][1] == len(text)


def test_bos_in_a_text_is_bos(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode(module.BOS).ids == [0, 0]


def test_it_has_as_many_entries_as_asked_for_and_always_the_same() -> None:
    texts = [document(0, row).text for row in range(500)]
    first, second = (module.train(texts, 1400) for _ in range(2))
    assert first.get_vocab_size() == 1400
    assert first.to_str() == second.to_str()
    assert sorted(first.get_vocab().values()) == list(range(1400))


def test_merges_make_fewer_tokens_of_other_text_than_bytes_do(tokenizer: Tokenizer) -> None:
    text = "Interesting reparations beside entertaining nations"
    assert len(tokenizer.encode(text).ids) < 0.6 * len(text)


def test_a_vocabulary_too_small_for_the_words_is_refused() -> None:
    words = {"a", " b", " c", "."}
    with pytest.raises(ValueError, match="expected 259 or more, found 258"):
        module.train(["a b c."], 258)
    assert words <= {w.replace("Ġ", " ") for w in module.train(["a b c."], 259).get_vocab()}


def test_transformers_loads_it_with_the_same_ids_offsets_and_special_tokens(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    module.for_transformers(tokenizer, 128).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = document(5, 5).text
    expected = tokenizer.encode(text)
    found = loaded(text, return_offsets_mapping=True)
    assert found["input_ids"] == expected.ids
    assert [tuple(place) for place in found["offset_mapping"]] == expected.offsets
    assert (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id) == (0, 0, 0)
    assert loaded.decode(expected.ids[1:]) == text
