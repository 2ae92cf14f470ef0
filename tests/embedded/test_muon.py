"""Muon against its definition and against PyTorch's."""

from __future__ import annotations

import pytest
import torch

from dagster_project.embedded.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (16, 16)])
def test_singular_values_come_near_1_and_singular_vectors_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 7
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    rotated = u.T @ orthogonal(matrix) @ v.T  # diagonal
    kept = values > 0.05 * values[0]  # the iteration has too few steps for smaller ones
    assert rotated.diagonal()[kept].min() > 0.65
    assert rotated.diagonal()[kept].max() < 1.25
    assert (rotated - rotated.diagonal().diag()).abs().max() < 1e-4


def test_no_gradient_makes_no_update() -> None:
    assert not orthogonal(torch.zeros(3, 5)).any()


def test_steps_are_those_of_torch_but_for_its_bfloat16() -> None:
    random = torch.Generator().manual_seed(0)
    start = torch.randn(20, 8, generator=random)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    optimizer = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1)
    muon = Muon([ours])
    for _ in range(5):
        gradient = torch.randn(20, 8, generator=random)
        ours.grad, theirs.grad = gradient, gradient.clone()
        muon.step(0.02)
        optimizer.step()
    moved = (ours - start).detach().norm()
    assert float((ours - theirs).detach().norm() / moved) < 0.02
