"""Losses under replacement: a guess by hand; `test_dictionary_quality` has the rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dagster_project.interp import predictions
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.replaced_losses import Measured, loss_with, own_loss, summed_loss
from dagster_project.interp.site_names import site_names
from dagster_project.interp.sites import Batch, activations, batch_of


def test_loss_of_a_uniform_guess(tiny_neox: LanguageModel) -> None:
    hidden = torch.zeros(2, 3, tiny_neox.d_model)
    predicts = torch.tensor([[True, True], [True, False]])
    total = summed_loss(tiny_neox, hidden, torch.ones(2, 3, dtype=torch.int64), predicts)
    assert total == pytest.approx(3 * np.log(tiny_neox.n_vocab), rel=1e-6)


def _measured(model: LanguageModel, batch: Batch, *, first: list[bool]) -> Measured:
    """Everything but first tokens that are not to be replaced."""
    chosen = batch.real
    chosen[:, 0] = torch.tensor(first)
    clean = activations(model, batch.ids, site_names(model.n_layers))
    return Measured(batch, chosen, batch.real[:, 1:], clean)


@pytest.mark.parametrize("site", ["embed", "attn_0", "mlp_0", "resid_0", "resid_1"])
def test_a_vector_is_as_good_as_its_copies(any_model: LanguageModel, site: str) -> None:
    """Sequences of three lengths, of which two keep their first token, which is the same."""
    batch = batch_of([[1, 5, 6, 7, 8], [9, 5, 4], [1, 30, 31]])
    measured = _measured(any_model, batch, first=[False, True, False])
    vector = torch.linspace(-1, 1, any_model.d_model)
    copies = vector.expand(int(measured.chosen.sum()), -1)
    one, many = (loss_with(any_model, measured, site, v) for v in (vector, copies))
    assert one == pytest.approx(many, rel=1e-6)
    assert one != pytest.approx(own_loss(any_model, measured), rel=1e-3)


def test_what_stands_there_already_changes_nothing(any_model: LanguageModel) -> None:
    measured = _measured(any_model, batch_of([[1, 5, 6, 7], [1, 8]]), first=[False, False])
    own = own_loss(any_model, measured)
    for site, x in measured.clean.items():
        found = loss_with(any_model, measured, site, x[measured.chosen])
        assert found == pytest.approx(own, rel=1e-6)


def test_blocks_of_predictions_make_no_difference(
    tiny_neox: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = _measured(tiny_neox, batch_of([[1, 5, 6, 7, 8], [1, 8]]), first=[False, False])
    vector = torch.ones(tiny_neox.d_model)
    whole = [loss_with(tiny_neox, measured, s, vector) for s in ("embed", "mlp_0")]
    monkeypatch.setattr(predictions, "ROWS", 2)
    parts = [loss_with(tiny_neox, measured, s, vector) for s in ("embed", "mlp_0")]
    assert parts == pytest.approx(whole, rel=1e-6)
