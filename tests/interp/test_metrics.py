"""Metrics of a bfloat16 model: read in float32, and what is made of them likewise."""

from __future__ import annotations

import copy

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from dagster_project.interp.collection import Collection
from dagster_project.interp.context_features import Window, context_features
from dagster_project.interp.dictionary import Dictionary, IdentityDictionary
from dagster_project.interp.loading import wrap
from dagster_project.interp.metrics import Metric
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import attribute
from dagster_project.studies.study import ContextFeaturesSpec, NodeEffectsSpec
from tests.interp.ablation_cases import random_dictionaries
from tests.interp.spliced import CLEAN, PATCH, make

ANSWER, OTHER = torch.tensor([5, 40]), torch.tensor([17, 2])


@pytest.fixture(scope="module")
def narrow(any_model: LanguageModel) -> LanguageModel:
    return wrap(copy.deepcopy(any_model.hf).bfloat16(), any_model.tokenizer)


def metric(kind: str) -> Metric:
    return Metric(kind, ANSWER, OTHER if kind == "pair" else None, sign=-1)  # type: ignore[arg-type]


def by_definition(kind: str, logits: Tensor) -> Tensor:
    """−m of logits [2, vocabulary], and for `pair` −(logit[patch answer] − logit[answer])."""
    rows = torch.arange(2)
    chosen = logits[rows, ANSWER]
    if kind == "pair":
        return chosen - logits[rows, OTHER]
    over = {"log_prob": logits.logsumexp(-1), "logit_minus_mean": logits.mean(-1)}
    return over.get(kind, torch.zeros(2)) - chosen


@pytest.mark.parametrize("kind", ["pair", "log_prob", "logit", "logit_minus_mean"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_no_metric_is_narrower_than_float32(
    tiny_neox: LanguageModel, kind: str, dtype: torch.dtype
) -> None:
    model = wrap(copy.deepcopy(tiny_neox.hf).to(dtype), tiny_neox.tokenizer)
    hidden = torch.randn(2, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    hidden.requires_grad_(True)
    found = metric(kind)(model, hidden)
    expected = by_definition(kind, hidden.detach().double() @ model.unembedding.double().T)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)
    (gradient,) = torch.autograd.grad(found.sum(), hidden)
    assert gradient.dtype == dtype
    assert gradient.any()


@pytest.mark.parametrize("patch", [PATCH, None])
def test_node_effects_are_near_those_of_float32(
    any_model: LanguageModel, narrow: LanguageModel, patch: list[list[int]] | None
) -> None:
    def effects(model: LanguageModel) -> pl.DataFrame:
        collection, dictionaries = Collection("sum"), random_dictionaries(any_model)
        spec = NodeEffectsSpec(steps=3)
        for found in attribute(model, dictionaries, make(CLEAN, patch), spec, 64):
            collection.add(found)
        return pl.concat(collection.node_effects(0.1, 4, 0))

    keys = ["site", "feature"]
    assert_near(effects(any_model), effects(narrow), keys)


def test_context_features_are_near_those_of_float32(
    any_model: LanguageModel, narrow: LanguageModel
) -> None:
    windows = [Window(7, [1, 20, 33, 41, 5], 12), Window(9, [17, 8, 60], 33)]

    def features(model: LanguageModel) -> pl.DataFrame:
        dictionaries, spec = random_dictionaries(any_model), ContextFeaturesSpec()
        return pl.concat(context_features(model, dictionaries, windows, spec, 64))

    assert_near(features(any_model), features(narrow), ["context_id", "site", "feature"])


def test_nodes_in_bfloat16_become_rows(narrow: LanguageModel) -> None:
    """Neurons of a bfloat16 stream, as they are where no dictionary widens them."""
    neurons: dict[str, Dictionary] = {"resid_0": IdentityDictionary(16, dtype=torch.bfloat16)}
    windows, collection = [Window(9, [17, 8, 60], 33)], Collection("sum")
    rows = pl.concat(context_features(narrow, neurons, windows, ContextFeaturesSpec(), 64))
    assert len(rows) == 16
    for found in attribute(narrow, neurons, make(CLEAN, PATCH), NodeEffectsSpec(steps=2), 64):
        collection.add(found)
    assert len(pl.concat(collection.node_effects(0.1, 0, 0))) == 16


def assert_near(wide: pl.DataFrame, narrow: pl.DataFrame, keys: list[str]) -> None:
    """Effects that agree as well as bfloat16 can: nodes about zero may come and go."""
    both = wide.join(narrow, on=keys, how="full", suffix="_narrow").fill_null(0.0)
    expected, found = (both[name].to_numpy() for name in ("effect", "effect_narrow"))
    assert 0 < np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)
