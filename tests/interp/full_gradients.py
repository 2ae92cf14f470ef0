"""Gradients of contexts over the parameters themselves, in float64: what the fast way is held
against."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from dagster_project.interp.context_features import Window
from dagster_project.interp.model import LanguageModel

LEFT_OUT = ("norm", "ln_", "embed", "wte", "wpe", "lm_head")
"""Parts of names of parameters that take no part."""


def full_gradients(model: LanguageModel, contexts: Sequence[Window]) -> list[dict[str, Tensor]]:
    """Of each context alone, by name of the parameter: those of a copy that learns."""
    exact = copy.deepcopy(model.hf).double()
    chosen = {
        name: parameter.requires_grad_(True)
        for name, parameter in exact.named_parameters()
        if not any(part in name for part in LEFT_OUT)
    }
    found = []
    for context in contexts:
        logits = exact(torch.tensor([context.ids]), use_cache=False).logits[0, -1]
        loss = -logits.log_softmax(-1)[context.answer_id]
        gradients = torch.autograd.grad(loss, list(chosen.values()))
        found.append(dict(zip(chosen, gradients, strict=True)))
    return found


def stacked(gradients: Sequence[dict[str, Tensor]]) -> Tensor:
    """[context, parameter] of all parameters in a row."""
    return torch.stack([torch.cat([g.flatten() for g in one.values()]) for one in gradients])
