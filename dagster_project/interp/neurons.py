"""Neurons: a site's own dimensions in place of features, the baseline of feature circuits.

Their node effects are those of identity dictionaries at the same sites: no errors, and a value in
every dimension. Cost: as node effects.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from dagster_project.interp.aggregation import check_lengths
from dagster_project.interp.collection import Collection
from dagster_project.interp.dictionary import Dictionary, IdentityDictionary
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import attribute
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
    spec: NodeEffectsSpec,
    aggregation: Aggregation,
    batch_tokens: int,
    bos_id: int | None = None,
) -> pl.DataFrame:
    """site, pos, feature (the dimension), effect: aggregated over the examples."""
    check_lengths(examples, aggregation)
    collection = Collection(aggregation)
    for found in attribute(model, neurons(dictionaries), examples, spec, batch_tokens, bos_id):
        collection.add(found)
    effects = pl.concat(collection.node_effects(0.0, 0, spec.seed))
    return effects.select("site", "pos", "feature", "effect")
