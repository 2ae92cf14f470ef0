"""Spectral embedding of contexts by the similarity of their vectors, as scikit-learn defines it.

The operator is D^-½ (S − diag S) D^-½ with D the row sums of S without its diagonal, as self-loops
are dropped (`affinity.py`). Its leading eigenvectors (`eigenvectors.py`) are scaled by D^-½ (Ng et
al. 2002; sklearn.manifold.spectral_embedding, but without its shift-invert); the first k are the
embedding for k. Where groups are disconnected, the leading eigenvalue repeats: the eigenvectors
are then any basis of that space, and k-means sees the same groups in each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor

from dagster_project.interp.affinity import (
    Affinity,
    SpectralError,
    Vectors,
    gram,
    refuse_dense,
)
from dagster_project.interp.eigenvectors import leading

ISOLATED = 1e-9
"""A context of smaller degree is similar to no other; its row is zero."""
ROUNDING = 1e-9
"""Norm, relative to the largest, below which a reduced row is zero but for rounding."""


class Embedding(NamedTuple):
    """Leading eigenvectors of the operator."""

    points: NDArray[np.floating]  # [context, dimension], rows scaled by D^-½
    residuals: NDArray[np.floating]  # [dimension] ‖A v − λ v‖ / |λ| of each before that


def embedding(affinity: Affinity, dimensions: int, seed: int) -> Embedding:
    """The embedding in so many dimensions, largest eigenvalue first.

    The largest entry of each column is positive. Raises SpectralError where there are not more
    contexts than dimensions.
    """
    degree = affinity.degree
    if dimensions >= len(degree):
        raise SpectralError(
            f"expected more than {dimensions} contexts to embed, found {len(degree)}"
        )
    scale = torch.where(degree > ISOLATED, degree, 1.0).rsqrt()[:, None]

    def normalised(V: Tensor) -> Tensor:
        return scale * affinity.product(scale * V)

    eigen = leading(normalised, degree, dimensions, seed)
    sizes = eigen.values.abs().clamp(min=ISOLATED)
    found = eigen.vectors * scale
    found = torch.where(degree[:, None] > ISOLATED, found, 0.0)  # but for rounding
    peaks = found.gather(0, found.abs().argmax(dim=0, keepdim=True))
    points = torch.where(peaks < 0, -found, found)
    return Embedding(points.cpu().numpy(), (eigen.residuals.to(sizes) / sizes).cpu().numpy())


def reduce(X: Vectors, cut: float) -> NDArray[np.float64]:
    """X in its first r singular directions, U_r Σ_r, with the smallest r of Σσ²/‖X‖² ≥ cut.

    A row of which these directions hold nothing becomes zero. From the Gram matrix XXᵀ, dense
    [context, context]; time grows with its cube. Raises SpectralError above DENSE_BYTES.
    """
    refuse_dense(X.shape[0], "svd_cut")
    squares, U = linalg.eigh(gram(X))
    squares, U = np.maximum(squares[::-1], 0.0), U[:, ::-1]
    share = np.cumsum(squares) / squares.sum()
    r = 1 + int(np.searchsorted(share, min(cut, share[-1])))
    reduced = U[:, :r] * np.sqrt(squares[:r])
    norms = np.linalg.norm(reduced, axis=1)
    reduced[norms <= ROUNDING * norms.max()] = 0.0
    return reduced
