"""Neighbours by hand, and against all pairs at once."""

from __future__ import annotations

import itertools
import math

import numpy as np
import polars as pl
import pytest
import torch

from dagster_project.interp import feature_neighbours as module
from dagster_project.interp.dictionary import IdentityDictionary, SparseDictionary
from dagster_project.interp.feature_neighbours import NEIGHBOUR, by_cosine, by_tokens


def dictionary(rows: list[list[float]]) -> SparseDictionary:
    decoder = torch.tensor(rows)
    n, d = decoder.shape
    return SparseDictionary(decoder, torch.zeros(n), decoder, torch.zeros(d))


def test_cosines_by_hand() -> None:
    """(1, 0), (2, 2), (0, 3), (−1, 0) and nothing: 45° apart, 90°, 180°."""
    found = by_cosine(dictionary([[1, 0], [2, 2], [0, 3], [-1, 0], [0, 0]]))
    assert found.schema == NEIGHBOUR
    rows = found.select("feature", "rank", "other", "value").rows()
    assert [row[:3] for row in rows] == [(0, 0, 1), (1, 0, 0), (1, 1, 2), (2, 0, 1)]
    assert all(math.isclose(row[3], math.sqrt(0.5), rel_tol=1e-6) for row in rows)
    assert set(found["kind"]) == {"cosine"}
    assert found["common_tokens"].is_null().all()


def test_neurons_point_where_no_other_does() -> None:
    assert by_cosine(IdentityDictionary(4)).is_empty()
    assert by_cosine(dictionary([[1.0, 2.0]])).is_empty()


def test_the_nearest_are_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the blocks; no more than NEIGHBOURS."""
    rows = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    units = rows.double().numpy() / np.linalg.norm(rows.double().numpy(), axis=1, keepdims=True)
    cosine = units @ units.T
    np.fill_diagonal(cosine, -1)
    monkeypatch.setattr(module, "BLOCK", 70)
    found = by_cosine(dictionary(rows.tolist()))
    for feature in range(30):
        order = [i for i in np.argsort(-cosine[feature]) if cosine[feature, i] > 0][:10]
        assert found.filter(feature=feature)["other"].to_list() == order


def test_common_tokens_by_hand() -> None:
    """0 on tokens 5 6 7, 1 on 5 6, 2 on 5 6 7 8, 3 on 8, 4 on 9: one common token is chance."""
    tokens = {0: [5, 6, 7], 1: [5, 6], 2: [5, 6, 7, 8], 3: [8], 4: [9]}
    pairs = np.array([(t, f) for f, where in tokens.items() for t in where])
    found = by_tokens(pairs[:, 0], pairs[:, 1], 6)
    assert found.schema == NEIGHBOUR
    rows = found.select("feature", "rank", "other", "value", "common_tokens").rows()
    expected = [
        (0, 0, 2, 3 / 4, 3),
        (0, 1, 1, 2 / 3, 2),
        (1, 0, 0, 2 / 3, 2),
        (1, 1, 2, 2 / 4, 2),
        (2, 0, 0, 3 / 4, 3),
        (2, 1, 1, 2 / 4, 2),
    ]
    assert rows == [(*row[:3], pytest.approx(row[3]), row[4]) for row in expected]
    assert set(found["kind"]) == {"coactive"}


@pytest.mark.parametrize("block", [1, 50, 1 << 20])
def test_jaccard_of_all_pairs(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    rng = np.random.default_rng(0)
    active = rng.random((60, 25)) < 0.15
    token, feature = active.nonzero()
    order = rng.permutation(len(token))
    found = by_tokens(token[order] * 1000, feature[order], 25)
    expected = []
    for a, b in itertools.permutations(range(25), 2):
        both = int((active[:, a] & active[:, b]).sum())
        if both >= 2:
            expected.append((a, -both / int((active[:, a] | active[:, b]).sum()), b, both))
    expected.sort()
    ranks = [sum(1 for e in expected[:i] if e[0] == row[0]) for i, row in enumerate(expected)]
    wanted = [(a, o, both) for (a, _, o, both), r in zip(expected, ranks, strict=True) if r < 10]
    assert found.select("feature", "other", "common_tokens").rows() == wanted


def test_no_active_feature_at_all() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert by_tokens(nothing, nothing, 4).equals(pl.DataFrame(schema=NEIGHBOUR))
