"""Probes: what a linear reading of a site's mean activation over a text tells of the text.

Logistic regression on the activation's mean over the text's tokens but BOS, with scikit-learn's L2
penalty (½ ‖w‖² + Σ log loss, the bias free), by Newton's method: the same data, the same probe.
Node effects on the logit, as in `node_effects` by `attrib` without a patch: f ⊙ ∂logit/∂f at the
texts as they are, summed over positions; positive raises the logit. At the probe's own site that is
exact, since the probe is linear.

Cost: a forward of the texts as far as the site; effects: a backward and an encode at each site too.
Memory: a batch's features of one site; of `features` all texts' means, texts × features a site.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.edit import Edit
from dagster_project.interp.encoding import encode
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import project
from dagster_project.interp.sequences import Ids, buckets, content
from dagster_project.interp.sites import (
    Batch,
    Gradients,
    activations,
    batch_of,
    edited_activation,
    reading_gradients,
)
from dagster_project.interp.states import SiteState, blocks

TOLERANCE = 1e-6
"""Of the gradient's largest part."""


class Probe(NamedTuple):
    """A linear reading of pooled activations."""

    weight: Tensor  # [d_model]
    bias: float

    def logit(self, pooled: Tensor) -> Tensor:
        """[text] of pooled activations [text, d_model]."""
        return pooled @ self.weight.to(pooled) + self.bias

    def predict(self, pooled: Tensor) -> Tensor:
        """[text] bool."""
        return self.logit(pooled) > 0


def fit(pooled: Tensor, label: Tensor) -> Probe:
    """The probe of texts' pooled activations [text, d_model] and labels [text] bool."""
    from sklearn.linear_model import LogisticRegression

    solver = LogisticRegression(solver="newton-cholesky", tol=TOLERANCE)
    solver.fit(pooled.double().cpu().numpy(), label.cpu().numpy())
    return Probe(torch.from_numpy(solver.coef_[0]).to(pooled), float(solver.intercept_[0]))


def mean_over(x: Tensor, counted: Tensor) -> Tensor:
    """[text, ..] mean of x [text, position, ..] over the counted [text, position] tokens."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    weight = counted.to(x)
    return torch.einsum("tp,tp...->t...", weight / weight.sum(1, keepdim=True), x)


def _mean_features(dictionary: Dictionary, x: Tensor, counted: Tensor) -> Tensor:
    """[text, feature] means over the counted tokens of x [text, position, d_model]."""
    sums = x.new_zeros(len(x), dictionary.n_features)
    for text, pos in blocks(dictionary, counted):
        sums.index_add_(0, text, encode(dictionary, x[text, pos]))
    return sums / counted.sum(1, keepdim=True)


@dataclass(frozen=True)
class Reader:
    """Texts as a site's mean activations."""

    model: LanguageModel
    site: str
    batch_tokens: int = 8192
    bos_id: int | None = None  # a token that does not count at position 0; None: all count

    def batches(self, texts: Sequence[Ids]) -> Iterator[tuple[list[int], Batch]]:
        """(numbers of texts, the texts), of like lengths."""
        for rows in buckets([len(ids) for ids in texts], self.batch_tokens):
            yield rows, batch_of([texts[row] for row in rows], self.model.device)

    def pooled(self, texts: Sequence[Ids], edit: Edit | None = None) -> Tensor:
        """[text, d_model], of the model as it is or edited."""
        found = torch.empty(len(texts), self.model.width(self.site))
        for rows, batch in self.batches(texts):
            if edit is None:
                x = activations(self.model, batch.ids, [self.site])[self.site]
            else:
                x = edited_activation(self.model, batch.ids, self.site, edit.on(batch), edit.sites)
            found[rows] = mean_over(x, content(batch, self.bos_id)).float().cpu()
        return found

    def features(
        self, texts: Sequence[Ids], dictionaries: Mapping[str, Dictionary]
    ) -> dict[str, Tensor]:
        """site -> mean activations of its features [text, feature]."""
        found = {site: torch.empty(len(texts), d.n_features) for site, d in dictionaries.items()}
        for rows, batch in self.batches(texts):
            states = activations(self.model, batch.ids, list(dictionaries))
            counted = content(batch, self.bos_id)
            for site, dictionary in dictionaries.items():
                x = states[site].to(dictionary.bias)
                found[site][rows] = _mean_features(dictionary, x, counted).float().cpu()
        return found

    def effects(
        self, texts: Sequence[Ids], dictionaries: Mapping[str, Dictionary], probe: Probe
    ) -> pl.DataFrame:
        """site, pos (null), feature (−1: the error), effect on the logit, and abs_effect.

        Means over texts of Σ effect and of Σ|effect| over positions. dictionaries: of sites up to
        the probe's, which is the last, in forward order.
        """
        sums = {site: torch.zeros(2, d.n_features + 1) for site, d in dictionaries.items()}
        for _, batch in self.batches(texts):
            counted = content(batch, self.bos_id)
            found = self._gradients(batch, counted, probe, list(dictionaries))
            for site, dictionary in dictionaries.items():
                dtype = dictionary.bias.dtype
                x, gradient = found.activation[site].to(dtype), found.gradient[site].to(dtype)
                nodes = project(dictionary, SiteState(x, None, -gradient), counted)  # Δf = −f
                effect = torch.stack([nodes.effect, nodes.effect.abs()]).float().cpu()
                sums[site].index_add_(1, nodes.feature.cpu() + 1, effect)
        return pl.concat(
            pl.DataFrame(
                {
                    "site": site,
                    "pos": pl.repeat(None, total.shape[1], dtype=pl.Int16, eager=True),
                    "feature": pl.Series(range(-1, total.shape[1] - 1), dtype=pl.Int32),
                    "effect": (total[0] / len(texts)).numpy(),
                    "abs_effect": (total[1] / len(texts)).numpy(),
                }
            )
            for site, total in sums.items()
        )

    def _gradients(
        self, batch: Batch, counted: Tensor, probe: Probe, sites: Sequence[str]
    ) -> Gradients:
        """Activations of the sites, and the logit's gradients there."""

        def logit(x: Tensor) -> Tensor:
            return probe.logit(mean_over(x, counted))

        return reading_gradients(self.model, batch.ids, logit, sites)
