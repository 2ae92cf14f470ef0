"""Every family, every site: attribution and edges against float64 autograd; what does not add up
is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dagster_project.interp import loading
from dagster_project.interp.additivity import additivity_error
from dagster_project.interp.families import FAMILIES
from dagster_project.interp.loading import wrap
from dagster_project.interp.model import LanguageModel, ModelError
from dagster_project.interp.node_effects import attribute
from dagster_project.interp.site_names import KINDS, site_names
from dagster_project.interp.sites import activations
from dagster_project.studies.study import NodeEffectsSpec
from tests.conftest import EVERY_FAMILY, GROUPED, make_model, make_tokenizer, random_model
from tests.interp import spliced
from tests.interp.edge_cases import Case
from tests.interp.test_node_effects import dense

UNKNOWN = ("phi", "olmo2", "starcoder2", "glm4")
"""Families without a row: parallel with a bias of the logits; norms after and none before; plain;
norms before and after."""
CHOICES = (KINDS, ("z", "mlp", "resid"), ("z", "mid", "resid"), ("mid", "mlp"))


def kinds_of(model: LanguageModel, kinds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(kind for kind in kinds if not (model.parallel and kind == "mid"))


@pytest.fixture(scope="module", params=[*EVERY_FAMILY, *UNKNOWN])
def family(request: pytest.FixtureRequest) -> LanguageModel:
    return spliced.in_float64(make_model(request.param))


def test_the_parts_are_found(family: LanguageModel) -> None:
    ids = torch.arange(24).reshape(2, 12)
    assert additivity_error(family, ids) < 4
    assert family.parallel == (
        family.hf.config.model_type in ("gpt_neox", "phi")
        and (getattr(family.hf.config, "use_parallel_residual", True))
    )
    kinds = kinds_of(family, KINDS)
    found = activations(family, ids, site_names(2, kinds))
    expected = spliced.states(family, ids, site_names(2, kinds))
    assert found.keys() == expected.keys()
    for site, x in found.items():
        assert torch.equal(x, expected[site])
        assert x.shape == (2, 12, family.width(site))
    if not family.parallel:
        torch.testing.assert_close(found["mid_1"], found["resid_0"] + found["attn_1"])


@pytest.mark.parametrize("family_name", EVERY_FAMILY)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_mlps_read_is_seen_in_16_bits(family_name: str, dtype: torch.dtype) -> None:
    """Also where one number of the stream is far larger than the others, as in trained models."""
    made = random_model(family_name)
    made.get_input_embeddings().weight.data[:, 3] = 30.0
    model = wrap(made.to(dtype), make_tokenizer(bos=False))
    assert model.parallel == (family_name == "neox")


@pytest.mark.parametrize("name", ["pair", "log_prob"])
def test_effects_at_every_site_are_those_of_autograd(family: LanguageModel, name: str) -> None:
    case = spliced.case_of(name)
    dictionaries = spliced.random_dictionaries(family, kinds=kinds_of(family, KINDS))
    spec, n_effects = NodeEffectsSpec(steps=2), 0
    for found in attribute(family, dictionaries, case.examples, spec, 8192, case.bos_id):
        effects = spliced.effects(
            family, dictionaries[found.site], case.examples, found.site, [0.25, 0.75], case.bos_id
        )[0][found.examples]
        got = dense(found.nodes, effects)
        torch.testing.assert_close(got, effects, rtol=1e-7, atol=1e-9)
        n_effects += int((effects != 0).sum())
    assert n_effects > 500


@pytest.mark.parametrize("kinds", CHOICES, ids="-".join)
def test_edges_between_any_sites_are_those_of_autograd(
    family: LanguageModel, kinds: tuple[str, ...]
) -> None:
    case = Case(family, spliced.case_of("pair"), kinds_of(family, kinds))
    for site in case.dictionaries:
        features = case.busiest(site, 2)
        targets = case.targets(site, features)
        for up, raw in case.edges_into(site, targets):
            assert raw[..., :-1].any()
            assert raw[..., -1].any()
            expected = case.expected(up, site, features)
            rows = [expected[i] for i in zip(*map(Tensor.tolist, targets), strict=True)]
            torch.testing.assert_close(raw, torch.stack(rows), rtol=1e-7, atol=1e-9)


def test_no_other_edge_is_direct(family: LanguageModel) -> None:
    """What the sites between hold back is all there is from a site that is not just before."""
    case = Case(family, spliced.case_of("pair"), kinds_of(family, KINDS))
    sites = list(case.dictionaries)
    for site in sites[1:]:
        before = {up for up, _ in case.edges_into(site, case.targets(site, [-1]))}
        for up in set(sites[: sites.index(site)]) - before:
            assert not any(w.any() for w in case.expected(up, site, [-1]).values())


WRONG = [
    ("gemma2", {"attention_norm": ""}, "the stream before layer 0 plus attention plus MLP"),
    ("gemma2", {"mlp_norm": ""}, "the stream before layer 0 plus attention plus MLP"),
    ("gemma2", {"mid": "input_layernorm"}, "its sites cannot be read|does not read mid_0"),
    ("llama", {"mlp": "post_attention_layernorm"}, "the stream before layer 0 plus attention"),
    ("llama", {"attention": "attn"}, "its sites cannot be read"),
    ("llama", {"projection": "q_proj"}, "is not its projection of z"),
    ("gpt2", {"mid": "ln_1"}, "does not read mid_0|cannot be read"),
    ("gpt_neox", {"norm": "gpt_neox.layers.0.input_layernorm"}, "is not unembedded"),
]


@pytest.mark.parametrize(("name", "change", "message"), WRONG)
def test_a_wrong_row_is_refused(
    name: str, change: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FAMILIES, name, FAMILIES[name]._replace(**change))
    family = "neox_sequential" if name == "gpt_neox" else name
    with pytest.raises(ModelError, match=message):
        make_model(family)


def test_logits_that_are_not_the_unembedding_are_refused() -> None:
    with pytest.raises(ModelError, match="logits are not the unembedding"):
        make_model("cohere")  # which scales them


def test_a_model_that_sees_what_comes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    hf = random_model("llama")
    for layer in hf.model.layers:
        layer.self_attn.is_causal = False
    hf.config.is_causal = False
    with pytest.raises(ModelError, match="depends on the tokens after it"):
        wrap(hf, make_tokenizer(bos=True))


def test_layers_that_are_no_tensor_and_names_that_are_not_known_are_told() -> None:
    with pytest.raises(ModelError, match=r'"bloom" is not known .* resid_0 is not one tensor'):
        make_model("bloom")
    with pytest.raises(ModelError, match=r'"opt" has no layers .* by names that are known'):
        make_model("opt")
    with pytest.raises(ModelError, match="known families are gemma2, "):
        make_model("opt")


def test_scaled_residuals_are_refused() -> None:
    """Granite multiplies what attention and MLP give by a number that no site shows."""
    hf = random_model("granite", options={**GROUPED, "residual_multiplier": 0.5})
    with pytest.raises(ModelError, match=r"granite.* does not add up"):
        wrap(hf, make_tokenizer(bos=True))


@pytest.fixture
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a model of the family that is asked for."""
    model = make_model(request.param)
    model.hf.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("saved", ["qwen3"], indirect=True)
def test_missing_weights_are_refused(saved: Path) -> None:
    weights = load_file(saved / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"missing .* model\.layers\.1\.mlp\.up_proj\.weight"):
        loading.load_model(saved)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_either_attention_gives_the_same(attention: str) -> None:
    hf = random_model("llama")
    hf.set_attn_implementation(attention)
    model = wrap(hf, make_tokenizer(bos=True))
    usual = make_model("llama")
    ids = torch.arange(3, 15)[None]
    sites = site_names(2, KINDS)
    found, expected = activations(model, ids, sites), activations(usual, ids, sites)
    for site in sites:
        torch.testing.assert_close(found[site], expected[site], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("saved", ["gemma2"], indirect=True)
def test_the_fused_attention_is_refused_where_it_leaves_something_out(saved: Path) -> None:
    assert loading.load_model(saved).hf.config._attn_implementation == "eager"
    with pytest.raises(ModelError, match=r"sdpa|scaled_dot_product_attention"):
        loading.load_model(saved, attention="sdpa")
