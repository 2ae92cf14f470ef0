"""The training network against transformers: the same logits, losses and gradients."""

from __future__ import annotations

import pytest
import torch
from transformers import GPTNeoXForCausalLM

from dagster_project.embedded import network
from dagster_project.embedded.network import Padded, Shape, backward, new_model, token_losses

SHAPE = Shape(vocabulary=300, n_layers=2, d_model=24, n_heads=3, positions=64)


@pytest.fixture
def model() -> GPTNeoXForCausalLM:
    """Larger weights than at the start, so that every part matters."""
    made = new_model(SHAPE, 0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    return made


@pytest.fixture
def batch() -> Padded:
    ids = torch.randint(1, 300, (5, 40), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([40, 39, 12, 2, 30])
    return Padded(ids.where(torch.arange(40) < lengths[:, None], 0), lengths)


def by_transformers(model: GPTNeoXForCausalLM, batch: Padded) -> torch.Tensor:
    """Losses of all predicted tokens, document after document."""
    found = [
        torch.nn.functional.cross_entropy(
            model(input_ids=ids[None, :n]).logits[0, :-1], ids[1:n], reduction="none"
        )
        for ids, n in zip(batch.ids, batch.lengths.tolist(), strict=True)
    ]
    return torch.cat(found)


def test_losses_are_those_of_each_document_alone(model: GPTNeoXForCausalLM, batch: Padded) -> None:
    expected = by_transformers(model, batch)
    assert len(expected) == 39 + 38 + 11 + 1 + 29
    torch.testing.assert_close(token_losses(model, batch), expected, rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_autograd(
    model: GPTNeoXForCausalLM, batch: Padded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "ROWS", 50)  # more than one chunk
    parameters = list(model.parameters())
    expected = torch.autograd.grad(by_transformers(model, batch).sum(), parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)  # is added to
    loss = backward(model, batch)
    assert loss == pytest.approx(float(by_transformers(model, batch).detach().sum()), rel=1e-5)
    for parameter, gradient in zip(parameters, expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad - 1, gradient, rtol=1e-4, atol=1e-4)


def test_a_model_is_pythias_with_tied_embeddings_and_its_seed_decides_its_weights() -> None:
    model, same, other = new_model(SHAPE, 0), new_model(SHAPE, 0), new_model(SHAPE, 1)
    config = model.config
    assert (config.use_parallel_residual, config.tie_word_embeddings) == (True, True)
    assert model.gpt_neox.layers[0].attention.rotary_ndims == 24 // 3
    assert model.num_parameters() == 300 * 24 + 2 * (12 * 24**2 + 13 * 24) + 2 * 24
    first, second, third = (
        torch.cat([p.flatten() for p in m.parameters()]) for m in (model, same, other)
    )
    assert first.equal(second)
    assert not first.equal(third)
