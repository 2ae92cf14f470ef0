"""Node effects, edges and what thresholds select: the reference numbers of a random GPT-NeoX.

Targets of the reference's edges were selected per example and position: nodes whose integrated
gradients effect exceeds the threshold there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from dagster_project.interp.aggregation import aggregate, per_example
from dagster_project.interp.circuits import select_nodes, total_effect
from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.dictionary_files import load_sites
from dagster_project.interp.edges import (
    METRIC,
    Targets,
    Terms,
    active,
    at_metric,
    pull_back,
    terms,
    upstream,
    weights,
)
from dagster_project.interp.exact import exact
from dagster_project.interp.examples import Examples, examples_from
from dagster_project.interp.loading import load_model
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import Attribution, Nodes, attribute
from dagster_project.interp.site_names import site_names
from dagster_project.interp.sites import activations, last_hidden
from dagster_project.interp.states import SiteState, patch_states
from dagster_project.studies.study import Aggregation, NodeEffectsSpec

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

# What the reference states of a float32 computation against float64
EFFECTS, AGGREGATED, RAW = 1e-6, 5e-7, 2e-6
N_FEATURES, SHAPE = 256, (8, 6)
METRICS = ("pair", "nopair_logit", "nopair_logprob")
SITES = site_names(3)
EDGE_THRESHOLDS = 0.005, 0.02


class Reference(NamedTuple):
    model: LanguageModel
    dictionaries: Mapping[str, Dictionary]
    pairs: pl.DataFrame
    expected: Mapping[str, Array]
    thresholds: Mapping[str, float]  # metric -> of the targets of edges
    eval_threshold: float  # of aggregated nodes
    counts: Mapping[str, list[int]]  # metric/site -> features and errors above the threshold

    def examples(self, metric: str) -> Examples:
        if metric == "pair":
            return examples_from(self.pairs)
        alone = self.pairs.with_columns(patch_ids=pl.lit(None, pl.List(pl.Int64)))
        return examples_from(alone, metric="logit" if metric == "nopair_logit" else "log_prob")

    def attribute(self, metric: str, method: str) -> dict[str, Attribution]:
        spec = NodeEffectsSpec(method="ig" if method == "ig" else "attrib", rule="left", steps=10)
        found = attribute(self.model, self.dictionaries, self.examples(metric), spec, 4096)
        return {a.site: a for a in found}


@pytest.fixture(scope="module")
def reference(shared: Path) -> Reference:
    torch.set_num_threads(1)
    root = shared / "reference" / "neox"
    model = load_model(root / "model")
    with np.load(root / "expected.npz") as file:
        expected = {name: file[name] for name in file.files}
    about = json.loads((root / "expected.json").read_text())
    return Reference(
        model,
        load_sites(root / "saes", dict.fromkeys(SITES, model.d_model)),
        pl.read_ndjson(root / "pairs.jsonl"),
        expected,
        about["node_threshold"],
        about["eval_threshold"],
        about["counts"],
    )


def close(got: Tensor, expected: Array, rounding: float) -> None:
    """Within 1e-5 of the array's largest value, or three times the rounding."""
    assert got.shape == expected.shape
    largest = float(np.abs(expected).max(initial=0.0))
    assert np.abs(got.numpy() - expected).max(initial=0.0) <= max(1e-5 * largest, 3 * rounding)


def same_selection(got: Tensor, expected: Array, threshold: float, rounding: float) -> int:
    """How many are above the threshold: the same ones, but for those (hardly any) that rounding
    could put on either side."""
    size = np.abs(expected)
    sure = np.abs(size - threshold) > 3 * rounding
    assert (~sure).sum() <= 1
    assert ((got.abs().numpy() > threshold) == (size > threshold))[sure].all()
    return int((size > threshold).sum())


def dense(nodes: Nodes) -> Tensor:
    """[example, position, feature + 1]; the last column is the error node."""
    found = torch.zeros(*SHAPE, N_FEATURES + 1)
    found[nodes.example, nodes.pos, nodes.feature] = nodes.effect
    return found


def with_error(expected: Mapping[str, Array], name: str, site: str) -> Array:
    """[.., feature + 1] the features' numbers and, last, the error's."""
    features, error = (expected[f"{name}_{part}/{site}"] for part in ("act", "resc"))
    return np.concatenate([features, error.reshape(*features.shape[:-1], 1)], axis=-1)


def sparse(expected: Mapping[str, Array], key: str, shape: tuple[int, ...]) -> Array:
    found = np.zeros(shape, dtype=np.float32)
    found[tuple(expected[f"{key}:idx"].astype(int).T)] = expected[f"{key}:val"]
    return found


def test_the_model(reference: Reference) -> None:
    examples = reference.examples("pair")
    assert examples.patch is not None
    for name, batch in (("clean", examples.clean), ("patch", examples.patch)):
        logits = reference.model.logits(last_hidden(reference.model, batch))
        close(logits, reference.expected[f"logits_{name}_last"], EFFECTS)


@pytest.mark.parametrize("method", ["attrib", "ig"])
@pytest.mark.parametrize("metric", METRICS)
def test_node_effects(reference: Reference, metric: str, method: str) -> None:
    for site, found in reference.attribute(metric, method).items():
        got, key = dense(found.nodes), f"{metric}/{method}"
        close(got[..., :-1], reference.expected[f"{key}/effect_act/{site}"], EFFECTS)
        close(got[..., -1:], reference.expected[f"{key}/effect_resc/{site}"], EFFECTS)


@pytest.mark.parametrize("metric", ["pair", "nopair_logit"])
def test_nodes_above_the_threshold_of_each_example(reference: Reference, metric: str) -> None:
    for site, found in reference.attribute(metric, "ig").items():
        expected = with_error(reference.expected, f"{metric}/ig/effect", site)
        n_nodes = same_selection(
            dense(found.nodes), expected, reference.thresholds[metric], EFFECTS
        )
        assert n_nodes == sum(reference.counts[f"{metric}/{site}"])


def test_total_effect(reference: Reference) -> None:
    """Patching the last stream patches all that the metric reads."""
    got = total_effect(reference.model, reference.examples("pair"), 256)
    for method in ("attrib", "ig"):
        expected = reference.expected[f"pair/{method}/total_effect"]
        assert got == pytest.approx(float(expected.mean()), abs=3 * EFFECTS)
        close(reference.attribute("pair", method)[SITES[-1]].true_change, expected, EFFECTS)


@pytest.mark.parametrize("metric", ["pair", "nopair_logit"])
@pytest.mark.parametrize("site", SITES)
def test_exact_effects(reference: Reference, metric: str, site: str) -> None:
    examples = reference.examples(metric)
    got = dense(exact(reference.model, reference.dictionaries[site], examples, site, 4096))
    close(got[..., :-1], reference.expected[f"exact/{metric}/effect_act/{site}"], EFFECTS)
    close(got[..., -1], reference.expected[f"exact/{metric}/effect_resc/{site}"], EFFECTS)


@pytest.mark.parametrize(
    ("metric", "aggregation"), [("pair", "sum"), ("pair", "none"), ("nopair_logit", "sum")]
)
def test_aggregated_nodes(reference: Reference, metric: str, aggregation: Aggregation) -> None:
    threshold, n_kept = reference.eval_threshold, 0
    for site, found in reference.attribute(metric, "ig").items():
        effects = per_example(found.nodes, found.examples, aggregation)
        table = aggregate(effects, SHAPE[0], 0.1, 0, 0)
        expected = with_error(reference.expected, f"{metric}/circuit_{aggregation}/node", site)
        got, selected = (
            _aggregated(t, aggregation) for t in (table, select_nodes(table, threshold))
        )
        close(got[..., :-1], expected[..., :-1], AGGREGATED)
        close(got[..., -1:], expected[..., -1:], AGGREGATED)
        n_kept += same_selection(selected, expected, threshold, AGGREGATED)
    assert n_kept > 70


def _aggregated(table: pl.DataFrame, aggregation: Aggregation) -> Tensor:
    """[position, feature + 1] effects; summed: [feature + 1]."""
    found = torch.zeros(SHAPE[1], N_FEATURES + 1)
    pos = table["pos"].fill_null(0).cast(pl.Int64).to_torch()
    found[pos, table["feature"].cast(pl.Int64).to_torch()] = table["effect"].to_torch()
    return found[0] if aggregation == "sum" else found


class RawEdges(NamedTuple):
    """Edges from all nodes of one site into targets of another, or into the metric."""

    up: str
    down: str
    targets: Targets
    weight: Tensor  # [target, position, feature + 1]


@pytest.mark.parametrize("metric", ["pair", "nopair_logit"])
def test_edges(reference: Reference, metric: str) -> None:
    compared = {
        key for edges in _edges(reference, metric) for key in _compared(reference, metric, edges)
    }
    named = {key.split(":")[0] for key in reference.expected if key.startswith(f"{metric}/")}
    assert compared == {key for key in named if "->" in key}


def _edges(reference: Reference, metric: str) -> Iterator[RawEdges]:
    model, examples = reference.model, reference.examples(metric)
    clean = activations(model, examples.clean.ids, SITES)
    patch = patch_states(model, examples, SITES) or {}
    found = reference.attribute(metric, "ig")
    states = {s: SiteState(clean[s], patch.get(s), found[s].gradient) for s in SITES}
    counted, every = examples.counted() & examples.changed, torch.arange(N_FEATURES)
    ends = {
        site: terms(reference.dictionaries[site], states[site], counted, every, counted)
        for site in SITES
    }
    for down in [*SITES[1:], METRIC]:
        if down == METRIC:
            zero = torch.zeros(SHAPE[0], dtype=torch.int64)
            targets = Targets(torch.arange(SHAPE[0]), zero, zero)
            pulled = [at_metric(states[SITES[-1]].gradient)]
        else:
            targets = _targets(ends[down], found[down].nodes, reference.thresholds[metric])
            pulled = [*pull_back(model, down, clean, ends[down], targets, 256, N_FEATURES, SITES)]
        for up in upstream(down, site_names(3), 3, parallel=True):
            weight = torch.zeros(len(targets.pos), SHAPE[1], N_FEATURES + 1)
            for rows in pulled:
                places = rows.row[:, None, None], rows.pos[:, :, None], ends[up].feature
                weight[places] = weights(ends[up], rows)
            yield RawEdges(up, down, targets, weight)


def _targets(here: Terms, nodes: Nodes, threshold: float) -> Targets:
    large = nodes.effect.abs() > threshold
    found = Targets(nodes.example[large], nodes.pos[large], nodes.feature[large])
    return found.take(active(here, found).nonzero()[:, 0])


def _compared(reference: Reference, metric: str, edges: RawEdges) -> Iterator[str]:
    """The arrays of the reference that are of these edges, each compared."""
    expected, name = reference.expected, f"{edges.up}->{edges.down}"
    for kind in ("sum", "none"):
        key = f"{metric}/circuit_{kind}/edge/{name}"
        if f"{key}:idx" in expected:
            got = _mean(edges, kind)
            wanted = sparse(expected, key, tuple(got.shape))
            close(got, wanted, AGGREGATED)
            for threshold in EDGE_THRESHOLDS:
                same_selection(got, wanted, threshold, AGGREGATED)
            yield key
    key = f"{metric}/jvp/{name}"
    if f"{key}:idx" in expected:
        example, pos, feature, _, *source = expected[f"{key}:idx"].astype(int).T
        targets = torch.stack(edges.targets).T.remainder(N_FEATURES + 1).tolist()
        row = {tuple(target): i for i, target in enumerate(targets)}
        wanted = np.zeros(edges.weight.shape, dtype=np.float32)
        rows = [row[target] for target in zip(example, pos, feature, strict=True)]
        wanted[rows, *source] = expected[f"{key}:val"]
        close(edges.weight, wanted, RAW)
        yield key


def _mean(edges: RawEdges, kind: str) -> Tensor:
    """Mean over examples [s_down, f_down, s_up, f_up]; sum: [f_down, f_up], over positions."""
    weight, (_, pos, feature) = edges.weight / SHAPE[0], edges.targets
    if edges.down == METRIC:
        return weight.sum((0, 1)) if kind == "sum" else weight.sum(0)
    if kind == "sum":
        found = torch.zeros(N_FEATURES + 1, N_FEATURES + 1)
        return found.index_put_((feature,), weight.sum(1), accumulate=True)
    found = torch.zeros(SHAPE[1], N_FEATURES + 1, SHAPE[1], N_FEATURES + 1)
    return found.index_put_((pos, feature), weight, accumulate=True)
