"""Reruns: the metric once more with one site changed, from there on and from the first change on.

Layers below the site are not computed; neither are positions before the first at which anything
changes in a batch, whose keys and values are those of the clean prompts; nor, in the last layer,
whose sites reach the metric at their own position alone, positions that the metric does not read.
Memory: keys and values of the unchanged positions, in all layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import parse_site
from dagster_project.interp.sites import Batch, at_last, metric_from
from dagster_project.interp.states import States

if TYPE_CHECKING:
    from transformers import Cache

Past: TypeAlias = list[tuple[Tensor, Tensor]]
"""Keys and values [example, head, position, ..] of each layer."""


@dataclass(frozen=True)
class Rerun:
    """Examples whose states are known."""

    model: LanguageModel
    examples: Examples
    clean: States  # of all sites, all positions
    first: int  # the first position that may hold another state than its clean one
    past: Past  # of the positions before; empty: there are none

    def metric(self, site: str, value: Tensor, rows: Tensor) -> Tensor:
        """The discovery metric [n] of examples rows [n] when the site holds value.

        value: [n, position, d_model] at the positions from `first` on.
        """
        chosen = self.examples.take(rows)
        lengths = chosen.clean.lengths - self.first
        batch = Batch(chosen.clean.ids[:, self.first :], lengths)
        x, past = value.to(self.model.hf.dtype), self._past(rows)
        below = self._below(site, x, rows)
        if parse_site(site).layer == self.model.n_layers - 1:
            x, below = _last(x, lengths), {s: _last(state, lengths) for s, state in below.items()}
            batch, past = Batch(_last(batch.ids, lengths), torch.ones_like(lengths)), None
        return metric_from(self.model, batch, chosen.discovery_metric(), site, x, below, past)

    def _past(self, rows: Tensor) -> Cache | None:
        """A cache of the examples' own: a forward adds to what it is given."""
        from transformers import DynamicCache

        if not self.past:
            return None
        cache = DynamicCache(config=self.model.hf.config)
        for layer, (keys, values) in enumerate(self.past):
            here = rows.to(keys.device)
            cache.update(keys[here], values[here], layer)
        return cache

    def _below(self, site: str, value: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """What metric_from puts in place of the layers below: all but the last are overwritten."""
        kind, layer = parse_site(site)
        if layer < 1:
            stream = value
        else:
            stream = value.detach() if kind == "resid" else self._clean(f"resid_{layer - 1}", rows)
        states = {f"resid_{i}": stream for i in range(layer)}
        if layer == 0:
            states["embed"] = self._clean("embed", rows)
        if kind == "mlp":
            states[f"attn_{layer}"] = self._clean(f"attn_{layer}", rows)
        return states

    def _clean(self, site: str, rows: Tensor) -> Tensor:
        return self.clean[site][:, self.first :][rows]


def rerun(model: LanguageModel, examples: Examples, clean: States, counted: Tensor) -> Rerun:
    """Reruns of examples with clean states, in which only counted [example, position] tokens
    change."""
    changing = counted.any(0).nonzero()[:, 0]
    first = int(changing[0]) if len(changing) else 0
    first = min(first, int(examples.clean.lengths.min()) - 1)  # something is left of each
    window = getattr(model.hf.config.get_text_config(), "sliding_window", None)
    if first < 1 or (window and examples.clean.ids.shape[1] > window):  # a cache would be cut
        return Rerun(model, examples, clean, 0, [])
    with torch.no_grad():
        prefix = model.hf.base_model(examples.clean.ids[:, :first], use_cache=True)
    past = [(layer.keys, layer.values) for layer in prefix.past_key_values.layers]
    return Rerun(model, examples, clean, first, past)


def _last(states: Tensor, lengths: Tensor) -> Tensor:
    """[n, 1, ..] the last real position of [n, position, ..]."""
    return at_last(states, lengths)[:, None]
