"""Loading models: what is refused, by name and with the reason."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch

from dagster_project.interp import model as module
from dagster_project.interp.loading import load_model, wrap
from dagster_project.interp.model import LanguageModel, ModelError


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


@pytest.mark.parametrize("content", [None, "{}", "no json"])
def test_a_folder_without_a_model_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "neither a folder with a model nor within reach on the hub" in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_logits_of_a_model_in_16_bits_are_not_rounded_to_them(
    tiny_neox: LanguageModel, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products of two numbers of 8 or 11 bits are exact in float32: only the sum rounds."""
    monkeypatch.setattr(module, "BLOCK", 16 * 10)  # ten tokens at a time
    half = wrap(deepcopy(tiny_neox.hf).to(dtype), tiny_neox.tokenizer)
    hidden = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    exact = hidden.double() @ half.unembedding.double().T
    found = half.logits(hidden)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), exact, rtol=0, atol=1e-5)
    rounded = (hidden @ half.unembedding.T).double()
    assert (rounded - exact).abs().max() > 1e-3  # what is avoided
    some, out = torch.tensor([95, 3]), torch.empty(2, 5, 2)
    assert half.logits(hidden, some, out=out) is out
    assert torch.allclose(out.double(), exact[..., some], rtol=0, atol=1e-5)


def test_logits_of_16_bits_have_a_gradient(tiny_neox: LanguageModel) -> None:
    half = wrap(deepcopy(tiny_neox.hf).bfloat16(), tiny_neox.tokenizer)
    hidden = torch.ones(3, 16, dtype=torch.bfloat16, requires_grad=True)
    (gradient,) = torch.autograd.grad(half.logits(hidden)[:, 7].sum(), hidden)
    assert torch.equal(gradient, half.unembedding[7].expand(3, 16))
