"""Spectral embedding of contexts by the similarity of their vectors, as scikit-learn defines it.

The affinity S is cosine for X ≥ 0, C = X̂X̂ᵀ, and (1 + C)/2 = X̃X̃ᵀ with X̃ = [X̂, 1]/√2 for X of
both signs: both are products, so that S v costs two passes over X and no [context, context] matrix
exists. scikit-learn drops self-loops: the operator is D^-½ (S − I) D^-½ with D = diag(S1) − I. Its
leading eigenvectors come from ARPACK's Lanczos iteration to TOLERANCE, from a seeded start, and
their rows are scaled by D^-½ (Ng et al. 2002; sklearn.manifold.spectral_embedding, but without
its shift-invert). `clipped` and `angular` are no products: they are dense, one float64
[context, context] matrix, refused above DENSE_BYTES.

Cost: about 2 (n_clusters + 20) passes over X, times the restarts. Where groups are disconnected,
the leading eigenvalue repeats: the eigenvectors are then any basis of that space, and k-means sees
the same groups in each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, eigsh

Floats: TypeAlias = NDArray[np.float64]
Similarity: TypeAlias = Literal["cosine", "clipped", "angular", "abs"]
Product: TypeAlias = Callable[[Floats], Floats]

TOLERANCE = 1e-9
"""Relative accuracy of the eigenvalues."""
DENSE_BYTES = 1 << 30
"""Largest [context, context] float64 matrix: 11,585 contexts."""
BLOCK = 1 << 24
"""Entries of a dense block of columns (128 MiB)."""
ISOLATED = 1e-9
"""A context of smaller degree is similar to no other; scikit-learn leaves its row unscaled."""
ROUNDING = 1e-9
"""Norm, relative to the largest, below which a reduced row is zero but for rounding."""


class SpectralError(ValueError):
    """Vectors that cannot be embedded; the text says what was found and expected."""


def unit_rows(X: sparse.csr_array) -> sparse.csr_array:
    """X̂: rows of norm 1; zero rows stay zero."""
    norms = np.sqrt(X.multiply(X).sum(axis=1))
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return sparse.csr_array(sparse.diags_array(scale) @ X)


def similarity_product(X: sparse.csr_array, similarity: Similarity) -> Product:
    """v -> S v for vectors X [context, column] without zero rows; the diagonal of S is 1."""
    X = unit_rows(abs(X) if similarity == "abs" else X)
    if similarity in ("clipped", "angular"):
        S = dense_similarity(X, similarity)
        return lambda v: S @ v
    if X.nnz and X.data.min() < 0:
        ones = sparse.csr_array(np.ones((X.shape[0], 1)))
        X = sparse.csr_array(sparse.hstack([X, ones]) / np.sqrt(2))
    transposed = sparse.csr_array(X.T)
    return lambda v: X @ (transposed @ v)


def dense_similarity(unit: sparse.csr_array, similarity: Similarity) -> Floats:
    """max(C, 0) or 1 − arccos(C)/π of unit rows [context, context]. Raises SpectralError."""
    refuse_dense(unit.shape[0], f'similarity "{similarity}"')
    C = np.clip(gram(unit), -1.0, 1.0)
    np.fill_diagonal(C, 1.0)
    return np.maximum(C, 0.0, out=C) if similarity == "clipped" else 1 - np.arccos(C) / np.pi


def gram(X: sparse.csr_array) -> Floats:
    """XXᵀ [context, context], dense: a few columns at a time, as dense products."""
    columns, total = sparse.csc_array(X), np.zeros((X.shape[0], X.shape[0]))
    width = max(1, BLOCK // X.shape[0])
    for start in range(0, X.shape[1], width):
        block = columns[:, start : start + width].toarray()
        total += block @ block.T
    return total


def refuse_dense(n: int, what: str) -> None:
    """Raises SpectralError where an [n, n] float64 matrix exceeds DENSE_BYTES."""
    limit = int(np.sqrt(DENSE_BYTES / 8))
    if n > limit:
        raise SpectralError(
            f"{what} needs a dense matrix: expected at most {limit} contexts, found {n}; "
            "set max_contexts"
        )


def embedding(product: Product, n: int, dimensions: int, seed: int) -> Floats:
    """Leading eigenvectors [n, dimensions] of D^-½ (S − I) D^-½, rows scaled by D^-½.

    product: v -> S v. Largest eigenvalue first; the largest entry of each column is positive.
    Raises SpectralError where there are not more contexts than dimensions.
    """
    if dimensions >= n:
        raise SpectralError(f"expected more than {dimensions} contexts to embed, found {n}")
    degree = product(np.ones(n)) - 1
    scale = 1 / np.sqrt(np.where(degree > ISOLATED, degree, 1.0))

    def normalised(v: Floats) -> Floats:
        v = scale * v.ravel()
        return scale * (product(v) - v)

    operator = LinearOperator((n, n), matvec=normalised, dtype=np.float64)
    start = np.random.default_rng(seed).uniform(-1, 1, n)
    values, vectors = eigsh(operator, dimensions, which="LA", v0=start, tol=TOLERANCE)
    found = vectors[:, np.argsort(-values, kind="stable")] * scale[:, None]
    peak = found[np.abs(found).argmax(axis=0), np.arange(dimensions)]
    return found * np.where(peak < 0, -1.0, 1.0)


def reduce(X: sparse.csr_array, cut: float) -> sparse.csr_array:
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
    return sparse.csr_array(reduced)
