"""Neurons: a site's own dimensions in place of features, the baseline of feature circuits.

Their node effects are those of identity dictionaries at the same sites: no errors, and a value in
every dimension. With a patch, the way from the clean to the patched state is the same whatever the
dictionary, and so is the mean gradient: that of the features is taken. Without one it ends at 0
instead of at a dictionary's bias. Cost: a forward of clean and patch; without a patch, as node
effects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.aggregation import aggregate, check_lengths, per_example
from dagster_project.interp.dictionary import Dictionary, IdentityDictionary
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import Nodes, attribute, project
from dagster_project.interp.sites import activations
from dagster_project.interp.states import SiteState, patch_states
from dagster_project.studies.study import Aggregation, NodeEffectsSpec


def neurons(dictionaries: Mapping[str, Dictionary]) -> dict[str, Dictionary]:
    """The same sites with their dimensions as features."""
    return {
        site: IdentityDictionary(d.d_model, d.bias.device, d.bias.dtype)
        for site, d in dictionaries.items()
    }


def neuron_effects(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    examples: Examples,
    gradients: Mapping[str, Tensor],
    spec: NodeEffectsSpec,
    aggregation: Aggregation,
    batch_tokens: int,
    bos_id: int | None = None,
) -> pl.DataFrame:
    """site, pos, feature (the dimension), effect: aggregated over the examples.

    gradients: site -> mean gradients [example, position, d_model] of the features' effects by the
    same spec; read where examples have a patch.
    """
    check_lengths(examples, aggregation)
    single = neurons(dictionaries)
    found: Iterable[tuple[str, Tensor, Nodes]]
    if examples.patch is None:
        found = (
            (a.site, a.examples, a.nodes)
            for a in attribute(model, single, examples, spec, batch_tokens, bos_id)
        )
    else:
        found = _projected(model, single, examples, gradients, batch_tokens, bos_id)
    effects: dict[str, list[pl.DataFrame]] = {site: [] for site in single}
    for site, numbers, nodes in found:
        effects[site].append(per_example(nodes, numbers, aggregation))
    return pl.concat(
        aggregate(pl.concat(parts), len(examples), 0.0, 0, spec.seed).select(
            pl.lit(site).alias("site"), "pos", "feature", "effect"
        )
        for site, parts in effects.items()
    )


def _projected(
    model: LanguageModel,
    single: Mapping[str, Dictionary],
    examples: Examples,
    gradients: Mapping[str, Tensor],
    batch_tokens: int,
    bos_id: int | None,
) -> Iterator[tuple[str, Tensor, Nodes]]:
    """(site, numbers of the examples, effects) of pairs, portion after portion."""
    for first, part in examples.portions(batch_tokens):
        numbers = torch.arange(first, first + len(part), device=part.device)
        counted = part.counted(bos_id) & part.changed
        clean = activations(model, part.clean.ids, list(single))
        patch = patch_states(model, part, list(single))
        assert patch is not None
        for site, dictionary in single.items():
            dtype = dictionary.bias.dtype
            gradient = gradients[site][numbers, : counted.shape[1]].to(dtype)
            state = SiteState(clean[site].to(dtype), patch[site].to(dtype), gradient)
            yield site, numbers, project(dictionary, state, counted)
