"""The total-effect graph against a float64 computation with dictionaries inside the graph."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple, TypeAlias

import polars as pl
import pytest
import torch

from dagster_project.interp import locate as subject
from dagster_project.interp import total_weights
from dagster_project.interp.aggregation import aggregate, per_example
from dagster_project.interp.circuit_edges import Rules, Scene, SiteNodes, scene
from dagster_project.interp.dictionary import Dictionary, IdentityDictionary, SparseDictionary
from dagster_project.interp.examples import Examples
from dagster_project.interp.loading import wrap
from dagster_project.interp.locate import locate, located_nodes
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import attribute
from dagster_project.interp.site_names import KINDS, USUAL
from dagster_project.interp.states import SiteState
from dagster_project.interp.total_weights import moves
from dagster_project.studies.study import Aggregation, NodeEffectsSpec
from tests.conftest import make_model
from tests.interp import spliced
from tests.interp.spliced import CLEAN, PATCH, make

Node: TypeAlias = tuple[str, int | None, int]
ENDS = ["up_site", "up_pos", "up_feature", "down_site", "down_pos", "down_feature"]


class Case(NamedTuple):
    """A task's examples with their effects."""

    scene: Scene
    examples: Examples
    effects: dict[Aggregation, pl.DataFrame]  # columns of the node_effects table

    def located(
        self, aggregation: Aggregation, metric: float, node: float, resamples: int = 0
    ) -> dict[tuple[Node, Node], float]:
        """Edges with their weights."""
        effects = self.effects[aggregation].filter(pl.col("effect").abs() > metric)
        frame = pl.concat(locate(self.scene, effects, Rules(node, resamples, 0)))
        return {(row[:3], row[3:6]): row[6] for row in frame.select(*ENDS, "weight").rows()}


def case_of(
    model: LanguageModel, examples: Examples, method: str, kinds: Sequence[str] = USUAL
) -> Case:
    dictionaries = spliced.random_dictionaries(model, kinds=kinds)
    dictionaries["mlp_0"] = IdentityDictionary(model.d_model, dtype=torch.float64)
    spec = NodeEffectsSpec(method="ig" if method == "ig" else "attrib", steps=2)
    found = list(attribute(model, dictionaries, examples, spec, 64))
    in_order = {a.site: a.gradient[a.examples.argsort()] for a in found}  # one batch, by length
    made = scene(model, dictionaries, examples, in_order, 64)
    effects: dict[Aggregation, pl.DataFrame] = {}
    for aggregation in ("sum", "none"):
        frames = [
            aggregate(per_example(a.nodes, a.examples, aggregation), len(examples), 0.0, 0, 0)
            for a in found
        ]
        named = [f.with_columns(site=pl.lit(a.site)) for f, a in zip(frames, found, strict=True)]
        effects[aggregation] = pl.concat(named)
    return Case(made, examples, effects)


@pytest.fixture(scope="module", params=["ig pair", "attrib log_prob"])
def case(any_model: LanguageModel, request: pytest.FixtureRequest) -> Case:
    method, metric = request.param.split()
    examples = make(CLEAN, PATCH if metric == "pair" else None)
    return case_of(spliced.in_float64(any_model), examples, method)


class Independent:
    """All total weights into nodes, by one backward a target with the dictionary in the graph."""

    def __init__(self, case: Case, aggregation: Aggregation) -> None:
        self.case, self.aggregation = case, aggregation
        self.joined = cache(self._joined)

    def _joined(self, *pair: str) -> spliced.Joined:
        scene, (up, down) = self.case.scene, pair
        return spliced.Joined(scene.model, scene.dictionaries, self.case.examples, (up, down))

    def into(self, down: Node) -> Iterator[tuple[Node, float]]:
        """Mean weight of each node of each earlier site into a node."""
        site, place, feature = down
        scene = self.case.scene
        where = scene.counted.double()
        if place is not None:
            where = where * (torch.arange(where.shape[1]) == place)
        sites = list(scene.dictionaries)
        for up in sites[: sites.index(site)]:
            raw = self.joined(up, site).weights(scene.states[site].gradient, feature, where)
            mean = (raw * scene.counted[..., None]).mean(0)
            error = scene.dictionaries[up].n_features
            for t, j in mean.nonzero().tolist() if self.aggregation == "none" else []:
                yield (up, t, j if j < error else -1), float(mean[t, j])
            summed = mean.sum(0)
            for (j,) in summed.nonzero().tolist() if self.aggregation == "sum" else []:
                yield (up, None, j if j < error else -1), float(summed[j])

    def graph(self, metric: float, node: float) -> dict[tuple[Node, Node], float]:
        """The graph by its definition: from the metric down, each kept node expanded once."""
        rows = self.case.effects[self.aggregation].select("site", "pos", "feature", "effect").rows()
        found: dict[tuple[Node, Node], float] = {
            (row[:3], ("y", None, 0)): row[3] for row in rows if abs(row[3]) > metric
        }
        done = set[Node]()
        while due := sorted({up for up, _ in found} - done, key=str):
            done.add(due[0])
            for up, weight in self.into(due[0]):
                if abs(weight) > node:
                    found[up, due[0]] = weight
        return found


CHOICES = [("sum", 0.2, 0.4), ("none", 0.2, 0.5), ("sum", 0.4, 0.1)]


@pytest.mark.parametrize(("aggregation", "metric", "node"), CHOICES)
def test_the_graph_is_that_of_its_definition(
    case: Case, aggregation: Aggregation, metric: float, node: float
) -> None:
    metric *= case.effects[aggregation]["effect"].to_torch().abs().max().item()
    expected = Independent(case, aggregation).graph(metric, node)
    into_y = {up for up, down in expected if down[0] == "y"}
    assert 0 < len(into_y) < len({up for up, _ in expected})  # nodes are added
    found = case.located(aggregation, metric, node)
    assert set(found) == set(expected)
    for ends, weight in expected.items():
        assert found[ends] == pytest.approx(weight, rel=2e-6, abs=1e-9)


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_sites_of_every_kind_take_part(family: str) -> None:
    """Attention's values, of their own width, and the stream between attention and MLP."""
    model = spliced.in_float64(make_model(family))
    case = case_of(model, make(CLEAN, PATCH), "attrib", KINDS)
    metric = 0.3 * case.effects["sum"]["effect"].to_torch().abs().max().item()
    expected = Independent(case, "sum").graph(metric, 0.5)
    found = case.located("sum", metric, 0.5)
    ends = {end[0].split("_")[0] for pair in expected for end in pair}
    assert {"z", "mid"} <= ends
    assert set(found) == set(expected)
    for pair, weight in expected.items():
        assert found[pair] == pytest.approx(weight, rel=2e-6, abs=1e-9)


def test_weights_into_all_of_the_last_stream_add_up_to_effects(any_model: LanguageModel) -> None:
    """Its features and its error are all of it, so that nothing reaches the metric past them: with
    one gradient at clean, Σ_i w(i, j) is the effect of j."""
    case = case_of(spliced.in_float64(any_model), make(CLEAN, PATCH), "attrib")
    last, examined = "resid_1", case.scene
    earlier = {
        site: moves(dictionary, examined.states[site], examined.counted, summed=True)
        for site, dictionary in examined.dictionaries.items()
        if site != last
    }
    n_features = examined.dictionaries[last].n_features
    everything = SiteNodes(None, torch.tensor([-1, *range(n_features)]))
    for _, values in total_weights.total_weights(examined, last, everything, earlier):
        assert set(values) == set(earlier)
        for site, weights in values.items():
            cells = earlier[site].cells
            found = cells.totals(weights).sum(1) / len(case.examples)
            effects = case.effects["sum"].filter(site=site)
            by_node = dict(effects.select("feature", "effect").iter_rows())
            expected = [by_node[j] for j in cells.nodes.feature.tolist()]
            torch.testing.assert_close(found.float(), torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_a_skipping_edge_solved_by_hand() -> None:
    # Attention and MLP add nothing, so resid_1 = embed; resid_0 has no dictionary. One token, with
    # x = (3, 1, 0, …), no patch. embed: W_enc = (e0, e1), W_dec = (e0, 2 e1): f = (3, 1),
    # ε = x − (3, 2) = (0, −1), Δf = (−3, −1), Δε = (0, 1). resid_1: W_enc = (e0 + e1),
    # W_dec = (e0), f = 4; ḡ = (5, 7): c = (ḡ·e0)(e0 + e1) = (5, 5).
    # w = ⟨c, e0⟩(−3) = −15, ⟨c, 2 e1⟩(−1) = −10 and ⟨c, Δε⟩ = 5.
    model = make_model("neox")
    for name, weight in model.hf.named_parameters():
        if "dense." in name or "dense_4h_to_h" in name:
            torch.nn.init.zeros_(weight)
    e0, e1 = torch.eye(16)[:2]
    zero = torch.zeros(16)
    dictionaries: dict[str, Dictionary] = {
        "embed": SparseDictionary(torch.stack([e0, e1]), zero[:2], torch.stack([e0, 2 * e1]), zero),
        "resid_1": SparseDictionary((e0 + e1)[None], zero[:1], e0[None], zero),
    }
    x = (3 * e0 + e1)[None, None]
    state = SiteState(x, None, (5 * e0 + 7 * e1)[None, None])
    states = dict.fromkeys(dictionaries, state)
    examined = Scene(model, dictionaries, {"embed": x}, states, torch.ones(1, 1).bool(), 64)
    effect = {"effect": -20.0, "share_above": None, "low": None, "high": None}
    nodes = pl.DataFrame(
        [{"site": "resid_1", "pos": None, "feature": 0, **effect}],
        schema_overrides={"pos": pl.Int16, "feature": pl.Int32, "effect": pl.Float32}
        | dict.fromkeys(("share_above", "low", "high"), pl.Float32),
    )
    edges = pl.concat(locate(examined, nodes, Rules(6.0, 0, 0)))
    assert edges.select(*ENDS, "weight").rows() == [
        ("resid_1", None, 0, "y", None, 0, -20.0),
        ("embed", None, 0, "resid_1", None, 0, -15.0),
        ("embed", None, 1, "resid_1", None, 0, -10.0),
    ]
    everything = pl.concat(locate(examined, nodes, Rules(0.0, 0, 0)))
    assert ("embed", -1, 5.0) in everything.select("up_site", "up_feature", "weight").rows()
    kept = located_nodes(nodes.with_columns(patch_only=pl.lit(0.0)), edges)
    assert kept.select("site", "feature", "effect").rows() == [
        ("embed", 0, 0.0),
        ("embed", 1, 0.0),
        ("resid_1", 0, -20.0),
    ]


@pytest.mark.parametrize("aggregation", ["sum", "none"])
def test_a_batch_is_the_mean_of_its_examples(
    any_model: LanguageModel, aggregation: Aggregation
) -> None:
    """Of unequal lengths too, where effects are summed."""
    model = spliced.in_float64(any_model)
    cut = 5 if aggregation == "none" else 4
    examples = make([CLEAN[0], CLEAN[1][:cut]], [PATCH[0], PATCH[1][:cut]])
    whole = case_of(model, examples, "ig").located(aggregation, 0.0, 0.0)
    mean = dict.fromkeys(whole, 0.0)
    for row in (0, 1):
        single = case_of(model, examples.rows(row, row + 1), "ig").located(aggregation, 0.0, 0.0)
        for ends, weight in single.items():
            mean[ends] += weight / 2
    for ends, weight in whole.items():
        assert mean[ends] == pytest.approx(weight, rel=2e-5, abs=1e-7)


@pytest.mark.parametrize(("aggregation", "metric", "node"), CHOICES[:2])
def test_blocks_and_passes_change_nothing(
    case: Case,
    aggregation: Aggregation,
    metric: float,
    node: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = case.located(aggregation, metric, node)
    for module in (total_weights, subject):
        monkeypatch.setattr(module, "BLOCK", 300)
    monkeypatch.setattr(total_weights, "PASS", 12)
    few = case._replace(scene=replace(case.scene, batch_tokens=5))
    assert few.located(aggregation, metric, node) == pytest.approx(whole, rel=1e-6, abs=1e-9)


def test_bootstrap(case: Case) -> None:
    effects = case.effects["sum"].filter(pl.col("effect").abs() > 0.3)
    first, *rest = locate(case.scene, effects, Rules(0.4, 200, 0))
    assert first.select("weight", "low").equals(effects.select(weight="effect", low="low"))
    edges = pl.concat(rest)
    assert (edges["weight"].abs() > 0.4).all()
    assert (edges["low"] <= edges["weight"]).all()
    assert (edges["weight"] <= edges["high"]).all()
    # of two examples a quarter of the resamples holds one alone, twice
    assert edges["share_above"].is_between(0.4, 1).all()
    assert (edges["low"] < edges["high"]).any()


def test_a_bfloat16_model_serves_float32_dictionaries(tiny_llama: LanguageModel) -> None:
    model = wrap(copy.deepcopy(tiny_llama.hf).bfloat16(), tiny_llama.tokenizer)
    names = ("W_enc", "b_enc", "W_dec", "b_dec")
    dictionaries: dict[str, Dictionary] = {
        site: replace(d, **{n: getattr(d, n).float() for n in names})
        for site, d in spliced.random_dictionaries(model).items()
        if isinstance(d, SparseDictionary)
    }
    examples, spec = make(CLEAN, PATCH), NodeEffectsSpec(method="attrib")
    found = list(attribute(model, dictionaries, examples, spec, 64))
    made = scene(model, dictionaries, examples, {a.site: a.gradient for a in found}, 64)
    effects = pl.concat(
        aggregate(per_example(a.nodes, a.examples, "sum"), 2, 0.0, 0, 0).with_columns(
            site=pl.lit(a.site)
        )
        for a in found
    )
    edges = pl.concat(locate(made, effects, Rules(0.3, 0, 0)))
    assert edges["weight"].is_finite().all()
    assert {"embed", "attn_1"} <= set(edges["up_site"])
