"""Ablation against the reference numbers of a random GPT-NeoX, in float64 against the definitions:
all sites, modes and node sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from dagster_project.interp.ablation import Dictionaries, Task, ablation_values
from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.dictionary_files import load_sites
from dagster_project.interp.evaluation import NOTHING, NodeSet, evaluate, metric_of_model
from dagster_project.interp.examples import Examples, examples_from
from dagster_project.interp.faithfulness import from_layer
from dagster_project.interp.loading import load_model
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import site_names
from dagster_project.studies.study import Ablation, ErrorMode
from tests.interp import spliced

ROUNDING = 6e-6  # of a float32 computation of these numbers, as stated beside them
START_LAYER = {"all": -1, "noembed": 0, "from1": 1}
N_POSITIONS, N_FEATURES = 6, 256
Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


class Case(NamedTuple):
    model: LanguageModel
    dictionaries: dict[str, Dictionary]
    examples: Examples
    threshold: float
    expected: Mapping[str, Array]
    counts: Mapping[str, Mapping[str, list[int]]]  # kept features and errors by site


@pytest.fixture(scope="module")
def case(shared: Path) -> Case:
    folder = shared / "reference" / "neox"
    model = load_model(folder / "model")
    dictionaries = load_sites(
        folder / "saes", dict.fromkeys(site_names(model.n_layers), model.d_model)
    )
    about = json.loads((folder / "expected.json").read_text())
    examples = examples_from(pl.read_ndjson(folder / "pairs.jsonl"))
    with np.load(folder / "expected.npz") as arrays:
        expected = {name: arrays[name] for name in arrays.files}
    counts = {kind: about["ablation"][f"n_nodes/{kind}"] for kind in ("none", "sum")}
    return Case(model, dict(dictionaries), examples, about["eval_threshold"], expected, counts)


@pytest.fixture(scope="module")
def exact(case: Case) -> Case:
    """The same in float64."""
    dictionaries: dict[str, Dictionary] = {
        site: spliced.converted(d) for site, d in case.dictionaries.items()
    }
    return case._replace(model=spliced.in_float64(case.model), dictionaries=dictionaries)


def _node_set(case: Case, aggregation: str) -> NodeSet:
    """Nodes whose reference effect is above the evaluation threshold."""
    nodes = {}
    for site in case.dictionaries:
        parts = [f"pair/circuit_{aggregation}/node_{kind}/{site}" for kind in ("act", "resc")]
        effects = np.concatenate([case.expected[p] for p in parts], axis=-1)  # the error is last
        kept = np.argwhere(np.abs(np.atleast_2d(effects)) > case.threshold)
        is_error = kept[:, 1] == effects.shape[-1] - 1
        assert [(~is_error).sum(), is_error.sum()] == case.counts[aggregation][site]
        kept[is_error, 1] = -1
        if aggregation == "sum":
            kept[:, 0] = -1
        nodes[site] = torch.from_numpy(kept)
    return NodeSet(nodes)


def _sets(case: Case, errors: ErrorMode) -> dict[str, NodeSet]:
    sets = {"empty": NOTHING}
    for aggregation in ("none", "sum"):
        sets[f"{aggregation}/circuit"] = _node_set(case, aggregation)
        sets[f"{aggregation}/complement"] = _node_set(case, aggregation).others()
    return {name: replace(s, errors=errors) for name, s in sets.items()}


def _assert_close(found: Tensor, expected: Array) -> None:
    allowed = max(1e-5 * np.abs(expected).max(), 3 * ROUNDING)
    assert np.abs(found.numpy() - expected).max() <= allowed


def test_model(case: Case) -> None:
    task = Task(case.model, case.dictionaries, case.examples, 64)
    _assert_close(metric_of_model(task), case.expected["abl/fm_per_example"])


@pytest.mark.parametrize("errors", ["default", "keep", "remove"])
@pytest.mark.parametrize("ablation", ["mean", "zero"])
@pytest.mark.parametrize("where", ["all", "noembed", "from1"])
@pytest.mark.parametrize("source", ["patch", "nopatch"])
def test_ablation(
    case: Case, exact: Case, source: str, where: str, ablation: Ablation, errors: ErrorMode
) -> None:
    found, wide = (_evaluated(c, source, where, ablation, errors) for c in (case, exact))
    sites = from_layer(exact.dictionaries, START_LAYER[where])
    held = _held(exact, sites, source, ablation)
    for number, (name, kept) in enumerate(_sets(case, errors).items()):
        expected = case.expected[f"abl/{source}/{where}/{ablation}/{errors}/{name}"]
        own = _own(exact, sites, kept, held)
        _assert_close(found[number], expected)
        _assert_close(own, expected)
        atol = 1e-6 * float(own.abs().max())
        torch.testing.assert_close(wide[number].double(), own, rtol=0, atol=atol)


def _evaluated(
    case: Case, source: str, where: str, ablation: Ablation, errors: ErrorMode
) -> Tensor:
    dictionaries = from_layer(case.dictionaries, START_LAYER[where])
    given = case.examples if source == "patch" else replace(case.examples, patch=None)
    values = ablation_values(ablation, Task(case.model, dictionaries, given))
    sets = [*_sets(case, errors).values()]
    return evaluate(Task(case.model, dictionaries, case.examples), sets, values)


Parts: TypeAlias = tuple[Tensor, Tensor]  # f and ε, or a mask of either


def _held(case: Case, sites: Dictionaries, source: str, ablation: Ablation) -> dict[str, Parts]:
    """What ablated nodes hold at each position, by the definitions."""
    prompts = case.examples.patch if source == "patch" else case.examples.clean
    assert prompts is not None
    found = {}
    for site, x in spliced.states(case.model, prompts.ids, list(sites)).items():
        f, error = (part.mean(0) for part in spliced.decompose(sites[site], x))
        found[site] = (0 * f, 0 * error) if ablation == "zero" else (f, error)
    return found


def _own(case: Case, sites: Dictionaries, kept: NodeSet, held: Mapping[str, Parts]) -> Tensor:
    """F [example] with x' = decode(f') + ε' at all sites, on the stream already edited."""

    def edit(site: str) -> spliced.Edit:
        features, errors = _mask(kept, site)
        f_a, error_a = held[site]

        def edited(x: Tensor) -> Tensor:
            f, error = spliced.decompose(sites[site], x)
            decoded = sites[site].decode(torch.where(features, f, f_a))
            return decoded + torch.where(errors[:, None], error, error_a)

        return edited

    with torch.no_grad():
        return -spliced.metric(case.model, case.examples, {site: edit(site) for site in sites})


def _mask(kept: NodeSet, site: str) -> Parts:
    """Kept features [position, feature] and errors [position], bool."""
    chosen = torch.zeros(N_POSITIONS, N_FEATURES + 1, dtype=torch.bool)
    for pos, feature in kept.nodes.get(site, torch.empty(0, 2)).tolist():
        chosen[slice(None) if pos < 0 else pos, feature] = True
    chosen ^= kept.complement
    errors = {"keep": torch.ones(N_POSITIONS), "remove": torch.zeros(N_POSITIONS)}
    return chosen[:, :-1], errors.get(kept.errors, chosen[:, -1]).bool()
