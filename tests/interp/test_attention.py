"""Fused attention: the same numbers, and only where it was asked for."""

from __future__ import annotations

import torch

from dagster_project.interp.attention import fused_attention
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import final_hidden


def test_same_hidden_states(any_model: LanguageModel) -> None:
    ids = torch.arange(60).reshape(3, 20)
    usual = final_hidden(any_model, ids)
    with fused_attention(any_model):
        assert any_model.hf.config._attn_implementation == "sdpa"
        fused = final_hidden(any_model, ids)
    assert any_model.hf.config._attn_implementation == "eager"
    torch.testing.assert_close(fused, usual, rtol=1e-5, atol=1e-5)
