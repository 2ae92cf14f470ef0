"""Neurons: effects from the features' mean gradients are those of a path of their own."""

from __future__ import annotations

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from dagster_project.interp.aggregation import aggregate, per_example
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.neurons import neuron_effects, neurons
from dagster_project.interp.node_effects import attribute
from dagster_project.studies.study import Aggregation, NodeEffectsSpec
from tests.interp import spliced
from tests.interp.spliced import CLEAN, PATCH, make

SPEC = NodeEffectsSpec(steps=3)


@pytest.mark.parametrize("aggregation", ["sum", "none"])
@pytest.mark.parametrize("batch_tokens", [5, 8192])  # one example a portion; all at once
def test_of_pairs(tiny_neox: LanguageModel, aggregation: Aggregation, batch_tokens: int) -> None:
    model, examples = spliced.in_float64(tiny_neox), make(CLEAN, PATCH)
    dictionaries = spliced.random_dictionaries(model)
    n, places = examples.clean.ids.shape
    gradients = {site: torch.zeros(n, places, 16, dtype=torch.float64) for site in dictionaries}
    for found in attribute(model, dictionaries, examples, SPEC, 8192):
        width = found.gradient.shape[1]
        gradients[found.site][found.examples, :width] = found.gradient
    own: dict[str, list[pl.DataFrame]] = {site: [] for site in dictionaries}
    for found in attribute(model, neurons(dictionaries), examples, SPEC, 8192):
        own[found.site].append(per_example(found.nodes, found.examples, aggregation))
    expected = pl.concat(
        aggregate(pl.concat(parts), n, 0.0, 0, 0).select(
            pl.lit(site).alias("site"), "pos", "feature", "effect"
        )
        for site, parts in own.items()
    )
    result = neuron_effects(
        model, dictionaries, examples, gradients, SPEC, aggregation, batch_tokens
    )
    keys = ["site", "pos", "feature"]
    assert_frame_equal(result.sort(keys), expected.sort(keys), rel_tol=1e-5, abs_tol=1e-7)
    assert result["effect"].abs().max() > 0.01  # type: ignore[operator]


def test_without_a_patch_they_have_a_path_of_their_own(tiny_neox: LanguageModel) -> None:
    """It ends at 0: the first half of a straight line to 0 in one step is at x / 2."""
    model, examples = spliced.in_float64(tiny_neox), make(CLEAN, None)
    dictionaries = spliced.random_dictionaries(model)
    result = neuron_effects(
        model, dictionaries, examples, {}, NodeEffectsSpec(steps=1), "sum", 8192
    )
    site = "resid_1"
    clean = spliced.states(model, examples.clean.ids, [site])[site]
    half = (clean / 2).requires_grad_()
    value = spliced.metric(model, examples, {site: spliced.put(half)})
    (gradient,) = torch.autograd.grad(value.sum(), half)
    effects = (-gradient * clean * examples.clean.real[..., None]).sum(1).mean(0)
    found = result.filter(site=site).sort("feature")["effect"].to_torch()
    torch.testing.assert_close(found.double(), effects, rtol=1e-5, atol=1e-6)
