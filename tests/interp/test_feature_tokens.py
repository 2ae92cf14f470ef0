"""Tokens for features: contexts by their words, and which documents are taken."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.interp import feature_tokens as module
from dagster_project.interp.feature_tokens import (
    context_hashes,
    feature_tokens,
    first_tokens,
    places,
    token_batches,
)

BOS = 1
DOCUMENTS = {3: [BOS, 5, 6, 7], 4: [5, 6, 7], 9: [BOS], 12: [8, BOS, 5, 6, 7, 5]}


def rows(documents: dict[int, list[int]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"doc_id": doc_id, "pos": pos, "token_id": token}
            for doc_id, ids in documents.items()
            for pos, token in enumerate(ids)
        ],
        schema={"doc_id": pl.Int64, "pos": pl.UInt16, "token_id": pl.UInt32},
    )


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), max_size=8), st.integers(0, 5))
def test_equal_hashes_are_equal_contexts(documents: list[list[int]], n_ctx: int) -> None:
    """0 is a token like others: what lies before a document is none."""
    frame = rows(dict(enumerate(documents)))
    hashes = context_hashes(frame["token_id"].to_numpy(), frame["pos"].to_numpy(), n_ctx)
    contexts = [
        tuple(ids[max(0, pos - n_ctx) : pos + 1]) for ids in documents for pos in range(len(ids))
    ]
    for i, a in enumerate(contexts):
        for j, b in enumerate(contexts):
            assert (hashes[i] == hashes[j]) == (a == b)


def test_tokens_are_numbered_through() -> None:
    tokens = feature_tokens(rows(DOCUMENTS), 2, BOS)
    assert tokens.documents == list(DOCUMENTS.values())
    assert tokens.first.tolist() == [0, 4, 7, 8]
    doc_id, pos = places(tokens, np.arange(14))
    frame = rows(DOCUMENTS)
    assert doc_id.tolist() == frame["doc_id"].to_list()
    assert pos.tolist() == frame["pos"].to_list()
    uncounted = (~tokens.counted).nonzero().flatten().tolist()
    assert uncounted == [0, 7]  # a BOS within a document counts
    assert feature_tokens(rows(DOCUMENTS), 2, None).counted.all()


@pytest.mark.parametrize("batch_tokens", [1, 7, 100])
def test_batches_hold_each_counted_token_once(batch_tokens: int) -> None:
    tokens = feature_tokens(rows(DOCUMENTS), 2, BOS)
    seen = []
    for _, batch, chosen, number in token_batches(tokens, batch_tokens, BOS, "cpu"):
        seen += list(zip(number.tolist(), batch.ids[chosen].tolist(), strict=True))
    flat = [token for ids in DOCUMENTS.values() for token in ids]
    assert sorted(seen) == [(i, flat[i]) for i in range(14) if i not in (0, 7)]


def test_the_sample_is_a_matter_of_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of documents; BOS is never in it."""
    monkeypatch.setattr(module, "PAIRED", 5)
    tokens = feature_tokens(rows(DOCUMENTS), 0, BOS)
    assert int(tokens.paired.sum()) == 5
    assert not (tokens.paired & ~tokens.counted).any()
    turned = dict(reversed([(-doc_id, ids) for doc_id, ids in DOCUMENTS.items()]))
    other = feature_tokens(rows(turned), 0, BOS)

    def hashes(found: module.FeatureTokens) -> list[int]:
        return sorted(found.context[found.paired].tolist())

    assert hashes(tokens) == hashes(other)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(1, [3]), (4, [3]), (5, [3, 4]), (8, [3, 4, 9]), (9, [3, 4, 9, 12]), (99, [3, 4, 9, 12])],
)
def test_whole_documents_until_there_are_enough(limit: int, expected: list[int]) -> None:
    frame = rows(DOCUMENTS)
    shards = [frame.filter(pl.col("doc_id") < 5), frame.clear(), frame.filter(pl.col("doc_id") > 5)]
    found = first_tokens((shard.lazy() for shard in shards), limit)
    assert found["doc_id"].unique().sort().to_list() == expected
    assert found.equals(frame.filter(pl.col("doc_id").is_in(expected)))


def test_shards_that_are_not_needed_are_not_read() -> None:
    def shards() -> object:
        yield rows(DOCUMENTS).lazy()
        pytest.fail("read on")

    assert len(first_tokens(shards(), 13)) == 14  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one token"):
        first_tokens([rows({}).lazy()], 10)
