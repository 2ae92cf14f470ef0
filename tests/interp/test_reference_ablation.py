"""Ablation against the reference numbers of a random GPT-NeoX: all sites, modes and node sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from dagster_project.interp.ablation import Dictionaries, Task, ablation_values
from dagster_project.interp.dictionary import Dictionary, SparseDictionary
from dagster_project.interp.evaluation import NOTHING, NodeSet, evaluate, metric_of_model
from dagster_project.interp.examples import Examples, examples_from
from dagster_project.interp.faithfulness import from_layer
from dagster_project.interp.model import LanguageModel, load_model
from dagster_project.interp.sites import parse_site, site_names
from dagster_project.studies.study import Ablation, ErrorMode

ROUNDING = 6e-6  # of a float32 computation of these numbers, as stated beside them
START_LAYER = {"all": -1, "noembed": 0, "from1": 1}
FOLDER = {"attn": "attn_out_layer", "mlp": "mlp_out_layer", "resid": "resid_out_layer"}


class Case(NamedTuple):
    model: LanguageModel
    dictionaries: dict[str, Dictionary]
    examples: Examples
    threshold: float
    expected: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]


@pytest.fixture(scope="module")
def case(shared: Path) -> Case:
    folder = shared / "reference" / "neox"
    model = load_model(folder / "model")
    dictionaries = {s: _dictionary(folder / "saes", s) for s in site_names(model.n_layers)}
    threshold = json.loads((folder / "expected.json").read_text())["eval_threshold"]
    examples = examples_from(pl.read_ndjson(folder / "pairs.jsonl"))
    with np.load(folder / "expected.npz") as arrays:
        expected = {name: arrays[name] for name in arrays.files}
    return Case(model, dictionaries, examples, threshold, expected)


def _dictionary(root: Path, site: str) -> Dictionary:
    kind, layer = parse_site(site)
    name = "embed" if kind == "embed" else f"{FOLDER[kind]}{layer}"
    state = torch.load(root / name / "10_256" / "ae.pt", weights_only=True)
    W_enc, bias = state["encoder.weight"], state["bias"]
    W_dec = state["decoder.weight"].T.contiguous()
    return SparseDictionary(W_enc, state["encoder.bias"] - W_enc @ bias, W_dec, bias)


def _node_set(case: Case, aggregation: str) -> NodeSet:
    """Nodes whose reference effect is above the evaluation threshold."""
    nodes = {}
    for site in case.dictionaries:
        parts = [f"pair/circuit_{aggregation}/node_{kind}/{site}" for kind in ("act", "resc")]
        effects = np.concatenate([case.expected[p] for p in parts], axis=-1)  # the error is last
        kept = np.argwhere(np.abs(np.atleast_2d(effects)) > case.threshold)
        kept[kept[:, 1] == effects.shape[-1] - 1, 1] = -1
        if aggregation == "sum":
            kept[:, 0] = -1
        nodes[site] = torch.from_numpy(kept)
    return NodeSet(nodes)


def _sites(case: Case, where: str) -> Dictionaries:
    return from_layer(case.dictionaries, START_LAYER[where])


def _assert_close(
    found: Tensor, expected: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> None:
    allowed = max(1e-4 * np.abs(expected).max(), 3 * ROUNDING)
    assert np.abs(found.numpy() - expected).max() <= allowed


def test_model(case: Case) -> None:
    task = Task(case.model, case.dictionaries, case.examples, 64)
    _assert_close(metric_of_model(task), case.expected["abl/fm_per_example"])


@pytest.mark.parametrize("errors", ["default", "keep", "remove"])
@pytest.mark.parametrize("ablation", ["mean", "zero"])
@pytest.mark.parametrize("where", ["all", "noembed", "from1"])
@pytest.mark.parametrize("source", ["patch", "nopatch"])
def test_ablation(
    case: Case, source: str, where: str, ablation: Ablation, errors: ErrorMode
) -> None:
    dictionaries = _sites(case, where)
    given = case.examples if source == "patch" else replace(case.examples, patch=None)
    values = ablation_values(ablation, Task(case.model, dictionaries, given))
    sets = {"empty": NOTHING}
    for aggregation in ("none", "sum"):
        sets[f"{aggregation}/circuit"] = _node_set(case, aggregation)
        sets[f"{aggregation}/complement"] = _node_set(case, aggregation).others()
    under = [replace(s, errors=errors) for s in sets.values()]
    found = evaluate(Task(case.model, dictionaries, case.examples), under, values)
    for name, per_example in zip(sets, found, strict=True):
        expected = case.expected[f"abl/{source}/{where}/{ablation}/{errors}/{name}"]
        _assert_close(per_example, expected)
