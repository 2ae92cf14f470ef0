"""Leading eigenvectors by blocks against dense ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dagster_project.interp import eigenvectors
from dagster_project.interp.eigenvectors import leading

N = 500


@pytest.fixture(autouse=True)
def _small_basis(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that these small matrices fill."""
    monkeypatch.setattr(eigenvectors, "LEAST_BASIS", 96)


def matrix(values: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """A symmetric matrix of these eigenvalues."""
    drawn = np.random.default_rng(seed).standard_normal((len(values), len(values)))
    Q = np.linalg.qr(drawn).Q
    return (Q * values) @ Q.T


def spread(k: int) -> NDArray[np.float64]:
    """k eigenvalues from 1 to 0.5, and others from 0.2 to −0.2."""
    return np.concatenate([np.linspace(1, 0.5, k), np.linspace(0.2, -0.2, N - k)])


def product(A: NDArray[np.float64], dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    held = torch.from_numpy(A).to(dtype)
    return lambda V: held @ V


def angle(A: NDArray[np.float64], V: Tensor) -> float:
    """Largest angle between the space of V's columns and that of as many leading eigenvectors."""
    expected = np.linalg.eigh(A)[1][:, -V.shape[1] :]
    outside = V.double().numpy() - expected @ (expected.T @ V.double().numpy())
    return float(np.linalg.norm(outside, 2))


@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 2e-6), (torch.float32, 1e-4)])
@pytest.mark.parametrize("k", [2, 20, 70])
def test_the_leading_space_and_its_values(
    monkeypatch: pytest.MonkeyPatch, k: int, dtype: torch.dtype, near: float
) -> None:
    """With a basis that is filled several times; residuals are what they are said to be, and an
    angle is at most one over the gap: 1e-6 × 0.5 / 0.3."""
    monkeypatch.setattr(eigenvectors, "TOLERANCE", 1e-6)
    A = matrix(spread(k))
    found = leading(product(A, dtype), torch.zeros(N, dtype=dtype), k, 0)
    assert angle(A, found.vectors) < near
    np.testing.assert_allclose(found.values, spread(k)[:k], atol=near**2 + 1e-6)
    true = (
        A @ found.vectors.double().numpy() - found.vectors.double().numpy() * found.values.numpy()
    )
    assert np.linalg.norm(true, axis=0).max() < 2e-5
    assert found.products % eigenvectors.BLOCK == 0


def test_residuals_are_at_most_the_tolerance() -> None:
    """Eigenvalues without a gap after the last wanted one."""
    values = np.linspace(1, 0, N)
    A = matrix(values)
    found = leading(product(A, torch.float64), torch.zeros(N).double(), 30, 0)
    allowed = eigenvectors.TOLERANCE * values[29]
    true = A @ found.vectors.numpy() - found.vectors.numpy() * found.values.numpy()
    assert np.linalg.norm(true, axis=0).max() <= allowed * 1.001
    np.testing.assert_allclose(np.linalg.norm(true, axis=0), found.residuals, atol=1e-8)
    np.testing.assert_allclose(found.values, values[:30], atol=allowed)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(30), atol=1e-10)


def test_more_copies_of_a_value_than_a_block_holds() -> None:
    """70 copies of 1 above 20 other values: one block of 32 vectors sees 32 of them."""
    values = np.concatenate([np.ones(70), np.linspace(0.9, 0.7, 20), np.zeros(N - 90)])
    A = matrix(values)
    found = leading(product(A, torch.float64), torch.zeros(N).double(), 70, 0)
    np.testing.assert_allclose(found.values, np.ones(70), atol=1e-6)
    assert angle(A, found.vectors) < 1e-2


def test_a_matrix_of_low_rank() -> None:
    """Nothing lies outside the basis after its first block."""
    values = np.concatenate([[3.0, 2.0, 1.0], np.zeros(N - 3)])
    found = leading(product(matrix(values), torch.float64), torch.zeros(N).double(), 3, 0)
    np.testing.assert_allclose(found.values, [3, 2, 1], atol=1e-9)


def test_a_basis_of_all_vectors_is_exact() -> None:
    values = np.linspace(1, -1, 60)
    A = matrix(values)
    found = leading(product(A, torch.float64), torch.zeros(60).double(), 10, 0)
    assert found.products == 60
    assert angle(A, found.vectors) < 1e-9


def test_the_seed_decides() -> None:
    A = product(matrix(spread(20)), torch.float32)
    one, two, other = (leading(A, torch.zeros(N), 20, s).vectors for s in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
