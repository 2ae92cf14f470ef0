"""Loss effects against what the losses do when a feature is nudged."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dagster_project.interp.dictionary import SparseDictionary
from dagster_project.interp.feature_tally import Active
from dagster_project.interp.features import active_features
from dagster_project.interp.loss_effects import loss_effects, loss_gradients
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.predictions import score
from dagster_project.interp.site_names import site_names
from dagster_project.interp.sites import activations, batch_of, final_hidden

SITES = site_names(2)
DOCUMENTS = [[1, 5, 9, 13, 5, 9], [1, 7, 3]]


def sparse() -> SparseDictionary:
    draw = torch.Generator().manual_seed(5)
    encoder, decoder = torch.randn(2, 24, 16, generator=draw)
    return SparseDictionary(encoder, torch.zeros(24), decoder, torch.zeros(16), "relu", k=5)


def total_loss(model: LanguageModel, site: str, change: Tensor) -> float:
    """The losses of DOCUMENTS' first, all added up, with a change [position, d_model] of a site."""
    ids = torch.tensor(DOCUMENTS[:1])
    hidden = final_hidden(model, ids, lambda _, x: x + change, [site])
    return float(score(model, hidden[0, :-1], ids[0, 1:]).loss.double().sum())


@pytest.mark.parametrize("site", SITES)
def test_they_are_what_a_small_change_does_to_all_that_follows(
    tiny_llama: LanguageModel, site: str
) -> None:
    """(L(x + ε a d) − L(x − ε a d)) / 2ε, of the strongest features at the third token."""
    batch = batch_of(DOCUMENTS)
    x, gradient = loss_gradients(tiny_llama, batch, SITES)
    again = activations(tiny_llama, batch.ids, SITES)
    assert all(x[name].allclose(again[name], atol=1e-6) for name in SITES)
    dictionary, epsilon = sparse(), 0.002
    number = torch.tensor([20, 21, 22, 23, 24, 25, 3, 4, 5])  # of the real tokens
    found = active_features(dictionary, x[site][batch.real], number)
    here = (found.token == 22).nonzero()[:, 0]
    place = here[found.activation[here].topk(3).indices]
    effects = loss_effects(dictionary, found, number, gradient[site][batch.real], place)
    for feature, activation, effect in zip(
        found.feature[place], found.activation[place], effects, strict=True
    ):
        change = torch.zeros(6, 16)
        change[2] = epsilon * activation * dictionary.W_dec[feature]
        up, down = (total_loss(tiny_llama, site, sign * change) for sign in (1, -1))
        assert float(effect) == pytest.approx((up - down) / (2 * epsilon), rel=0.02, abs=5e-3)


def test_by_hand() -> None:
    """Token 7: feature 0 is on with 2, its row is (1, 0), the gradient there (3, 9): 6. Token 4:
    feature 1 with 0.5, its row is (0, 1), the gradient (1, −8): −4."""
    dictionary = SparseDictionary(
        torch.eye(2), torch.zeros(2), torch.eye(2), torch.zeros(2), "relu", k=2
    )
    found = Active(torch.tensor([7, 7, 4]), torch.tensor([0, 1, 1]), torch.tensor([2.0, 1.0, 0.5]))
    number, gradient = torch.tensor([7, 4]), torch.tensor([[3.0, 9.0], [1.0, -8.0]])
    effects = loss_effects(dictionary, found, number, gradient, torch.tensor([2, 0]))
    assert effects.tolist() == [-4.0, 6.0]
    none = loss_effects(dictionary, found, number, gradient, torch.tensor([], dtype=torch.int64))
    assert none.tolist() == []


def test_padding_and_the_last_token_do_nothing(tiny_llama: LanguageModel) -> None:
    batch = batch_of(DOCUMENTS)
    _, gradient = loss_gradients(tiny_llama, batch, SITES)
    for found in gradient.values():
        assert not found[0, 5].any()  # nothing follows it
        assert not found[1, 2:].any()
        assert found[0, :5].any(-1).all()
        assert found[1, :2].any(-1).all()


def test_a_document_of_one_token_predicts_nothing(tiny_llama: LanguageModel) -> None:
    _, gradient = loss_gradients(tiny_llama, batch_of([[1]]), ["embed"])
    assert not gradient["embed"].any()
