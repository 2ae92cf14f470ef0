"""Loss effects: what an active feature adds to the losses of all that follows it, to first order.

A feature that is on with a at token t puts a·d into its site there, d its decoder row. With L the
sum of the document's losses and g = ∂L/∂x at that token and site, taking it away changes L by
−a (d·g) to first order, so that what it adds is

    a (d · g)        [nats]

Tokens up to t are predicted without it: only what follows counts. Below 0 the feature makes what
follows likelier. True for small changes: of features that add up it is the sum that is right, and
where the model is certain the gradient, and so every effect, is near 0.

Cost: a forward and a backward of the model for all sites together; 2 d_model FLOPs an effect.
Memory: one batch's graph; LOGITS logits at a time.
"""

from __future__ import annotations

import nnsight
import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.feature_tally import Active
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.predictions import predictions_at_a_time
from dagster_project.interp.sites import Batch, read

BLOCK = 1 << 22
"""Numbers of decoder rows held at a time (16 MiB)."""

OfSite = dict[str, Tensor]  # site -> [batch, position, d_model]


@torch.enable_grad()
def loss_gradients(model: LanguageModel, batch: Batch, sites: list[str]) -> tuple[OfSite, OfSite]:
    """Activations of sites (in forward order), and ∂L/∂x there, L the losses of each document."""
    with model.nn.trace(input_ids=batch.ids, use_cache=False):
        stream = model.layers[0].input
        stream.requires_grad_(True)
        found = {site: stream if site == "embed" else read(model, site) for site in sites}
        hidden = nnsight.save(model.head.input.to(model.device))
        model.head.skip(hidden[..., :1])
        found = nnsight.save(found)
    gradients = torch.autograd.grad(hidden, list(found.values()), _at_last(model, batch, hidden))
    here = {site: g.to(model.device) for site, g in zip(found, gradients, strict=True)}
    return {site: x.detach().to(model.device) for site, x in found.items()}, here


def _at_last(model: LanguageModel, batch: Batch, hidden: Tensor) -> Tensor:
    """∂L/∂hidden [batch, position, d_model], of a part of the predictions at a time."""
    predicting = batch.real[:, 1:]  # places that have a real token after them
    targets = batch.ids[:, 1:][predicting]
    rows = predictions_at_a_time(model)
    chosen = hidden.detach()[:, :-1][predicting]
    parts = [
        _slope(model, h, t) for h, t in zip(chosen.split(rows), targets.split(rows), strict=True)
    ]
    gradient = torch.zeros_like(hidden)
    gradient[:, :-1][predicting] = torch.cat(parts)
    return gradient


@torch.enable_grad()
def _slope(model: LanguageModel, hidden: Tensor, targets: Tensor) -> Tensor:
    hidden = hidden.requires_grad_(True)
    log_p = model.logits(hidden).float().log_softmax(-1)
    (gradient,) = torch.autograd.grad(-log_p.gather(-1, targets[:, None]).sum(), hidden)
    return gradient


def loss_effects(
    dictionary: Dictionary, found: Active, number: Tensor, gradient: Tensor, place: Tensor
) -> Tensor:
    """Effects [n] of some active features, in nats. place [n]: of them in `found`.

    gradient [token, d_model]: ∂L/∂x of tokens with these numbers [token].
    """
    order = number.argsort()
    row = order[torch.searchsorted(number[order], found.token[place])]
    feature, activation = found.feature[place], found.activation[place]
    size = max(1, BLOCK // gradient.shape[-1])
    parts = [
        (dictionary.decoder_rows(f).float() * gradient[r].float()).sum(-1)
        for f, r in zip(feature.split(size), row.split(size), strict=True)
    ]
    return activation * torch.cat(parts)
