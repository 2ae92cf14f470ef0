"""Muon in float32: momentum whose singular values are all set to about 1 (Jordan et al. 2024).

As `torch.optim.Muon`, which iterates in bfloat16; on a CPU without matrix units for it that takes
twice as long. Cost: 15 products of a matrix with its smaller side, a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

MOMENTUM, WEIGHT_DECAY = 0.95, 0.1
ITERATIONS = 5
A, B, C = 3.4445, -4.7750, 2.0315  # of the quintic, as in torch


class Muon:
    """The state of matrices in training."""

    def __init__(self, matrices: Sequence[Tensor]) -> None:
        self.matrices = matrices
        self._momentum = [torch.zeros_like(w) for w in matrices]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step along the matrices' gradients, with Nesterov's momentum."""
        for weight, momentum in zip(self.matrices, self._momentum, strict=True):
            gradient = weight.grad
            assert gradient is not None
            momentum.lerp_(gradient, 1 - MOMENTUM)
            update = orthogonal(gradient.lerp(momentum, MOMENTUM))
            taller = max(1.0, weight.shape[0] / weight.shape[1])
            weight.mul_(1 - rate * WEIGHT_DECAY)
            weight.add_(update, alpha=-rate * taller**0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix with the same singular vectors and singular values between about 0.7 and 1.2."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp_min(1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x.T if matrix.shape[0] > matrix.shape[1] else x
