"""Gradients of linear layers against those over a float64 model's own parameters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dagster_project.interp import parameter_gradients as module
from dagster_project.interp.context_features import Window
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.parameter_gradients import (
    LayerGradient,
    answer_loss,
    cosines,
    inner_products,
    layer_gradients,
    layer_shapes,
    numbers_per_token,
)
from dagster_project.interp.sites import Batch, batch_of
from tests.conftest import make_model
from tests.interp.full_gradients import full_gradients, stacked

WINDOWS = [
    Window(7, [1, 20, 33, 41, 5], 12),
    Window(9, [17, 8, 60], 33),
    Window(11, [1, 44], 20),
    Window(12, [9], 4),
    Window(30, [60, 50, 40, 30, 20, 10], 5),
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def layers_of(model: LanguageModel, windows: list[Window]) -> dict[str, LayerGradient]:
    batch = batch_of([window.ids for window in windows])
    return layer_gradients(model, batch, torch.tensor([w.answer_id for w in windows]))


def weights_of(layer: LayerGradient) -> Tensor:
    """[batch, outputs, inputs]"""
    return layer.delta.mT @ layer.x


def assert_close(found: Tensor, expected: Tensor) -> None:
    scale = float(expected.abs().max())
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=5e-6 * scale)


def is_gpt2(model: LanguageModel) -> bool:
    """Whose weights are transposed."""
    return model.hf.config.model_type == "gpt2"


def test_layers_are_all_parameters_but_norms_and_embeddings(any_model: LanguageModel) -> None:
    expected = full_gradients(any_model, WINDOWS)
    layers = layers_of(any_model, WINDOWS)
    found = {}
    for name, layer in layers.items():
        weights = weights_of(layer)
        n_in = any_model.hf.get_submodule(name).weight.shape[0 if is_gpt2(any_model) else 1]
        found[f"{name}.weight"] = weights[..., :n_in]
        if weights.shape[-1] > n_in:
            found[f"{name}.bias"] = weights[..., n_in]
    assert found.keys() == expected[0].keys()
    for name, gradient in found.items():
        wanted = torch.stack([one[name] for one in expected])
        transposed = is_gpt2(any_model) and name.endswith("weight")
        assert_close(gradient, wanted.mT if transposed else wanted)


def test_no_weight_takes_part(any_model: LanguageModel) -> None:
    layers = layers_of(any_model, WINDOWS)
    assert not any(p.requires_grad or p.grad is not None for p in any_model.hf.parameters())
    assert not any(t.requires_grad for layer in layers.values() for t in layer)


def test_inner_products_are_those_of_the_parameters(
    any_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    G = stacked(full_gradients(any_model, WINDOWS))  # transposed or not, products are the same
    layers = layers_of(any_model, WINDOWS)
    whole = inner_products(layers)
    assert_close(whole, G @ G.T)
    unit = G / G.norm(dim=1, keepdim=True)
    assert_close(cosines(whole), unit @ unit.T)
    monkeypatch.setattr(module, "BLOCK", 1)  # a row of the outputs at a time
    torch.testing.assert_close(inner_products(layers), whole)


def test_a_batch_is_its_contexts_one_by_one(any_model: LanguageModel) -> None:
    together = layers_of(any_model, WINDOWS)
    for i, window in enumerate(WINDOWS):
        for name, alone in layers_of(any_model, [window]).items():
            expected = weights_of(alone)[0]
            torch.testing.assert_close(
                weights_of(together[name])[i], expected, rtol=1e-4, atol=1e-5
            )


def test_padding_never_enters(any_model: LanguageModel) -> None:
    """It holds no gradient, and any other token in its place leaves everything as it is."""
    batch = batch_of([window.ids for window in WINDOWS])
    answer = torch.tensor([window.answer_id for window in WINDOWS])
    other = Batch(torch.where(batch.real, batch.ids, 77), batch.lengths)
    first, second = (layer_gradients(any_model, b, answer) for b in (batch, other))
    for name, layer in first.items():
        assert layer.delta[~batch.real].abs().max() == 0
        torch.testing.assert_close(weights_of(layer), weights_of(second[name]))


def test_what_a_token_takes(any_model: LanguageModel) -> None:
    layers = layers_of(any_model, WINDOWS)
    held = sum(t.shape[-1] for layer in layers.values() for t in layer)
    assert numbers_per_token(layer_shapes(any_model)) == held


def test_cosines_of_nothing_are_unknown() -> None:
    """Norms 5, 2 and 0."""
    products = torch.tensor([[25.0, 6.0, 0.0], [6.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
    found = cosines(products)
    assert found[0, 1] == pytest.approx(0.6)
    assert found[2].isnan().all()


def test_the_loss_is_minus_log_p() -> None:
    logits = torch.randn(6, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    answer = torch.arange(6)
    expected = -logits.log_softmax(-1)[torch.arange(6), answer]
    torch.testing.assert_close(answer_loss(logits, answer), expected)


def test_the_gradient_is_precise_where_the_model_is_certain() -> None:
    """A loss of 2e-8 nats: p is 1 to float32, p − 1 is not what it should be."""
    logits = torch.tensor([[18.0, 0.0, -1.0]], requires_grad=True)
    answer = torch.tensor([0])
    (found,) = torch.autograd.grad(answer_loss(logits, answer).sum(), logits)
    others = torch.tensor([0.0, -1.0]).double().exp() / torch.tensor(18.0).double().exp()
    p = others / (1 + others.sum())  # softmax, the answer's being 1 − Σ
    expected = torch.cat([-p.sum()[None], p])
    torch.testing.assert_close(found[0].double(), expected, rtol=1e-5, atol=0)
    (cancelled,) = torch.autograd.grad(-logits.log_softmax(-1)[0, 0], logits)
    assert abs(cancelled[0, 0] / expected[0] - 1) > 0.1  # why it is not used


def test_so_it_is_over_the_parameters() -> None:
    """The likeliest answer, its lead 20 in logits: p is 1 to float32."""
    model, ids = make_model("llama"), [20, 33, 41]
    logits = model.hf(torch.tensor([ids])).logits[0, -1]
    first, second = logits.topk(2).values
    model.unembedding.mul_(20 / (first - second))
    window = Window(0, ids, int(logits.argmax()))
    (G,) = stacked(full_gradients(model, [window]))
    layers = layers_of(model, [window])
    found = torch.cat([weights_of(layer).flatten() for layer in layers.values()])
    assert 0 < G.norm() < 1e-4
    assert (found - G).norm() < 1e-3 * G.norm()
