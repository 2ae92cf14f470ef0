"""Node effects against a float64 computation with the dictionary inside the graph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dagster_project.interp import states
from dagster_project.interp.dictionary import IdentityDictionary
from dagster_project.interp.exact import exact
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import Attribution, Nodes, attribute
from dagster_project.interp.sparse_features import DENSE
from dagster_project.studies.study import NodeEffectsSpec
from tests.interp import spliced
from tests.interp.spliced import CLEAN, PATCH, make


@pytest.fixture(scope="module")
def double(any_model: LanguageModel) -> LanguageModel:
    return spliced.in_float64(any_model)


def dense(nodes: Nodes, like: Tensor) -> Tensor:
    """[example, position, feature + 1]; the last column is the error node."""
    found = torch.zeros_like(like)
    found[nodes.example, nodes.pos, nodes.feature] = nodes.effect  # −1 is the last column
    return found


def run(
    model: LanguageModel, case: spliced.Case, spec: NodeEffectsSpec, batch_tokens: int = 8192
) -> dict[str, Attribution]:
    """In one batch: the examples then go from short to long."""
    found = attribute(
        model, spliced.random_dictionaries(model), case.examples, spec, batch_tokens, case.bos_id
    )
    return {a.site: a for a in found}


@pytest.mark.parametrize("name", spliced.CASES)
@pytest.mark.parametrize(
    ("spec", "alphas"),
    [
        (NodeEffectsSpec(method="attrib"), [0.0]),
        (NodeEffectsSpec(steps=3), [1 / 6, 3 / 6, 5 / 6]),
        (NodeEffectsSpec(steps=3, rule="left"), [0.0, 1 / 3, 2 / 3]),
    ],
    ids=["attrib", "midpoint", "left"],
)
def test_effects_are_those_with_the_dictionary_in_the_graph(
    double: LanguageModel, name: str, spec: NodeEffectsSpec, alphas: list[float]
) -> None:
    case = spliced.case_of(name)
    dictionaries = spliced.random_dictionaries(double)
    for site, found in run(double, case, spec).items():
        effects, gradient = (
            part[found.examples]
            for part in spliced.effects(
                double, dictionaries[site], case.examples, site, alphas, case.bos_id
            )
        )
        got, here = dense(found.nodes, effects), found.counted
        torch.testing.assert_close(got, effects, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(found.gradient[here], gradient[here], rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(found.total, got.sum((1, 2)), rtol=1e-8, atol=1e-10)
        assert effects[..., :-1].any()
        assert not (found.nodes.feature == spliced.DEAD).any()


@pytest.mark.parametrize("name", spliced.CASES)
def test_the_true_change_is_that_of_a_patched_site(double: LanguageModel, name: str) -> None:
    case = spliced.case_of(name)
    plain = spliced.metric(double, case.examples, {})
    for site, found in run(double, case, NodeEffectsSpec(steps=2)).items():
        dictionary = spliced.random_dictionaries(double)[site]
        at = spliced.ends(double, dictionary, case.examples, site, case.bos_id)
        patch = dictionary.decode(at.f + at.df) + at.e + at.de
        patched = spliced.metric(double, case.examples, {site: spliced.put(patch)})
        change = (patched - plain)[found.examples]
        torch.testing.assert_close(found.true_change, change, rtol=1e-8, atol=1e-10)


def test_features_are_both_many_and_few(tiny_llama: LanguageModel) -> None:
    """Products are dense at some sites and with active features alone at others."""
    model, case = spliced.in_float64(tiny_llama), spliced.case_of("pair")
    few = {}
    for site, dictionary in spliced.random_dictionaries(model).items():
        at = spliced.ends(model, dictionary, case.examples, site, None)
        active = (at.f != 0) | (at.f + at.df != 0)
        few[site] = float(active.double().mean()) < 1 / DENSE
    assert few == {site: spliced.SHAPES[i][0] == "topk" for i, site in enumerate(few)}


def test_exact_effects_are_those_of_one_patched_node(tiny_neox: LanguageModel) -> None:
    model, site = spliced.in_float64(tiny_neox), "attn_1"
    dictionary, examples = spliced.random_dictionaries(model)[site], make(CLEAN, PATCH)
    shape = torch.zeros(2, 5, dictionary.n_features + 1, dtype=torch.float64)
    got = dense(exact(model, dictionary, examples, site, 32), shape)
    assert examples.patch is not None
    x_c, x_p = (
        spliced.states(model, b.ids, [site])[site] for b in (examples.clean, examples.patch)
    )
    (f_c, e_c), (f_p, e_p) = (spliced.decompose(dictionary, x) for x in (x_c, x_p))
    plain = spliced.metric(model, examples, {})
    for b, s, i in [(0, 1, 3), (0, 4, 7), (1, 2, 0), (1, 3, 23), (0, 3, -1), (1, 4, -1)]:
        f, e = f_c.clone(), e_c.clone()
        if i < 0:
            e[b, s] = e_p[b, s]
        else:
            f[b, s, i] = f_p[b, s, i]
        value = spliced.metric(model, examples, {site: spliced.put(dictionary.decode(f) + e)})
        torch.testing.assert_close(got[b, s, i], (value - plain)[b], rtol=1e-8, atol=1e-10)


def test_portions_and_blocks_change_nothing(
    tiny_neox_sequential: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = spliced.in_float64(tiny_neox_sequential)
    case, spec = spliced.case_of("logit"), NodeEffectsSpec(steps=5)
    whole = run(model, case, spec, 1000)
    monkeypatch.setattr(states, "BLOCK", 60)
    dictionaries = spliced.random_dictionaries(model)
    parts = [*attribute(model, dictionaries, case.examples, spec, 5)]
    assert [a.examples.tolist() for a in parts if a.site == "embed"] == [[0], [1]]
    for a in parts:
        like = torch.zeros(2, 5, dictionaries[a.site].n_features + 1).double()
        expected = dense(whole[a.site].nodes, like)[a.examples[0]]
        torch.testing.assert_close(dense(a.nodes, like[:1])[0], expected, rtol=1e-9, atol=1e-12)


def test_identity_has_no_error_nodes_and_the_same_total(tiny_neox: LanguageModel) -> None:
    model, examples = spliced.in_float64(tiny_neox), make(CLEAN, PATCH)
    neurons = {"resid_0": IdentityDictionary(model.d_model, dtype=torch.float64)}
    features = {"resid_0": spliced.random_dictionaries(model)["resid_0"]}
    (a,) = attribute(model, neurons, examples, NodeEffectsSpec(), 8192)
    (b,) = attribute(model, features, examples, NodeEffectsSpec(), 8192)
    assert (a.nodes.feature >= 0).all()
    torch.testing.assert_close(a.total, b.total, rtol=1e-8, atol=1e-10)


def test_patch_only_marks_features_that_are_off_in_the_clean_run(tiny_neox: LanguageModel) -> None:
    model, examples = spliced.in_float64(tiny_neox), make(CLEAN, PATCH)
    dictionary = spliced.random_dictionaries(model)["mlp_0"]
    (found,) = attribute(model, {"mlp_0": dictionary}, examples, NodeEffectsSpec(), 8192)
    nodes, f_c = (
        found.nodes,
        dictionary.encode(spliced.states(model, examples.clean.ids, ["mlp_0"])["mlp_0"]),
    )
    feature = nodes.feature >= 0
    off = f_c[nodes.example[feature], nodes.pos[feature], nodes.feature[feature]] == 0
    assert torch.equal(nodes.patch_only[feature], off)
    assert off.any()
    assert not nodes.patch_only[~feature].any()


def test_weights_need_no_gradient_and_the_tape_is_empty(tiny_neox: LanguageModel) -> None:
    for found in attribute(
        tiny_neox, {"resid_1": IdentityDictionary(16)}, make(CLEAN, PATCH), NodeEffectsSpec(), 8192
    ):
        assert not found.gradient.requires_grad
        assert not found.nodes.effect.requires_grad
    assert all(p.grad is None for p in tiny_neox.hf.parameters())
