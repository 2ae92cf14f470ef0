"""Similarity of contexts as a product with many vectors at once, without a [context, context]
matrix.

The similarity S is cosine for X ≥ 0, C = X̂X̂ᵀ, and (1 + C)/2 for X of both signs. Self-loops are
left out, as scikit-learn does: the product is with S less its diagonal. Columns with one entry
add to the diagonal alone, so they are dropped. Of the others, in order of frequency, those that
more than DENSE of the contexts have are a dense block; the rest are sparse, TILE columns at a
time with WIDE vectors, so that what a tile gathers from stays in the cache: on a CPU four times
the rate of one sparse product. Single precision above EXACT contexts; degrees are always summed in
double. `clipped` and `angular` are no products: they are dense float64, refused above DENSE_BYTES.

Cost: 16 bytes a sparse entry, and 8 more while tiles are made; 4 bytes an entry of the dense block,
at most HEAVY_BYTES. 4 FLOPs an entry and vector.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.integer]
Vectors: TypeAlias = "sparse.csr_array | NDArray[np.floating]"  # [context, column]
Similarity: TypeAlias = Literal["cosine", "clipped", "angular", "abs"]

EXACT = 4096
"""Contexts up to which products are in double precision."""
DENSE = 1 / 16
"""Share of the contexts above which a column is dense: a dense product is 16 times as fast."""
HEAVY_BYTES = 1 << 30
"""Largest dense block of columns."""
TILE, WIDE = 16_384, 32
"""Sparse columns, and vectors, of one product on a CPU."""
ROWS = 8192
"""Rows that are widened to double precision, or to dense ones, at a time."""
DENSE_BYTES = 1 << 30
"""Largest [context, context] float64 matrix: 11,585 contexts."""
BLOCK = 1 << 24
"""Entries of a dense block of columns (128 MiB)."""


class SpectralError(ValueError):
    """Vectors that cannot be embedded; the text says what was found and expected."""


class Affinity(NamedTuple):
    """Similarity of contexts, each to the others."""

    product: Callable[[Tensor], Tensor]  # V [context, vector] -> (S − diag S) V
    degree: Tensor  # [context] row sums of S − diag S; its type and device are the product's


def unit_rows(X: Vectors) -> Vectors:
    """X̂: rows of norm 1; zero rows stay zero."""
    if isinstance(X, np.ndarray):
        norms = np.linalg.norm(X, axis=1, keepdims=True)
        return np.divide(X, norms, out=np.zeros_like(X), where=norms > 0)
    norms = np.sqrt(X.multiply(X).sum(axis=1, dtype=np.float64))
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    data = X.data * np.repeat(scale.astype(X.dtype), np.diff(X.indptr))
    return sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)


def affinity(X: Vectors, similarity: Similarity, device: torch.device | str = "cpu") -> Affinity:
    """Similarity of vectors X [context, column] without zero rows. Raises SpectralError."""
    if similarity in ("clipped", "angular"):
        return _whole(dense_similarity(unit_rows(X), similarity), device)
    shared = shared_columns(unit_rows(abs(X) if similarity == "abs" else X))
    shift = 1.0 if similarity != "abs" and _least(X) < 0 else 0.0  # S = (shift + C) / (shift + 1)
    inner, degree = _without_diagonal(shared, device), _row_sums(shared)

    def product(V: Tensor) -> Tensor:
        return (inner(V) + shift * (V.sum(dim=0) - V)) / (shift + 1)

    degree = (degree + shift * (len(degree) - 1)) / (shift + 1)
    return Affinity(product, torch.as_tensor(degree, dtype=precision(X), device=device))


def precision(X: Vectors) -> torch.dtype:
    """Of products with as many vectors as X has rows."""
    return torch.float64 if X.shape[0] <= EXACT else torch.float32


def cosines(unit: Vectors, device: torch.device | str = "cpu") -> Callable[[Tensor], Tensor]:
    """V [context, vector] -> (X̂X̂ᵀ − diag) V of unit rows X̂ [context, column]."""
    return _without_diagonal(shared_columns(unit), device)


def _without_diagonal(X: Vectors, device: torch.device | str) -> Callable[[Tensor], Tensor]:
    dtype = precision(X)
    inner = _products(X, dtype, torch.device(device))
    squares = np.concatenate([_row_squares(part) for part in _doubles(X)])
    diagonal = torch.as_tensor(squares, dtype=dtype, device=device)[:, None]
    return lambda V: inner(V) - diagonal * V


def shared_columns(X: Vectors) -> Vectors:
    """The columns of X [context, column] with two entries or more, the most frequent first; all
    columns of a dense X."""
    if isinstance(X, np.ndarray):
        return X
    counts = np.bincount(X.indices, minlength=X.shape[1])
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts > 1)]
    return _columns(X, order)


def _columns(X: sparse.csr_array, wanted: Ints) -> sparse.csr_array:
    """Columns of X in the order wanted."""
    place = np.full(X.shape[1], -1, np.int32)
    place[wanted] = np.arange(len(wanted), dtype=np.int32)
    column = place[X.indices]
    kept = column >= 0
    ends = np.concatenate([[0], np.cumsum(kept)])[X.indptr]
    return sparse.csr_array((X.data[kept], column[kept], ends), shape=(X.shape[0], len(wanted)))


def _least(X: Vectors) -> float:
    values: NDArray[np.floating] = X if isinstance(X, np.ndarray) else X.data
    return float(values.min(initial=0.0))


def _doubles(X: Vectors) -> Iterator[Vectors]:
    """Rows of X in double precision, some at a time."""
    for start in range(0, X.shape[0], ROWS):
        yield X[start : start + ROWS].astype(np.float64)


def _row_squares(X: Vectors) -> Floats:
    squares: Floats = (X * X).sum(axis=1)
    return squares


def _row_sums(X: Vectors) -> Floats:
    """Row sums of XXᵀ without its diagonal."""
    total = sum(part.sum(axis=0) for part in _doubles(X))
    return np.concatenate([part @ total - _row_squares(part) for part in _doubles(X)])


def _products(X: Vectors, dtype: torch.dtype, device: torch.device) -> Callable[[Tensor], Tensor]:
    """V -> XXᵀV; columns of a sparse X come by frequency."""
    heavy, tail = (X, None) if isinstance(X, np.ndarray) else _split(X)
    dense = torch.as_tensor(heavy, dtype=dtype, device=device)
    if tail is None:
        return lambda V: dense @ (dense.T @ V)
    on_cpu = device.type == "cpu"
    tiles = list(_tiles(tail, TILE if on_cpu else tail.shape[1], dtype, device))

    def product(V: Tensor) -> Tensor:
        found = dense @ (dense.T @ V)
        wide = WIDE if on_cpu else V.shape[1]
        for start in range(0, V.shape[1], wide):
            part = V[:, start : start + wide].contiguous()
            summed = torch.zeros_like(part)
            for tile, transposed in tiles:
                summed.addmm_(tile, transposed @ part)
            found[:, start : start + wide] += summed
        return found

    return product


def _split(X: sparse.csr_array) -> tuple[NDArray[np.floating], sparse.csr_array | None]:
    """The frequent columns, dense, and the others; columns come by frequency."""
    n, width = X.shape
    frequent = np.bincount(X.indices, minlength=width) > DENSE * n
    h = min(int(np.count_nonzero(frequent)), HEAVY_BYTES // (X.dtype.itemsize * n))
    heavy = np.zeros((n, h), X.dtype)
    for start in range(0, n, ROWS):
        heavy[start : start + ROWS] = X[start : start + ROWS, :h].toarray()
    return heavy, _columns(X, np.arange(h, width)) if h < width else None


def _tiles(
    X: sparse.csr_array, width: int, dtype: torch.dtype, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Columns of X, `width` at a time, and their transpose."""
    columns = sparse.csr_array(X.T)
    for start in range(0, X.shape[1], width):
        transposed = columns[start : start + width]
        tile = sparse.csr_array(transposed.T)
        yield _tensor(tile, dtype, device), _tensor(transposed, dtype, device)


def _tensor(X: sparse.csr_array, dtype: torch.dtype, device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            torch.from_numpy(X.indptr.astype(np.int32)),
            torch.from_numpy(X.indices.astype(np.int32)),
            torch.from_numpy(X.data).to(dtype),
            size=X.shape,
            device=device,
            check_invariants=False,
        )


def _whole(S: Floats, device: torch.device | str) -> Affinity:
    """Of a dense S, whose diagonal becomes zero."""
    np.fill_diagonal(S, 0.0)
    matrix = torch.as_tensor(S, device=device)
    return Affinity(lambda V: matrix @ V, matrix.sum(dim=1))


def dense_similarity(unit: Vectors, similarity: Similarity) -> Floats:
    """max(C, 0) or 1 − arccos(C)/π of unit rows [context, context]. Raises SpectralError."""
    refuse_dense(unit.shape[0], f'similarity "{similarity}"')
    C = np.clip(gram(unit), -1.0, 1.0)
    np.fill_diagonal(C, 1.0)
    return np.maximum(C, 0.0, out=C) if similarity == "clipped" else 1 - np.arccos(C) / np.pi


def gram(X: Vectors) -> Floats:
    """XXᵀ [context, context], dense: a few columns at a time, as dense products."""
    columns, total = sparse.csc_array(X), np.zeros((X.shape[0], X.shape[0]))
    width = max(1, BLOCK // X.shape[0])
    for start in range(0, X.shape[1], width):
        block = columns[:, start : start + width].toarray().astype(np.float64)
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
