"""Losses of a dictionary in training, by hand and in bfloat16."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from dagster_project.interp.training_forms import FORMS, Goal
from dagster_project.interp.training_loss import loss
from dagster_project.interp.training_state import Weights, new_state
from dagster_project.studies.study import Form, TrainingSpec

FORM = FORMS["batch_topk"]


def one(*dead: bool) -> Goal:
    """A feature a token."""
    return Goal(1, 1.0, torch.tensor(dead))


def test_loss_by_hand() -> None:
    # d = 2; features x and y, of which three a batch are kept; decoder rows are the axes.
    axes, none = torch.eye(2), torch.zeros(())
    weights = Weights(axes, torch.zeros(2), axes, torch.zeros(2))
    x = torch.tensor([[2.0, 1.0], [0.5, 3.0], [-2.0, -1.0]])
    # kept: 2 and 1 of the first, 3 of the second. Error: (0, 0), (.5, 0), (−2, −1): 5.25.
    # Mean (1/6, 1): variance 4 + .25 + 4 − 3/36 + 0 + 4 + 4.
    variance = 8.25 - 3 / 36 + 8
    found = loss(FORM, weights, x, one(False, False), none)
    assert float(found.unexplained) == pytest.approx(5.25 / variance)
    # Squared norms 5, 9.25 and 5: a token is held against its own.
    assert float(found.relative) == pytest.approx((0 / 5 + 0.25 / 9.25 + 5 / 5) / 3)
    assert float(found.auxiliary) == 0
    assert float(found.penalty) == 0
    assert float(found.l0) == 1
    assert found.fired.tolist() == [True, True]
    assert float(found.least) == 1
    # Above 2.5 there is y alone.
    found = loss(FORM, weights, x, one(False, False), torch.tensor(2.5))
    assert found.fired.tolist() == [False, True]
    # With y dead it reconstructs the error (0, 0), (.5, 0), (−2, −1) by y = 1, 3, −1. What is
    # left: (0, −1), (.5, −3), (−2, 0): 14.25. The error's mean is (−1/2, −1/3).
    found = loss(FORM, weights, x, one(False, True), none)
    assert float(found.auxiliary) == pytest.approx(14.25 / (4.25 - 3 / 4 + 1 - 3 / 9))
    # The first feature alone leaves (0, 1), (.5, 3), (−2, −1); both leave what all leave.
    found = loss(FORM, weights, x, one(False, False), none, nested=(1, 2))
    alone = (1 / 5 + 9.25 / 9.25 + 5 / 5) / 3
    assert float(found.nested) == pytest.approx(alone + float(found.relative))
    # A token that is all but nothing counts as one of a tenth of the mean norm, √2.
    small = torch.tensor([[2.0, 1.0], [0.0, -1e-3]])
    found = loss(FORM, weights, small, one(False, False), none)
    assert float(found.relative) == pytest.approx((0 + 1e-6 / 0.02) / 2)


@pytest.mark.parametrize("form", get_args(Form))
def test_in_bfloat16_products_alone_are_rounded(form: Form) -> None:
    """As on a GPU: sums and gradients are float32, and the loss is nearly the same."""
    x = torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
    spec = TrainingSpec(form=form, expansion=4, k=8)
    weights = new_state(["embed"], x[None], spec).sites["embed"].weights
    goal = Goal(8, 1.0, torch.arange(64) < 8)
    exact = loss(FORMS[form], weights, x, goal, torch.zeros(()), (4, 16))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = loss(FORMS[form], weights, x, goal, torch.zeros(()), (4, 16))
    for name in ("relative", "unexplained", "auxiliary", "nested", "l0", "least"):
        value = getattr(rounded, name).detach()
        assert value.dtype == torch.float32, name
        torch.testing.assert_close(value, getattr(exact, name).detach(), atol=0.02, rtol=0.02)
    assert float(rounded.relative.detach()) != float(exact.relative.detach())
    named = weights.named()
    gradients = torch.autograd.grad(rounded.relative, list(named.values()), allow_unused=True)
    assert {g.dtype for g in gradients if g is not None} == {torch.float32}
