"""How large a batch may be."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch

from dagster_project.interp import budget as subject
from dagster_project.interp.budget import budget, estimate, free_memory, weights
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.states import BLOCK

GIB = 2**30


def of(model: LanguageModel, tokens: int) -> int:
    return estimate(model.hf.config, torch.float32, 5, tokens)


def test_an_estimate_by_hand(tiny_llama: LanguageModel) -> None:
    d, layers, hidden = tiny_llama.d_model, 2, tiny_llama.hf.config.intermediate_size
    by_token = layers * (12 * d + 3 * hidden) + 3 * 5 * d
    assert estimate(tiny_llama.hf.config, torch.float32, 5, 100) == 4 * 100 * by_token + 16 * BLOCK


def test_a_batch_is_what_was_asked_for_where_it_fits(
    tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "free_memory", lambda _: 8 * GIB)
    found = budget(tiny_llama, 5, 8192, 0.5)
    assert found == (8192, of(tiny_llama, 8192), 4 * GIB)


def test_a_batch_is_halved_until_it_fits(
    tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = of(tiny_llama, 2500)
    monkeypatch.setattr(subject, "free_memory", lambda _: 2 * room)
    assert budget(tiny_llama, 5, 8192, 0.5).tokens == 2048
    monkeypatch.setattr(subject, "free_memory", lambda _: 0)
    assert budget(tiny_llama, 5, 8192, 0.5).tokens == 1


def test_what_is_free_is_less_than_there_is() -> None:
    assert 0 < free_memory(torch.device("cpu")) < psutil.virtual_memory().total


def test_a_container_has_what_its_group_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of files that could be dropped count as free."""
    monkeypatch.setattr(subject, "CONTROL_GROUP", tmp_path)
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.stat").write_text("anon 2000\ninactive_file 700\n")
    assert free_memory(torch.device("cpu")) == 2700
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(torch.device("cpu")) > 5000


def test_weights_are_those_of_the_model(any_model: LanguageModel) -> None:
    """Tied embeddings count once."""
    held = sum(p.nbytes for p in any_model.hf.parameters())
    assert weights(any_model.hf.config, torch.float32) == held
    assert weights(any_model.hf.config, torch.bfloat16) == held // 2
