"""How large a batch may be."""

from __future__ import annotations

import psutil
import pytest
import torch

from dagster_project.interp import budget as subject
from dagster_project.interp.budget import budget, estimate, free_memory
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.states import BLOCK

GIB = 2**30


def test_an_estimate_by_hand(tiny_llama: LanguageModel) -> None:
    d, layers, hidden = tiny_llama.d_model, 2, tiny_llama.hf.config.intermediate_size
    by_token = layers * (12 * d + 3 * hidden) + 3 * 5 * d
    assert estimate(tiny_llama, 5, 100) == 4 * 100 * by_token + 16 * BLOCK


def test_a_batch_is_what_was_asked_for_where_it_fits(
    tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "free_memory", lambda _: 8 * GIB)
    found = budget(tiny_llama, 5, 8192, 0.5)
    assert found == (8192, estimate(tiny_llama, 5, 8192), 4 * GIB)


def test_a_batch_is_halved_until_it_fits(
    tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = estimate(tiny_llama, 5, 2500)
    monkeypatch.setattr(subject, "free_memory", lambda _: 2 * room)
    assert budget(tiny_llama, 5, 8192, 0.5).tokens == 2048
    monkeypatch.setattr(subject, "free_memory", lambda _: 0)
    assert budget(tiny_llama, 5, 8192, 0.5).tokens == 1


def test_what_is_free_is_less_than_there_is() -> None:
    assert 0 < free_memory(torch.device("cpu")) < psutil.virtual_memory().total
