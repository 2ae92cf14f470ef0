"""Additivity: it holds for every family, and a wrong site is found."""

from __future__ import annotations

import pytest
import torch

from dagster_project.interp import additivity
from dagster_project.interp.additivity import additivity_error
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import activations


def test_parts_add_up(any_model: LanguageModel) -> None:
    ids = torch.arange(24).reshape(2, 12)
    assert additivity_error(any_model, ids) < 4


def test_a_wrong_part_is_found(tiny_neox: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = activations

    def doubled(
        model: LanguageModel, ids: torch.Tensor, sites: list[str]
    ) -> dict[str, torch.Tensor]:
        found = usual(model, ids, sites)
        return {**found, "mlp_1": 2 * found["mlp_1"]}

    monkeypatch.setattr(additivity, "activations", doubled)
    assert additivity_error(tiny_neox, torch.arange(24).reshape(2, 12)) > 1e4
