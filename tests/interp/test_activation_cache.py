"""Activations kept on disk: the same rounds to the bit, made once, as far as the bound allows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dagster_project.interp.activation_cache import cached

SIZE = 4 * 2 * 3 * 5  # bytes of a round


class Source:
    """Rounds [2, 3, 5] whose numbers tell which they are; counts those that were made."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, start: int) -> Iterator[Tensor]:
        buffer = torch.empty(2, 3, 5)
        for number in count(start):
            self.made.append(number)
            yield buffer.fill_(number)  # the same tensor, filled anew


def numbers(rounds: Iterator[Tensor], n: int) -> list[float]:
    return [float(x.mean()) for x in islice(rounds, n)]


def test_rounds_are_made_once(tmp_path: Path) -> None:
    source = Source()
    kept = cached(source, tmp_path, 4 * SIZE, "cpu")
    assert numbers(kept(0), 3) == [0, 1, 2]
    assert numbers(kept(1), 3) == [1, 2, 3]
    assert numbers(kept(0), 4) == [0, 1, 2, 3]
    assert source.made == [0, 1, 2, 3]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_bound_is_kept_and_the_rest_comes_from_the_source(tmp_path: Path) -> None:
    source = Source()
    kept = cached(source, tmp_path, 2 * SIZE + 1, "cpu")
    for _ in range(2):
        assert numbers(kept(0), 4) == [0, 1, 2, 3]
    assert source.made == [0, 1, 2, 3, 2, 3]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("start", [0, 2])
def test_a_training_that_starts_later_leaves_no_gap_unseen(tmp_path: Path, start: int) -> None:
    source = Source()
    kept = cached(source, tmp_path, 10 * SIZE, "cpu")
    assert numbers(kept(start), 2) == [start, start + 1]
    assert numbers(kept(0), 5) == [0, 1, 2, 3, 4]
