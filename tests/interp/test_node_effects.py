"""Node effects against a float64 computation with the dictionary inside the graph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dagster_project.interp import states
from dagster_project.interp.dictionary import IdentityDictionary
from dagster_project.interp.exact import exact
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import Attribution, Nodes, attribute
from dagster_project.studies.study import NodeEffectsSpec
from tests.interp import spliced
from tests.interp.spliced import CLEAN, PATCH, make


@pytest.fixture(scope="module")
def double(any_model: LanguageModel) -> LanguageModel:
    return spliced.in_float64(any_model)


def dense(nodes: Nodes, n_features: int, shape: tuple[int, int]) -> Tensor:
    """[example, position, feature + 1]; the last column is the error node."""
    found = torch.zeros(*shape, n_features + 1, dtype=nodes.effect.dtype)
    found[nodes.example, nodes.pos, nodes.feature] = nodes.effect  # −1 is the last column
    return found


def run(
    model: LanguageModel, examples: Examples, spec: NodeEffectsSpec, batch_tokens: int = 8192
) -> dict[str, Attribution]:
    dictionaries = spliced.random_dictionaries(model)
    return {a.site: a for a in attribute(model, dictionaries, examples, spec, batch_tokens)}


@pytest.mark.parametrize("case", ["pair", "log_prob", "logit"])
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
    double: LanguageModel, case: str, spec: NodeEffectsSpec, alphas: list[float]
) -> None:
    examples = make(CLEAN, PATCH if case == "pair" else None, case)
    dictionaries = spliced.random_dictionaries(double)
    for site, found in run(double, examples, spec).items():
        f, e, gradient = spliced.effects(double, dictionaries[site], examples, site, alphas)
        got = dense(found.nodes, 24, (2, 5))
        torch.testing.assert_close(got[..., :-1], f, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(got[..., -1], e, rtol=1e-8, atol=1e-10)
        here = found.counted
        torch.testing.assert_close(found.gradient[here], gradient[here], rtol=1e-8, atol=1e-10)


def test_total_and_true_change_are_sums_and_a_patched_site(double: LanguageModel) -> None:
    examples = make(CLEAN, PATCH)
    plain = spliced.metric(double, examples, {})
    for site, found in run(double, examples, NodeEffectsSpec(steps=2)).items():
        assert examples.patch is not None
        patch = spliced.states(double, examples.patch.ids, [site])[site]
        patched = spliced.metric(double, examples, {site: spliced.put(patch)})
        torch.testing.assert_close(found.true_change, patched - plain, rtol=1e-8, atol=1e-10)
        expected = dense(found.nodes, 24, (2, 5)).sum((1, 2))
        torch.testing.assert_close(found.total, expected, rtol=1e-8, atol=1e-10)


def test_effects_add_up_to_the_true_change_as_steps_grow(double: LanguageModel) -> None:
    def residual(steps: int) -> float:
        found = run(double, make(CLEAN, PATCH), NodeEffectsSpec(steps=steps), 512)
        return max(float((a.total - a.true_change).abs().max()) for a in found.values())

    few, many = residual(4), residual(64)
    assert many < 1e-3
    assert many < few / 20  # midpoint: the error falls with the square of the steps


def test_exact_effects_are_those_of_one_patched_node(tiny_neox: LanguageModel) -> None:
    model, site = spliced.in_float64(tiny_neox), "attn_1"
    dictionary, examples = spliced.random_dictionaries(model)[site], make(CLEAN, PATCH)
    got = dense(exact(model, dictionary, examples, site, 32), 24, (2, 5))
    assert examples.patch is not None
    x_c, x_p = (
        spliced.states(model, b.ids, [site])[site] for b in (examples.clean, examples.patch)
    )
    (f_c, e_c), (f_p, e_p) = (spliced.decompose(dictionary, x, x) for x in (x_c, x_p))
    plain = spliced.metric(model, examples, {})
    for b, s, i in [(0, 1, 3), (0, 4, 7), (1, 2, 0), (1, 3, 23), (0, 3, -1), (1, 4, -1)]:
        f, e = f_c.clone(), e_c.clone()
        if i < 0:
            e[b, s] = e_p[b, s]
        else:
            f[b, s, i] = f_p[b, s, i]
        value = spliced.metric(model, examples, {site: spliced.put(dictionary.decode(f) + e)})
        torch.testing.assert_close(got[b, s, i], (value - plain)[b], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("patched", [True, False])
def test_unequal_lengths_give_what_each_example_gives_alone(
    double: LanguageModel, patched: bool
) -> None:
    clean = [[5, 17, 30, 41, 8], [9, 60, 22], [3, 4, 50, 6]]
    patch = [[5, 19, 30, 41, 8], [9, 61, 22], [30, 4, 50, 6]] if patched else None
    together = run(double, make(clean, patch), NodeEffectsSpec(steps=2))
    examples = make(clean, patch)
    for i in range(3):
        alone = run(double, examples.rows(i, i + 1), NodeEffectsSpec(steps=2))
        for site, found in together.items():
            nodes = found.nodes
            here = found.examples[nodes.example] == i
            own = Nodes(*(column[here] for column in nodes))._replace(
                example=torch.zeros(int(here.sum()), dtype=torch.int64)
            )
            shape = (1, len(clean[i]))
            torch.testing.assert_close(
                dense(own, 24, shape), dense(alone[site].nodes, 24, shape), rtol=1e-8, atol=1e-10
            )


def test_portions_and_blocks_change_nothing(
    tiny_neox_sequential: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = spliced.in_float64(tiny_neox_sequential)
    examples, spec = make(CLEAN, None), NodeEffectsSpec(steps=5)
    whole = run(model, examples, spec, 1000)
    monkeypatch.setattr(states, "BLOCK", 60)
    parts = [*attribute(model, spliced.random_dictionaries(model), examples, spec, 5)]
    assert [a.examples.tolist() for a in parts if a.site == "embed"] == [[0], [1]]
    for a in parts:
        expected = dense(whole[a.site].nodes, 24, (2, 5))[a.examples[0]]
        torch.testing.assert_close(dense(a.nodes, 24, (1, 5))[0], expected, rtol=1e-9, atol=1e-12)


def test_a_permutation_of_features_permutes_effects(tiny_llama: LanguageModel) -> None:
    model, examples = spliced.in_float64(tiny_llama), make(CLEAN, PATCH)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(3))
    plain = spliced.random_dictionaries(model)
    other = {site: spliced.permuted(d, order) for site, d in plain.items()}
    spec = NodeEffectsSpec(steps=2)
    for a, b in zip(
        attribute(model, plain, examples, spec, 64),
        attribute(model, other, examples, spec, 64),
        strict=True,
    ):
        columns = torch.cat([order, torch.tensor([24])])
        expected = dense(a.nodes, 24, (2, 5))[..., columns]
        torch.testing.assert_close(dense(b.nodes, 24, (2, 5)), expected, rtol=1e-9, atol=1e-12)


def test_bos_keeps_its_clean_state(tiny_llama: LanguageModel) -> None:
    model = spliced.in_float64(tiny_llama)
    examples = make([[1, 17, 30], [1, 60, 22]], None)
    dictionaries = spliced.random_dictionaries(model)
    plain = spliced.metric(model, examples, {})
    for a in attribute(model, dictionaries, examples, NodeEffectsSpec(), 8192, bos_id=1):
        assert not (a.nodes.pos == 0).any()
        clean = spliced.states(model, examples.clean.ids, [a.site])[a.site]
        end = torch.where(a.counted[..., None], dictionaries[a.site].bias, clean)
        value = spliced.metric(model, examples, {a.site: spliced.put(end)})
        torch.testing.assert_close(a.true_change, value - plain, rtol=1e-8, atol=1e-10)


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
