"""Dictionaries on disk: what is saved comes back, and what does not fit is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dagster_project.interp.dictionary import SparseDictionary
from dagster_project.interp.dictionary_checks import DictionaryError
from dagster_project.interp.dictionary_files import (
    Place,
    load,
    load_site,
    load_sites,
    save,
)
from dagster_project.interp.file_tree import folder_tree, open_tree
from dagster_project.interp.foreign_names import folder_name

State = dict[str, torch.Tensor]

D_MODEL, N_FEATURES = 3, 5


def relu_state() -> State:
    """A state dict of AutoEncoder."""
    random = torch.Generator().manual_seed(0)
    return {
        "bias": torch.randn(D_MODEL, generator=random),
        "encoder.weight": torch.randn(N_FEATURES, D_MODEL, generator=random),
        "encoder.bias": torch.randn(N_FEATURES, generator=random),
        "decoder.weight": torch.randn(D_MODEL, N_FEATURES, generator=random),
    }


def topk_state() -> State:
    """A state dict of AutoEncoderTopK."""
    state = relu_state()
    bias = state.pop("bias")
    return {**state, "b_dec": bias, "k": torch.tensor(2), "threshold": torch.tensor(-1.0)}


def write(root: Path, name: str, state: object, site: str = "embed", id_: str = "10_5") -> Path:
    """A folder of dictionary_learning; -> that of the dictionary."""
    folder = root / str(folder_name(site)) / id_
    folder.mkdir(parents=True)
    torch.save(state, folder / "ae.pt")
    (folder / "config.json").write_text(json.dumps({"trainer": {"dict_class": name}}))
    return folder


def loaded(root: Path, site: str = "embed", width: int = D_MODEL) -> SparseDictionary:
    return load_site(Place(folder_tree(root)), site, width)


def test_autoencoder_subtracts_its_bias_before_encoding(tmp_path: Path) -> None:
    state = relu_state()
    write(tmp_path, "AutoEncoder", state)
    found = loaded(tmp_path)
    x = torch.randn(7, D_MODEL)
    f = ((x - state["bias"]) @ state["encoder.weight"].T + state["encoder.bias"]).relu()
    x_hat = f @ state["decoder.weight"].T + state["bias"]
    torch.testing.assert_close(found.encode(x), f)
    torch.testing.assert_close(found.decode(f), x_hat)


def test_topk_keeps_the_k_largest(tmp_path: Path) -> None:
    state = topk_state()
    write(tmp_path, "AutoEncoderTopK", state, "attn_1")
    found = loaded(tmp_path, "attn_1")
    x = torch.randn(7, D_MODEL)
    pre = ((x - state["b_dec"]) @ state["encoder.weight"].T + state["encoder.bias"]).relu()
    least = pre.sort(-1).values[:, -2:-1]
    torch.testing.assert_close(found.encode(x), torch.where(pre >= least, pre, 0.0))


def test_a_training_backup_holds_the_weights_under_ae(tmp_path: Path) -> None:
    backup = {"ae": relu_state(), "step": 3, "optimizer": {"state": {}}}
    write(tmp_path, "AutoEncoder", backup)
    assert loaded(tmp_path).n_features == N_FEATURES


@pytest.mark.parametrize(
    "config",
    [
        {"dict_class": "AutoEncoder"},
        {"trainer": {"dict_class": "AutoEncoder", "trainer_class": "Other"}},
        {"trainer": {"trainer_class": "StandardTrainer"}},
        {"dict_class": "AutoEncoder", "trainer": {"trainer_class": "StandardTrainer"}},
    ],
)
def test_the_class_is_what_the_config_says(tmp_path: Path, config: dict[str, object]) -> None:
    folder = write(tmp_path, "", relu_state())
    (folder / "config.json").write_text(json.dumps(config))
    assert loaded(tmp_path).activation == "relu"


def without(state: State, key: str) -> State:
    return {name: tensor for name, tensor in state.items() if name != key}


def spoilt(state: State, key: str, value: float) -> State:
    tensor = state[key].clone()
    tensor.view(-1)[0] = value
    return {**state, key: tensor}


MALFORMED: dict[str, tuple[str, object, str]] = {
    "unknown class": ("CrossCoder", topk_state(), "one of AutoEncoder, AutoEncoderNew, Gated"),
    "same keys, threshold never set": ("BatchTopKSAE", topk_state(), "has never been set"),
    "missing key": ("AutoEncoder", without(relu_state(), "bias"), r"missing \['bias'\]"),
    "missing k": ("AutoEncoderTopK", without(topk_state(), "k"), r"missing \['k'\]"),
    "unexpected key": (
        "AutoEncoder",
        {**relu_state(), "r_mag": torch.zeros(5)},
        r"unexpected \['r_mag'\]",
    ),
    "keys of another class": ("AutoEncoder", topk_state(), r"missing \['bias'\]"),
    "transposed encoder": (
        "AutoEncoder",
        {**relu_state(), "encoder.weight": torch.zeros(3, 5)},
        r"\[F, d\] = \[3, 3\]",
    ),
    "transposed decoder": (
        "AutoEncoder",
        {**relu_state(), "decoder.weight": torch.zeros(5, 3)},
        r"decoder.weight \[d, F\] = \[3, 5\], .* found \[5, 3\]",
    ),
    "width of another model": (
        "AutoEncoder",
        {**relu_state(), "bias": torch.zeros(4)},
        r"bias \[d\] = \[3\].* found \[4\]",
    ),
    "not a matrix": (
        "AutoEncoder",
        {**relu_state(), "encoder.weight": torch.zeros(15)},
        "encoder.weight with 2 sides",
    ),
    "NaN": ("AutoEncoder", spoilt(relu_state(), "encoder.bias", float("nan")), "finite numbers in"),
    "infinity": ("AutoEncoder", spoilt(relu_state(), "bias", float("inf")), "1 that are not"),
    "integers": (
        "AutoEncoder",
        {**relu_state(), "bias": torch.zeros(3, dtype=torch.int64)},
        "bias in floating point",
    ),
    "k of 0": ("AutoEncoderTopK", {**topk_state(), "k": torch.tensor(0)}, "between 1 and 5"),
    "k above all": ("AutoEncoderTopK", {**topk_state(), "k": torch.tensor(6)}, "between 1 and 5"),
    "k of floats": ("AutoEncoderTopK", {**topk_state(), "k": torch.tensor(2.5)}, "an integer be"),
    "a list": ("AutoEncoder", [torch.zeros(3)], "a state dict, found list"),
    "code": ("AutoEncoder", {"bias": Path("x")}, "a torch file of tensors alone"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_weights_are_named(tmp_path: Path, case: str) -> None:
    name, state, expected = MALFORMED[case]
    folder = write(tmp_path, name, state)
    with pytest.raises(DictionaryError, match=expected) as raised:
        loaded(tmp_path)
    assert str(folder) in str(raised.value)


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_class(folder: Path) -> None:
    (folder / "config.json").write_text('{"trainer": {"lr": 0.1}}')


def two_classes(folder: Path) -> None:
    config = {"dict_class": "AutoEncoder", "trainer": {"dict_class": "GatedAutoEncoder"}}
    (folder / "config.json").write_text(json.dumps(config))


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def a_json_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def no_weights(folder: Path) -> None:
    (folder / "ae.pt").unlink()


def truncated(folder: Path) -> None:
    content = (folder / "ae.pt").read_bytes()
    (folder / "ae.pt").write_bytes(content[: len(content) // 2])


def empty(folder: Path) -> None:
    (folder / "ae.pt").write_bytes(b"")


def other_number(folder: Path) -> None:
    folder.rename(folder.with_name("10_6"))


def two_folders(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("11_5"))


def no_folder(folder: Path) -> None:
    folder.rename(folder.with_name("final"))


def no_site(folder: Path) -> None:
    folder.parent.rename(folder.parent.with_name("mlp_out_layer7"))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (no_config, r"config.json: expected a file"),
        (no_class, r"dict_class to be one of AutoEncoder, .*, found none"),
        (two_classes, "dict_class to be one of"),
        (no_json, "JSON in UTF-8"),
        (a_json_list, "a JSON object, found list"),
        (no_weights, r"10_5: expected one of dictionary.safetensors, ae.pt"),
        (truncated, "a torch file of tensors alone"),
        (empty, "a torch file of tensors alone"),
        (other_number, "6 features, as its folder says, found 5"),
        (two_folders, "exactly one folder of embed: .* found embed/10_5, embed/11_5"),
        (
            no_folder,
            r"embed in a folder embed or embed/\*_\[0-9\]\* .* found dict.* in embed/final",
        ),
        (no_site, "a dictionary of embed .* found dictionaries in mlp_out_layer7/10_5"),
    ],
)
def test_malformed_folders_are_named(
    tmp_path: Path, spoil: Callable[[Path], None], expected: str
) -> None:
    spoil(write(tmp_path, "AutoEncoder", relu_state()))
    with pytest.raises(DictionaryError, match=expected):
        loaded(tmp_path)


def examples() -> Iterator[SparseDictionary]:
    state = relu_state()
    relu = SparseDictionary(
        W_enc=state["encoder.weight"],
        b_enc=state["encoder.bias"],
        W_dec=state["decoder.weight"].T.contiguous(),
        b_dec=state["bias"],
    )
    yield relu
    yield replace(relu, activation="topk", k=2)
    yield replace(relu, activation="jumprelu", threshold=torch.arange(5) / 10)
    yield replace(relu, activation="jumprelu", threshold=0.3)


@pytest.mark.parametrize("dictionary", examples(), ids=lambda d: d.activation)
def test_what_is_saved_comes_back(tmp_path: Path, dictionary: SparseDictionary) -> None:
    save(dictionary, tmp_path / "mlp_0", {"source": "here"})
    (found,) = load_sites(tmp_path, {"mlp_0": D_MODEL}).values()
    x = torch.randn(9, D_MODEL)
    assert torch.equal(found.encode(x), dictionary.encode(x))
    assert torch.equal(found.decode(found.encode(x)), dictionary.decode(dictionary.encode(x)))
    assert (found.activation, found.k) == (dictionary.activation, dictionary.k)
    assert type(found.threshold) is type(dictionary.threshold)
    assert not list(tmp_path.rglob("*.tmp"))


def test_another_type_is_converted(tmp_path: Path) -> None:
    save(next(examples()), tmp_path / "embed", {})
    (found,) = load_sites(tmp_path, {"embed": D_MODEL}, dtype=torch.bfloat16).values()
    assert {found.W_enc.dtype, found.b_dec.dtype} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("format", "circuit-lake/9", "format \"circuit-lake/1\", found 'circuit-lake/9'"),
        ("activation", "gated", "activation one of"),
        ("k", 9, "between 1 and 5, found 9"),
        ("k", "2", "k, an integer between 1 and 5"),
        ("k", -1, "k, an integer between 1 and 5"),
    ],
)
def test_our_config_is_checked(tmp_path: Path, key: str, value: object, expected: str) -> None:
    save([*examples()][1], tmp_path, {})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(DictionaryError, match=expected):
        load(folder_tree(tmp_path).folder("."), D_MODEL)


def test_our_weights_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "dictionary.safetensors"
    save(next(examples()), tmp_path, {})
    with pytest.raises(DictionaryError, match=r"\[F, d\] = \[5, 4\].* found \[5, 3\]"):
        load(folder_tree(tmp_path).folder("."), 4)
    save_file(without(load_file(file), "b_dec"), file)
    with pytest.raises(DictionaryError, match=r"missing \['b_dec'\]"):
        load(folder_tree(tmp_path).folder("."), D_MODEL)
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(DictionaryError, match="a safetensors file"):
        load(folder_tree(tmp_path).folder("."), D_MODEL)


def test_neither_folder_nor_hub_id_is_an_error(tmp_path: Path) -> None:
    assert open_tree(tmp_path, "x", "").label == tmp_path
    with pytest.raises(DictionaryError, match="nowhere: expected a folder or zip file, or"):
        open_tree(tmp_path / "nowhere", "not/a/hub/id", "")


@pytest.mark.parametrize("source", ["./some", "../some", "/some", "~/some"])
def test_the_hub_is_not_asked_for_a_path(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: pytest.fail("asked"))
    with pytest.raises(DictionaryError, match="nowhere: expected a folder or zip file of dict"):
        open_tree(tmp_path / "nowhere", source, "")


def test_a_missing_root_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DictionaryError, match="a folder of dictionaries, found none"):
        loaded(tmp_path / "nowhere")


def test_reference_dictionaries_load(shared: Path) -> None:
    root = shared / "reference" / "neox" / "saes"
    found = load_sites(root, dict.fromkeys(["embed", "attn_0", "mlp_1", "resid_2"], 64))
    state = torch.load(root / "resid_out_layer2" / "10_256" / "ae.pt", weights_only=True)
    x = torch.randn(5, 64)
    f = ((x - state["bias"]) @ state["encoder.weight"].T + state["encoder.bias"]).relu()
    torch.testing.assert_close(found["resid_2"].encode(x), f, atol=1e-5, rtol=1e-5)
    assert {d.n_features for d in found.values()} == {256}
