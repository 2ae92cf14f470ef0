"""Forms of dictionaries: solved by hand, against autograd, and as they are stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

from dagster_project.interp.dictionary_files import load, save
from dagster_project.interp.file_tree import folder_tree
from dagster_project.interp.training_forms import (
    BANDWIDTH,
    FORMS,
    PENALTY,
    REVIVAL,
    Goal,
    nested_parts,
)
from dagster_project.interp.training_state import SiteState, Weights, new_state
from dagster_project.studies.study import Form, TrainingSpec

NONE_DEAD = torch.zeros(2, dtype=torch.bool)
AXES = Weights(torch.eye(2), torch.zeros(2), torch.eye(2), torch.zeros(2))
PRE = torch.tensor([[2.0, 1.0], [0.5, 3.0], [-2.0, -1.0]])


def with_thresholds(*thresholds: float) -> Weights:
    logs = torch.tensor(thresholds).log().requires_grad_()
    return AXES._replace(log_threshold=logs)


def test_batch_topk_shares_what_it_keeps_among_the_batch() -> None:
    found = FORMS["batch_topk"](PRE, Goal(1, 1.0, NONE_DEAD), AXES)
    assert found.f.tolist() == [[2, 1], [0, 3], [0, 0]]  # three, of three tokens
    assert float(found.least) == 1
    assert float(found.penalty) == 0


def test_topk_keeps_of_each_token_what_is_positive() -> None:
    found = FORMS["topk"](PRE, Goal(1, 1.0, NONE_DEAD), AXES)
    assert found.f.tolist() == [[2, 0], [0, 3], [0, 0]]
    assert float(found.least) == 0


def test_jumprelu_keeps_what_is_above_each_threshold() -> None:
    found = FORMS["jumprelu"](PRE, Goal(2, 0.5, NONE_DEAD), with_thresholds(1.9, 1.0))
    assert found.f.tolist() == [[2, 0], [0, 3], [0, 0]]
    # L0 is 2/3 where 2 are wanted, at half the pressure.
    assert float(found.penalty.detach()) == pytest.approx(PENALTY * 0.5 * (2 / 3 / 2 - 1) ** 2)


def test_a_threshold_learns_from_what_lies_in_its_window() -> None:
    weights = with_thresholds(1.0, 1.0)
    near, far = 1 + 0.4 * BANDWIDTH, 1 + 0.6 * BANDWIDTH
    pre = torch.tensor([[near, far], [2 - near, 0.0]], requires_grad=True)
    found = FORMS["jumprelu"](pre, Goal(1, 1.0, NONE_DEAD), weights)
    assert weights.log_threshold is not None
    # f: the gradient of the first is 1 where it is on, of its threshold −θ/ε for each in the
    # window, once more by θ for the logarithm: both of the first column, weighed 3 and 5.
    upstream = torch.tensor([[3.0, 7.0], [5.0, 11.0]])
    of_pre, of_log = torch.autograd.grad(
        (found.f * upstream).sum(), [pre, weights.log_threshold], retain_graph=True
    )
    assert of_pre.tolist() == [[3, 7], [0, 0]]
    assert of_log.tolist() == pytest.approx([-(3 + 5) / BANDWIDTH, 0], rel=1e-5)
    # L0 is 1 a token, as wanted: no pull. With 2 wanted each in the window pulls downwards:
    # d/dL0 (L0/2 − 1)² = −1/2, and L0 falls by 2 in the window / 2 tokens / ε.
    (of_log,) = torch.autograd.grad(found.penalty, [weights.log_threshold])
    assert of_log.abs().max() < 1e-6
    found = FORMS["jumprelu"](pre, Goal(2, 1.0, NONE_DEAD), weights)
    (of_log,) = torch.autograd.grad(found.penalty, [weights.log_threshold])
    assert of_log.tolist() == pytest.approx([PENALTY * 0.5 / BANDWIDTH, 0], rel=1e-5)


def test_thresholds_of_dead_features_fall() -> None:
    weights = with_thresholds(4.0, 5.0)
    found = FORMS["jumprelu"](PRE, Goal(1, 0.0, torch.tensor([False, True])), weights)
    assert weights.log_threshold is not None
    (of_log,) = torch.autograd.grad(found.penalty, [weights.log_threshold])
    assert of_log.tolist() == pytest.approx([0, 5 * REVIVAL])


@pytest.mark.parametrize(("pressure", "kept"), [(0.0, 4), (0.5, 2.5), (1.0, 1)])
def test_few_come_slowly(pressure: float, kept: float) -> None:
    pre = torch.rand(2, 8, generator=torch.Generator().manual_seed(0))
    found = FORMS["batch_topk"](pre, Goal(1, pressure, NONE_DEAD), AXES).f
    assert int((found > 0).sum()) == 2 * round(kept)


def test_parts_of_a_matryoshka_are_those_of_the_paper() -> None:
    spec = TrainingSpec(form="matryoshka")
    # Groups of 1/32, 1/16, 1/8 and 1/4 of 512: 16, 32, 64, 128; the rest is the whole.
    assert nested_parts(spec, "mlp_0", 512) == ((16, 48, 112, 240), 1.0)
    assert nested_parts(spec, "mlp_0", 8) == ((1, 2, 4), 1.0)
    assert nested_parts(replace(spec, nested=(5,)), "mlp_0", 512) == ((5,), 1.0)
    nested = TrainingSpec(nested=(5,), nested_coefficients={"embed": 0.5})
    assert nested_parts(nested, "embed", 512) == ((5,), 0.5)
    assert nested_parts(nested, "mlp_0", 512) == ((), 0.0)


def site_of(form: Form) -> tuple[SiteState, Tensor]:
    """A site with random weights off centre and scale, and activations [30, 4]."""
    random = torch.Generator().manual_seed(2)
    x = 5 + 3 * torch.randn(30, 4, generator=random)
    spec = TrainingSpec(form=form, expansion=2, k=2)
    site = new_state(["embed"], x[None], spec).sites["embed"]
    with torch.no_grad():
        for weight in (w for w in site.weights.named().values() if w.ndim == 1):
            weight.add_(torch.randn(len(weight), generator=random), alpha=0.3)
    site.threshold.fill_(0.7)
    return site, x


@pytest.mark.parametrize("form", get_args(Form))
def test_what_is_stored_does_what_was_trained(form: Form, tmp_path: Path) -> None:
    site, x = site_of(form)
    weights = site.weights.detached()
    pre = (x - site.centre) * site.scale @ weights.W_enc.T + weights.b_enc
    if form in ("batch_topk", "matryoshka"):  # encodes single tokens by the running threshold
        f = pre * (pre > 0.7)
    else:
        f = FORMS[form](pre, Goal(2, 1.0, torch.zeros(8, dtype=torch.bool)), weights).f
    x_hat = (f @ weights.W_dec + weights.b_dec) / site.scale + site.centre
    save(FORMS[form].fold(site, 2), tmp_path / "embed", {})
    stored = load(folder_tree(tmp_path).folder("embed"), 4)
    assert stored.activation == ("topk" if form == "topk" else "jumprelu")
    assert 0 < int((f > 0).sum()) < f.numel()
    torch.testing.assert_close(stored.encode(x), f / site.scale, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(stored.decode(stored.encode(x)), x_hat, atol=1e-5, rtol=1e-5)


def test_thresholds_start_where_k_pass() -> None:
    site, x = site_of("jumprelu")
    start = new_state(["embed"], x[None], TrainingSpec(form="jumprelu", expansion=2, k=2))
    weights = start.sites["embed"].weights.detached()
    assert weights.log_threshold is not None
    pre = (x - site.centre) * site.scale @ weights.W_enc.T
    on = (pre > weights.log_threshold.exp() * (1 - 1e-5)).sum()
    assert int(on) == 2 * len(x)
