"""Batches: each document once, next to no padding, all lengths in each step."""

from __future__ import annotations

import numpy as np
import pytest

from dagster_project.embedded.packing import BATCH, RANKS, STRATA, WINDOW, batches, stratified
from dagster_project.embedded.stream import Stored

STEPS = 2 * WINDOW + 3  # two whole windows and part of one


@pytest.fixture(scope="module")
def stream() -> Stored:
    """Documents of 20 to 99 tokens, each token of which is the document's number; some are left."""
    random = np.random.default_rng(0)
    lengths = random.integers(20, 100, STEPS * BATCH + 10)
    return Stored(np.repeat(np.arange(len(lengths)), lengths).astype(np.uint16), lengths)


def test_every_document_is_read_once_whole_and_in_its_window(stream: Stored) -> None:
    seen: list[int] = []
    for steps in zip(*(batches(stream, rank, 0) for rank in range(RANKS)), strict=True):
        parts = [part for rank in steps for part in rank]
        numbers = [int(row[0]) for part in parts for row in part.ids]
        assert len(numbers) == BATCH
        first = len(seen) // (WINDOW * BATCH) * WINDOW * BATCH
        assert min(numbers) >= first
        assert max(numbers) < first + WINDOW * BATCH
        for part in parts:
            for row, n in zip(part.ids, part.lengths.tolist(), strict=True):
                assert n == stream.lengths[row[0]]
                assert (row[:n] == row[0]).all()
                assert not row[n:].any()
            assert int(part.predicts.sum()) == int((part.lengths - 1).sum())
        seen += numbers
    assert sorted(seen) == list(range(STEPS * BATCH))


def test_padding_is_rare_and_the_processes_have_equal_shares(stream: Stored) -> None:
    tokens = padded = 0
    for steps in zip(*(batches(stream, rank, 0) for rank in range(RANKS)), strict=True):
        shares = [sum(int(part.lengths.sum()) for part in rank) for rank in steps]
        assert max(shares) < 1.1 * min(shares)
        tokens += sum(shares)
        padded += sum(part.ids.numel() for rank in steps for part in rank)
    assert padded < 1.02 * tokens


def test_each_step_takes_from_each_stratum() -> None:
    """16 documents in 2 steps: of each pair of neighbours in length one goes to each step."""
    lengths = np.arange(16)[::-1]
    found = stratified(lengths, 2, np.random.default_rng(0))
    assert found.shape == (2, STRATA, 1)
    pairs = np.sort(lengths[found[..., 0]], axis=0).T
    assert pairs.tolist() == [[i, i + 1] for i in range(0, 16, 2)]


def test_the_order_depends_on_the_seed_alone(stream: Stored) -> None:
    first, same, other = (
        [int(part.ids[0, 0]) for step in batches(stream, 0, seed) for part in step]
        for seed in (0, 0, 1)
    )
    assert first == same
    assert first != other
