"""Predictions: against float64 softmaxes of the same logits, ranks counted, and by hand."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dagster_project.interp import predictions as module
from dagster_project.interp.loading import wrap
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.predictions import Scores, Tile, score
from tests.conftest import make_model

torch.set_num_threads(1)

MODEL = make_model("neox")  # 96 tokens


def oracle(logits: Tensor, targets: Tensor) -> Scores:
    """In float64, from whole rows of logits [n, token]."""
    log_p = logits.double().log_softmax(-1)
    chosen = logits.gather(-1, targets[:, None])
    entropy = -(log_p.exp() * log_p).sum(-1)
    rank = (logits > chosen).sum(-1, dtype=torch.int32)
    return Scores(-log_p.gather(-1, targets[:, None])[:, 0], rank, entropy)


def assert_equal(found: Scores, expected: Scores) -> None:
    assert [x.dtype for x in found] == [torch.float32, torch.int32, torch.float32]
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(found.entropy, expected.entropy, rtol=1e-5, atol=2e-5)
    np.testing.assert_array_equal(found.rank, expected.rank)


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(0, 30),
    tile=st.tuples(st.integers(1, 40), st.integers(1, 120)),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
)
def test_any_tile_gives_the_softmax_of_whole_rows(
    seed: int, n: int, tile: tuple[int, int], scale: float
) -> None:
    """Logits of hundreds too, whose exponentials no float holds."""
    random = torch.Generator().manual_seed(seed)
    hidden = scale * torch.randn(n, 16, generator=random)
    targets = torch.randint(96, (n,), generator=random)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ON_CPU", Tile(*tile, 7))
        found = score(MODEL, hidden, targets)
    assert_equal(found, oracle(MODEL.logits(hidden), targets))
    assert (found.loss >= 0).all()
    assert (found.entropy >= 0).all()


def test_logits_that_are_all_equal() -> None:
    """With hidden state 0 every logit is 0: loss = entropy = ln 96, and no token stands above."""
    found = score(MODEL, torch.zeros(3, 16), torch.tensor([0, 5, 95]))
    np.testing.assert_allclose(found.loss, np.log(96), rtol=1e-6)
    np.testing.assert_allclose(found.entropy, np.log(96), rtol=1e-6)
    assert found.rank.tolist() == [0, 0, 0]


def test_tokens_with_equal_logits_do_not_stand_above_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every token three times, in whatever tile the others are: ranks are multiples of 3. Products
    of small whole numbers, which no kernel rounds."""
    monkeypatch.setattr(module, "ON_CPU", Tile(50, 20, 7))
    random = torch.Generator().manual_seed(0)
    twins = wrap(deepcopy(MODEL.hf), MODEL.tokenizer)
    rows = torch.randint(-3, 4, (32, 16), generator=random).float()
    twins.unembedding.copy_(rows.repeat(3, 1))
    hidden = torch.randint(-3, 4, (200, 16), generator=random) / 8
    targets = torch.arange(200) % 96
    found = score(twins, hidden, targets)
    assert_equal(found, oracle(twins.logits(hidden), targets))
    assert (found.rank % 3 == 0).all()
    assert len(found.rank.unique()) > 20


def test_a_target_is_not_above_itself_however_its_logit_is_rounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another kernel may round another way: the model's first choice has rank 0, a loss ≥ 0."""
    made = module._of_targets
    monkeypatch.setattr(module, "_of_targets", lambda *given: made(*given) * (1 - 1e-6))
    hidden = 3 * torch.randn(500, 16, generator=torch.Generator().manual_seed(0))
    found = score(MODEL, hidden, MODEL.logits(hidden).argmax(-1))
    assert (found.rank == 0).all()
    assert (found.loss >= 0).all()


def test_no_more_logits_than_a_tile_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    usual = LanguageModel.logits

    def counting(
        model: LanguageModel,
        hidden: Tensor,
        tokens: slice | Tensor,
        out: Tensor | None = None,
    ) -> Tensor:
        logits = usual(model, hidden, tokens, out)
        if out is not None:  # else those of the targets
            made.append(logits.numel())
        return logits

    monkeypatch.setattr(LanguageModel, "logits", counting)
    monkeypatch.setattr(module, "ON_CPU", Tile(8, 20, 3))
    score(MODEL, torch.zeros(50, 16), torch.zeros(50, dtype=torch.int64))
    assert max(made) == 8 * 20
    assert sum(made) == 50 * 96


def test_a_model_in_16_bits_has_losses_of_float32() -> None:
    half = wrap(deepcopy(MODEL.hf).bfloat16(), MODEL.tokenizer)
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(40, 16, generator=random).bfloat16()
    targets = torch.randint(96, (40,), generator=random)
    exact = hidden.double() @ half.unembedding.double().T
    assert_equal(score(half, hidden, targets), oracle(exact, targets))
