"""Batches of whole documents, with next to no padding and documents of all lengths in each.

`WINDOW` steps' documents are sorted by length and cut into `STRATA` strata; each step takes a few
neighbours of every stratum, at random. Documents that are padded together then differ by a token
or two, and no step has only short ones, of which some subsets are made. This trains faster than
rows into which documents are packed behind each other: those need a mask of pairs of positions,
which costs attention more than the padding does here. The strata are dealt to the `RANKS`
processes so that both have about as many tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from dagster_project.embedded.network import Padded
from dagster_project.embedded.stream import Stored

BATCH = 32  # documents in a step
WINDOW = 16  # steps
DEAL = ((0, 3, 4, 7), (1, 2, 5, 6))  # strata of each process
RANKS, STRATA = len(DEAL), sum(map(len, DEAL))


def batches(stream: Stored, rank: int, seed: int) -> Iterator[list[Padded]]:
    """For each step, the batches of one process. What is left of the stream is not used."""
    ends = stream.ends
    for numbers in _steps(stream.lengths, seed):
        yield [
            pad([stream.ids[ends[n] - stream.lengths[n] : ends[n]] for n in numbers[stratum]])
            for stratum in DEAL[rank]
        ]


def pad(documents: Sequence[np.ndarray]) -> Padded:
    """Documents' ids as one batch."""
    lengths = [len(ids) for ids in documents]
    padded = np.zeros((len(documents), max(lengths)), dtype=np.int64)
    for row, ids in enumerate(documents):
        padded[row, : len(ids)] = ids
    return Padded(torch.from_numpy(padded), torch.tensor(lengths))


def _steps(lengths: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Numbers [stratum, BATCH / STRATA] of the documents of each step."""
    random = np.random.default_rng(seed)
    steps = len(lengths) // BATCH
    for first in range(0, steps, WINDOW):
        n = min(WINDOW, steps - first)
        start, end = first * BATCH, (first + n) * BATCH
        yield from stratified(lengths[start:end], n, random) + start


def stratified(lengths: np.ndarray, steps: int, random: np.random.Generator) -> np.ndarray:
    """Numbers [step, stratum, n] of the documents that have these lengths, each once."""
    strata = np.argsort(lengths, kind="stable").reshape(STRATA, steps, -1)
    return np.stack([random.permutation(stratum) for stratum in strata], axis=1)
