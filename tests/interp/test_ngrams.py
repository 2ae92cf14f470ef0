"""How far back an n-gram occurred last."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.interp.ngrams import tokens_since


def tokens_of(documents: list[list[int]]) -> pl.DataFrame:
    rows = [(d, pos, t) for d, ids in enumerate(documents) for pos, t in enumerate(ids)]
    types = {"doc_id": pl.Int64, "pos": pl.UInt16, "token_id": pl.UInt32}
    return pl.DataFrame(rows, schema=types, orient="row")


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, [None, None, 2, 2, None, 2, None, None]),
        (2, [None, None, None, 2, None, None, None, None]),
        (3, [None] * 8),
    ],
)
def test_by_hand(n: int, expected: list[int | None]) -> None:
    """a b a b c b | a b: nothing is carried over from one document to the next."""
    assert tokens_since(tokens_of([[1, 2, 1, 2, 3, 2], [1, 2]]), n).to_list() == expected


@given(documents=st.lists(st.lists(st.integers(0, 2), max_size=9), max_size=4), n=st.integers(1, 3))
def test_against_a_search(documents: list[list[int]], n: int) -> None:
    def search(ids: list[int], pos: int) -> int | None:
        start = pos - n + 1
        earlier = (
            k for k in range(1, start + 1) if ids[start - k : pos + 1 - k] == ids[start : pos + 1]
        )
        return next(earlier, None) if start >= 0 else None

    found = tokens_since(tokens_of(documents), n)
    assert found.dtype == pl.UInt16
    assert found.to_list() == [search(ids, pos) for ids in documents for pos in range(len(ids))]
