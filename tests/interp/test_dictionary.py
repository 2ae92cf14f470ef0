"""Dictionaries: two features by hand, and the derivative that attribution relies on."""

from __future__ import annotations

import pytest
import torch

from dagster_project.interp.dictionary import Activation, IdentityDictionary, SparseDictionary


def small(activation: Activation, k: int = 0) -> SparseDictionary:
    """Three features of two dimensions: x, y, and x + y − 1."""
    return SparseDictionary(
        W_enc=torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        b_enc=torch.tensor([0.0, 0.0, -1.0]),
        W_dec=torch.tensor([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]]),
        b_dec=torch.tensor([0.5, -0.5]),
        activation=activation,
        k=k,
        threshold=torch.tensor([2.5, 0.5, 0.5]) if activation == "jumprelu" else None,
    )


@pytest.mark.parametrize(
    ("dictionary", "expected"),
    [
        (small("relu"), [[2.0, 1.0, 2.0], [0.0, 3.0, 1.0], [0.0, 0.0, 0.0]]),
        (small("topk", 1), [[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]]),
        (small("topk", 2), [[2.0, 0.0, 2.0], [0.0, 3.0, 1.0], [0.0, 0.0, 0.0]]),
        (small("jumprelu"), [[0.0, 1.0, 2.0], [0.0, 3.0, 1.0], [0.0, 0.0, 0.0]]),
    ],
)
def test_encode_by_hand(dictionary: SparseDictionary, expected: list[list[float]]) -> None:
    x = torch.tensor([[2.0, 1.0], [-1.0, 3.0], [-1.0, -1.0]])  # the third: nothing above 0
    f = dictionary.encode(x)
    if dictionary.k == 1:  # features 0 and 2 tie at 2
        assert f.sum(-1).tolist() == [2.0, 3.0, 0.0]
        assert (f > 0).sum(-1).tolist() == [1, 1, 0]
    else:
        assert f.tolist() == expected


def test_decode_by_hand() -> None:
    decoded = small("relu").decode(torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]))
    assert decoded.tolist() == [[4.5, 1.5], [0.5, -0.5]]  # 2 + 2 + .5, 2 − .5; the bias


@pytest.mark.parametrize("activation", ["relu", "topk", "jumprelu"])
def test_encoder_rows_are_the_derivative_of_active_features(activation: Activation) -> None:
    dictionary, x = small(activation, 2), torch.tensor([2.0, 1.5])
    jacobian = torch.autograd.functional.jacobian(dictionary.encode, x)
    active = dictionary.encode(x).nonzero()[:, 0]
    assert torch.equal(jacobian[active], dictionary.encoder_rows(active))
    inactive = (dictionary.encode(x) == 0).nonzero()[:, 0]
    assert not jacobian[inactive].any()


def test_encode_leaves_its_input_alone() -> None:
    x = torch.tensor([[2.0, -1.0]])
    small("topk", 2).encode(x)
    assert x.tolist() == [[2.0, -1.0]]


def test_identity_has_neurons_as_features_and_no_error() -> None:
    identity, x = IdentityDictionary(3), torch.tensor([[1.0, -2.0, 0.0]])
    assert torch.equal(identity.encode(x), x)
    assert torch.equal(identity.decode(identity.encode(x)), x)
    assert identity.encoder_rows(torch.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert not identity.bias.any()
