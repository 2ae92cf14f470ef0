"""What features do on a stream: the same in whatever portions it comes, and as counted by hand."""

from __future__ import annotations

import itertools
import math

import polars as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.interp.feature_largest import shuffled_rank
from dagster_project.interp.feature_tally import BINS, INTERVALS, Active, Tally

N_FEATURES, TOP, PER_INTERVAL = 3, 3, 2
Pair = tuple[int, int, float]  # token, feature, activation

pairs = st.lists(
    st.tuples(
        st.integers(0, 39),
        st.integers(0, N_FEATURES - 1),
        st.one_of(
            st.sampled_from([0.25, 0.5, 1.0, 7.999, 8.0, 2.0**-110, 3e38]),
            st.floats(2.0**-126, 128.0, width=32),
        ),
    ),
    unique_by=lambda pair: pair[:2],
    max_size=80,
)
cuts = st.lists(st.integers(0, 80), max_size=5)
contexts = st.lists(st.integers(-2, 2), min_size=40, max_size=40)


def active(found: list[Pair]) -> Active:
    token, feature, activation = zip(*found, strict=True) if found else ((), (), ())
    return Active(
        torch.tensor(token, dtype=torch.int64),
        torch.tensor(feature, dtype=torch.int64),
        torch.tensor(activation, dtype=torch.float32),
    )


def tallied(found: list[Pair], context: list[int], cut: list[int]) -> Tally:
    """The pairs in portions."""
    tally = Tally(N_FEATURES, TOP, PER_INTERVAL, torch.tensor(context))
    edges = sorted({0, len(found), *(c for c in cut if c < len(found))})
    for start, end in itertools.pairwise(edges):
        tally.add(active(found[start:end]))
    return tally


def distinct(found: list[Pair], context: list[int], n: int) -> list[Pair]:
    """The first n of different contexts."""
    kept: dict[int, Pair] = {}
    for pair in found:
        kept.setdefault(context[pair[0]], pair)
    return list(kept.values())[:n]


def expected_examples(
    found: list[Pair], feature: int, context: list[int]
) -> list[tuple[float, int, int, bool]]:
    """(activation, token, interval, sampled) of a feature, from all its pairs at once."""
    mine = [p for p in found if p[1] == feature]
    if not mine:
        return []
    mine.sort(key=lambda p: (-p[2], p[0]))
    cap = 2.0 ** max(-100, math.frexp(mine[0][2])[1])
    intervals: dict[int, list[Pair]] = {}
    for pair in mine:
        intervals.setdefault(int(pair[2] / (cap / INTERVALS)), []).append(pair)
    drawn = []
    for group in intervals.values():
        ranks = {p: rank(context[p[0]], feature) for p in group}
        group.sort(key=lambda p: (-ranks[p], p[0]))
        drawn += distinct(group, context, PER_INTERVAL)
    shown = {*distinct(mine, context, TOP), *drawn}
    kept = distinct(sorted(shown, key=lambda p: (-p[2], p[0])), context, len(shown))
    return [(p[2], p[0], max(intervals) - int(p[2] / (cap / INTERVALS)), p in drawn) for p in kept]


def rank(context: int, feature: int) -> int:
    return int(shuffled_rank(torch.tensor([context]), torch.tensor([feature])))


def rounded(found: list[Pair]) -> list[Pair]:
    """As float32 holds them."""
    exact = [(t, f, float(torch.tensor(a, dtype=torch.float32))) for t, f, a in found]
    return [pair for pair in exact if pair[2] > 0]


@settings(max_examples=150, deadline=None)
@given(pairs, contexts, cuts)
def test_a_stream_gives_what_all_of_it_would(
    found: list[Pair], context: list[int], cut: list[int]
) -> None:
    found = rounded(found)
    tally = tallied(found, context, cut)
    examples = tally.examples()
    for feature, row in enumerate(tally.features(n_tokens=40).to_dicts()):
        values = [a for _, f, a in found if f == feature]
        assert row["active_tokens"] == len(values)
        assert row["dead"] == (not values)
        assert row["histogram"] == histogram(values)
        assert math.isclose(row["density"], len(values) / 40, rel_tol=1e-6)
        assert row["max_activation"] == max(values, default=0.0)
        if values:
            assert math.isclose(row["mean_activation"], sum(values) / len(values), rel_tol=1e-6)
        else:
            assert row["mean_activation"] is None
            assert row["bin_width"] is None
        columns = ("activation", "token", "interval", "sampled")
        shown = examples.filter(feature=feature)
        assert shown["rank"].to_list() == list(range(len(shown)))
        assert shown.select(columns).rows() == expected_examples(found, feature, context)


def histogram(values: list[float]) -> list[int]:
    if not values:
        return []
    width = 2.0 ** max(-100, math.frexp(max(values))[1]) / BINS
    bins = [int(value / width) for value in values]
    return [bins.count(i) for i in range(max(bins) + 1)]


def test_caps_that_grow_by_hand() -> None:
    """Below 1 first: bins of 1/32; then 3, below 4: bins of 1/8, intervals of 1/2."""
    tally = Tally(1, top=1, per_interval=1, context=torch.tensor([10, 11, 12]))
    tally.add(active([(0, 0, 0.5), (1, 0, 0.53)]))
    (row,) = tally.features(3).to_dicts()
    assert (row["bin_width"], row["histogram"]) == (1 / 32, [0] * 16 + [2])
    tally.add(active([(2, 0, 3.0)]))
    (row,) = tally.features(3).to_dicts()
    assert row["bin_width"] == 1 / 8
    assert row["histogram"] == [0] * 4 + [2] + [0] * 19 + [1]
    strongest, drawn = tally.examples().to_dicts()
    assert strongest["token"] == 2
    assert (strongest["interval"], strongest["interval_low"], strongest["interval_high"]) == (
        0,
        3.0,
        3.5,
    )
    assert drawn["token"] in (0, 1)
    assert (drawn["interval"], drawn["interval_low"], drawn["interval_high"]) == (5, 0.5, 1.0)
    assert drawn["sampled"]


def test_a_feature_that_fires_late_has_no_larger_cap() -> None:
    tally = Tally(2, top=1, per_interval=1, context=torch.tensor([10, 11]))
    tally.add(active([(0, 0, 0.25)]))
    tally.add(active([(1, 1, 0.25)]))
    assert tally.features(2)["bin_width"].to_list() == [0.5 / BINS] * 2


def test_a_full_range_of_exponents_is_exact() -> None:
    """Bounds of bins are powers of two: what lies on one belongs above it."""
    for exponent in range(-90, 127):
        edge = 2.0**exponent
        tally = Tally(1, 1, 1, torch.tensor([1, 2]))
        tally.add(active([(0, 0, edge), (1, 0, math.nextafter(edge, 0) * (1 - 2**-20))]))
        (row,) = tally.features(2).to_dicts()
        assert row["histogram"] == [0] * 15 + [1, 1], exponent


def test_the_sample_is_a_fair_draw() -> None:
    """One of 8 equal tokens: each is drawn as often as the others, by features of their own."""
    n_features = 4000
    tally = Tally(n_features, 1, 1, torch.randint(-(2**63), 2**63 - 1, (8,)))
    token, feature = torch.arange(8).repeat(n_features), torch.arange(n_features)
    tally.add(Active(token, feature.repeat_interleave(8), torch.full((len(token),), 0.5)))
    drawn = tally.examples().filter("sampled")["token"].value_counts()
    assert len(drawn) == 8
    assert drawn["count"].is_between(400, 600).all()  # 500 ± 4.8 standard deviations


def test_empty_portions_change_nothing() -> None:
    tally = tallied([], [0] * 40, [])
    tally.add(active([]))
    assert tally.examples().is_empty()
    assert tally.features(1).select(pl.col("dead").all()).item()
