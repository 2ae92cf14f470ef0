"""Edges against a float64 computation with the dictionaries inside the graph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dagster_project.interp import edges
from dagster_project.interp.dictionary import Dictionary, IdentityDictionary, SparseDictionary
from dagster_project.interp.edges import (
    Targets,
    Terms,
    active,
    at_metric,
    cotangents,
    terms,
    upstream,
    weights,
)
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import site_names
from dagster_project.interp.states import SiteState
from tests.interp import spliced
from tests.interp.edge_cases import Case


@pytest.fixture(scope="module", params=["pair", "log_prob"])
def case(any_model: LanguageModel, request: pytest.FixtureRequest) -> Case:
    return Case(spliced.in_float64(any_model), spliced.case_of(request.param))


def test_upstream_sites() -> None:
    assert upstream("embed", site_names(2), 2, parallel=True) == []
    assert upstream("attn_0", site_names(2), 2, parallel=True) == ["embed"]
    assert upstream("mlp_1", site_names(2), 2, parallel=True) == ["resid_0"]
    assert upstream("mlp_1", site_names(2), 2, parallel=False) == ["resid_0", "attn_1"]
    assert upstream("resid_0", site_names(2), 2, parallel=False) == ["embed", "attn_0", "mlp_0"]
    assert upstream("y", site_names(2), 2, parallel=False) == ["resid_1"]


@pytest.mark.parametrize("site", ["attn_0", "mlp_0", "resid_0", "attn_1", "mlp_1", "resid_1"])
def test_edges_are_those_with_the_dictionaries_in_the_graph(case: Case, site: str) -> None:
    features = case.busiest(site)
    targets = case.targets(site, features)
    nodes: list[tuple[int | None, int]] = [
        (pos, i) for i in features for pos in range(case.counted.shape[1])
    ]
    row = {node: i for i, node in enumerate(nodes)}
    rows = [row[pos, i] for pos, i in zip(*map(Tensor.tolist, targets[1:]), strict=True)]
    for up in upstream(site, site_names(2), 2, parallel=case.model.parallel):
        raw = case.raw(up, site, targets)
        expected = spliced.edges(
            case.model,
            case.dictionaries,
            case.examples,
            (up, site),
            case.states[site].gradient,
            nodes,
            case.bos_id,
        )
        assert raw[..., :-1].any()
        assert raw[..., -1].any()
        torch.testing.assert_close(raw, expected[rows, targets.example], rtol=1e-8, atol=1e-11)
        expected[rows, targets.example] = 0  # there are no edges into other nodes
        assert not expected.any()


@pytest.mark.parametrize("site", ["attn_1", "mlp_1", "resid_1"])
def test_blocks_change_nothing(case: Case, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = case.targets(site, case.busiest(site))
    whole = case.raw("resid_0", site, targets, 1000)
    monkeypatch.setattr(edges, "BLOCK", 200)
    parts = case.raw("resid_0", site, targets, 1)
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-13)


def test_edges_into_the_metric_are_node_effects(case: Case) -> None:
    last = case.terms("resid_1")
    value = weights(last, at_metric(last.gradient))
    dense = torch.zeros_like(value)
    dense[..., last.feature] = value
    expected, nodes = torch.zeros_like(value), case.nodes["resid_1"]
    expected[nodes.example, nodes.pos, nodes.feature] = nodes.effect
    torch.testing.assert_close(dense, expected, rtol=1e-9, atol=1e-12)


def test_inactive_features_are_no_targets_but_errors_and_neurons_are() -> None:
    # f = relu(x): feature 0 is active at token 0 alone, feature 1 nowhere
    eye, both = torch.eye(2), torch.ones(1, 2, dtype=torch.bool)
    clean = torch.tensor([[[1.0, -1.0], [-2.0, 0.0]]])
    state = SiteState(clean, None, torch.zeros_like(clean))
    token, feature = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 1, -1, 0, 1, -1])
    targets = Targets(torch.zeros(6, dtype=torch.int64), token, feature)
    dictionary = SparseDictionary(eye, torch.zeros(2), eye, torch.zeros(2))
    for errors in (both, ~both):
        found = terms(dictionary, state, both, torch.arange(2), errors)
        assert active(found, targets).tolist() == [True, False, True, False, False, True]
    neurons = terms(IdentityDictionary(2), state, both, torch.arange(2), both)
    assert active(neurons, targets).all()


def test_cotangents_solved_by_hand() -> None:
    # W_enc = [[1, 0], [1, 1]], W_dec = [[2, 0], [0, 3]], x = (1, 1): f = (1, 2), both active.
    # ḡ = (1, 10): ḡ·W_dec = (2, 30), so c_0 = 2·(1, 0), c_1 = 30·(1, 1),
    # c_ε = ḡ − c_0 − c_1 = (1 − 2 − 30, 10 − 30) = (−31, −20).
    dictionary: Dictionary = SparseDictionary(
        torch.tensor([[1.0, 0.0], [1.0, 1.0]]),
        torch.zeros(2),
        torch.tensor([[2.0, 0.0], [0.0, 3.0]]),
        torch.zeros(2),
    )
    zero = torch.zeros(3, dtype=torch.int64)
    found = cotangents(_one_token(dictionary), Targets(zero, zero, torch.tensor([0, 1, -1])))
    assert found.tolist() == [[2.0, 0.0], [30.0, 30.0], [-31.0, -20.0]]


def test_no_edge_into_the_error_of_the_identity() -> None:
    zero = torch.zeros(1, dtype=torch.int64)
    found = cotangents(_one_token(IdentityDictionary(2)), Targets(zero, zero, zero - 1))
    assert found.tolist() == [[0.0, 0.0]]


def _one_token(dictionary: Dictionary) -> Terms:
    """x = (1, 1), ḡ = (1, 10), both features and the error."""
    state = SiteState(torch.ones(1, 1, 2), None, torch.tensor([[[1.0, 10.0]]]))
    here = torch.ones(1, 1, dtype=torch.bool)
    return terms(dictionary, state, here, torch.arange(2), here)


def test_no_targets_give_no_rows(case: Case) -> None:
    targets = case.targets("attn_0", [-1]).take(torch.zeros(0, dtype=torch.int64))
    assert case.raw("embed", "attn_0", targets).shape[0] == 0
