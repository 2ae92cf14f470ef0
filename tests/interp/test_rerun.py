"""Reruns from every first position against full forwards with the site replaced by a hook."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from dagster_project.interp.examples import Examples
from dagster_project.interp.loading import wrap
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.rerun import Rerun, rerun
from dagster_project.interp.site_names import site_names
from tests.interp import spliced
from tests.interp.spliced import make

SITES = site_names(2)
PAIRS = make(
    [[5, 17, 30, 41, 8, 33], [9, 60, 22, 4], [7, 3, 50, 6, 44]],
    [[6, 17, 30, 41, 8, 33], [9, 60, 22, 5], [7, 3, 51, 6, 44]],
)
ALONE = make([[5, 17, 30, 41, 8, 33], [9, 60, 22, 4], [7, 3, 50, 6, 44]], None)
SHORTEST = 4
ROWS = torch.tensor([2, 0, 2, 1])  # repeated, in any order


def from_position(model: LanguageModel, examples: Examples, first: int) -> Rerun:
    """Reruns in which the first position that changes is this one."""
    clean = spliced.states(model, examples.clean.ids, SITES)
    pos = torch.arange(examples.clean.ids.shape[1])
    counted = examples.counted() & (pos >= first)
    counted[1] &= pos > first  # not in each example
    return rerun(model, examples, clean, counted)


def moved(x: Tensor, first: int, seed: int) -> Tensor:
    """Clean states with noise from a position on."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x)
    return torch.cat([x[:, :first], x[:, first:] + noise[:, first:]], 1)


@pytest.mark.parametrize(
    ("examples", "first"),
    [*((PAIRS, first) for first in (0, 1, 2, 3, 5)), (ALONE, 2)],
    ids=[*(f"pair-{first}" for first in (0, 1, 2, 3, 5)), "log_prob-2"],
)
def test_every_start_gives_what_a_full_run_gives(
    any_model: LanguageModel, examples: Examples, first: int
) -> None:
    model, chosen = spliced.in_float64(any_model), examples.take(ROWS)
    again = from_position(model, examples, first)
    window = getattr(model.hf.config, "sliding_window", None)
    cut = window and chosen.clean.ids.shape[1] > window  # then nothing is left out
    assert again.first == (0 if cut else min(first, SHORTEST - 1))  # something of the shortest
    assert bool(again.past) == (again.first > 0)
    for seed, site in enumerate([*SITES, "embed"]):  # nothing is left of the first time
        value = moved(again.clean[site][ROWS], again.first, seed).requires_grad_(True)
        expected = spliced.metric(model, chosen, {site: spliced.put(value)})
        (wanted,) = torch.autograd.grad(expected.sum(), value)
        part = value.detach()[:, again.first :].requires_grad_(True)
        found = again.metric(site, part, ROWS)
        (got,) = torch.autograd.grad(found.sum(), part)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(got, wanted[:, again.first :], rtol=1e-8, atol=1e-11)
        assert got.any()


def test_examples_without_a_change_are_rerun_in_full(tiny_neox: LanguageModel) -> None:
    model = spliced.in_float64(tiny_neox)
    clean = spliced.states(model, ALONE.clean.ids, SITES)
    again = rerun(model, ALONE, clean, torch.zeros_like(ALONE.clean.real))
    assert (again.first, again.past) == (0, [])


def test_in_bfloat16_a_later_start_is_near(any_model: LanguageModel) -> None:
    first = 2
    exact = spliced.in_float64(any_model)
    model = wrap(copy.deepcopy(any_model.hf).bfloat16(), any_model.tokenizer)
    again, wide = (from_position(m, PAIRS, first) for m in (model, exact))
    rows = torch.arange(3)
    for site in SITES:
        x = moved(wide.clean[site], first, 0)[:, again.first :]
        part = x.float().requires_grad_(True)
        found = again.metric(site, part, rows)
        (got,) = torch.autograd.grad(found.sum(), part)
        assert got.isfinite().all()
        expected = wide.metric(site, x, rows).float()
        torch.testing.assert_close(found.detach(), expected, rtol=0.1, atol=0.3)
