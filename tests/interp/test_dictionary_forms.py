"""Every form of dictionary: files of an independent writer, against float64 by definition."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from dagster_project.interp.dictionary import SparseDictionary
from dagster_project.interp.dictionary_checks import DictionaryError
from dagster_project.interp.dictionary_files import Place, load_site, moved
from dagster_project.interp.dictionary_learning_files import save_dictionary_learning
from dagster_project.interp.encoding import active_features, encode_some
from dagster_project.interp.file_tree import folder_tree
from dagster_project.interp.saelens_files import save_saelens
from tests.interp.foreign_forms import (
    D_MODEL,
    N_FEATURES,
    Form,
    dictionary_learning,
    gemma_scope,
    put,
    saelens,
    sparsify,
)

SITE = "mlp_1"
FOLDERS = {
    "ae.pt": f"mlp_out_layer1/0_{N_FEATURES}",
    "sae_weights.safetensors": "blocks.1.hook_mlp_out",
    "sae.safetensors": "layers.1.mlp",
    "params.npz": "layer_1/width_16k/average_l0_7",
}
CLASSES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
    "JumpReluAutoEncoder",
)
OLD: dict[str, Any] = {
    "metadata": {},
    "hook_point": "blocks.1.hook_mlp_out",
    "hook_point_head_index": None,
}
TRAINED_WITH: dict[str, Any] = {  # as in jbloom/GPT2-Small-SAEs-Reformatted
    **{"model_name": "gpt2-small", "hook_point_layer": 1, "context_size": 128},
    **{"dataset_path": "Skylion007/openwebtext", "is_dataset_tokenized": False, "seed": 42},
    **{"use_cached_activations": False, "cached_activations_path": "x", "store_batch_size": 32},
    **{"n_batches_in_buffer": 128, "total_training_tokens": 300_000_000, "device": "mps"},
    **{"dtype": "torch.float32", "b_dec_init_method": "geometric_median", "expansion_factor": 32},
    **{"from_pretrained_path": None, "l1_coefficient": 8e-5, "lr": 4e-4, "lr_warm_up_steps": 5000},
    **{"lr_scheduler_name": None, "train_batch_size": 4096, "use_ghost_grads": False},
    **{"feature_sampling_window": 1000, "feature_sampling_method": None, "resample_batches": 1028},
    **{"feature_reinit_scale": 0.2, "dead_feature_window": 5000, "dead_feature_threshold": 1e-8},
    **{"dead_feature_estimation_method": "no_fire", "log_to_wandb": True, "wandb_entity": None},
    **{"wandb_project": "x", "wandb_log_frequency": 100, "n_checkpoints": 10, "run_name": "x"},
    **{"checkpoint_path": "x", "tokens_per_buffer": 67_108_864},
}
FORMS: dict[str, Callable[[], Form]] = {
    **{name: lambda name=name: dictionary_learning(name) for name in CLASSES},  # type: ignore[misc]
    "standard": lambda: saelens("standard"),
    "standard without subtraction": lambda: saelens("standard", apply_b_dec_to_input=False),
    "standard on centred activations": lambda: saelens(
        "standard", model_from_pretrained_kwargs={"center_writing_weights": True}
    ),
    "standard of an older version": lambda: saelens(
        "standard", **OLD, activation_fn_str="relu", lr=1e-4, normalize_activations=False
    ),
    "a whole training configuration": lambda: saelens("standard", **OLD, **TRAINED_WITH),
    "topk": lambda: saelens("topk"),
    "topk of an older version": lambda: saelens(
        "topk",
        **OLD,
        architecture="standard",
        activation_fn_str="topk",
        activation_fn_kwargs={"k": 5},
    ),
    "topk of rescaled features": lambda: saelens("topk", rescale_acts_by_decoder_norm=True),
    "jumprelu": lambda: saelens("jumprelu"),
    "gated": lambda: saelens("gated"),
    "gated without subtraction": lambda: saelens("gated", apply_b_dec_to_input=False),
    "gemma scope": gemma_scope,
    "sparsify": sparsify,
}


def written(root: Path, form: Form) -> Place:
    (folder,) = (FOLDERS[name] for name in form.files if name in FOLDERS)
    put(form, root / folder)
    return Place(folder_tree(root), folder if "params.npz" in form.files else "")


def read(root: Path, form: Form, width: int | None = D_MODEL) -> SparseDictionary:
    return load_site(written(root, form), SITE, width)


def tokens(n: int = 64) -> torch.Tensor:
    return torch.randn(n, D_MODEL, generator=torch.Generator().manual_seed(9)).double()


def double(dictionary: SparseDictionary) -> SparseDictionary:
    return moved(dictionary, "cpu", torch.float64)


@pytest.mark.parametrize("name", FORMS)
def test_encoding_and_decoding_are_the_form_s_own(tmp_path: Path, name: str) -> None:
    form, x = FORMS[name](), tokens()
    found = read(tmp_path, form)
    f = form.encode(x)
    assert 0.02 < (f > 0).double().mean() < 0.6
    assert torch.equal(found.encode(x.float()) > 0, f > 0)
    torch.testing.assert_close(found.encode(x.float()).double(), f, rtol=1e-5, atol=2e-6)
    x_hat = form.decode(f)
    torch.testing.assert_close(found.decode(f.float()).double(), x_hat, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        active_features(found, x.float()).dense().double(), f, atol=2e-6, rtol=1e-5
    )
    some = encode_some(found, x.float(), torch.tensor([3, 17]), decoded=True)
    torch.testing.assert_close(some.features.double(), f[:, [3, 17]], rtol=1e-5, atol=2e-6)
    assert some.decoded is not None
    torch.testing.assert_close(some.decoded.double(), x_hat, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", FORMS)
def test_attribution_is_that_of_autograd_through_the_form(tmp_path: Path, name: str) -> None:
    """g·∂f/∂x through the form's own encoding, and ∂(G·x̂)/∂f through its decoding."""
    form, x = FORMS[name](), tokens().requires_grad_()
    found = double(read(tmp_path, form))
    f = form.encode(x)
    g = torch.randn(f.shape, generator=torch.Generator().manual_seed(1)).double()
    (expected,) = torch.autograd.grad((g * f).sum(), x, retain_graph=True)
    active = active_features(found, x.detach())
    pulled = found.pulled_back(active.with_values(g[active.token, active.feature]))
    torch.testing.assert_close(pulled, expected, rtol=1e-6, atol=1e-6)
    rows = found.encoder_rows(active.feature[:9])
    for row, token, feature in zip(rows, active.token, active.feature, strict=False):
        (own,) = torch.autograd.grad(f[token, feature], x, retain_graph=True)
        torch.testing.assert_close(row, own[token], rtol=1e-6, atol=1e-6)
    leaf, G = f.detach().requires_grad_(), tokens(len(f)).flip(0)
    (along,) = torch.autograd.grad((G * form.decode(leaf)).sum(), leaf)
    torch.testing.assert_close(
        found.along_decoder(active, G), along[active.token, active.feature], rtol=1e-6, atol=1e-6
    )


def test_embeddings_of_gemma_scope_are_moved_to_the_scaled_stream(tmp_path: Path) -> None:
    form, x = gemma_scope(embedding=True), tokens() * D_MODEL**0.5
    put(form, tmp_path / "embedding/width_4k/average_l0_6")
    place = Place(folder_tree(tmp_path), "embedding/width_4k/average_l0_*")
    found = load_site(place, "embed", D_MODEL)
    torch.testing.assert_close(
        found.encode(x.float()).double(), form.encode(x), atol=2e-6, rtol=1e-5
    )
    f = form.encode(x)
    torch.testing.assert_close(
        found.decode(f.float()).double(), form.decode(f), atol=2e-5, rtol=1e-5
    )


def test_attention_dictionaries_of_gemma_scope_sit_on_z(tmp_path: Path) -> None:
    place = written(tmp_path, gemma_scope())
    assert load_site(place, "z_1", D_MODEL).n_features == N_FEATURES
    with pytest.raises(DictionaryError, match="the site z_1, where attention dictionaries sit"):
        load_site(place, "attn_1", D_MODEL)


def test_a_scale_that_the_file_leaves_out_is_the_study_s(tmp_path: Path) -> None:
    form = saelens("standard", normalize_activations="expected_average_only_in")
    place = written(tmp_path, form)
    with pytest.raises(DictionaryError, match="a scale from the study"):
        load_site(place, SITE, D_MODEL)
    found = load_site(Place(place.tree, scale=0.5), SITE, D_MODEL)
    x = tokens()
    f = form.encode(x / 2)
    torch.testing.assert_close(found.encode(x.float()).double(), f, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(
        found.decode(f.float()).double(), 2 * form.decode(f), rtol=1e-5, atol=2e-5
    )


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("kind", ["saelens", "dictionary_learning"])
def test_what_is_converted_is_the_same_dictionary(tmp_path: Path, name: str, kind: str) -> None:
    form, x = FORMS[name](), tokens()
    found = read(tmp_path / "in", form)
    if kind == "saelens":
        save_saelens(found, SITE, tmp_path / "out")
    else:
        save_dictionary_learning(found, tmp_path / "out" / "mlp_out_layer1")
    again = load_site(Place(folder_tree(tmp_path / "out")), SITE, D_MODEL)
    assert again.activation == found.activation
    f = form.encode(x)
    torch.testing.assert_close(again.encode(x.float()).double(), f, rtol=1e-5, atol=3e-6)
    assert torch.equal(again.W_dec, found.W_dec)
    assert torch.equal(again.W_enc, found.W_enc)


def cfg(form: Form, **said: Any) -> Form:
    config = json.loads(form.files["cfg.json"]) | said
    return form._replace(files={**form.files, "cfg.json": json.dumps(config).encode()})


def tensors(form: Form, **changed: torch.Tensor | None) -> Form:
    """changed: None takes a tensor away."""
    state = {**load(form.files["sae_weights.safetensors"]), **changed}
    kept = {name: t.contiguous() for name, t in state.items() if t is not None}
    return form._replace(files={**form.files, "sae_weights.safetensors": save(kept)})


def arrays(**changed: Any) -> Form:
    form = gemma_scope()
    with np.load(io.BytesIO(form.files["params.npz"])) as found:
        state = {**found, **changed}
    content = io.BytesIO()
    np.savez(content, **{name: a for name, a in state.items() if a is not None})
    return form._replace(files={"params.npz": content.getvalue()})


def dl(name: str, config: object | None = None, **changed: object) -> Form:
    form = dictionary_learning(name)
    state = {**torch.load(io.BytesIO(form.files["ae.pt"]), weights_only=True), **changed}
    content = io.BytesIO()
    torch.save({name: t for name, t in state.items() if t is not None}, content)
    files = {**form.files, "ae.pt": content.getvalue()}
    if config is not None:
        files["config.json"] = json.dumps(config).encode()
    return form._replace(files=files)


NAN = torch.full((N_FEATURES,), float("nan"))
STANDARD = saelens("standard")
MALFORMED: dict[str, tuple[Form, str]] = {
    "BatchTopK without threshold": (dl("BatchTopKSAE", threshold=None), r"missing \['threshold'\]"),
    "a threshold for each feature": (
        dl("BatchTopKSAE", threshold=torch.zeros(N_FEATURES)),
        "a threshold that is one number",
    ),
    "a threshold never set": (
        dl("MatryoshkaBatchTopKSAE", threshold=torch.tensor(-1.0)),
        "has never been set",
    ),
    "groups of other features": (
        dl("MatryoshkaBatchTopKSAE", group_sizes=torch.tensor([10, 10])),
        "add up to 40",
    ),
    "TopK read as ReLU": (
        dl("AutoEncoderTopK", {"trainer": {"dict_class": "AutoEncoder"}}),
        r"missing \['bias'\]",
    ),
    "two k": (
        dl("AutoEncoderTopK", {"trainer": {"dict_class": "AutoEncoderTopK", "k": 9}}),
        "expected k 5",
    ),
    "gate without magnitude": (dl("GatedAutoEncoder", mag_bias=None), r"missing \['mag_bias'\]"),
    "a magnitude beyond float32": (
        dl("GatedAutoEncoder", r_mag=torch.full((N_FEATURES,), 99.0)),
        "W_enc in float32 can be",
    ),
    "JumpReLU with NaN": (dl("JumpReluAutoEncoder", threshold=NAN), "finite numbers in threshold"),
    "weights of 8 bits": (
        dl("AutoEncoderNew", **{"decoder.bias": torch.zeros(D_MODEL).to(torch.float8_e5m2)}),
        "in floating point of 16 bits at least",
    ),
    "unknown architecture": (cfg(STANDARD, architecture="transcoder"), "architecture one of stand"),
    "unknown key": (cfg(STANDARD, tied=True), "none is passed over, found tied = True"),
    "unknown key of the model": (
        cfg(STANDARD, metadata={"post_norm": 2}),
        "none is passed over, found post_norm = 2",
    ),
    "unknown activation": (cfg(STANDARD, activation_fn="tanh-relu"), "relu, or topk with k alone"),
    "another site": (
        cfg(STANDARD, metadata={"hook_name": "blocks.1.hook_attn_out"}),
        "hook_name blocks.1.hook_mlp_out for mlp_1, found 'blocks.1.hook_attn_out'",
    ),
    "one head": (cfg(STANDARD, hook_head_index=3), "no hook_head_index"),
    "a transcoder": (
        cfg(STANDARD, metadata={"hook_name_out": "blocks.1.hook_mlp_out"}),
        "no hook_name_out",
    ),
    "norm of each token": (
        cfg(STANDARD, normalize_activations="constant_norm_rescale"),
        "others are not linear",
    ),
    "layer norm": (cfg(STANDARD, normalize_activations="layer_norm"), "others are not linear"),
    "heads at a site that has none": (cfg(STANDARD, reshape_activations="hook_z"), "at a site z_i"),
    "finetuned scale": (cfg(STANDARD, finetuning_scaling_factor=True), "scaling_factor false"),
    "scaling factors": (
        tensors(STANDARD, scaling_factor=torch.full((N_FEATURES,), 2.0)),
        "of ones",
    ),
    "processed heads": (
        cfg(STANDARD, model_from_pretrained_kwargs={"fold_value_biases": True}),
        "whose meaning is known, found fold_value_biases",
    ),
    "no truth value": (cfg(STANDARD, apply_b_dec_to_input="yes"), "apply_b_dec_to_input true or"),
    "another width said": (cfg(STANDARD, d_in=17), "d_in 16, as in sae_weights"),
    "other features said": (cfg(STANDARD, d_sae=41), "d_sae 40, as in sae_weights"),
    "k of a half": (cfg(saelens("topk"), k=2.5), "k, an integer between 1 and 40, found 2.5"),
    "k beyond all": (cfg(saelens("topk"), k=41), "k, an integer between 1 and 40, found 41"),
    "no k": (cfg(saelens("topk"), k=None), "one k of architecture topk, found none"),
    "transposed": (tensors(STANDARD, W_enc=torch.zeros(N_FEATURES, D_MODEL)), r"W_enc \[d, F\]"),
    "another width": (
        tensors(STANDARD, W_enc=torch.zeros(17, N_FEATURES)),
        r"d being the site's width, found \[17",
    ),
    "threshold of a standard one": (
        tensors(STANDARD, threshold=NAN),
        r"unexpected \['threshold'\]",
    ),
    "jumprelu without threshold": (
        tensors(saelens("jumprelu"), threshold=None),
        r"missing \['threshold'\]",
    ),
    "infinity": (tensors(STANDARD, b_enc=NAN / 0), "finite numbers in b_enc"),
    "no safetensors": (
        STANDARD._replace(files={**STANDARD.files, "sae_weights.safetensors": b"x" * 40}),
        "a safetensors file",
    ),
    "silent decoder row, rescaled": (
        tensors(
            saelens("topk", rescale_acts_by_decoder_norm=True),
            W_dec=torch.zeros(N_FEATURES, D_MODEL),
        ),
        "decoder rows that are not 0",
    ),
    "rescaled without topk": (
        cfg(STANDARD, rescale_acts_by_decoder_norm=True),
        "rescale_acts_by_decoder_norm false with architecture standard",
    ),
    "objects in npz": (
        arrays(threshold=np.array([{}] * N_FEATURES)),
        "an npz file of arrays of num",
    ),
    "npz without threshold": (arrays(threshold=None), r"missing \['threshold'\]"),
    "npz with more": (arrays(b_skip=np.zeros(3)), r"unexpected \['b_skip'\]"),
    "npz of integers": (arrays(b_dec=np.zeros(D_MODEL, dtype=np.int64)), "b_dec in floating point"),
    "sparsify's transcoder": (sparsify(transcode=True), "transcode False, found True"),
    "sparsify's signed features": (sparsify(signed=True), "signed False, found True"),
    "sparsify in groups": (sparsify(activation="groupmax"), "activation 'topk', found 'groupmax'"),
    "sparsify with more": (sparsify(tied=1), "none is passed over, found tied = 1"),
    "sparsify of another width": (sparsify(d_in=17), "d_in 16, as in sae.safetensors, found 17"),
    "sparsify without features": (sparsify(num_latents=0, expansion_factor=None), "or expansion_f"),
    "sparsify of other features": (sparsify(num_latents=41), "num_latents 40, as in sae.saf"),
    "no npz": (gemma_scope()._replace(files={"params.npz": b"PK\3\4"}), "an npz file of arrays"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_named(tmp_path: Path, case: str) -> None:
    form, expected = MALFORMED[case]
    with pytest.raises(DictionaryError, match=expected) as raised:
        read(tmp_path, form)
    assert str(tmp_path) in str(raised.value)


def test_a_width_that_is_not_given_is_the_file_s(tmp_path: Path) -> None:
    assert read(tmp_path, STANDARD, None).d_model == D_MODEL
