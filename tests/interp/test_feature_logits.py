"""Feature logits: solved by hand, and equal to what the model does with a fixed scale."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dagster_project.interp import feature_logits as module
from dagster_project.interp.dictionary import IdentityDictionary, SparseDictionary
from dagster_project.interp.feature_logits import (
    FEATURE_LOGITS,
    feature_logits,
    in_stream,
    through_norm,
)
from dagster_project.interp.model import LanguageModel
from tests.conftest import make_model


def decoder(rows: torch.Tensor) -> SparseDictionary:
    n, d = rows.shape
    return SparseDictionary(rows, torch.zeros(n), rows, torch.zeros(d))


def weights(model: LanguageModel, norm: torch.Tensor, unembedding: torch.Tensor) -> None:
    model.final_norm.get_parameter("weight").data.copy_(norm)
    model.unembedding.data.copy_(unembedding)


@pytest.mark.parametrize("family", ["neox", "llama"])
def test_by_hand(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """d = 4·e₀ of 16; γ₀ = 2, else 1; W_U has 1 in column 0 for token 5, −3 for 6, and 1 in
    column 1 for token 7. RMSNorm: 8 for token 5, −24 for 6, 0 for 7. LayerNorm: d − mean(d) is
    3.75 in place 0 and −0.25 elsewhere: 7.5, −22.5 and −0.25."""
    model = make_model(family)
    norm, unembedding = torch.ones(16), torch.zeros(96, 16)
    norm[0] = 2
    unembedding[5, 0], unembedding[6, 0], unembedding[7, 1] = 1, -3, 1
    weights(model, norm, unembedding)
    monkeypatch.setattr(module, "SHOWN", 2)
    found = feature_logits(model, "resid_0", decoder(4 * torch.eye(16)[:1]))
    assert found.schema == FEATURE_LOGITS
    centred = family == "neox"
    lowered = [(0, -1, 0, 6, -22.5 if centred else -24.0)]
    lowered += [(0, -1, 1, 7, -0.25)] if centred else []
    raised = [(0, 1, 0, 5, 7.5 if centred else 8.0)]
    rows = found.rows()
    assert [row for row in rows if row[4]] == [*lowered, *raised]
    assert len(rows) == 4


def test_they_are_the_models_own_differences_at_a_fixed_scale(any_model: LanguageModel) -> None:
    """logits(s + a·d) − logits(s), the scale of s kept, times that scale and divided by a."""
    norm = any_model.final_norm
    weight = norm.get_parameter("weight")
    one = 1 if any_model.hf.config.model_type == "gemma2" else 0  # which stores γ − 1
    draw = torch.Generator().manual_seed(0)
    torch.nn.init.uniform_(weight, 0.5, 2.0, generator=draw)
    s, d = torch.randn(2, 16, generator=draw, dtype=torch.float64)
    a = 0.3
    if isinstance(norm, torch.nn.LayerNorm):
        sigma, shift = (s.var(correction=0) + norm.eps).sqrt(), norm.bias.double()
    else:
        sigma, shift = (s.square().mean() + 1e-6).sqrt(), torch.zeros(16).double()

    def final(x: torch.Tensor) -> torch.Tensor:
        centre = x.mean() if isinstance(norm, torch.nn.LayerNorm) else 0.0
        return (x - centre) / sigma * (one + weight.double()) + shift

    assert torch.allclose(final(s), norm(s.float()).double(), atol=1e-5)  # the model's norm indeed
    unembedding = any_model.unembedding.double()
    difference = (final(s + a * d) - final(s)) @ unembedding.T * sigma / a
    found = through_norm(any_model, d.float()[None])[0].double() @ unembedding.T
    assert torch.allclose(found, difference, atol=1e-5)


def test_features_of_z_go_through_the_projection(any_model: LanguageModel) -> None:
    """What attention adds to the stream when a feature joins its values, any norm's scale apart."""
    width = any_model.width("z_1")
    z, d = torch.randn(2, width, generator=torch.Generator().manual_seed(0))
    found = in_stream(any_model, "z_1", d[None])[0].double()
    projection = any_model.block(1).get_submodule(
        f"{any_model.modules.attention}.{any_model.modules.projection}"
    )
    difference = (projection(z + d) - projection(z)).double()
    if name := any_model.modules.attention_norm:  # an RMSNorm that stores γ − 1
        weight = any_model.block(1).get_submodule(name).get_parameter("weight")
        difference = difference * (1 + weight.double())
    assert torch.allclose(found, difference, atol=1e-5)
    assert in_stream(any_model, "mlp_1", d[None]).equal(d[None])


def test_blocks_do_not_matter_and_ties_go_to_the_smaller_token(
    tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = torch.randn(20, 16, generator=torch.Generator().manual_seed(1))
    whole = feature_logits(tiny_llama, "resid_0", decoder(rows))
    monkeypatch.setattr(module, "LOGITS", 300)
    parts = feature_logits(tiny_llama, "resid_0", decoder(rows))
    keys = ("feature", "sign", "rank", "token_id")
    assert whole.select(keys).equals(parts.select(keys))
    assert whole.group_by("feature", "sign").len()["len"].unique().to_list() == [module.SHOWN]
    silent = feature_logits(tiny_llama, "resid_0", decoder(torch.zeros(1, 16)))
    for _, group in silent.group_by("sign"):
        assert group["token_id"].is_sorted()


def test_neurons_have_logits_too(tiny_neox: LanguageModel) -> None:
    found = feature_logits(tiny_neox, "resid_0", IdentityDictionary(16))
    same = feature_logits(tiny_neox, "resid_0", decoder(torch.eye(16)))
    assert found.equals(same)


def test_what_the_tokenizer_does_not_know_is_left_out(tiny_llama: LanguageModel) -> None:
    class Short:
        def __len__(self) -> int:
            return 7

    short = replace(tiny_llama, tokenizer=Short())
    found = feature_logits(short, "resid_0", decoder(torch.eye(16)))
    assert set(found["token_id"]) == set(range(7))
    assert found["rank"].max() == 6
