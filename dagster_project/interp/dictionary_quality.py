"""Quality of dictionaries on held-out tokens, by site.

Tokens are all but padding and BOS. L0 = features above 0 a token; FVE = 1 − Σ‖x − x̂‖²/Σ‖x − mean‖²
with the mean over the same tokens; loss increase = mean loss (nats) of the next tokens when x̂
stands in x's place at these tokens of this site alone, less the model's own; loss recovered =
1 − increase / (increase when the mean, or zero, stands there); dead fraction = share of features
that are never above 0, on at least `DEAD_TOKENS` tokens or all that there are: the held-out ones,
then others as far as a site still has a silent feature.

Cost: two forwards, and for each site three from that site on; then, where features are silent,
forwards of the other tokens with an encode. Memory: one batch's activations and the features of
one site. Sums are float64, everything else is in the model's type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary, SparseDictionary
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sequences import Ids, batches, content
from dagster_project.interp.sites import (
    Batch,
    activations,
    final_hidden,
    hidden_from,
    site_names,
)

DEAD_TOKENS = 1_000_000
LOGITS = 1 << 24  # logits in memory at a time
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
        self.error += float((x.double() - x_hat.double()).square().sum())
        self.variance += float((x.double() - mean).square().sum())

    @property
    def fve(self) -> float:
        """Fraction of variance explained; of a constant, 1 where it is met and else 0."""
        return 1 - self.error / self.variance if self.variance else float(not self.error)


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
    total = {s: torch.zeros(model.d_model, dtype=torch.float64, device=device) for s in sites}
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
    clean = activations(model, batch.ids, site_names(model.n_layers))
    for site, dictionary in dictionaries.items():
        x, tally = clean[site], tallies[site]
        f = dictionary.encode(x)
        x_hat = dictionary.decode(f)
        tally.add(x[chosen], x_hat[chosen], f[chosen], mean[site])
        for name, value in zip(REPLACED, (x_hat, mean[site].to(x), x.new_zeros(())), strict=True):
            edited = torch.where(chosen[..., None], value, x)
            hidden = hidden_from(model, batch.ids, site, edited, clean)
            tally.loss[name] += summed_loss(model, hidden, batch.ids, predicts)
    own = summed_loss(model, final_hidden(model, batch.ids), batch.ids, predicts)
    return own, int(predicts.sum())


def summed_loss(model: LanguageModel, hidden: Tensor, ids: Tensor, predicts: Tensor) -> float:
    """Σ −log p(next token) in nats over positions predicts [batch, position − 1]."""
    rows = max(1, LOGITS // model.n_vocab)
    total = 0.0
    chunks = zip(
        hidden[:, :-1][predicts].split(rows), ids[:, 1:][predicts].split(rows), strict=True
    )
    for h, targets in chunks:
        logits = model.logits(h).float()
        total += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
    return total


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
            tallies[site].fired |= (dictionaries[site].encode(x[chosen]) > 0).any(0)


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
        x_hat = dictionaries[site].decode(dictionaries[site].encode(x))
        return x_hat + (x - x_hat)

    worst = 0.0
    rows = max(1, LOGITS // model.n_vocab)
    for batch in batches(documents, batch_tokens, model.device):
        plain = final_hidden(model, batch.ids)[batch.real]
        spliced = final_hidden(model, batch.ids, edit, list(dictionaries))[batch.real]
        for a, b in zip(plain.split(rows), spliced.split(rows), strict=True):
            worst = max(worst, float((model.logits(a) - model.logits(b)).abs().max()))
    return worst
