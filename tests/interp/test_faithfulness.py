"""Faithfulness: the grid of circuits, invariants on real and random models."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from dagster_project.interp import faithfulness as module
from dagster_project.interp.ablation import Task, Values, ablation_values
from dagster_project.interp.bootstrap import resampling_weights
from dagster_project.interp.examples import Examples
from dagster_project.interp.faithfulness import faithfulness, from_layer
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.neurons import neuron_effects
from dagster_project.interp.site_names import site_names
from dagster_project.interp.sites import gradients
from dagster_project.studies.study import Ablation, FaithfulnessSpec, NodeEffectsSpec
from tests.interp.ablation_cases import N_FEATURES, random_dictionaries, random_pairs

SPEC = FaithfulnessSpec(
    sizes=(0, 5, 20),
    thresholds=(0.5,),
    ablations=("mean", "resample"),
    errors=("default", "keep", "remove"),
    random_seeds=2,
    bootstrap=20,
)


def test_sites_from_a_layer_on(tiny_neox: LanguageModel) -> None:
    dictionaries = random_dictionaries(tiny_neox)
    assert list(from_layer(dictionaries, -1)) == site_names(2)
    assert list(from_layer(dictionaries, 0)) == site_names(2)[1:]
    assert list(from_layer(dictionaries, 1)) == ["attn_1", "mlp_1", "resid_1"]
    with pytest.raises(ValueError, match="start_layer 2: no site"):
        from_layer(dictionaries, 2)


def _random_effects(model: LanguageModel, positions: list[int | None]) -> pl.DataFrame:
    generator = torch.Generator().manual_seed(0)
    rows = [
        (site, pos, feature, float(torch.randn(1, generator=generator)))
        for site in site_names(model.n_layers)
        for pos in positions
        for feature in range(-1, N_FEATURES)
    ]
    schema = {"site": pl.String, "pos": pl.Int16, "feature": pl.Int32, "effect": pl.Float32}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _rows(
    model: LanguageModel, examples: Examples, spec: FaithfulnessSpec, *, per_position: bool
) -> pl.DataFrame:
    dictionaries = random_dictionaries(model)
    positions: list[int | None] = list(range(4)) if per_position else [None]
    effects = _random_effects(model, positions)
    neurons = neuron_effects(
        model,
        dictionaries,
        examples,
        gradients(model, examples.clean, examples.discovery_metric(), [*dictionaries]).gradient,
        NodeEffectsSpec(method="attrib"),
        "none" if per_position else "sum",
        1000,
    )
    task = Task(model, dictionaries, examples, 1000)
    return faithfulness(task, spec, effects, neurons, [1.5])


@pytest.mark.parametrize("per_position", [True, False])
def test_the_grid_and_its_invariants(any_model: LanguageModel, per_position: bool) -> None:
    lengths = [4, 4, 4, 4] if per_position else [3, 5, 4, 4]
    rows = _rows(any_model, random_pairs(lengths), SPEC, per_position=per_position)
    # features and neurons: 3 sizes, all, 2 thresholds, in 3 error modes; random: 2 seeds of 3
    # sizes, 2 thresholds, in the first
    assert len(rows) == ((6 + 6) * 3 + 2 * 5) * 2
    assert rows.filter(unit="random")["errors"].unique().to_list() == [SPEC.errors[0]]
    key = ["unit", "seed", "selection", "value", "ablation", "errors"]
    assert rows.select(key).is_unique().all()
    assert not any(rows.select(pl.selectors.float().is_nan().any()).row(0))
    times = 4 if per_position else 1
    everything = {"feature": 7 * (N_FEATURES + 1) * times, "neuron": 7 * 16 * times}
    for unit, n_nodes in everything.items():
        whole = rows.filter(unit=unit, selection="top_n", value=n_nodes)
        kept = whole.filter(pl.col("errors") != "remove", pl.col("faithfulness").is_not_null())
        assert len(whole) == 6
        assert len(kept)
        assert _largest(kept["faithfulness"] - 1) < 1e-3
        assert _largest(kept["completeness"]) < 1e-3
        assert (whole.filter(errors="default")["n_nodes"] == n_nodes).all()
    empty = rows.filter(value=0)
    assert _largest(empty["f_circuit"] - empty["f_empty"]) < 1e-4
    scored = empty["faithfulness"].drop_nulls()
    assert len(scored)
    assert _largest(scored) < 1e-3
    by_circuit = empty.filter(errors="default")
    assert _largest(by_circuit["f_complement"] - by_circuit["f_model"]) < 1e-4


def test_accuracy_is_how_often_the_clean_answer_is_preferred(tiny_neox: LanguageModel) -> None:
    examples = random_pairs([4, 4, 4, 4, 4])
    spec = replace(SPEC, sizes=(2,), units=("feature",), ablations=("zero",))
    rows = _rows(tiny_neox, examples, spec, per_position=False)
    assert examples.patch_answer is not None
    with torch.no_grad():
        logits = tiny_neox.hf(examples.clean.ids).logits[:, -1]
    clean, patch = (
        logits.gather(-1, answer[:, None])[:, 0]
        for answer in (examples.answer, examples.patch_answer)
    )
    assert rows["accuracy"].unique().to_list() == pytest.approx([float((clean > patch).sum()) / 5])
    alone = replace(examples, patch=None, patch_answer=None, metric="log_prob")
    rows = _rows(tiny_neox, alone, spec, per_position=False)
    assert rows["accuracy"].null_count() == len(rows)


def _largest(values: pl.Series) -> float:
    return float(np.abs(values.to_numpy()).max(initial=0.0))


def test_sizes_and_errors_are_counted(tiny_neox: LanguageModel) -> None:
    rows = _rows(tiny_neox, random_pairs([4, 3]), SPEC, per_position=False)
    first = rows.filter(ablation="mean", selection="top_n", value=20, unit="feature").sort("errors")
    effects = _random_effects(tiny_neox, [None])
    top = effects.sort(pl.col("effect").abs(), descending=True).head(20)
    n_errors = len(top.filter(feature=-1))
    assert first.select("errors", "n_nodes", "n_error_nodes").rows() == [
        ("default", 20, n_errors),
        ("keep", 20 - n_errors + 7, 7),
        ("remove", 20 - n_errors, 0),
    ]
    random = rows.filter(ablation="mean", value=20, unit="random", errors="default")
    assert random["n_nodes"].to_list() == [20, 20]
    assert random["n_error_nodes"].to_list() == [n_errors] * 2
    assert random["seed"].to_list() == [0, 1]
    assert rows.filter(unit="neuron")["n_error_nodes"].sum() == 0


def test_units_that_are_not_asked_for_are_not_computed(tiny_neox: LanguageModel) -> None:
    spec = replace(SPEC, units=("random",), start_layer=1)
    rows = _rows(tiny_neox, random_pairs([4, 3]), spec, per_position=False)
    assert rows["unit"].unique().to_list() == ["random"]
    assert rows["start_layer"].unique().to_list() == [1]


def test_ablation_values_are_not_computed_where_only_neurons_are_asked_for(
    tiny_neox: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []

    def values(ablation: Ablation, task: Task) -> Values:
        asked.append({type(d).__name__ for d in task.dictionaries.values()})
        return ablation_values(ablation, task)

    monkeypatch.setattr(module, "ablation_values", values)
    spec = replace(SPEC, units=("neuron",), ablations=("mean",))
    rows = _rows(tiny_neox, random_pairs([4, 3]), spec, per_position=False)
    assert asked == [{"IdentityDictionary"}]
    assert rows["unit"].unique().to_list() == ["neuron"]


def test_bootstrap_intervals_hold_the_estimate(tiny_llama: LanguageModel) -> None:
    spec = replace(SPEC, bootstrap=200, units=("feature",), errors=("keep",), ablations=("mean",))
    rows = _rows(tiny_llama, random_pairs([4] * 12), spec, per_position=False)
    scored = rows.filter(pl.col("faithfulness").is_not_null())
    assert len(scored)
    assert (scored["low"] <= scored["faithfulness"] + 1e-6).all()
    assert (scored["high"] >= scored["faithfulness"] - 1e-6).all()
    without = replace(spec, bootstrap=0)
    none = _rows(tiny_llama, random_pairs([4] * 12), without, per_position=False)
    assert none["low"].is_null().all()
    assert resampling_weights(12, 0, 0) is None
    assert not any(math.isnan(v) for v in none["faithfulness"].drop_nulls())
