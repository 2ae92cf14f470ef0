"""Products with active features against dense ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dagster_project.interp import sparse_features as subject
from dagster_project.interp.dictionary import Dictionary, IdentityDictionary, SparseDictionary
from dagster_project.interp.sparse_features import (
    SparseFeatures,
    along_rows,
    at_either,
    sparse_of,
    summed_rows,
)

N_FEATURES, D_MODEL = 40, 3


def sparse(n_tokens: int, share: float, seed: int) -> Tensor:
    """f [token, feature] with about that share of it not zero."""
    made = torch.Generator().manual_seed(seed)
    shape = n_tokens, N_FEATURES
    f = torch.randn(shape, generator=made, dtype=torch.float64)
    return f * (torch.rand(shape, generator=made) < share)


def test_the_places_and_numbers_of_two_tokens() -> None:
    f = torch.tensor([[0.0, 2.0, -1.0], [0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    found = sparse_of(f)
    assert found.token.tolist() == [0, 0, 2]
    assert found.feature.tolist() == [1, 2, 0]
    assert found.value.tolist() == [2.0, -1.0, 3.0]
    assert found.first.tolist() == [0, 2, 2, 3]
    assert torch.equal(found.dense(), f)
    assert found.where(found.value > 0).feature.tolist() == [1, 0]


def test_named_places_hold_zeros_too() -> None:
    f = torch.tensor([[0.0, 2.0]])
    assert sparse_of(f, torch.tensor([[True, True]])).value.tolist() == [0.0, 2.0]


@given(st.integers(0, 6), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 99))
def test_two_at_the_places_of_either(n_tokens: int, share: float, seed: int) -> None:
    a, b = sparse(n_tokens, share, seed), sparse(n_tokens, 0.1, seed + 1)
    found = at_either(sparse_of(a), sparse_of(b))
    for one, f in zip(found, (a, b), strict=True):
        assert torch.equal(one.dense(), f)
        places = torch.stack([one.token, one.feature], -1)
        assert torch.equal(places, a.logical_or(b).nonzero())


@given(st.integers(0, 6), st.sampled_from([0.0, 0.02, 0.05, 0.5, 1.0]), st.integers(0, 99))
def test_products_are_the_dense_ones(n_tokens: int, share: float, seed: int) -> None:
    f = sparse(n_tokens, share, seed)
    made = torch.Generator().manual_seed(seed + 1)
    rows = torch.randn(N_FEATURES, D_MODEL, generator=made, dtype=torch.float64)
    x = torch.randn(n_tokens, D_MODEL, generator=made, dtype=torch.float64)
    found = sparse_of(f)
    torch.testing.assert_close(summed_rows(found, rows), f @ rows)
    expected = (x @ rows.T)[found.token, found.feature]
    torch.testing.assert_close(along_rows(found, x, rows), expected)


def test_rows_are_gathered_in_portions_where_there_is_no_sampled_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subject, "GATHERED", 2 * D_MODEL)
    rows = torch.arange(N_FEATURES * D_MODEL).view(N_FEATURES, D_MODEL).bfloat16()
    x = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).bfloat16()
    token, feature = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 3, 5, 2])
    found = SparseFeatures(token, feature, torch.ones(4).bfloat16(), (2, N_FEATURES))
    assert found.is_sparse
    assert along_rows(found, x, rows).tolist() == [0.0, 9.0, 15.0, 8.0]


@pytest.mark.parametrize(
    "dictionary",
    [
        IdentityDictionary(N_FEATURES, dtype=torch.float64),
        SparseDictionary(
            torch.randn(N_FEATURES, D_MODEL).double(),
            torch.zeros(N_FEATURES).double(),
            torch.randn(N_FEATURES, D_MODEL).double(),
            torch.ones(D_MODEL).double(),
        ),
    ],
    ids=["identity", "sparse"],
)
@pytest.mark.parametrize("share", [0.05, 0.9])
def test_dictionaries_know_their_rows(dictionary: Dictionary, share: float) -> None:
    f, every = sparse(3, share, 1), torch.arange(N_FEATURES)
    x = torch.randn(3, dictionary.d_model).double()
    found = sparse_of(f)
    torch.testing.assert_close(dictionary.written(found), dictionary.decode(f) - dictionary.bias)
    along = (x @ dictionary.decoder_rows(every).T)[found.token, found.feature]
    torch.testing.assert_close(dictionary.along_decoder(found, x), along)
    torch.testing.assert_close(dictionary.pulled_back(found), f @ dictionary.encoder_rows(every))
