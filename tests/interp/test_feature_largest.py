"""The k largest of groups by hand; in portions they are tested with the tallies that hold them."""

from __future__ import annotations

import torch

from dagster_project.interp.feature_largest import LAST, Largest, activation_rank, keys


def test_the_same_context_is_held_once_and_the_later_larger_one_wins() -> None:
    largest = Largest(n_groups=2, k=2, context=torch.tensor([7, 7, 8, 9]))

    def offer(group: int, token: int, rank: int) -> None:
        key = keys(torch.tensor([rank]), torch.tensor([token]))
        largest.add(torch.tensor([group]), key, torch.tensor([float(rank)]))

    for group, token, rank in ((1, 0, 5), (1, 1, 6), (1, 2, 3), (1, 3, 4), (0, 0, LAST)):
        offer(group, token, rank)
    entries = largest.entries()
    assert entries.group.tolist() == [0, 1, 1]
    assert entries.rank.tolist() == [LAST, 6, 4]
    assert entries.token.tolist() == [0, 1, 3]
    assert entries.activation.tolist() == [2.0**31, 6.0, 4.0]


def test_what_is_taken_out_leaves_room_for_all() -> None:
    largest = Largest(n_groups=2, k=1, context=torch.tensor([1, 2, 3]))
    one = torch.tensor([1])
    largest.add(one, keys(torch.tensor([9]), torch.tensor([0])), torch.tensor([0.5]))
    taken = largest.take_out(torch.tensor([0, 1]))
    assert (taken.group.tolist(), taken.token.tolist(), taken.rank.tolist()) == ([1], [0], [9])
    assert len(largest.entries().token) == 0
    largest.add(one, keys(torch.tensor([2]), torch.tensor([1])), torch.tensor([0.25]))
    assert largest.entries().token.tolist() == [1]


def test_ranks_of_activations_and_keys_are_in_order() -> None:
    activation = torch.tensor([1e-38, 0.5, 0.50000006, 1.0, 3e38])
    rank = activation_rank(activation)
    assert (rank.diff() > 0).all()
    assert rank.max() <= LAST
    same = keys(rank[[1, 1]], torch.tensor([7, 8]))
    assert same[0] > same[1]  # the earlier token
    assert (keys(rank, torch.full((5,), LAST)).diff() > 0).all()
