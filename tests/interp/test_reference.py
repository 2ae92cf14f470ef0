"""Node effects and edges against the reference numbers of a random GPT-NeoX (float32).

Targets of the reference's edges were selected per example and position: nodes whose integrated
gradients effect exceeds the threshold there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from dagster_project.interp.aggregation import aggregate, per_example
from dagster_project.interp.circuits import total_effect
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
from dagster_project.interp.model import LanguageModel, load_model
from dagster_project.interp.node_effects import Attribution, Nodes, attribute
from dagster_project.interp.sites import activations, site_names
from dagster_project.interp.states import SiteState, patch_states
from dagster_project.studies.study import Aggregation, NodeEffectsSpec

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

# What the reference states of a float32 computation against float64
EFFECTS, AGGREGATED, RAW = 1e-6, 5e-7, 2e-6
N_FEATURES, SHAPE = 256, (8, 6)
METRICS = ("pair", "nopair_logit", "nopair_logprob")
SITES = site_names(3)


class Reference(NamedTuple):
    model: LanguageModel
    dictionaries: Mapping[str, Dictionary]
    pairs: pl.DataFrame
    expected: Mapping[str, Array]
    thresholds: Mapping[str, float]  # metric -> of the targets of edges

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
    dictionaries = load_sites(root / "saes", SITES, model.d_model)
    pairs = pl.read_ndjson(root / "pairs.jsonl")
    return Reference(model, dictionaries, pairs, expected, about["node_threshold"])


def close(got: Tensor, expected: Array, rounding: float) -> None:
    """Within 1e-4 of the array's largest value, or three times the rounding."""
    assert got.shape == expected.shape
    largest = float(np.abs(expected).max(initial=0.0))
    assert np.abs(got.numpy() - expected).max(initial=0.0) <= max(1e-4 * largest, 3 * rounding)


def dense(nodes: Nodes) -> Tensor:
    """[example, position, feature + 1]; the last column is the error node."""
    found = torch.zeros(*SHAPE, N_FEATURES + 1)
    found[nodes.example, nodes.pos, nodes.feature] = nodes.effect
    return found


def sparse(expected: Mapping[str, Array], key: str, shape: tuple[int, ...]) -> Array:
    found = np.zeros(shape, dtype=np.float32)
    found[tuple(expected[f"{key}:idx"].astype(int).T)] = expected[f"{key}:val"]
    return found


@pytest.mark.parametrize("method", ["attrib", "ig"])
@pytest.mark.parametrize("metric", METRICS)
def test_node_effects(reference: Reference, metric: str, method: str) -> None:
    for site, found in reference.attribute(metric, method).items():
        got, key = dense(found.nodes), f"{metric}/{method}"
        close(got[..., :-1], reference.expected[f"{key}/effect_act/{site}"], EFFECTS)
        close(got[..., -1:], reference.expected[f"{key}/effect_resc/{site}"], EFFECTS)


def test_total_effect(reference: Reference) -> None:
    got = total_effect(reference.model, reference.examples("pair"), 256)
    expected = reference.expected["pair/ig/total_effect"].mean()
    assert got == pytest.approx(float(expected), abs=3 * EFFECTS)


@pytest.mark.parametrize("metric", ["pair", "nopair_logit"])
@pytest.mark.parametrize("site", SITES)
def test_exact_effects(reference: Reference, metric: str, site: str) -> None:
    examples = reference.examples(metric)
    got = dense(exact(reference.model, reference.dictionaries[site], examples, site, 4096))
    close(got[..., :-1], reference.expected[f"exact/{metric}/effect_act/{site}"], EFFECTS)
    close(got[..., -1], reference.expected[f"exact/{metric}/effect_resc/{site}"], EFFECTS)


@pytest.mark.parametrize("aggregation", ["sum", "none"])
@pytest.mark.parametrize("metric", ["pair", "nopair_logit"])
def test_aggregated_nodes(reference: Reference, metric: str, aggregation: Aggregation) -> None:
    for site, found in reference.attribute(metric, "ig").items():
        key = f"{metric}/circuit_{aggregation}"
        if f"{key}/node_act/{site}" not in reference.expected:
            continue
        table = aggregate(
            per_example(found.nodes, found.examples, aggregation), SHAPE[0], 0.1, 0, 0
        )
        got = torch.zeros(SHAPE[1], N_FEATURES + 1)
        pos = table["pos"].fill_null(0).cast(pl.Int64).to_torch()
        got[pos, table["feature"].cast(pl.Int64).to_torch()] = table["effect"].to_torch()
        got = got[0] if aggregation == "sum" else got
        close(got[..., :-1], reference.expected[f"{key}/node_act/{site}"], AGGREGATED)
        close(got[..., -1:], reference.expected[f"{key}/node_resc/{site}"], AGGREGATED)


@pytest.mark.parametrize("metric", ["pair", "nopair_logit"])
def test_edges(reference: Reference, metric: str) -> None:
    model, examples = reference.model, reference.examples(metric)
    clean = activations(model, examples.clean.ids, SITES)
    patch = patch_states(model, examples, SITES) or {}
    found = reference.attribute(metric, "ig")
    states = {s: SiteState(clean[s], patch.get(s), found[s].gradient) for s in SITES}
    counted, compared = examples.counted() & examples.changed, 0
    every = torch.arange(N_FEATURES)
    ends = {
        site: terms(reference.dictionaries[site], states[site], counted, every, counted)
        for site in SITES
    }
    for down in [*SITES[1:], METRIC]:
        targets = pulled = None
        if down == METRIC:
            pulled = [at_metric(states[SITES[-1]].gradient)]
        else:
            here = ends[down]
            targets = _targets(here, found[down].nodes, reference.thresholds[metric])
            pulled = list(pull_back(model, down, clean, here, targets, 256, N_FEATURES))
        for up in upstream(down, 3, parallel=True):
            from_up = ends[up]
            raw = torch.zeros(*SHAPE, N_FEATURES + 1, SHAPE[1], N_FEATURES + 1)
            for rows in pulled:
                pos = feature = torch.zeros_like(rows.row)
                if targets is not None:
                    pos, feature = targets.pos[rows.row], targets.feature[rows.row]
                at = (rows.example, pos, feature)
                places = rows.pos[:, :, None]
                raw[*(i[:, None, None] for i in at), places, from_up.feature] = weights(
                    from_up, rows
                )
            compared += _compare(reference.expected, f"{metric}", f"{up}->{down}", raw)
    named = {key.split(":")[0] for key in reference.expected if key.startswith(f"{metric}/")}
    assert compared == sum("->" in key for key in named)


def _targets(here: Terms, nodes: Nodes, threshold: float) -> Targets:
    large = nodes.effect.abs() > threshold
    found = Targets(nodes.example[large], nodes.pos[large], nodes.feature[large])
    return found.take(active(here, found).nonzero()[:, 0])


def _compare(expected: Mapping[str, Array], metric: str, edge: str, raw: Tensor) -> int:
    """Number of arrays of this edge that were compared with [b, s_down, f_down, s_up, f_up]."""
    into_metric = edge.endswith("y")
    mean = raw.mean(0)
    none, summed = (mean[0, 0], mean[0, 0].sum(0)) if into_metric else (mean, mean.sum((0, 2)))
    compared = 0
    for kind, got in (("sum", summed), ("none", none)):
        key = f"{metric}/circuit_{kind}/edge/{edge}"
        if f"{key}:idx" in expected:
            close(got, sparse(expected, key, tuple(got.shape)), AGGREGATED)
            compared += 1
    key = f"{metric}/jvp/{edge}"
    if f"{key}:idx" in expected:
        b, s_down, f_down, _, s_up, f_up = expected[f"{key}:idx"].astype(int).T
        full = np.zeros(raw.shape, dtype=np.float32)
        full[b, s_down, f_down, s_up, f_up] = expected[f"{key}:val"]
        close(raw, full, RAW)
        compared += 1
    return compared
