"""What holds for any prompts and dictionaries: properties of effects, edges and evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dagster_project.interp.ablation import Task, ablation_values
from dagster_project.interp.aggregation import aggregate, per_example
from dagster_project.interp.circuit_edges import Rules, circuit_edges, scene
from dagster_project.interp.dictionary import Dictionary, SparseDictionary
from dagster_project.interp.edges import Pulled, Targets, active, cotangents, terms, weights
from dagster_project.interp.evaluation import NOTHING, NodeSet, evaluate, metric_of_model
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import attribute, project
from dagster_project.interp.node_selection import Circuit as ByRule
from dagster_project.interp.scores import score
from dagster_project.interp.states import SiteState
from dagster_project.studies.study import Ablation, ErrorMode, NodeEffectsSpec
from tests.conftest import FAMILIES, make_model
from tests.interp import spliced

few = settings(max_examples=6)
seeds = st.integers(0, 99)
families = st.sampled_from(FAMILIES)
MODES: tuple[ErrorMode, ...] = ("default", "keep", "remove")
ABLATIONS: tuple[Ablation, ...] = ("mean", "resample", "zero")
ENDS = ["up_site", "up_feature", "down_site", "down_feature"]
Key: TypeAlias = tuple[object, ...]
Values: TypeAlias = Mapping[Any, float]


@cache
def model_of(family: str) -> LanguageModel:
    return spliced.in_float64(make_model(family))


@st.composite
def prompts(draw: st.DrawFn) -> Examples:
    """Two or three prompts; patches change a token anywhere, and perhaps others after it."""
    lengths = draw(st.lists(st.integers(2, 6), min_size=2, max_size=3))
    made = torch.Generator().manual_seed(draw(seeds))
    clean = [torch.randint(3, 96, (n,), generator=made).tolist() for n in lengths]
    if not draw(st.booleans()):
        return spliced.make(clean, None, draw(st.sampled_from(["log_prob", "logit"])))
    patch = []
    for ids in clean:
        first = draw(st.integers(0, len(ids) - 1))
        after = [ids[i] if draw(st.booleans()) else 3 + i for i in range(first + 1, len(ids))]
        patch.append([*ids[:first], 3 + (ids[first] - 2) % 93, *after])
    return spliced.make(clean, patch)


dictionaries = st.builds(
    spliced.random_dictionary,
    kind=st.sampled_from(["relu", "topk", "jumprelu"]),
    d_model=st.just(8),
    n_features=st.sampled_from([5, 12, 200]),
    seed=seeds,
)


@settings(max_examples=50)
@given(dictionaries, st.booleans(), seeds)
def test_the_effects_closed_form_is_autograd(
    dictionary: SparseDictionary, patched: bool, seed: int
) -> None:
    made = torch.Generator().manual_seed(seed)
    clean, patch, gradient = torch.randn(3, 2, 3, 8, generator=made, dtype=torch.float64)
    counted = torch.rand(2, 3, generator=made) < 0.7
    state = SiteState(clean, patch if patched else None, gradient)
    nodes = project(dictionary, state, counted)
    f, e = spliced.decompose(dictionary, clean)
    f_p, e_p = spliced.decompose(dictionary, patch) if patched else (0 * f, 0 * e)
    leaves = f.clone().requires_grad_(True), e.clone().requires_grad_(True)
    value = ((dictionary.decode(leaves[0]) + leaves[1]) * gradient).sum()
    df, de = torch.autograd.grad(value, leaves)
    expected = torch.cat([df * (f_p - f), (de * (e_p - e)).sum(-1, keepdim=True)], -1)
    got = torch.zeros_like(expected)
    got[nodes.example, nodes.pos, nodes.feature] = nodes.effect
    torch.testing.assert_close(got, expected * counted[..., None], rtol=1e-9, atol=1e-11)
    assert not ((f == 0) & (f_p == 0))[nodes.example, nodes.pos, nodes.feature.clamp(min=0)][
        nodes.feature >= 0
    ].any()  # a feature that is active in neither run is no node


@settings(max_examples=25)
@given(dictionaries, dictionaries, st.booleans(), seeds)
def test_the_edges_closed_form_is_autograd(
    upper: SparseDictionary, lower: SparseDictionary, patched: bool, seed: int
) -> None:
    """Into the next stream, where x_v = x_u + the rest."""
    made = torch.Generator().manual_seed(seed)
    clean, patch, rest, gradient = torch.randn(4, 1, 2, 8, generator=made, dtype=torch.float64)
    here = torch.ones(1, 2, dtype=torch.bool)
    above, below = (
        terms(d, s, here, torch.arange(d.n_features), here)
        for d, s in (
            (upper, SiteState(clean, patch if patched else None, gradient)),
            (lower, SiteState(clean + rest, None, gradient)),
        )
    )
    f, e = spliced.decompose(upper, clean)
    f_p, e_p = spliced.decompose(upper, patch) if patched else (0 * f, 0 * e)
    leaves = f.clone().requires_grad_(True), e.clone().requires_grad_(True)
    found, error = spliced.decompose(lower, upper.decode(leaves[0]) + leaves[1] + rest)
    value = torch.cat(
        [(gradient @ lower.W_dec.T) * found, (gradient * error).sum(-1, keepdim=True)], -1
    )
    pos, feature = torch.ones_like(value[0], dtype=torch.bool).nonzero().T
    targets = Targets(torch.zeros_like(pos), pos, feature.where(feature < lower.n_features, -1))
    on = active(below, targets)
    targets = targets.take(on.nonzero()[:, 0])
    rows = torch.arange(len(targets.pos))
    cotangent = cotangents(below, targets)[:, None]
    got = weights(above, Pulled(rows, targets.example, targets.pos[:, None], cotangent))[:, 0]
    assert not value[0, pos[~on], feature[~on]].any()
    for row, (_, s, i) in enumerate(zip(*map(Tensor.tolist, targets), strict=True)):
        df, de = torch.autograd.grad(value[0, s, i], leaves, retain_graph=True)
        expected = torch.cat([df * (f_p - f), (de * (e_p - e)).sum(-1, keepdim=True)], -1)[0, s]
        torch.testing.assert_close(got[row], expected, rtol=1e-9, atol=1e-11)


@settings(max_examples=6, derandomize=True)  # how fast they do depends on the draw
@given(families, prompts(), seeds)
def test_effects_add_up_to_the_true_change_as_steps_grow(
    family: str, examples: Examples, seed: int
) -> None:
    """By the midpoint rule the error falls with the square of the steps."""
    model = model_of(family)
    dictionaries = spliced.random_dictionaries(model, seed)

    def residual(steps: int) -> float:
        spec = NodeEffectsSpec(steps=steps)
        found = attribute(model, dictionaries, examples, spec, 1 << 13)
        return max(float((a.total - a.true_change).abs().max()) for a in found)

    few_steps, many = residual(4), residual(64)
    assert many < max(few_steps / 20, 1e-6)


class Circuit(NamedTuple):
    """Aggregated effects of all nodes, and the edges among some of them."""

    effects: Values
    edges: Values


def circuit(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    examples: Examples,
    chosen: pl.DataFrame | None = None,
) -> Circuit:
    """The edges among the chosen nodes; without these, of the effects alone."""
    tables, gradients = [], {}
    for a in attribute(model, dictionaries, examples, NodeEffectsSpec(steps=2), 1 << 13):
        site = pl.lit(a.site).alias("site")
        table = aggregate(per_example(a.nodes, a.examples, "sum"), len(examples), 0.0, 0, 0)
        tables.append(table.select(site, "feature", "effect"))
        gradients[a.site] = torch.zeros_like(a.gradient)
        gradients[a.site][a.examples] = a.gradient
    effects, edges = pl.concat(tables), []
    if chosen is not None:
        made = scene(model, dictionaries, examples, gradients, 64)
        edges = [f.select(*ENDS, "weight") for f in circuit_edges(made, chosen, Rules(0.0, 0, 0))]
    return Circuit(_values([effects]), _values(edges))


def _values(frames: Sequence[pl.DataFrame]) -> Values:
    return {row[:-1]: row[-1] for frame in frames for row in frame.iter_rows()}


def largest(effects: Values, n: int = 60) -> pl.DataFrame:
    """The nodes with the n largest effects."""
    kept = sorted(effects, key=lambda node: -abs(effects[node]))[:n]
    nodes = pl.DataFrame(kept, {"site": pl.String, "feature": pl.Int32}, orient="row")
    return nodes.select("site", pl.lit(None, pl.Int16).alias("pos"), "feature")


def node_set(nodes: pl.DataFrame, errors: ErrorMode) -> NodeSet:
    return replace(ByRule("feature", "top_n", len(nodes), nodes).node_set(), errors=errors)


def same(got: Values, expected: Values) -> None:
    """But for numbers that are 0 up to rounding."""
    top = max(map(abs, expected.values()))
    assert top > 0
    for key in got.keys() | expected.keys():
        assert abs(got.get(key, 0.0) - expected.get(key, 0.0)) <= 1e-6 * top


@few
@given(families, prompts(), seeds, st.sampled_from(ABLATIONS), st.sampled_from(MODES))
def test_a_permutation_of_features_permutes_all(
    family: str, examples: Examples, seed: int, ablation: Ablation, errors: ErrorMode
) -> None:
    model = model_of(family)
    plain = spliced.random_dictionaries(model, seed)
    made = torch.Generator().manual_seed(seed)
    orders = {site: torch.randperm(d.n_features, generator=made) for site, d in plain.items()}
    other = {site: spliced.permuted(d, orders[site]) for site, d in plain.items()}
    place = {site: [*order.argsort().tolist(), -1] for site, order in orders.items()}
    place["y"] = [0]

    nodes = largest(circuit(model, plain, examples).effects)
    moved = [place[site][feature] for site, feature in nodes.select("site", "feature").rows()]
    renamed = nodes.with_columns(feature=pl.Series(moved, dtype=pl.Int32))
    before, after = circuit(model, plain, examples, nodes), circuit(model, other, examples, renamed)
    same(after.effects, {(s, place[s][f]): w for (s, f), w in before.effects.items()})
    ends = {
        (up, place[up][j], down, place[down][i]): w for (up, j, down, i), w in before.edges.items()
    }
    same(after.edges, ends)
    found = []
    for dictionaries, kept in ((plain, nodes), (other, renamed)):
        task = Task(model, dictionaries, examples)
        chosen = node_set(kept, errors)
        found.append(evaluate(task, [chosen, chosen.others()], ablation_values(ablation, task)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)


@few
@given(families, prompts(), seeds)
def test_a_batch_equals_its_examples_one_by_one(family: str, examples: Examples, seed: int) -> None:
    model = model_of(family)
    dictionaries = spliced.random_dictionaries(model, seed)
    nodes = largest(circuit(model, dictionaries, examples).effects)
    whole = circuit(model, dictionaries, examples, nodes)
    singles = [
        circuit(model, dictionaries, examples.rows(i, i + 1), nodes) for i in range(len(examples))
    ]
    for part in range(2):
        mean: dict[Key, float] = {}
        for single in singles:
            for key, value in single[part].items():
                mean[key] = mean.get(key, 0.0) + value / len(examples)
        same(whole[part], mean)


@few
@given(families, prompts(), seeds, st.sampled_from(ABLATIONS))
def test_an_evaluated_batch_equals_its_examples_one_by_one(
    family: str, examples: Examples, seed: int, ablation: Ablation
) -> None:
    model = model_of(family)
    dictionaries = spliced.random_dictionaries(model, seed)
    values = ablation_values(ablation, Task(model, dictionaries, examples))
    made = torch.Generator().manual_seed(seed)
    nodes = {
        site: torch.stack([torch.full((9,), -1), torch.randperm(20, generator=made)[:9] - 1], 1)
        for site in dictionaries
    }
    sets = [replace(s, errors=e) for s in (NodeSet(nodes), NodeSet(nodes, True)) for e in MODES]
    together, single = (
        evaluate(Task(model, dictionaries, examples, n), sets, values) for n in (1 << 13, 1)
    )
    torch.testing.assert_close(together, single, rtol=1e-9, atol=1e-9)


@few
@given(families, prompts(), seeds, st.sampled_from(ABLATIONS), st.sampled_from(MODES[:2]))
def test_everything_has_faithfulness_1_and_nothing_0(
    family: str, examples: Examples, seed: int, ablation: Ablation, errors: ErrorMode
) -> None:
    model = model_of(family)
    dictionaries = spliced.random_dictionaries(model, seed)
    task = Task(model, dictionaries, examples)
    names = {site: torch.arange(-1, d.n_features) for site, d in dictionaries.items()}
    listed = NodeSet({s: torch.stack([0 * f - 1, f], 1) for s, f in names.items()})
    sets = [NOTHING, listed.others(), NOTHING.others(), listed]
    values = ablation_values(ablation, task)
    found = evaluate(task, [replace(s, errors=errors) for s in sets], values)
    f_model, f_empty = metric_of_model(task), found[0]
    torch.testing.assert_close(found[2:], f_model.expand(2, -1), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found[1], f_empty, rtol=1e-9, atol=1e-9)
    scores = [score(f_model, f, f_empty, found[3 - i]) for i, f in enumerate(found)]
    too_near = abs(scores[0].f_model - scores[0].f_empty) < 0.05 * abs(scores[0].f_model)
    for wanted, result in zip((0, 0, 1, 1), scores, strict=True):
        if too_near:
            assert result.faithfulness is None
        else:
            assert result.faithfulness == pytest.approx(wanted, abs=1e-6)
            assert result.completeness == pytest.approx(1 - wanted, abs=1e-6)
