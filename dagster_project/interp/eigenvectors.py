"""Leading eigenvectors of a symmetric matrix that is known by its products with blocks of vectors.

Block Lanczos with thick restart (Golub & Underwood 1977; Wu & Simon 2000): a basis grows by BLOCK
vectors, the product's part that lies outside it (taken twice: once is not enough); the matrix's
projection on it (Rayleigh-Ritz) gives values and vectors, and the product's next part the norms of
residuals ‖A v − λ v‖. All wanted ones must be at most TOLERANCE of the least wanted eigenvalue, or
what rounding leaves of 1. A full basis keeps its best vectors. A block sees as many copies of a
repeated eigenvalue as it has vectors: where so many are equal, a further seeded block looks for
more. Where the basis may hold as many vectors as there are, it is all of them: the result is exact.

Cost: for k vectors of clearly separate groups about 3 to 5 k columns of the matrix's products;
4 bytes × 3 k a row; 8 (3 k)² FLOPs a row besides. Small blocks need the fewest products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 32
"""Vectors added at a time."""
TOLERANCE = 1e-2
"""Norm of a residual, relative to the least wanted eigenvalue; those of eigenvalues are squares."""
LEAST_BASIS = 1024
"""Vectors that a basis may hold at least; else three times those wanted."""
ROUNDINGS = 64
"""Multiples of the precision of numbers below which no residual is asked to fall."""
EQUAL = TOLERANCE**2
"""Difference of eigenvalues that count as one that is repeated: what residuals leave unknown."""
ANEW = 6
"""Products of a further block before it is asked what it has found: values rise from nothing."""
MOST_PRODUCTS = 40
"""Columns of products, for each vector wanted or of a block, after which the best is taken."""


class Eigen(NamedTuple):
    """Leading eigenvalues and -vectors, largest first."""

    values: Tensor  # [k] float64
    vectors: Tensor  # [n, k] orthonormal
    residuals: Tensor  # [k] ‖A v − λ v‖
    products: int  # columns that the matrix was multiplied with


def leading(product: Callable[[Tensor], Tensor], like: Tensor, k: int, seed: int) -> Eigen:
    """k < n leading eigenvectors. product: V [n, m] -> A V; like [n]: its type and device.

    The same seed gives the same bytes on the same machine and number of threads. What has not
    converged after MOST_PRODUCTS has its residual beside it.
    """
    n, most = len(like), max(LEAST_BASIS, 3 * k)
    if n <= most + BLOCK:
        return _exact(product, like, k)
    space, made = _Basis(like, most), torch.Generator().manual_seed(seed)

    def drawn() -> Tensor:
        vectors = torch.randn(n, BLOCK, generator=made, dtype=like.dtype).to(like.device)
        return _orthonormal(space.outside(vectors))[0]

    block, blocks, products, check = drawn(), 1, 0, 2 * k
    while True:
        block, rest = space.take(block, product(block))
        products += BLOCK
        if space.size < min(check, most):
            continue
        values, Y = space.ritz()
        residuals = (rest @ Y[-BLOCK:, :k]).norm(dim=0)
        found = bool(residuals.max() <= _allowed(values[k - 1], like))
        enough = products > MOST_PRODUCTS * (k + BLOCK)
        if enough or (found and _copies(values[:k]) < BLOCK * blocks):
            return Eigen(values[:k], space.rotated(Y[:, :k]), residuals, products)
        if found or space.size + BLOCK > most:
            space.keep(values, Y, k + k // 4 + 1)
        if found:
            block, blocks = drawn(), blocks + 1
        check = space.size + max(k // 2, (ANEW if found else 1) * BLOCK)


class _Basis:
    """Orthonormal vectors, and the matrix's projection on them."""

    def __init__(self, like: Tensor, most: int) -> None:
        self.held = like.new_empty(len(like), most + BLOCK)
        self.projected = torch.zeros(most + BLOCK, most + BLOCK, dtype=torch.float64)
        self.size = 0

    @property
    def vectors(self) -> Tensor:
        return self.held[:, : self.size]

    def outside(self, V: Tensor) -> Tensor:
        """What of V lies outside the basis."""
        return V - self.vectors @ (self.vectors.T @ V)

    def take(self, block: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Add a block and its product: the next block, and what of the product it is, R."""
        new = slice(self.size, self.size + BLOCK)
        self.held[:, new] = block
        self.size += BLOCK
        inside = self.vectors.T @ image
        self.projected[: self.size, new] = inside.to(self.projected)
        self.projected[new, : self.size] = inside.T.to(self.projected)
        following, first = _orthonormal(image - self.vectors @ inside)
        following, second = _orthonormal(self.outside(following))
        return following, second @ first

    def ritz(self) -> tuple[Tensor, Tensor]:
        """Values and vectors of the projection, largest first."""
        values, Y = torch.linalg.eigh(self.projected[: self.size, : self.size])
        return values.flip(0), Y.flip(1)

    def rotated(self, Y: Tensor) -> Tensor:
        return self.vectors @ Y.to(self.held)

    def keep(self, values: Tensor, Y: Tensor, most: int) -> None:
        """The best vectors alone."""
        kept = min(most, self.size)
        self.held[:, :kept] = self.rotated(Y[:, :kept])
        self.projected.zero_().diagonal()[:kept] = values[:kept]
        self.size = kept


def _exact(product: Callable[[Tensor], Tensor], like: Tensor, k: int) -> Eigen:
    """Of the matrix itself."""
    n = len(like)
    A = product(torch.eye(n, dtype=like.dtype, device=like.device))
    values, vectors = torch.linalg.eigh((A + A.T) / 2)
    values, vectors = values.flip(0)[:k], vectors.flip(1)[:, :k]
    return Eigen(values.double(), vectors, (A @ vectors - vectors * values).norm(dim=0), n)


def _orthonormal(V: Tensor) -> tuple[Tensor, Tensor]:
    """Q and R [m, m] float64 of V [n, m] = Q R: by Cholesky, which is faster, where V allows it."""
    wide = V.double()
    L, failed = torch.linalg.cholesky_ex(wide.T @ wide)
    scale = L.diagonal()
    if bool(failed) or bool(scale.min() <= 1e-5 * scale.max()):
        Q, R = torch.linalg.qr(V)
        return Q, R.to("cpu", torch.float64)
    Q = torch.linalg.solve_triangular(L, wide.T, upper=False).T
    return Q.to(V.dtype).contiguous(), L.T.cpu()


def _allowed(value: Tensor, like: Tensor) -> float:
    return max(TOLERANCE * float(value), ROUNDINGS * torch.finfo(like.dtype).eps)


def _copies(values: Tensor) -> int:
    """How many eigenvalues are equal but for rounding, at most."""
    near = (values[:, None] - values).abs() <= EQUAL * values.abs().max()
    return int(near.sum(dim=1).max())
