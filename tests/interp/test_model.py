"""Loading models: what is refused, by name and with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dagster_project.interp.model import LanguageModel, ModelError, load_model


def test_a_folder_gives_the_model_that_was_saved(tmp_path: Path, any_model: LanguageModel) -> None:
    any_model.hf.save_pretrained(tmp_path)
    any_model.tokenizer.save_pretrained(tmp_path)
    found = load_model(tmp_path)
    ids = torch.arange(3, 12)[None]
    assert torch.equal(found.hf(ids).logits, any_model.hf(ids).logits)
    assert (found.n_layers, found.d_model, found.n_vocab) == (2, 16, 96)
    assert found.parallel == any_model.parallel
    assert not any(p.requires_grad for p in found.hf.parameters())


def test_logits_are_the_models(any_model: LanguageModel) -> None:
    ids = torch.arange(3, 12)[None]
    output = any_model.hf(ids, output_hidden_states=True)
    found = any_model.logits(output.hidden_states[-1])  # normalised already
    assert torch.allclose(found, output.logits, atol=1e-6)


def test_another_family_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma2"}))
    with pytest.raises(ModelError, match='family "gemma2" is not supported; supported: gpt_neox'):
        load_model(tmp_path)


@pytest.mark.parametrize("content", [None, "{}", "no json"])
def test_a_folder_without_a_model_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "neither a folder with a model nor within reach on the hub" in str(caught.value)
