"""Losses with something else in a site's place: the price of a reconstruction or an ablation.

Losses are −log p of the next tokens, in nats, summed. Where one vector replaces the whole stream
(at `embed`, `mid_i` and `resid_i`), what follows depends on the position alone, and one sequence
stands for a batch. Cost: a forward from the site on, and the logits of every prediction, of which a
few numbers exist at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from dagster_project.interp.model import LanguageModel
from dagster_project.interp.predictions import predictions_at_a_time, score
from dagster_project.interp.site_names import parse_site
from dagster_project.interp.sites import Batch, hidden_from


class Measured(NamedTuple):
    """A batch, as the model sees it, and where it is measured."""

    batch: Batch
    chosen: Tensor  # [batch, position] bool: tokens at which something else stands in a site
    predicts: Tensor  # [batch, position − 1] bool: tokens whose next token's loss counts
    clean: Mapping[str, Tensor]  # site -> activations [batch, position, d_model], of all sites


def own_loss(model: LanguageModel, measured: Measured) -> float:
    """Summed loss of the model as it is."""
    last = f"resid_{model.n_layers - 1}"
    ids, clean = measured.batch.ids, measured.clean
    hidden = hidden_from(model, ids, last, clean[last], clean)
    return summed_loss(model, hidden, ids, measured.predicts)


def loss_with(model: LanguageModel, measured: Measured, site: str, value: Tensor) -> float:
    """Summed loss with value [token, d_model], or one vector [d_model], at the chosen tokens."""
    kind, layer = parse_site(site)
    if value.ndim < 2 and kind in ("embed", "mid", "resid"):
        return _loss_of_constant(model, measured, site, value)
    ids, clean = measured.batch.ids, measured.clean
    edited = clean[site].clone()
    edited[measured.chosen] = value.to(edited)
    if kind == "mlp" or (kind == "attn" and model.parallel):  # the stream alone reads it
        change, site = edited - clean[site], f"resid_{layer}"
        edited = clean[site] + change
    hidden = hidden_from(model, ids, site, edited, clean)
    return summed_loss(model, hidden, ids, measured.predicts)


def _loss_of_constant(model: LanguageModel, measured: Measured, site: str, value: Tensor) -> float:
    """With one vector at all chosen tokens of the whole stream.

    Sequences differ only in whether their first token is chosen: where not, it is BOS in all.
    """
    ids, chosen, total = measured.batch.ids, measured.chosen, 0.0
    for replaced in chosen[:, 0].unique():
        like = chosen[:, 0] == replaced
        one = like.int().argmax()[None]
        states = {name: x[one] for name, x in measured.clean.items()}
        edited = states[site].clone()
        edited[:, int(~replaced) :] = value
        hidden = hidden_from(model, ids[one], site, edited, states)[0, :-1]
        rows = predictions_at_a_time(model)
        for start in range(0, len(hidden), rows):
            log_p = model.logits(hidden[start : start + rows]).float().log_softmax(-1)
            here = measured.predicts[:, start : start + rows] & like[:, None]
            example, pos = here.nonzero(as_tuple=True)
            total -= float(log_p[pos, ids[example, pos + start + 1]].double().sum())
    return total


def summed_loss(model: LanguageModel, hidden: Tensor, ids: Tensor, predicts: Tensor) -> float:
    """Σ −log p(next token) in nats over positions predicts [batch, position − 1]."""
    found = score(model, hidden[:, :-1][predicts], ids[:, 1:][predicts])
    return float(found.loss.double().sum())
