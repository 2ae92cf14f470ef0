"""The oracle of context features: a float64 model with one dictionary at a time in its graph."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from dagster_project.interp.context_features import Window
from dagster_project.interp.dictionary import Dictionary, IdentityDictionary, SparseDictionary
from dagster_project.interp.model import LanguageModel
from tests.interp.hooked import edited

Key: TypeAlias = tuple[int, int | None, str, int]  # context_id, pos, site, feature
Values: TypeAlias = tuple[float, float | None, float]  # activation, gradient, effect


def in_float64(dictionary: Dictionary) -> Dictionary:
    if isinstance(dictionary, IdentityDictionary):
        return replace(dictionary, dtype=torch.float64)
    assert isinstance(dictionary, SparseDictionary)
    d = dictionary
    return replace(
        d,
        W_enc=d.W_enc.double(),
        b_enc=d.b_enc.double(),
        W_dec=d.W_dec.double(),
        b_dec=d.b_dec.double(),
    )


def readings(logits: Tensor, answer: int) -> dict[str, Tensor]:
    return {
        "log_prob": logits.log_softmax(-1)[answer],
        "logit": logits[answer],
        "logit_minus_mean": logits[answer] - logits.mean(),
    }


def naive(
    model: LanguageModel,
    windows: Sequence[Window],
    dictionaries: Mapping[str, Dictionary],
    metric: str,
) -> dict[Key, Values]:
    """Every node of every window, one window and one site at a time."""
    exact = replace(model, hf=copy.deepcopy(model.hf).double())
    found: dict[Key, Values] = {}
    for window in windows:
        for site, dictionary in dictionaries.items():
            found |= _naive_site(exact, window, site, in_float64(dictionary), metric)
    return found


def _naive_site(
    model: LanguageModel, window: Window, site: str, dictionary: Dictionary, metric: str
) -> dict[Key, Values]:
    leaves: list[Tensor] = []

    def edit(x: Tensor) -> Tensor:
        f = dictionary.encode(x.detach())
        leaves.extend([f.clone().requires_grad_(), x.detach() - dictionary.decode(f)])
        leaves[1].requires_grad_()
        return dictionary.decode(leaves[0]) + leaves[1]

    with edited(model.hf, model.modules, {site: edit}):
        logits = model.hf(torch.tensor([window.ids]), use_cache=False).logits[0, -1]
    df, de = torch.autograd.grad(readings(logits, window.answer_id)[metric], leaves)
    f, error = leaves[0].detach(), leaves[1].detach()
    found: dict[Key, Values] = {}
    for p in range(len(window.ids)):
        pos = p - len(window.ids)
        for i in f[0, p].nonzero()[:, 0].tolist():
            a, g = float(f[0, p, i]), float(df[0, p, i])
            found[window.context_id, pos, site, i] = (a, g, a * g)
        if float(error[0, p].norm()) > 0:
            effect = float((error[0, p] * de[0, p]).sum())
            found[window.context_id, pos, site, -1] = (float(error[0, p].norm()), None, effect)
    return found
