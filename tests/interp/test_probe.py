"""Probes: a fit solved on paper, and effects on the logit against autograd in float64."""

from __future__ import annotations

from math import log, sqrt

import pytest
import torch
from torch import Tensor

from dagster_project.interp.model import LanguageModel
from dagster_project.interp.probe import Probe, Reader, fit, mean_over
from dagster_project.interp.site_names import site_names
from tests.interp import spliced
from tests.interp.hooked import edited

TEXTS = [[5, 17, 30, 41, 8], [9, 60, 22], [3, 4, 50, 6]]


def test_the_fit_of_two_points_by_hand() -> None:
    """Of points ±a with labels 1 and 0, ½ w² + 2 log(1 + e^(−wa)) is least where
    w = 2a / (1 + e^(wa)). With a² = 2 ln 3, w = a / 2 solves it: wa = ln 3, 2a / 4 = a / 2."""
    a = sqrt(2 * log(3))
    probe = fit(torch.tensor([[a, 0.0], [-a, 0.0]]), torch.tensor([True, False]))
    torch.testing.assert_close(probe.weight, torch.tensor([a / 2, 0.0]), rtol=1e-4, atol=1e-4)
    assert probe.bias == pytest.approx(0, abs=1e-4)
    assert probe.predict(torch.tensor([[0.1, 9.0], [-0.1, 9.0]])).tolist() == [True, False]


def test_the_mean_is_over_the_counted_tokens() -> None:
    x = torch.tensor([[[1.0], [3.0], [8.0]], [[5.0], [7.0], [9.0]]])
    counted = torch.tensor([[True, True, False], [False, False, True]])
    assert mean_over(x, counted).tolist() == [[2.0], [9.0]]


@pytest.mark.parametrize("batch_tokens", [1, 10, 1000])
def test_texts_are_pooled_alike_in_any_batch(any_model: LanguageModel, batch_tokens: int) -> None:
    found = Reader(any_model, "mlp_1", batch_tokens).pooled(TEXTS)
    for row, ids in enumerate(TEXTS):
        x = spliced.states(any_model, torch.tensor([ids]), ["mlp_1"])["mlp_1"]
        torch.testing.assert_close(found[row], x[0].mean(0), rtol=1e-4, atol=1e-5)


def test_a_bos_is_not_pooled(tiny_llama: LanguageModel) -> None:
    texts = [[1, 17, 30], [5, 60]]
    found = Reader(tiny_llama, "embed", 100, bos_id=1).pooled(texts)
    x = spliced.states(tiny_llama, torch.tensor([texts[0]]), ["embed"])["embed"][0]
    torch.testing.assert_close(found[0], x[1:].mean(0))


def logit(
    model: LanguageModel, ids: list[int], probe: Probe, edits: dict[str, spliced.Edit]
) -> Tensor:
    """The probe's logit on one text, by hooks."""
    seen: list[Tensor] = []
    last = edits.get("resid_1", lambda x: x)

    def keep(x: Tensor) -> Tensor:
        seen.append(last(x))
        return seen[0]

    with edited(model.hf, model.modules, {**edits, "resid_1": keep}):
        model.hf(input_ids=torch.tensor([ids]), use_cache=False)
    return seen[0][0].mean(0) @ probe.weight + probe.bias


def test_effects_are_those_with_the_dictionary_in_the_graph(any_model: LanguageModel) -> None:
    model = spliced.in_float64(any_model)
    dictionaries = spliced.random_dictionaries(model)
    names = site_names(2)
    assert names[-1] == "resid_1"
    probe = Probe(torch.linspace(-1, 1, 16, dtype=torch.float64), 0.5)
    found = Reader(model, "resid_1", 8).effects(TEXTS, dictionaries, probe)
    for site in names:
        dictionary = dictionaries[site]
        effect, size = torch.zeros(2, dictionary.n_features + 1, dtype=torch.float64)
        for ids in TEXTS:
            x = spliced.states(model, torch.tensor([ids]), [site])[site]
            f, e = (v.requires_grad_(True) for v in spliced.decompose(dictionary, x))
            value = logit(model, ids, probe, {site: spliced.put(dictionary.decode(f) + e)})
            grads = torch.autograd.grad(value, [f, e])
            terms = torch.cat([(grads[1] * e).sum(-1, keepdim=True), grads[0] * f], -1)[0]
            effect += terms.detach().sum(0) / len(TEXTS)
            size += terms.detach().abs().sum(0) / len(TEXTS)
        rows = found.filter(site=site).sort("feature")
        got = torch.from_numpy(rows.select("effect", "abs_effect").to_numpy()).double()
        torch.testing.assert_close(got[:, 0], effect, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(got[:, 1], size, rtol=1e-4, atol=1e-6)


def test_at_the_probes_own_site_effects_add_up_to_the_logit(tiny_neox: LanguageModel) -> None:
    """decode is affine: the logit is its bias and the dictionary's, and the sum of all effects."""
    model = spliced.in_float64(tiny_neox)
    dictionary = spliced.random_dictionaries(model)["resid_1"]
    probe = Probe(torch.linspace(-1, 1, 16, dtype=torch.float64), 0.5)
    reader = Reader(model, "resid_1", 100)
    total = float(reader.effects(TEXTS, {"resid_1": dictionary}, probe)["effect"].sum())
    rest = float(probe.logit(dictionary.bias))
    assert total + rest == pytest.approx(float(probe.logit(reader.pooled(TEXTS)).mean()), rel=1e-5)
