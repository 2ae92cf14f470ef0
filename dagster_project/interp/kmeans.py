"""Groups of the rows of an embedding: k-means, or a pivoted QR of them.

k-means: STARTS seedings by greedy k-means++ (Arthur & Vassilvitskii 2007), on at most SEEDED rows,
whose distances to one another are made once, so that a seeding costs nearly nothing; each takes a
few of Lloyd's steps on at most SAMPLE rows, and the BEST of them, all where steps are CHEAP, go on
with all rows until nothing changes. Beyond WHOLE rows the last part is mini-batches. A centre
without rows takes the row farthest from its own. `qr_groups` needs no start (Damle,
Minden & Ying 2019): the rows that a column-pivoted QR picks tell the rotation in which each column
is a group.

Distances are products in the precision of the points; sums have one order, so that the same seed
gives the same groups. Cost: a step is 2 n k d FLOPs; (STARTS + some tens) steps on a sample, and
some tens on all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.cluster import MiniBatchKMeans
from sklearn.cluster._spectral import cluster_qr
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

Points: TypeAlias = NDArray[np.floating]  # [row, dimension]
Groups: TypeAlias = NDArray[np.int32]

STARTS, TRIED, BEST, STEPS = 10, 5, 2, 100
"""Seedings, Lloyd's steps of each, those that go on, and steps at most."""
CHEAP = 1 << 24
"""Multiplications of a step on all rows up to which every start goes on."""
SEEDED, SAMPLE, WHOLE = 8192, 20_000, 200_000
"""Rows of a seeding, of the first steps, and beyond which steps are mini-batches."""
AT_ONCE = 8192
"""Rows whose distances to all centres are held at a time."""
STILL = 1e-6
"""Relative decrease of the inertia at which Lloyd's steps end."""


class _Assigned(NamedTuple):
    group: Groups
    distance: Points  # [row] squared, to the centre


def groups_of(points: Points, k: int, seed: int) -> Groups:
    """k-means of points [row, dimension] -> group of each."""
    rng = np.random.default_rng(seed)
    few = _some(points, SAMPLE, rng)
    seeds = _some(few, SEEDED, rng)
    squared = _distances(seeds, seeds)
    starts = [_steps(few, seeds[_seeding(squared, k, rng)], TRIED) for _ in range(STARTS)]
    starts.sort(key=lambda start: start[1])
    best = STARTS if len(points) * k * points.shape[1] <= CHEAP else BEST
    go_on = _mini_batches(seed) if len(points) > WHOLE else _to_the_end
    ends = [go_on(points, centres) for centres, _ in starts[:best]]
    return min(ends, key=lambda end: end.distance.sum()).group


def qr_groups(points: Points, k: int) -> Groups:
    """The groups that k columns of an embedding are rotated to."""
    return cluster_qr(points[:, :k]).astype(np.int32)


def _some(points: Points, most: int, rng: np.random.Generator) -> Points:
    if len(points) <= most:
        return points
    return points[np.sort(rng.choice(len(points), most, replace=False))]


def _distances(rows: Points, centres: Points) -> Points:
    """Squared distances [row, centre]."""
    found = rows @ centres.T
    found *= -2
    found += (rows * rows).sum(axis=1)[:, None]
    found += (centres * centres).sum(axis=1)
    return np.maximum(found, 0, out=found)


def _seeding(squared: Points, k: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows that become centres, each the best of 2 + ln k drawn by squared distance [row, row]."""
    tries = 2 + int(np.log(k))
    chosen = [int(rng.integers(len(squared)))]
    nearest = squared[chosen[0]].astype(np.float64)
    for _ in range(k - 1):
        ends = np.cumsum(nearest)
        drawn = np.searchsorted(ends, rng.random(tries) * ends[-1], side="right")
        drawn = np.minimum(drawn, len(squared) - 1)
        after = np.minimum(squared[drawn], nearest)
        best = int(after.sum(axis=1).argmin())
        chosen.append(int(drawn[best]))
        nearest = after[best]
    return np.asarray(chosen)


def _assigned(points: Points, centres: Points) -> _Assigned:
    """The nearest centre of each row; a row's own norm plays no part in the choice."""
    group = np.empty(len(points), np.int32)
    distance = np.empty(len(points), np.float64)
    doubled, squares = -2 * centres.T, (centres * centres).sum(axis=1)
    for start in range(0, len(points), AT_ONCE):
        rows = points[start : start + AT_ONCE]
        found = rows @ doubled
        found += squares
        nearest = found.argmin(axis=1)
        least = found[np.arange(len(rows)), nearest] + (rows * rows).sum(axis=1)
        group[start : start + AT_ONCE] = nearest
        distance[start : start + AT_ONCE] = np.maximum(least, 0)
    return _Assigned(group, distance)


def _means(points: Points, assigned: _Assigned, k: int) -> Points:
    """Centres [group, dimension]; those without rows go to the rows farthest from their own."""
    n = len(points)
    member = sparse.csr_array((np.ones(n, points.dtype), (assigned.group, np.arange(n))), (k, n))
    sizes = np.bincount(assigned.group, minlength=k)
    centres = (member @ points) / np.maximum(sizes, 1)[:, None].astype(points.dtype)
    empty = np.flatnonzero(sizes == 0)
    farthest = np.argsort(-assigned.distance, kind="stable")[: len(empty)]
    centres[empty[: len(farthest)]] = points[farthest]
    return centres


def _steps(points: Points, centres: Points, most: int) -> tuple[Points, float]:
    """Centres after some of Lloyd's steps, and the inertia before the last."""
    inertia = np.inf
    for _ in range(most):
        assigned = _assigned(points, centres)
        before, inertia = inertia, float(assigned.distance.sum())
        if not inertia < before * (1 - STILL):
            break
        centres = _means(points, assigned, len(centres))
    return centres, inertia


def _to_the_end(points: Points, centres: Points) -> _Assigned:
    return _assigned(points, _steps(points, centres, STEPS)[0])


def _mini_batches(seed: int) -> Callable[[Points, Points], _Assigned]:
    @threadpool_limits.wrap(limits=1, user_api="openmp")
    def go_on(points: Points, centres: Points) -> _Assigned:
        fit = MiniBatchKMeans(
            len(centres), init=centres, n_init=1, batch_size=SAMPLE, random_state=seed
        ).fit(points)
        return _assigned(points, fit.cluster_centers_)

    return go_on
