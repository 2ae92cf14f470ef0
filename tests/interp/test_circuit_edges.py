"""Aggregated edges between kept nodes."""

from __future__ import annotations

import copy
from collections import Counter
from types import SimpleNamespace
from typing import cast

import polars as pl
import pytest
import torch
from torch import Tensor

from dagster_project.interp import circuit_edges as subject
from dagster_project.interp import edges, states
from dagster_project.interp.circuit_edges import Rules, Scene, circuit_edges, scene
from dagster_project.interp.dictionary import Dictionary, SparseDictionary
from dagster_project.interp.edges import upstream
from dagster_project.interp.encoding import Encoded, active_features, encode_some
from dagster_project.interp.loading import wrap
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import attribute
from dagster_project.interp.site_names import site_names
from dagster_project.interp.sparse_features import SparseFeatures
from dagster_project.interp.states import SiteState
from dagster_project.studies.study import NodeEffectsSpec
from tests.interp import spliced
from tests.interp.spliced import CLEAN, PATCH, make

RULES = Rules(0.0, 0, 0)
WITH_ERROR = ("embed", "attn_0", "resid_0", "mlp_1", "resid_1")
"""Sites whose error node is kept."""


def chosen(scene: Scene, site: str) -> list[int]:
    """The features that are active at most tokens; at some sites the error."""
    often = (scene.dictionaries[site].encode(scene.states[site].clean) != 0) & scene.counted[
        ..., None
    ]
    features = often.sum((0, 1)).topk(3).indices.sort().values.tolist()
    return [-1, *features] if site in WITH_ERROR else features


def kept(scene: Scene, positions: list[int] | None = None) -> pl.DataFrame:
    choices: list[int] | list[None] = positions or [None]
    rows = [
        (site, pos, feature)
        for site in scene.dictionaries
        for pos in choices
        for feature in chosen(scene, site)
    ]
    schema = {"site": pl.String, "pos": pl.Int16, "feature": pl.Int32}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_three_nodes_solved_by_hand() -> None:
    # resid_0 feature 1 -> resid_1 feature 0 -> y, two positions, one example; f = relu(x W_encᵀ).
    # resid_0: W_enc = I, W_dec = [[1, 0], [2, 3]]; x_c = (0, 1) at both: f_1 = 1, patched to 0 (no
    # patch): Δf_1 = −1. resid_1: W_enc = I, W_dec = I; x_c = (1, 0) at position 0, (−1, 0) at 1,
    # so feature 0 is on at position 0 alone; ḡ = (5, 7) at both.
    # c = ḡ·W_dec_0 e'_0 = 5·(1, 0); w = ⟨c, W_dec_1⟩ Δf = 5·2·(−1) = −10 at position 0, 0 at 1.
    # resid_1 -> y: (ḡ·W_dec_0) Δf_0 = 5·(0 − 1) = −5 at position 0.
    eye, zero = torch.eye(2), torch.zeros(2)
    dictionaries: dict[str, Dictionary] = {
        "resid_0": SparseDictionary(eye, zero, torch.tensor([[1.0, 0.0], [2.0, 3.0]]), zero),
        "resid_1": SparseDictionary(eye, zero, eye, zero),
    }
    low = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    high = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
    gradient = torch.tensor([5.0, 7.0]).expand(1, 2, 2)
    found = Scene(
        cast(LanguageModel, SimpleNamespace(n_layers=2, parallel=True)),
        dictionaries,
        {"resid_0": low, "resid_1": high},
        {"resid_0": SiteState(low, None, gradient), "resid_1": SiteState(high, None, gradient)},
        torch.ones(1, 2, dtype=torch.bool),
        batch_tokens=64,
    )
    nodes = pl.DataFrame({"site": ["resid_0", "resid_1"], "pos": [None, None], "feature": [1, 0]})
    edges = pl.concat(circuit_edges(found, nodes, Rules(0.0, 0, 0)))
    ends = ["up_site", "up_pos", "up_feature", "down_site", "down_pos", "down_feature"]
    assert edges.select(*ends, "weight").rows() == [
        ("resid_0", None, 1, "resid_1", None, 0, -10.0),
        ("resid_1", None, 0, "y", None, 0, -5.0),
    ]
    nodes = nodes.with_columns(pos=pl.lit(0))
    edges = pl.concat(circuit_edges(found, nodes, Rules(9.0, 0, 0)))
    assert edges.select(*ends, "weight").rows() == [("resid_0", 0, 1, "resid_1", 0, 0, -10.0)]


def weights_of(edges: pl.DataFrame, up: str, down: str) -> dict[tuple[object, ...], float]:
    here = edges.filter(pl.col("up_site") == up, pl.col("down_site") == down)
    rows = here.select("up_pos", "up_feature", "down_pos", "down_feature", "weight").rows()
    return {row[:4]: row[4] for row in rows}


@pytest.fixture(scope="module", params=["pair", "log_prob"])
def case(any_model: LanguageModel, request: pytest.FixtureRequest) -> tuple[Scene, spliced.Case]:
    model, given = spliced.in_float64(any_model), spliced.case_of(request.param)
    dictionaries = spliced.random_dictionaries(model)
    spec, gradients = NodeEffectsSpec(steps=2), {}
    for a in attribute(model, dictionaries, given.examples, spec, 1000, given.bos_id):
        gradients[a.site] = torch.zeros_like(a.gradient)
        gradients[a.site][a.examples] = a.gradient
    return scene(model, dictionaries, given.examples, gradients, 64, given.bos_id), given


@pytest.fixture
def example_scene(case: tuple[Scene, spliced.Case]) -> Scene:
    return case[0]


@pytest.mark.parametrize("positions", [None, [1, 2, 4]])
def test_edges_are_means_of_raw_entries(
    case: tuple[Scene, spliced.Case], positions: list[int] | None
) -> None:
    example_scene, (examples, bos_id) = case
    edges = pl.concat(circuit_edges(example_scene, kept(example_scene, positions), RULES))
    model, n_edges = example_scene.model, 0
    places: list[int] | list[None] = positions or [None]
    for down in site_names(2)[1:]:
        nodes = [(pos, i) for pos in places for i in chosen(example_scene, down)]
        for up in upstream(down, site_names(2), 2, parallel=model.parallel):
            got = weights_of(edges, up, down)
            raw = spliced.edges(
                model,
                example_scene.dictionaries,
                examples,
                (up, down),
                example_scene.states[down].gradient,
                nodes,
                bos_id,
            ).mean(1)
            if positions is None:
                raw = raw.sum(1, keepdim=True)
            expected = {
                (pos, j, *node): float(weights[pos or 0, j])
                for node, weights in zip(nodes, raw, strict=True)
                for pos in places
                for j in chosen(example_scene, up)
            }
            expected = {ends: w for ends, w in expected.items() if abs(w) > 1e-12}
            assert {ends for ends, w in got.items() if abs(w) > 1e-12} == set(expected)
            n_edges += len(expected)
            for ends, weight in expected.items():
                assert got[ends] == pytest.approx(weight, rel=1e-6, abs=1e-9)
    assert n_edges > 60


def test_blocks_and_thresholds(example_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Rules(1e-3, 32, 1)
    whole = pl.concat(circuit_edges(example_scene, kept(example_scene), rules))
    assert (whole["weight"].abs() > 1e-3).all()
    assert whole["share_above"].is_between(0, 1).all()
    assert (whole["low"] <= whole["high"]).all()
    monkeypatch.setattr(subject, "BLOCK", 8)
    parts = pl.concat(circuit_edges(example_scene, kept(example_scene), rules))
    ends = [c for c in whole.columns if c.startswith(("up_", "down_"))]
    assert parts.select(ends).sort(ends).equals(whole.select(ends).sort(ends))
    for column in ("weight", "low", "high"):
        got, expected = (f.sort(ends)[column].to_torch() for f in (parts, whole))
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-8)


def test_a_site_is_encoded_once_and_in_full_only_for_its_error(
    example_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: Counter[tuple[int, bool]] = Counter()

    def counting(dictionary: Dictionary, x: Tensor) -> SparseFeatures:
        encoded[id(dictionary), True] += len(x)
        return active_features(dictionary, x)

    def counting_some(dictionary: Dictionary, x: Tensor, features: Tensor) -> Encoded:
        encoded[id(dictionary), False] += len(x)
        return encode_some(dictionary, x, features)

    monkeypatch.setattr(states, "active_features", counting)
    monkeypatch.setattr(edges, "encode_some", counting_some)
    list(circuit_edges(example_scene, kept(example_scene), RULES))
    runs = 1 if example_scene.states["embed"].patch is None else 2
    tokens = runs * int(example_scene.counted.sum())
    assert encoded == {
        (id(dictionary), site in WITH_ERROR): tokens
        for site, dictionary in example_scene.dictionaries.items()
    }


def test_edges_into_the_metric_are_the_effects_of_the_last_stream(example_scene: Scene) -> None:
    edges = pl.concat(circuit_edges(example_scene, kept(example_scene), RULES))
    into = edges.filter(pl.col("down_site") == "y")
    assert into["up_site"].unique().to_list() == ["resid_1"]
    assert into["down_feature"].to_list() == [0] * len(into)
    assert into["down_pos"].null_count() == len(into)


def test_sites_without_kept_nodes_take_no_part(example_scene: Scene) -> None:
    nodes = kept(example_scene).filter(pl.col("site").is_in(["embed", "resid_0"]))
    edges = pl.concat(circuit_edges(example_scene, nodes, RULES))
    assert set(edges.select("up_site", "down_site").unique().rows()) == {("embed", "resid_0")}


def test_a_bfloat16_model_serves_float32_dictionaries(tiny_llama: LanguageModel) -> None:
    model = wrap(copy.deepcopy(tiny_llama.hf).bfloat16(), tiny_llama.tokenizer)
    dictionaries = {
        site: spliced.converted(d, torch.float32)
        for site, d in spliced.random_dictionaries(model).items()
    }
    examples = make(CLEAN, PATCH)
    spec = NodeEffectsSpec(steps=2)
    found = [*attribute(model, dictionaries, examples, spec, 64)]
    assert all(a.nodes.effect.dtype == torch.float32 for a in found)
    gradients = {a.site: a.gradient for a in found}
    made = scene(model, dictionaries, examples, gradients, 64)
    edges = pl.concat(circuit_edges(made, kept(made), Rules(0.0, 4, 0)))
    assert edges["weight"].is_finite().all()
    assert edges["up_site"].n_unique() == 7
