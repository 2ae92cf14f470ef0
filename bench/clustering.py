"""Clustering at scale, against scikit-learn on the dense affinity: `python -m bench.clustering`.

Planted groups in vectors like real ones: about 1,000 values of 600,000 columns, whose frequencies
fall with their rank, a third of them the group's own. Each size is clustered in a process of its
own, so that peak memory is its own; where scikit-learn's dense [context, context] matrix can be
stood, its SpectralClustering stands beside, in the same run. From the sizes follow the growth of
time and, on paper, what a million contexts take.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import sparse
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import cosine_similarity

from bench.machine import matrix_rate, memory, now
from dagster_project.interp.clustering import clusters_of, embedded
from dagster_project.studies.study import ClusteringSpec

COLUMNS, COMMON, OWN, ACTIVE_OWN = 600_000, 750, 400, 330
"""Columns; draws of a row from all of them; columns of a group, and draws of a row from those."""
STRONG = 2.0
"""Values of the group's own columns, in those of all columns."""
RANKS = 20
"""A column's frequency falls with its rank plus this."""
DENSE = 8192
"""Contexts up to which scikit-learn's figure is taken: 512 MiB a matrix, and it copies."""
PAPER = 1_000_000
"""Contexts of the figure on paper."""


class Figures(NamedTuple):
    """One clustering."""

    contexts: int
    clusters: int
    values: int  # entries of X
    embedding: float  # s
    grouping: float  # s
    busy: float  # s of processors, of both
    ari: float  # against the planted groups
    held: float  # GiB before, X included
    peak: float  # GiB
    dense: float | None  # s of scikit-learn
    dense_ari: float | None

    @property
    def seconds(self) -> float:
        return self.embedding + self.grouping


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.clustering", description=__doc__)
    parser.add_argument("--contexts", type=int, nargs="+", default=[8192, 32_768, 100_000])
    parser.add_argument("--clusters", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    console = Console(soft_wrap=True)
    rate = matrix_rate(torch.device("cpu"))
    load = os.getloadavg()[0]
    console.print(f"{torch.get_num_threads()} threads, {rate / 1e9:.0f} GFLOP/s, load {load:.1f}")
    found = []
    for k in options.clusters:
        for n in options.contexts:
            with get_context("spawn").Pool(1) as alone:
                found.append(alone.apply(measured, (n, k, options.device)))
            console.print(row_of(found[-1]))
    console.print(table(found))
    for k in options.clusters:
        console.print(on_paper([row for row in found if row.clusters == k]))


def measured(n: int, k: int, device: str) -> Figures:
    """A clustering of n contexts of k planted groups."""
    X, truth = planted(n, k)
    spec, at = ClusteringSpec(n_clusters=k), torch.device(device)
    held, busy, began = memory(), os.times(), now(at)
    points = embedded(X, spec, at).points
    middle = now(at)
    labels = clusters_of(points, spec).labels
    ended, after = now(at), os.times()
    peak = memory()
    dense, dense_ari = of_dense(X, k, truth) if n <= DENSE else (None, None)
    return Figures(
        n,
        k,
        X.nnz,
        middle - began,
        ended - middle,
        after.user + after.system - busy.user - busy.system,
        adjusted_rand_score(truth, labels),
        held,
        peak,
        dense,
        dense_ari,
    )


def of_dense(X: sparse.csr_array, k: int, truth: NDArray[np.integer]) -> tuple[float, float]:
    """Seconds and agreement of scikit-learn, its affinity given."""
    S = np.clip(cosine_similarity(X), 0, 1)
    began = now(torch.device("cpu"))
    fit = SpectralClustering(k, affinity="precomputed", random_state=0, n_init=10).fit(S)
    return now(torch.device("cpu")) - began, adjusted_rand_score(truth, fit.labels_)


def planted(n: int, groups: int, seed: int = 0) -> tuple[sparse.csr_array, NDArray[np.integer]]:
    """Vectors [context, column] float32, and the group of each."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(groups, size=n)
    until = np.cumsum(1 / (np.arange(COLUMNS) + RANKS))
    until /= until[-1]
    own = np.searchsorted(until, rng.random((groups, OWN)))
    name = rng.permutation(COLUMNS).astype(np.int32)
    parts = [
        _rows(labels[start : start + 4096], until, own, name, rng) for start in range(0, n, 4096)
    ]
    X = sparse.csr_array(sparse.vstack(parts, format="csr"))
    return sparse.csr_array((X.data, X.indices.astype(np.int32), X.indptr), X.shape), labels


def _rows(
    labels: NDArray[np.integer],
    until: NDArray[np.floating],
    own: NDArray[np.integer],
    name: NDArray[np.int32],
    rng: np.random.Generator,
) -> sparse.csr_array:
    n = len(labels)
    common = np.searchsorted(until, rng.random((n, COMMON)))
    picked = own[labels[:, None], rng.integers(OWN, size=(n, ACTIVE_OWN))]
    column = name[np.hstack([common, picked])]
    value = rng.lognormal(size=column.shape).astype(np.float32)
    value[:, COMMON:] *= STRONG
    row = np.repeat(np.arange(n, dtype=np.int32), column.shape[1])
    entries = sparse.coo_array((value.ravel(), (row, column.ravel())), shape=(n, COLUMNS))
    return sparse.csr_array(entries)  # what is drawn twice is added


def row_of(row: Figures) -> str:
    return (
        f"{row.contexts:,} contexts, {row.clusters} clusters: {row.seconds:.1f} s, ARI "
        f"{row.ari:.3f}, {row.peak:.2f} GiB; scikit-learn {_shown(row.dense)} s, ARI "
        f"{_shown(row.dense_ari)}"
    )


def table(rows: Sequence[Figures]) -> Table:
    """A row a clustering."""
    made = Table("contexts", "k", "embedding, s", "grouping, s", "busy, s", "GiB before", "at most")
    made.add_column("times faster than dense")
    for row in rows:
        cells = [row.embedding, row.grouping, row.busy, row.held, row.peak]
        faster = row.dense and row.dense / row.seconds
        made.add_row(f"{row.contexts:,}", f"{row.clusters}", *map(_shown, [*cells, faster]))
    return made


def on_paper(rows: Sequence[Figures]) -> str:
    """Growth of time with the contexts, and PAPER contexts by it; memory by the largest size."""
    clusters, last = rows[0].clusters, rows[-1]
    gib = (last.peak - last.held + 8 * last.values / 2**30) / last.contexts * PAPER
    if len(rows) < 2:
        return f"{clusters} clusters: one size alone tells no growth"
    contexts, seconds = (np.log([getattr(r, f) for r in rows]) for f in ("contexts", "seconds"))
    power, _ = np.polyfit(contexts, seconds, 1)
    expected = last.seconds * (PAPER / last.contexts) ** max(power, 1.0)
    return (
        f"{clusters} clusters: time grows with the contexts to the power {power:.2f}; "
        f"{PAPER:,} contexts on paper: {expected:,.0f} s, {gib:.0f} GiB with X"
    )


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3g}"


if __name__ == "__main__":
    main()
