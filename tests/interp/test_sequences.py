"""Sequences: documents from rows, batches that hold all of them once, a stream that repeats."""

from __future__ import annotations

from functools import partial
from itertools import islice

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.interp.sequences import (
    Ids,
    batches,
    buckets,
    content,
    held_out_from,
    sequences,
    shuffled,
)
from dagster_project.interp.sites import batch_of


def test_documents_come_in_order_whatever_the_rows() -> None:
    frame = pl.DataFrame(
        {"doc_id": [7, 3, 7, 3, 3], "pos": [1, 0, 0, 2, 1], "token_id": [71, 30, 70, 32, 31]}
    )
    assert sequences(frame) == [[30, 31, 32], [70, 71]]
    assert sequences(frame.clear()) == []


def test_buckets_by_hand() -> None:
    # Longest first: 5 (two would make 10 > 8), then 3 and 2 (2 × 3 ≤ 8), then 1 (3 × 3 > 8).
    assert buckets([2, 5, 1, 3], 8) == [[1], [3, 0], [2]]
    assert buckets([20], 8) == [[0]]
    assert buckets([], 8) == []


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 80))
def test_buckets_hold_each_once_within_bounds(lengths: list[int], batch_tokens: int) -> None:
    made = buckets(lengths, batch_tokens)
    assert sorted(i for bucket in made for i in bucket) == list(range(len(lengths)))
    for bucket in made:
        assert len(bucket) == 1 or len(bucket) * max(lengths[i] for i in bucket) <= batch_tokens


def test_batches_hold_every_token_once() -> None:
    documents = [list(range(10 * i, 10 * i + 1 + i % 7)) for i in range(25)]
    found = [
        row[:length].tolist()
        for batch in batches(documents, 16, window=4)
        for row, length in zip(batch.ids, batch.lengths, strict=True)
    ]
    assert sorted(found) == sorted(documents)


def test_content_is_neither_padding_nor_leading_bos() -> None:
    batch = batch_of([[1, 5, 1], [6, 1]])
    expected = torch.tensor([[False, True, True], [True, True, False]])
    assert torch.equal(content(batch, 1), expected)
    assert torch.equal(content(batch, None), batch.real)


def test_stream_repeats_all_documents_in_new_orders() -> None:
    shards = [[[i, i] for i in range(0, 6)], [[i, i] for i in range(6, 9)], [[9]]]

    def first_ids(seed: int) -> list[int]:
        readers = [partial(list[Ids], documents) for documents in shards]
        return [ids[0] for ids in islice(shuffled(readers, seed), 18)]

    stream, again, other = first_ids(0), first_ids(0), first_ids(1)
    assert sorted(stream[:9]) == sorted(stream[9:]) == list(range(9))  # 9 has one token: left out
    assert stream == again != other
    assert stream[:9] != stream[9:]


def test_stream_without_documents_is_an_error() -> None:
    with pytest.raises(ValueError, match="no document of two tokens"):
        next(shuffled([lambda: [[1]], lambda: []], 0))


@pytest.mark.parametrize(("tokens", "first"), [(1, 12), (10, 12), (11, 11), (25, 10), (99, 10)])
def test_held_out_documents_are_the_last(tokens: int, first: int) -> None:
    lengths = pl.DataFrame({"doc_id": [12, 10, 11], "n_tokens": [10, 10, 10]})
    assert held_out_from(lengths, tokens) == first
