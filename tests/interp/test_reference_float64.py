"""The reference's GPT-NeoX in float64: the library against an independent computation, and that
computation against the reference numbers. Circuits are compared by the nodes and edges in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from dagster_project.interp.aggregation import aggregate, per_example
from dagster_project.interp.circuit_edges import Rules, circuit_edges, scene
from dagster_project.interp.circuits import select_nodes
from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.dictionary_files import load_sites
from dagster_project.interp.edges import METRIC, upstream
from dagster_project.interp.examples import Examples, examples_from
from dagster_project.interp.loading import load_model
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import Attribution, Nodes, attribute
from dagster_project.interp.site_names import site_names
from dagster_project.studies.study import Aggregation, NodeEffectsSpec
from tests.interp import spliced

SITES = site_names(3)
N_EXAMPLES, N_POSITIONS, N_FEATURES = 8, 6, 256
METRICS = ("pair", "nopair_logit", "nopair_logprob")
SPECS = {
    "attrib": (NodeEffectsSpec(method="attrib"), [0.0]),
    "ig": (NodeEffectsSpec(rule="left"), [k / 10 for k in range(10)]),
}
NODE_THRESHOLDS = {"pair": 0.02, "nopair_logit": 0.04, "nopair_logprob": 0.02}
EDGE_THRESHOLD = 0.002
ROUNDING = 1e-6  # of the reference's own numbers


class Effects(NamedTuple):
    """The library's and the tests' own."""

    library: list[Attribution]
    own: dict[str, tuple[Tensor, Tensor]]  # site -> effects [B, P, F + 1], gradients


@dataclass(frozen=True)
class Reference:
    model: LanguageModel  # in float64
    dictionaries: dict[str, Dictionary]  # in float64
    pairs: pl.DataFrame
    expected: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]
    done: dict[tuple[str, str], Effects] = field(default_factory=dict)

    def effects(self, metric: str, method: str) -> Effects:
        """Computed once."""
        key, examples, (spec, alphas) = (metric, method), self.examples(metric), SPECS[method]
        if key not in self.done:
            found = attribute(self.model, self.dictionaries, examples, spec, 4096)
            own = {
                site: spliced.effects(self.model, dictionary, examples, site, alphas)
                for site, dictionary in self.dictionaries.items()
            }
            self.done[key] = Effects(list(found), own)
        return self.done[key]

    def examples(self, metric: str) -> Examples:
        if metric == "pair":
            return examples_from(self.pairs)
        alone = self.pairs.with_columns(patch_ids=pl.lit(None, pl.List(pl.Int64)))
        return examples_from(alone, metric="logit" if metric == "nopair_logit" else "log_prob")


@pytest.fixture(scope="module")
def reference(shared: Path) -> Reference:
    root = shared / "reference" / "neox"
    model = load_model(root / "model", dtype=torch.float64)
    found = load_sites(root / "saes", dict.fromkeys(SITES, model.d_model))
    with np.load(root / "expected.npz") as file:
        expected = {name: file[name] for name in file.files if "/effect_" in name}
    dictionaries: dict[str, Dictionary] = {s: spliced.converted(d) for s, d in found.items()}
    return Reference(model, dictionaries, pl.read_ndjson(root / "pairs.jsonl"), expected)


def dense(nodes: Nodes) -> Tensor:
    """[example, position, feature + 1]; the last column is the error node."""
    found = torch.zeros(N_EXAMPLES, N_POSITIONS, N_FEATURES + 1, dtype=torch.float64)
    found[nodes.example, nodes.pos, nodes.feature] = nodes.effect
    return found


def close(got: Tensor, expected: Tensor) -> None:
    """Within 1e-6 of the largest value."""
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("method", list(SPECS))
@pytest.mark.parametrize("metric", METRICS)
def test_node_effects(reference: Reference, metric: str, method: str) -> None:
    library, computed = reference.effects(metric, method)
    for found in library:
        own, gradient = computed[found.site]
        close(dense(found.nodes), own)
        close(found.gradient[found.counted], gradient[found.counted])
        parts = (f"{metric}/{method}/effect_{part}/{found.site}" for part in ("act", "resc"))
        expected = np.concatenate([reference.expected[part] for part in parts], axis=-1)
        largest = float(np.abs(expected).max())
        assert np.abs(own.numpy() - expected).max() <= max(1e-5 * largest, 3 * ROUNDING)


@pytest.mark.parametrize(
    ("metric", "aggregation"),
    [("pair", "sum"), ("pair", "none"), ("nopair_logit", "sum"), ("nopair_logprob", "none")],
)
def test_circuits(reference: Reference, metric: str, aggregation: Aggregation) -> None:
    """From effects to thresholded edges: the same nodes, the same edges, the same weights."""
    model, dictionaries = reference.model, reference.dictionaries
    examples, (library, own_effects) = reference.examples(metric), reference.effects(metric, "ig")
    tables, gradients = [], {}
    for found in library:
        effects = per_example(found.nodes, found.examples, aggregation)
        site = pl.lit(found.site).alias("site")
        tables.append(aggregate(effects, N_EXAMPLES, 0.0, 0, 0).select(site, pl.all()))
        gradients[found.site] = found.gradient
    kept = select_nodes(pl.concat(tables), NODE_THRESHOLDS[metric])
    made = scene(model, dictionaries, examples, gradients, 4096)
    edges = pl.concat(circuit_edges(made, kept, Rules(EDGE_THRESHOLD, 0, 0)))
    own = OwnCircuit(reference, examples, own_effects, aggregation, NODE_THRESHOLDS[metric])
    _same(dict_of(kept, ["site", "pos", "feature"], "effect"), own.nodes())
    ends = [f"{end}_{name}" for end in ("up", "down") for name in ("site", "pos", "feature")]
    _same(dict_of(edges, ends, "weight"), own.edges())


Weights: TypeAlias = dict[tuple[object, ...], float]


def dict_of(frame: pl.DataFrame, key: list[str], value: str) -> Weights:
    return {row[:-1]: row[-1] for row in frame.select(*key, value).iter_rows()}


def _same(got: Weights, expected: Weights) -> None:
    assert len(expected) > 40
    assert got.keys() == expected.keys()
    largest = max(map(abs, expected.values()))
    assert max(abs(got[key] - w) for key, w in expected.items()) <= 1e-6 * largest


class OwnCircuit:
    """A circuit by its definition, from dense effects and edges."""

    def __init__(
        self,
        reference: Reference,
        examples: Examples,
        effects: dict[str, tuple[Tensor, Tensor]],
        aggregation: Aggregation,
        threshold: float,
    ) -> None:
        self.reference, self.examples, self.aggregation = reference, examples, aggregation
        self.gradients = {site: gradient for site, (_, gradient) in effects.items()}
        self.mean = {site: self._aggregated(values) for site, (values, _) in effects.items()}
        self.chosen = {
            site: [self._node(*place) for place in (mean.abs() > threshold).nonzero().tolist()]
            for site, mean in self.mean.items()
        }  # (pos, feature) by site

    def _aggregated(self, values: Tensor) -> Tensor:
        """[position or 1, feature + 1] of [example, position, feature + 1]."""
        mean = values.mean(0)
        return mean if self.aggregation == "none" else mean.sum(0, keepdim=True)

    def _node(self, place: int, column: int) -> tuple[int | None, int]:
        feature = -1 if column == N_FEATURES else column
        return (place if self.aggregation == "none" else None), feature

    def nodes(self) -> Weights:
        return {
            (site, *node): float(self.mean[site][node[0] or 0, node[1]])
            for site, found in self.chosen.items()
            for node in found
        }

    def edges(self) -> Weights:
        found: Weights = {}
        for down in [site for site in SITES if self.chosen[site]]:
            for up in upstream(down, site_names(3), 3, parallel=True):
                raw = spliced.edges(
                    self.reference.model,
                    self.reference.dictionaries,
                    self.examples,
                    (up, down),
                    self.gradients[down],
                    self.chosen[down],
                )
                for node, weights in zip(self.chosen[down], raw, strict=True):
                    found |= self._above(up, self._aggregated(weights), (down, *node))
        last = SITES[-1]
        return found | self._above(last, self.mean[last], (METRIC, None, 0))

    def _above(self, up: str, weights: Tensor, down: tuple[object, ...]) -> Weights:
        values = {node: float(weights[node[0] or 0, node[1]]) for node in self.chosen[up]}
        return {
            (up, *node, *down): weight
            for node, weight in values.items()
            if abs(weight) > EDGE_THRESHOLD
        }
