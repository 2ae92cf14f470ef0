"""Encoding in part: equal to the whole encoding, and selection with ties and threads."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.interp import encoding
from dagster_project.interp.dictionary import Dictionary, IdentityDictionary, SparseDictionary
from dagster_project.interp.encoding import (
    active_features,
    encode,
    encode_some,
    kth_largest,
    top_k,
)
from tests.interp.spliced import random_dictionary

KINDS = ("relu", "topk", "jumprelu")
D_MODEL, N_FEATURES = 16, 24


def dictionary_of(kind: str) -> Dictionary:
    if kind == "identity":
        return IdentityDictionary(D_MODEL, dtype=torch.float64)
    return random_dictionary(kind, D_MODEL, N_FEATURES, seed=1)


def tokens(n: int) -> torch.Tensor:
    return torch.randn(n, D_MODEL, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("kind", [*KINDS, "identity"])
def test_all_features_are_those_of_the_dictionary(kind: str) -> None:
    dictionary, x = dictionary_of(kind), tokens(50)
    assert torch.equal(encode(dictionary, x), dictionary.encode(x))


@pytest.mark.parametrize("kind", [*KINDS, "identity"])
@pytest.mark.parametrize("n", [0, 1, 50])
def test_active_features_are_those_that_are_not_zero(kind: str, n: int) -> None:
    dictionary, x = dictionary_of(kind), tokens(50)[:n]
    found, f = active_features(dictionary, x), dictionary.encode(x)
    torch.testing.assert_close(found.dense(), f, rtol=1e-12, atol=1e-12)
    assert torch.equal(torch.stack([found.token, found.feature], -1), f.nonzero())


def test_a_feature_is_on_as_soon_as_its_sum_is_above_zero() -> None:
    """Products one step of float32 above, at and below −b: their sums with b are as small."""
    b = torch.full((3,), 0.1)
    at = torch.tensor(-0.1)
    steps = torch.stack([at.nextafter(torch.tensor(1.0)), at, at.nextafter(torch.tensor(-1.0))])
    dictionary = SparseDictionary(torch.eye(3), b, torch.eye(3), torch.zeros(3))
    found = active_features(dictionary, steps[None])
    assert found.feature.tolist() == [0]
    assert found.value.item() == float(steps[0] + b[0]) > 0


@pytest.mark.parametrize("kind", [*KINDS, "identity"])
@pytest.mark.parametrize("features", [[], [3], [0, 2, 7, 15]])
@pytest.mark.parametrize("decoded", [True, False])
def test_some_features_and_the_reconstruction(
    kind: str, features: list[int], decoded: bool
) -> None:
    dictionary, x = dictionary_of(kind), tokens(50)
    columns = torch.tensor(features, dtype=torch.int64)
    found = encode_some(dictionary, x, columns, decoded=decoded)
    f = dictionary.encode(x)
    torch.testing.assert_close(found.features, f[:, columns], rtol=1e-12, atol=1e-12)
    if found.decoded is not None:
        torch.testing.assert_close(found.decoded, dictionary.decode(f), rtol=1e-12, atol=1e-12)
    assert (found.decoded is not None) == decoded


def test_threads_select_as_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    x = tokens(50)
    one = kth_largest(x, 5), top_k(x, 5)
    monkeypatch.setattr(encoding, "SPLIT_FROM", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(kth_largest(x, 5), one[0])
    assert torch.equal(top_k(x, 5), one[1])
    assert torch.equal(top_k(x[:2], 5), one[1][:2])  # fewer rows than threads


@given(
    rows=st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(st.integers(-3, 3), min_size=n, max_size=n), min_size=1)
    ),
    k=st.integers(1, 4),
)
def test_selection_of_numbers_that_are_often_equal(rows: list[list[int]], k: int) -> None:
    x = torch.tensor(rows, dtype=torch.float32)
    k = min(k, x.shape[1])
    expected = [sorted(row, reverse=True)[:k] for row in rows]
    assert kth_largest(x, k)[:, 0].tolist() == [row[-1] for row in expected]
    chosen = top_k(x, k)
    assert all(len(set(columns)) == k for columns in chosen.tolist())
    assert x.gather(-1, chosen).sort(-1, descending=True).values.tolist() == expected
