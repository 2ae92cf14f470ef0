"""Quality of dictionaries on held-out tokens, by site.

Tokens are all but padding and BOS. L0 = features above 0 a token; FVE = 1 − Σ‖x − x̂‖²/Σ‖x − mean‖²
with the mean over the same tokens; loss increase = mean loss (nats) of the next tokens when x̂
stands in x's place at these tokens of this site alone, less the model's own; loss recovered =
1 − increase / (increase when the mean, or zero, stands there); dead fraction = share of features
that are never above 0, on at least `DEAD_TOKENS` tokens or all that there are: the held-out ones,
then others as far as a site still has a silent feature.

Cost: two forwards, and for each site one from that site on, three for `attn_i` and `mlp_i`; an
encode at each; then, where features are silent, forwards of the other tokens with an encode.
Memory: one batch's activations and the features of one site. Sums are float64, everything else is
in the model's type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary, SparseDictionary
from dagster_project.interp.encoding import encode, encode_some
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.predictions import predictions_at_a_time
from dagster_project.interp.replaced_losses import (
    Measured,
    loss_with,
    own_loss,
)
from dagster_project.interp.sequences import Ids, batches, content
from dagster_project.interp.site_names import in_forward_order, site_names
from dagster_project.interp.sites import Batch, activations, final_hidden

DEAD_TOKENS = 1_000_000
REPLACED = ("dictionary", "mean", "zero")  # what may stand in x's place


@dataclass
class Tally:
    """Sums over the tokens seen so far, at one site."""

    fired: Tensor  # [n_features] bool
    active: float = 0.0  # features above 0
    error: float = 0.0  # ‖x − x̂‖²
    variance: float = 0.0  # ‖x − mean‖²
    loss: dict[str, float] = field(default_factory=lambda: dict.fromkeys(REPLACED, 0.0))  # nats

    def add(self, x: Tensor, x_hat: Tensor, f: Tensor, mean: Tensor) -> None:
        """Tokens' x and x_hat [n, d_model] and features f [n, n_features]; mean [d_model]."""
        above = f > 0
        self.active += float(above.sum())
        self.fired |= above.any(0)
        self.error += _square(x - x_hat)
        self.variance += _square(x - mean.to(x))

    @property
    def fve(self) -> float:
        """Fraction of variance explained; of a constant, 1 where it is met and else 0."""
        return 1 - self.error / self.variance if self.variance else float(not self.error)


def _square(x: Tensor) -> float:
    """‖x‖², added up in float64."""
    return float(x.square().sum(dtype=torch.float64))


@torch.no_grad()
def quality(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    held_out: Sequence[Ids],
    further: Iterable[Ids],
    batch_tokens: int,
    bos_id: int | None,
    advance: Callable[[int], None] = lambda _: None,
) -> pl.DataFrame:
    """One row a site: the columns of the `dictionaries` table but its source.

    held_out: documents to measure on; further: others, looked at for silent features alone.
    advance: told of held-out tokens as they are done. Raises ValueError where there is no token
    to predict.
    """
    mean, n_tokens = means(model, list(dictionaries), held_out, batch_tokens, bos_id)
    tallies = {
        site: Tally(torch.zeros(d.n_features, dtype=torch.bool, device=model.device))
        for site, d in dictionaries.items()
    }
    own, n_predicted = 0.0, 0
    for batch in batches(held_out, batch_tokens, model.device):
        loss, predicted = _add_batch(model, dictionaries, tallies, mean, batch, bos_id)
        own, n_predicted = own + loss, n_predicted + predicted
        advance(int(batch.lengths.sum()))
    if not n_predicted:
        raise ValueError("held-out tokens: expected at least one with a next token, found none")
    _look_further(model, dictionaries, tallies, further, n_tokens, batch_tokens, bos_id)
    rows = [
        _row(site, dictionaries[site], tally, own / n_predicted, n_tokens, n_predicted)
        for site, tally in tallies.items()
    ]
    return pl.DataFrame(rows)


def means(
    model: LanguageModel,
    sites: Sequence[str],
    documents: Iterable[Ids],
    batch_tokens: int,
    bos_id: int | None,
) -> tuple[dict[str, Tensor], int]:
    """Mean activation [d_model], float64, at each site over the tokens, and their number."""
    device = model.device
    total = {s: torch.zeros(model.width(s), dtype=torch.float64, device=device) for s in sites}
    n_tokens = 0
    for batch in batches(documents, batch_tokens, device):
        chosen = content(batch, bos_id)
        n_tokens += int(chosen.sum())
        for site, x in activations(model, batch.ids, sites).items():
            total[site] += x[chosen].double().sum(0)
    return {site: sums / max(n_tokens, 1) for site, sums in total.items()}, n_tokens


def _add_batch(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    tallies: Mapping[str, Tally],
    mean: Mapping[str, Tensor],
    batch: Batch,
    bos_id: int | None,
) -> tuple[float, int]:
    """Add a batch to each site's tally; -> the model's own loss, summed, and of how many."""
    chosen = content(batch, bos_id)
    predicts = chosen[:, :-1] & batch.real[:, 1:]
    sites = in_forward_order([*site_names(model.n_layers), *dictionaries])
    clean = activations(model, batch.ids, sites)
    measured = Measured(batch, chosen, predicts, clean)
    for site, dictionary in dictionaries.items():
        x, tally = clean[site][chosen].to(dictionary.bias), tallies[site]
        f = encode(dictionary, x)
        x_hat = dictionary.decode(f)
        tally.add(x, x_hat, f, mean[site])
        values = (x_hat, mean[site].to(x), x.new_zeros(x.shape[-1]))
        for name, value in zip(REPLACED, values, strict=True):
            tally.loss[name] += loss_with(model, measured, site, value)
    return own_loss(model, measured), int(predicts.sum())


def _look_further(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    tallies: Mapping[str, Tally],
    documents: Iterable[Ids],
    n_tokens: int,
    batch_tokens: int,
    bos_id: int | None,
) -> None:
    """Mark features that fire on further documents, up to DEAD_TOKENS tokens in all."""
    for batch in batches(documents, batch_tokens, model.device):
        silent = [site for site, tally in tallies.items() if not tally.fired.all()]
        if not silent or n_tokens >= DEAD_TOKENS:
            return
        chosen = content(batch, bos_id)
        n_tokens += int(chosen.sum())
        for site, x in activations(model, batch.ids, silent).items():
            fired = tallies[site].fired
            silent_here = (~fired).nonzero()[:, 0]
            tokens = x[chosen].to(dictionaries[site].bias)
            found = encode_some(dictionaries[site], tokens, silent_here)
            fired[silent_here] |= (found.features > 0).any(0)


def _row(
    site: str, dictionary: Dictionary, tally: Tally, own: float, n_tokens: int, n_predicted: int
) -> dict[str, str | int | float | None]:
    increase = {name: loss / n_predicted - own for name, loss in tally.loss.items()}
    return {
        "site": site,
        "kind": kind(dictionary),
        "d_model": dictionary.d_model,
        "n_features": dictionary.n_features,
        "l0": tally.active / n_tokens,
        "fve": tally.fve,
        "loss_increase": increase["dictionary"],
        "loss_recovered": recovered(increase["dictionary"], increase["mean"]),
        "loss_recovered_zero": recovered(increase["dictionary"], increase["zero"]),
        "loss_increase_mean": increase["mean"],
        "loss_increase_zero": increase["zero"],
        "loss": own,
        "dead_fraction": float((~tally.fired).double().mean()),
        "n_tokens": n_tokens,
    }


def recovered(increase: float, ablated: float) -> float | None:
    """1 − increase / increase under ablation; None where ablation does no harm."""
    return 1 - increase / ablated if ablated > 0 else None


def kind(dictionary: Dictionary) -> str:
    """topk, relu, jumprelu, or identity."""
    return dictionary.activation if isinstance(dictionary, SparseDictionary) else "identity"


@torch.no_grad()
def splice_error(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    documents: Iterable[Ids],
    batch_tokens: int,
) -> float:
    """max |Δ logit| over real tokens when every site holds decode(f) + ε: rounding alone."""

    def edit(site: str, x: Tensor) -> Tensor:
        tokens = x.flatten(0, 1).to(dictionaries[site].bias)
        x_hat = dictionaries[site].decode(encode(dictionaries[site], tokens)).to(x).view_as(x)
        return x_hat + (x - x_hat)

    worst = 0.0
    rows = predictions_at_a_time(model)
    for batch in batches(documents, batch_tokens, model.device):
        plain = final_hidden(model, batch.ids)[batch.real]
        spliced = final_hidden(model, batch.ids, edit, list(dictionaries))[batch.real]
        for a, b in zip(plain.split(rows), spliced.split(rows), strict=True):
            worst = max(worst, float((model.logits(a) - model.logits(b)).abs().max()))
    return worst
