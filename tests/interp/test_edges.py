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
    pull_back,
    terms,
    upstream,
    weights,
)
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import attribute
from dagster_project.interp.sites import site_names
from dagster_project.interp.states import SiteState
from dagster_project.studies.study import NodeEffectsSpec
from tests.interp import spliced
from tests.interp.spliced import CLEAN, PATCH, make

N_FEATURES = 24


class Case:
    """States and gradients of a model's examples."""

    def __init__(self, model: LanguageModel, examples: Examples) -> None:
        self.model, self.examples = model, examples
        self.dictionaries = spliced.random_dictionaries(model, N_FEATURES)
        names = site_names(model.n_layers)
        self.clean = spliced.states(model, examples.clean.ids, names)
        patch = spliced.patch_states(model, examples, names)
        self.counted = examples.counted() & examples.changed
        self.states = {
            a.site: SiteState(self.clean[a.site], patch.get(a.site), a.gradient)
            for a in attribute(model, self.dictionaries, examples, NodeEffectsSpec(steps=2), 64)
        }

    def terms(self, site: str) -> Terms:
        """All features and the error of a site, at every counted token."""
        every = torch.arange(N_FEATURES)
        dictionary, state = self.dictionaries[site], self.states[site]
        return terms(dictionary, state, self.counted, every, self.counted)

    def targets(self, site: str, features: list[int]) -> Targets:
        """Every counted token of these features, where an edge into them exists."""
        token = self.counted.nonzero()
        example, pos = (column.repeat_interleave(len(features)) for column in token.T)
        found = Targets(example, pos, torch.tensor(features).repeat(len(token)))
        return found.take(active(self.terms(site), found).nonzero()[:, 0])

    def raw(self, up: str, site: str, targets: Targets, batch_tokens: int = 64) -> Tensor:
        """Edges [target, position, F + 1] from all features and the error of a site."""
        above, here = self.terms(up), self.terms(site)
        raw = torch.zeros(len(targets.pos), *self.counted.shape[1:], N_FEATURES + 1).double()
        for pulled in pull_back(
            self.model, site, self.clean, here, targets, batch_tokens, n_columns=N_FEATURES
        ):
            value = weights(above, pulled)
            raw[pulled.row[:, None, None], pulled.pos[:, :, None], above.feature] = value
        return raw


@pytest.fixture(scope="module", params=["pair", "log_prob"])
def case(any_model: LanguageModel, request: pytest.FixtureRequest) -> Case:
    examples = make(CLEAN, PATCH if request.param == "pair" else None)
    return Case(spliced.in_float64(any_model), examples)


def test_upstream_sites() -> None:
    assert upstream("embed", 2, parallel=True) == []
    assert upstream("attn_0", 2, parallel=True) == ["embed"]
    assert upstream("mlp_1", 2, parallel=True) == ["resid_0"]
    assert upstream("mlp_1", 2, parallel=False) == ["resid_0", "attn_1"]
    assert upstream("resid_0", 2, parallel=False) == ["embed", "attn_0", "mlp_0"]
    assert upstream("y", 2, parallel=False) == ["resid_1"]


@pytest.mark.parametrize("site", ["attn_0", "mlp_0", "resid_0", "attn_1", "mlp_1", "resid_1"])
def test_edges_are_those_with_the_dictionaries_in_the_graph(case: Case, site: str) -> None:
    targets = case.targets(site, [2, 7, 11, -1])
    assert len(targets.pos) > 3
    for up in upstream(site, 2, parallel=case.model.parallel):
        raw = case.raw(up, site, targets)
        assert raw.any()
        expected = spliced.edges(
            case.model,
            case.dictionaries,
            case.examples,
            (up, site),
            case.states[site].gradient,
            list(zip(*(column.tolist() for column in targets), strict=True)),
        )
        torch.testing.assert_close(raw, expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("site", ["attn_1", "mlp_1", "resid_1"])
def test_blocks_change_nothing(case: Case, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = case.targets(site, [2, 7, -1])
    whole = case.raw("resid_0", site, targets, 1000)
    monkeypatch.setattr(edges, "BLOCK", 200)
    parts = case.raw("resid_0", site, targets, 1)
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-13)


def test_edges_into_the_metric_are_node_effects(case: Case) -> None:
    dictionaries, last = case.dictionaries, "resid_1"
    spec = NodeEffectsSpec(steps=2)
    *_, found = attribute(case.model, dictionaries, case.examples, spec, 64)
    assert found.site == last
    from_last = case.terms(last)
    value = weights(from_last, at_metric(from_last.gradient))
    dense = torch.zeros(2, 5, N_FEATURES + 1).double()
    dense[..., from_last.feature] = value
    expected = torch.zeros_like(dense)
    nodes = found.nodes
    expected[nodes.example, nodes.pos, nodes.feature] = nodes.effect
    torch.testing.assert_close(dense, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("site", ["resid_0", "attn_1", "mlp_1"])
def test_terms_are_the_same_for_some_features_without_the_error(case: Case, site: str) -> None:
    whole, some = case.terms(site), torch.tensor([2, 7, 11, 20])
    dictionary, state = case.dictionaries[site], case.states[site]
    part = terms(dictionary, state, case.counted, some, torch.zeros_like(case.counted))
    assert torch.equal(part.on, whole.on[..., some])
    torch.testing.assert_close(part.features, whole.features[..., some], rtol=1e-12, atol=1e-12)
    assert not part.error.any()
    token = case.counted.nonzero()[0]
    nothing = terms(
        dictionary, state, torch.zeros_like(case.counted), some, part.on[..., 0] & False
    )
    assert not nothing.features[*token].any()
    assert part.features.any()


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
    targets = case.targets("attn_0", [2]).take(torch.zeros(0, dtype=torch.int64))
    assert case.raw("embed", "attn_0", targets).shape[0] == 0
