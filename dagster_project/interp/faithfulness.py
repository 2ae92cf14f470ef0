"""Faithfulness: how much of what a model does on a task its circuit does alone.

(F(C) − F(∅)) / (F(M) − F(∅)), and completeness: the same with the circuit's complement in place of
C (Marks et al. 2024, section 3.2). F = −m, as means over the examples of a held-out split, with
a bootstrap interval over them. Circuits: the top nodes by |effect| over a grid of sizes, those
above thresholds, and everything; of features, of neurons at the same sites, and random ones.

Cost: two evaluations (circuit, complement) for each circuit, ablation and error mode, but for
those that come to the same, as of the empty set in every grid. Random circuits, which are many,
are evaluated under the first error mode alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple, TypeAlias

import polars as pl

from dagster_project.interp.ablation import Dictionaries, Task, ablation_values
from dagster_project.interp.bootstrap import resampling_weights
from dagster_project.interp.dictionary import IdentityDictionary
from dagster_project.interp.evaluation import NOTHING, NodeSet, evaluate, metric_of_model
from dagster_project.interp.neurons import neurons
from dagster_project.interp.node_selection import (
    Circuit,
    by_size,
    by_threshold,
    random_circuits,
    ranked,
)
from dagster_project.interp.scores import score
from dagster_project.interp.site_names import parse_site
from dagster_project.interp.states import ERROR
from dagster_project.studies.study import ErrorMode, FaithfulnessSpec, Unit

Row: TypeAlias = dict[str, str | float | None]

SCHEMA = pl.Schema(
    {
        "unit": pl.String(),
        "seed": pl.UInt32(),
        "selection": pl.String(),
        "value": pl.Float64(),
        "ablation": pl.String(),
        "errors": pl.String(),
        "start_layer": pl.Int16(),
        "n_nodes": pl.UInt32(),
        "n_error_nodes": pl.UInt32(),
        "accuracy": pl.Float32(),
        "f_model": pl.Float32(),
        "f_circuit": pl.Float32(),
        "f_empty": pl.Float32(),
        "f_complement": pl.Float32(),
        "faithfulness": pl.Float32(),
        "completeness": pl.Float32(),
        "low": pl.Float32(),
        "high": pl.Float32(),
        "completeness_low": pl.Float32(),
        "completeness_high": pl.Float32(),
    }
)
"""Rows of the faithfulness table, but for method, aggregation and split."""


class Size(NamedTuple):
    """Kept nodes; a node kept at every position counts once."""

    n_nodes: int  # error nodes included
    n_error_nodes: int


def from_layer(dictionaries: Dictionaries, start_layer: int) -> Dictionaries:
    """The dictionaries of the sites from a layer on; −1: all. Raises ValueError for none."""
    found = {s: d for s, d in dictionaries.items() if parse_site(s).layer >= start_layer}
    if not found:
        raise ValueError(f"start_layer {start_layer}: no site from there on in {[*dictionaries]}")
    return found


def faithfulness(
    task: Task,
    spec: FaithfulnessSpec,
    effects: pl.DataFrame,
    neuron_effects: pl.DataFrame | None,
    thresholds: Sequence[float] = (),
) -> pl.DataFrame:
    """Circuits of features, neurons and chance × ablations × error modes. -> SCHEMA

    effects: site, pos, feature, effect of features; neuron_effects: of neurons, needed where
    the spec names that unit. thresholds: besides those of the spec.
    """
    task = task._replace(dictionaries=from_layer(task.dictionaries, spec.start_layer))
    spec = replace(spec, thresholds=tuple(sorted({*spec.thresholds, *thresholds})))
    nodes = ranked(effects, list(task.dictionaries))
    circuits = circuits_of("feature", task, nodes, spec)
    by_feature = circuits if "feature" in spec.units else []
    if "random" in spec.units:
        parts = [c for c in circuits if c.nodes is not None]
        by_seed = [random_circuits(parts, nodes, seed) for seed in range(spec.random_seeds)]
        by_feature = [*by_feature, *chain(*zip(*by_seed, strict=True))]
    rows = list(evaluated(task, spec, by_feature))
    if "neuron" in spec.units:
        assert neuron_effects is not None
        single = task._replace(dictionaries=neurons(task.dictionaries))
        chosen = circuits_of(
            "neuron", single, ranked(neuron_effects, list(single.dictionaries)), spec
        )
        rows += evaluated(single, spec, chosen)
    return pl.DataFrame(rows, schema=SCHEMA)


def circuits_of(
    unit: Unit, task: Task, nodes: pl.DataFrame, spec: FaithfulnessSpec
) -> list[Circuit]:
    """The grid: the first nodes by size, everything, those above thresholds."""
    n_nodes = everything(task, per_position=not nodes["pos"].is_null().all()).n_nodes
    return [
        *by_size(unit, nodes, [n for n in spec.sizes if n < n_nodes]),
        Circuit(unit, "top_n", n_nodes, None),
        *by_threshold(unit, nodes, spec.thresholds),
    ]


def everything(task: Task, *, per_position: bool) -> Size:
    """All nodes of the task's sites; dictionaries without error have no error nodes."""
    times = int(task.examples.counted(task.bos_id)[0].sum()) if per_position else 1
    dictionaries = task.dictionaries.values()
    errors = sum(not isinstance(d, IdentityDictionary) for d in dictionaries) * times
    return Size(sum(d.n_features for d in dictionaries) * times + errors, errors)


def size_of(circuit: Circuit, errors: ErrorMode, every: Size) -> Size:
    """Nodes of a circuit under an error mode."""
    features, chosen = every.n_nodes - every.n_error_nodes, every.n_error_nodes
    if circuit.nodes is not None:
        chosen = len(circuit.nodes.filter(feature=ERROR))
        features = len(circuit.nodes) - chosen
    kept = {"default": chosen, "keep": every.n_error_nodes, "remove": 0}[errors]
    return Size(features + kept, kept)


def evaluated(task: Task, spec: FaithfulnessSpec, circuits: Sequence[Circuit]) -> Iterator[Row]:
    """Rows of circuits × ablations × error modes; random circuits under the first of these."""
    if not circuits:
        return
    by_mode = {
        errors: [c for c in circuits if c.unit != "random" or errors == spec.errors[0]]
        for errors in spec.errors
    }
    per_position = any(c.nodes is not None and c.nodes["pos"].is_not_null().any() for c in circuits)
    every = everything(task, per_position=per_position)
    weights = resampling_weights(len(task.examples), spec.bootstrap, task.seed)
    f_model = metric_of_model(task)
    accuracy = None if task.examples.patch is None else float((f_model > 0).double().mean())
    for ablation in spec.ablations:
        values = ablation_values(ablation, task)
        sets = [_with_complements(chosen, errors) for errors, chosen in by_mode.items()]
        f_sets = evaluate(task, list(chain(*sets)), values).split([len(s) for s in sets])
        for (errors, chosen), (f_empty, *found) in zip(by_mode.items(), f_sets, strict=True):
            f_circuits = zip(chosen, found[::2], found[1::2], strict=True)
            for circuit, f_circuit, f_complement in f_circuits:
                yield {
                    "unit": circuit.unit,
                    "seed": circuit.seed,
                    "selection": circuit.selection,
                    "value": circuit.value,
                    "ablation": ablation,
                    "errors": errors,
                    "start_layer": spec.start_layer,
                    **size_of(circuit, errors, every)._asdict(),
                    "accuracy": accuracy,
                    **score(f_model, f_circuit, f_empty, f_complement, weights)._asdict(),
                }


def _with_complements(circuits: Sequence[Circuit], errors: ErrorMode) -> list[NodeSet]:
    """The empty set, then each circuit and its complement."""
    sets = [NOTHING]
    for circuit in circuits:
        sets += [circuit.node_set(), circuit.node_set().others()]
    return [replace(nodes, errors=errors) for nodes in sets]
