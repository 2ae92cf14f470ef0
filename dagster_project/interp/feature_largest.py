"""The k largest of each group in a stream, no two with the same context.

An entry is one int64 key: what it is ranked by in the upper 31 bits, and below them the token's
number counted back from LAST, so that of equal ranks the earlier token is the larger key. Keys are
unique within a group and ordered in one way only, so that what is kept does not depend on how the
stream is cut into batches. Of entries with the same context the largest key stays: an entry that
was pushed out had k larger ones of k other contexts before it, and would be pushed out again.

Cost: one comparison an entry, and a sort of those that pass together with what their groups hold;
after t entries of a group about k/t of the next ones pass. Memory: 12 bytes a place.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LAST = (1 << 31) - 1  # the largest number of a token, and the largest rank
FACTORS = (-0x61C8864680B583EB, -0x40A7B892E31B1A47)  # odd; splitmix64's


class Entries(NamedTuple):
    """What groups hold, by group and then by falling key."""

    group: Tensor  # [entry]
    rank: Tensor  # [entry] int64: what it is ranked by
    token: Tensor  # [entry] number of the token
    activation: Tensor  # [entry] float32


def keys(rank: Tensor, token: Tensor) -> Tensor:
    """One number to order by. rank [n] in 1 … LAST, token [n] in 0 … LAST."""
    return (rank.long() << 32) | (LAST - token.long())


def activation_rank(activation: Tensor) -> Tensor:
    """Positive float32 numbers as integers of the same order: their bits."""
    return activation.view(torch.int32).long()


class Largest:
    """Groups of at most k entries each."""

    def __init__(self, n_groups: int, k: int, context: Tensor) -> None:
        """context [token]: entries of one group with the same one are the same."""
        self.context = context
        self.key = torch.zeros(n_groups, k, dtype=torch.int64, device=context.device)  # falling
        self.least = self.key.new_zeros(n_groups)  # what a key must exceed: the last one, or 0
        self.activation = torch.zeros(n_groups, k, device=context.device)

    def add(self, group: Tensor, key: Tensor, activation: Tensor) -> None:
        """Offer entries. group, key, activation [n]."""
        better = (key > self.least[group]).nonzero()[:, 0]
        if not len(better):
            return
        touched, row = group[better].unique(return_inverse=True)
        held_row, held_key, held_activation = self._held(touched)
        self._put(
            touched,
            torch.cat([held_row, row]),
            torch.cat([held_key, key[better]]),
            torch.cat([held_activation, activation[better]]),
        )

    def take_out(self, groups: Tensor) -> Entries:
        """All entries of some groups, which are empty afterwards."""
        row, key, activation = self._held(groups)
        self.key[groups] = 0
        self.least[groups] = 0
        return Entries(groups[row], key >> 32, LAST - (key & LAST), activation)

    def entries(self) -> Entries:
        """What all groups hold."""
        row, key, activation = self._held(torch.arange(len(self.key), device=self.key.device))
        return Entries(row, key >> 32, LAST - (key & LAST), activation)

    def _held(self, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Row in `groups`, key and activation of their entries."""
        key = self.key[groups]
        row, column = key.nonzero(as_tuple=True)
        return row, key[row, column], self.activation[groups[row], column]

    def _put(self, groups: Tensor, row: Tensor, key: Tensor, activation: Tensor) -> None:
        """Make the k largest of these entries all that the groups hold."""
        order = key.argsort(descending=True)
        order = order[row[order].argsort(stable=True)]  # by group, then by falling key
        order = order[self._is_first(row[order], key[order])]
        row = row[order]
        start = torch.searchsorted(row, torch.arange(len(groups), device=row.device))
        place = torch.arange(len(row), device=row.device) - start[row]
        kept = place < self.key.shape[1]
        where = groups[row[kept]], place[kept]
        self.key[groups] = 0
        self.key[where] = key[order[kept]]
        self.activation[where] = activation[order[kept]]
        self.least[groups] = self.key[groups, -1]

    def _is_first(self, row: Tensor, key: Tensor) -> Tensor:
        """[n] bool: none before it has the same row and context."""
        both = self.context[LAST - (key & LAST)] + (row + 1) * FACTORS[0]
        by_hash = both.argsort(stable=True)
        ordered = both[by_hash]
        first = torch.ones_like(ordered, dtype=torch.bool)
        first[1:] = ordered[1:] != ordered[:-1]
        return torch.zeros_like(first).index_put_((by_hash,), first)


def shuffled_rank(context: Tensor, feature: Tensor) -> Tensor:
    """A rank in 1 … 2^30 that looks random and is a function of context and feature alone."""
    mixed = (context ^ (feature + 1) * FACTORS[0]) * FACTORS[1]  # wraps around
    return ((mixed >> 34) & 0x3FFFFFFF) + 1
